"""What callers ask of the store: one object per call, with the future its caller awaits.

A call may be done in another process (`frames`): it holds plain values, and what it runs is a function of a module of
this room, by name, with plain arguments bound to it by `partial`.

Must never: touch the database, or import an event loop. Runs where the database is used.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from hookd.domain.deliveries import Attempt, Claimed, ClaimRequest, Lease, Settlement
from hookd.domain.events import Receipt, Submission
from hookd.domain.seats import SeatsTaken
from hookd.store.sqlite.backlog_index import BacklogDelta
from hookd.store.stored_values import micros

if TYPE_CHECKING:
    from asyncio import Future


class _Nobody:
    """Stands for the caller where he is in another process."""

    def done(self) -> bool:
        return True


NOBODY = cast("Future[Any]", _Nobody())


class Callback:
    """Stands for the future of a caller who does not wait, and gives him what it would have come to, once."""

    __slots__ = ("_is_called", "_then")

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then = then
        self._is_called = False

    def done(self) -> bool:
        """Whether he knows: where the store fails over a batch, what is answered by then is refused once more."""
        return self._is_called

    def set_result(self, result: object) -> None:
        """Give him what the call returns."""
        self._is_called = True
        self._then(result)

    def set_exception(self, error: BaseException) -> None:
        """Give him what the call raises."""
        self.set_result(error)


class Operation:
    """A call on its way to the database and back.

    Attributes:
        future: what the caller awaits, or has called; touched in the event loop only.
        result: what the call returns.
        error: what it raises instead, or None.
        in_doubt: it was asked of a process that died before it answered, so it may be done already.
    """

    __slots__ = ("error", "future", "in_doubt", "result")

    def __init__(self, future: "Future[Any]") -> None:
        self.future = future
        self.in_doubt = False
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        """Hand the outcome to the caller, who may have gone meanwhile."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)

    def refuse(self, error: BaseException) -> None:
        """Let the caller, who may have gone meanwhile, know that nothing will be done any more."""
        if not self.future.done():
            self.future.set_exception(error)


class Enqueue(Operation):
    """Store a batch of submissions; the result is a tuple of receipts.

    Attributes:
        started_at: `now`, in seconds, as the leases want it.
        lease_ends: by delivery that may be claimed at once, when its lease ends (microseconds).
        tokens: by delivery that was claimed, its lease's token.
    """

    __slots__ = ("_seats", "batch", "lease_ends", "limit", "now", "started_at", "tokens")
    result: tuple[Receipt, ...]

    def __init__(
        self,
        future: "Future[Any]",
        batch: Sequence[Submission],
        *,
        now: float,
        limit: int,
        seats: SeatsTaken | None = None,
    ) -> None:
        super().__init__(future)
        self.batch = batch
        self.now = micros(now)
        self.limit = limit
        self.lease_ends: Mapping[str, int] = (
            {key: micros(now + lease_s) for key, lease_s in seats.lease_s.items()} if seats else {}
        )
        self.tokens: dict[str, int] = {}
        self._seats = seats
        self.started_at = now

    def resolve(self) -> None:
        """Use the seats or give them back, then hand the outcome to the caller."""
        self._end_seats(is_done=self.error is None)
        super().resolve()

    def refuse(self, error: BaseException) -> None:
        """Give the seats back, then let the caller know."""
        self._end_seats(is_done=False)
        super().refuse(error)

    def _end_seats(self, *, is_done: bool) -> None:
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.end(self._leases(seats) if is_done else ())

    def _leases(self, seats: SeatsTaken) -> list[Lease]:
        """The leases that were made, in the order of their deliveries."""
        return [
            Lease(
                delivery_id=each.id,
                event_id=submission.event.id,
                task=each.task,
                webhook=each.webhook,
                body=each.body,
                token=self.tokens[each.id],
                attempt=1,
                failures=0,
                started_at=self.started_at,
                expires_at=self.started_at + seats.lease_s[each.id],
                trace=submission.event.trace,
            )
            for submission in self.batch
            for each in submission.deliveries
            if each.id in self.tokens
        ]


class ClaimOperation(Operation):
    """Lease due deliveries. `now` is in seconds, as the leases want it."""

    __slots__ = ("now", "wants")
    result: Claimed

    def __init__(self, future: "Future[Any]", wants: Sequence[ClaimRequest], *, now: float) -> None:
        super().__init__(future)
        self.wants = wants
        self.now = now


class Settle(Operation):
    """Record an attempt and what follows; the result is whether the lease was still held."""

    __slots__ = ("attempt", "lease", "now", "settlement")
    result: bool

    def __init__(
        self,
        future: "Future[Any]",
        lease: Lease,
        attempt: Attempt,
        settlement: Settlement,
        *,
        now: int,
    ) -> None:
        super().__init__(future)
        self.lease = lease
        self.attempt = attempt
        self.settlement = settlement
        self.now = now


class Prune(Operation):
    """Delete finished deliveries; the result is how many rows went."""

    __slots__ = ("dead_before", "delivered_before", "limit")
    result: int

    def __init__(self, future: "Future[Any]", *, delivered_before: int, dead_before: int, limit: int) -> None:
        super().__init__(future)
        self.delivered_before = delivered_before
        self.dead_before = dead_before
        self.limit = limit


class Vacuum(Operation):
    """Give a bounded number of free pages back; the result is how many free pages are left."""

    __slots__ = ("pages",)
    result: int

    def __init__(self, future: "Future[Any]", *, pages: int) -> None:
        super().__init__(future)
        self.pages = pages


class Probe(Operation):
    """Write something tiny durably."""

    __slots__ = ()


class Write(Operation):
    """Run a small change of its own inside the transaction; the result is what it returns.

    It may run twice, if the transaction is rolled back and tried again without its neighbours.
    """

    __slots__ = ("work",)

    def __init__(
        self, future: "Future[Any]", work: Callable[[sqlite3.Connection, BacklogDelta], Any]
    ) -> None:
        super().__init__(future)
        self.work = work


class Echo(Operation):
    """Come back when everything asked before is done; needs no database."""

    __slots__ = ()


class Read(Operation):
    """Run a bounded query between two transactions."""

    __slots__ = ("query",)

    def __init__(self, future: "Future[Any]", query: Callable[[sqlite3.Connection], Any]) -> None:
        super().__init__(future)
        self.query = query
