"""Seats for what is taken in: a lane's slot, taken before its delivery is stored, which is then claimed with that.

It spares the delivery a commit and the worker a plan. Whether there is a seat is `dispatch`'s to decide, from what the
latest plan saw; what that cannot know, the store decides in the same transaction. An attempt begins when the commit is
durable, and after everything that is answered because of it.

Must never: begin an attempt whose lease may have been lost, or keep a slot for what was not stored.
"""

import asyncio
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

from hookd.config.generation import CurrentConfig
from hookd.delivery.dispatch import DispatchPlan, SeatRule
from hookd.delivery.lane import BegunAttempt, Lane, Lanes
from hookd.domain.backlog import Backlog
from hookd.domain.deliveries import Lease
from hookd.domain.errors import StoreUnavailable
from hookd.domain.events import Submission
from hookd.store.contract import Queue

LATE_S = 1.0
"""A batch that is handed to the store so long after the instant it is stored with gets no seats: their leases began
with that instant."""

FEW = 8
"""With more attempts than this under way nothing gets a seat: then many deliveries share a claim, and its commit with
others, which costs less than a seat for each."""

STOPPED = "hookd stopped before the request was made"
"""What is recorded of the attempts of leases that a stop left unused."""

Seat = tuple[Lane, BegunAttempt]
"""A slot that is taken."""

Instant = Callable[[], tuple[float, float] | None]
"""Tells what the wall clock and the monotonic clock show, or None where something forbids it now."""


class BatchSeats:
    """The seats of one batch; see `SeatsTaken`.

    Attributes:
        seats: by delivery.
        unseated: the webhooks that something of the batch goes to without a seat.
    """

    __slots__ = ("_seating", "lease_s", "seats", "unseated")

    def __init__(self, seating: "LaneSeating") -> None:
        self._seating = seating
        self.lease_s: dict[str, float] = {}
        self.seats: dict[str, Seat] = {}
        self.unseated: set[str] | None = None

    def end(self, leases: Sequence[Lease]) -> None:
        """See `SeatsTaken.end`."""
        self._seating.end(self, leases)


class LaneSeating:
    """Gives seats in the lanes; see `Seating`. One instance for a worker."""

    def __init__(
        self,
        store: Queue,
        lanes: Lanes,
        current_config: CurrentConfig,
        *,
        may_seat: Instant,
        instant: Instant,
        begin: Callable[[Lease, Lane, BegunAttempt], None],
        wake: Callable[[], None],
    ) -> None:
        """Give seats where that is allowed.

        Args:
            store: takes back what cannot be used.
            lanes: the worker's.
            current_config: the configuration.
            may_seat: the clocks, unless nothing may have a seat now.
            instant: the clocks, unless the wall clock was set and that is not compensated yet.
            begin: called with each attempt.
            wake: called when slots are free again.
        """
        self._store = store
        self._lanes = lanes
        self._current_config = current_config
        self._may_seat = may_seat
        self._instant = instant
        self._begin = begin
        self._wake = wake
        self._rule: SeatRule | None = None
        self._stopped = False
        self._asked = 0
        # Lanes that nothing is seated in, with how many batches are on their way that hold something for them without
        # a seat. When these have arrived, it takes a plan to see what became of them.
        self._closed: dict[str, int] = {}
        self._ready: list[tuple[Lease, Seat]] = []
        self._releasing: set[asyncio.Task[None]] = set()

    def planned(self, backlog: Backlog, plan: DispatchPlan, parked: AbstractSet[str]) -> None:
        """Take note of a plan, which is what is claimed until `claimed`."""
        config = self._current_config.generation.config
        self._rule = None if plan.is_scarce or self._stopped else SeatRule(backlog, config, parked=parked)
        self._asked = plan.slots
        self._closed = {name: coming for name, coming in self._closed.items() if coming}

    def claimed(self) -> None:
        """Take note that the claim of the latest plan is over."""
        self._asked = 0

    def stop(self) -> None:
        """Give no more seats; what has one and is not stored yet is given back."""
        self._stopped = True
        self._rule = None

    def take(self, batch: Sequence[Submission], *, now: float) -> BatchSeats | None:
        """See `Seating.take`."""
        rule = self._rule
        if rule is None or self._lanes.in_flight > FEW or (instant := self._may_seat()) is None:
            return None
        wall, mono = instant
        config = self._current_config.generation.config
        if not 0 <= wall - now <= LATE_S or rule.config is not config:
            return None
        taken, lanes, closed = BatchSeats(self), self._lanes, self._closed
        for submission in batch:
            for delivery in submission.deliveries:
                name = delivery.webhook
                lease_s = None
                if name not in closed:
                    lease_s = rule.lease_s(name, lanes, now=wall, mono=mono, asked=self._asked)
                if lease_s is None:
                    self._close(name, taken)
                else:
                    lane = lanes.of(name)
                    attempt = lanes.begin(lane, config.webhooks[name], mono=mono, may_probe=False)
                    taken.seats[delivery.id] = (lane, attempt)
                    taken.lease_s[delivery.id] = lease_s
        return taken

    def _close(self, name: str, taken: BatchSeats) -> None:
        """Let nothing be seated in a lane, as something for it goes out without a seat."""
        if taken.unseated is None:
            taken.unseated = set()
        if name not in taken.unseated:
            taken.unseated.add(name)
            self._closed[name] = self._closed.get(name, 0) + 1

    def end(self, taken: BatchSeats, leases: Sequence[Lease]) -> None:
        """Let the attempts of these leases begin once all that wait for the same commit were answered."""
        seats = taken.seats
        if leases and not self._ready:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._begin_ready)  # they are answered in the loop's next turn
        for lease in leases:
            self._ready.append((lease, seats.pop(lease.delivery_id)))
        for seat in seats.values():
            self._give_back(seat)
        for name in taken.unseated or ():
            self._closed[name] -= 1

    def _give_back(self, seat: Seat) -> None:
        lane, attempt = seat
        self._lanes.end(lane, attempt)
        self._closed.setdefault(lane.webhook, 0)
        self._wake()

    def _begin_ready(self) -> None:
        """Begin what may be.

        Nothing whose lease has ended, since hookd was frozen: it may be claimed again already. Where the clock was set,
        nobody can tell, and the lease is left to end; that takes its length at most, as leases follow the clock.
        """
        ready, self._ready = self._ready, []
        instant = None if self._stopped else self._instant()
        for lease, seat in ready:
            if instant is not None and instant[0] < lease.expires_at:
                self._begin(lease, *seat)
            else:
                self._give_back(seat)
        if self._stopped:
            leases = [lease for lease, _ in ready]
            task = asyncio.get_running_loop().create_task(self._release(leases))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _release(self, leases: list[Lease]) -> None:
        with suppress(StoreUnavailable):  # then they end by themselves
            await self._store.release(leases, why=STOPPED)
