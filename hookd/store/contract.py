"""The store's contract: what every engine promises (spec 6). No engine's type, path or thread crosses it.

The store is the queue: first attempts, retries, recovery and replay all come out of it by the same `claim`.
Every method that changes something returns only after the change is durable; methods called together may
share one commit. A call whose await is cancelled is done all the same; only its result is lost. Instants are seconds
since the epoch, kept to the microsecond, and passed in.

Three protocols, so that each room asks for no more than it needs: `Queue` moves deliveries, `History` reads what has
become of them, `Housekeeping` is for what is kept beside them. `Store` is all three.

Must never: know HTTP, the configuration, or retry rules.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from hookd.domain.backlog import Backlog
from hookd.domain.clock import Clock
from hookd.domain.deliveries import Attempt, Claimed, ClaimRequest, Lease, Settlement, State
from hookd.domain.errors import StoreFailed
from hookd.domain.events import Receipt, SpentMark, Submission
from hookd.domain.history import (
    DeliveryFilter,
    DeliveryRecord,
    EventRecord,
    LaneStats,
    Page,
    RetriedPart,
    UnreportedDeadLetters,
)
from hookd.domain.seats import SeatsTaken
from hookd.domain.value_class import value_class


class Queue(Protocol):
    """What moves deliveries: taking in, claiming, settling, and retrying or cancelling by hand.

    Attributes:
        renew_ahead_s: a lease whose attempt is still under way is best renewed so long before its end.
        is_shared: other processes may claim as well, so that a lease is nobody's once it has ended.
    """

    renew_ahead_s: float
    is_shared: bool

    async def enqueue(
        self, batch: Sequence[Submission], *, now: float, limit: int, seats: SeatsTaken | None = None
    ) -> tuple[Receipt, ...]:
        """Store every event of the batch with its deliveries, or nothing at all.

        An event whose id is kept already with the same digest is a duplicate: nothing is stored for it and
        its receipt names the first deliveries. The same holds between events of one batch.

        An event that is the moment of a schedule is a duplicate as well where that moment is dealt with already,
        whether or not its event is still kept; storing it deals with it, in the same transaction.

        A delivery with `one_shot_digest` spends its task, by name and digest, in the same transaction. Where that is
        spent already, an event, schedule or send loses that delivery (it is neither stored nor in the receipt), and a
        trigger is refused.

        A delivery with a seat is claimed in the same transaction: what `claim` at `now` would do to it, with a lease of
        its seat's length, is durable when `seats.end` is called with that lease. It has none, and waits to be claimed,
        where its lane is paused or held beyond `now`, or where anything of the lane that came before it is due; so
        seats keep the order of a lane. An engine may also give none in a transaction that does something else besides.

        Args:
            batch: what to store, in order.
            now: becomes `received_at`, `created_at` and the first `due_at`.
            limit: the most unfinished deliveries there may be afterwards.
            seats: what may be claimed at once; none by default.

        Raises:
            IdConflict: an id is kept with another digest.
            PendingLimitReached: `limit` would be passed; PendingLimitTooSmall: even if nothing waited.
            TaskSpent: a trigger of a task that is spent.
            StoreUnavailable: nothing can be written now.
        """
        ...

    def begin_enqueue(
        self,
        batch: Sequence[Submission],
        *,
        now: float,
        limit: int,
        seats: SeatsTaken | None = None,
        then: Callable[[tuple[Receipt, ...] | Exception], None],
    ) -> None:
        """As `enqueue`, for who has a function called rather than waits: a task a call costs more than the rest of it.

        Args:
            batch: as there.
            now: as there.
            limit: as there.
            seats: as there.
            then: called once, with what `enqueue` would return or raise, in the event loop and after this has
                returned; in the order of the calls among those that share a commit. It must not raise.
        """
        ...

    async def claim(self, wants: Sequence[ClaimRequest], *, now: float) -> Claimed:
        """Lease due deliveries, oldest due first, at most `slots` for each want; at most 1,000 in one call.

        Nothing is leased from a lane that is paused, or held beyond `now` (`Settlement.hold_until`).
        Due is: pending with `due_at` not after `now`, or sending with a lease that ended by `now` (that
        attempt is then recorded as interrupted, not counted). Number, token and lease are durable when this
        returns, before any connection is opened.

        Args:
            wants: at most one for each webhook.
            now: the start of the attempts and of their leases.

        Raises:
            ValueError: two wants for one webhook.
            StoreUnavailable: nothing can be written now; nothing was claimed.
        """
        ...

    async def settle(self, lease: Lease, attempt: Attempt, settlement: Settlement, *, now: float) -> bool:
        """Record an attempt and what follows from it, in one transaction, if the lease is still held.

        Returns:
            False when the lease was lost: nothing was changed.

        Raises:
            ValueError: no attempt can lead to this settlement.
            StoreUnavailable: nothing can be written now; the lease is still held, call again.
        """
        ...

    def begin_settle(
        self,
        lease: Lease,
        attempt: Attempt,
        settlement: Settlement,
        *,
        now: float,
        then: Callable[[bool | Exception], None],
    ) -> None:
        """`settle` for one who does not wait: `then` is called in the event loop, once, with what came of it.

        That is what `settle` returns or raises. `then` must not raise. What is known at once is raised at once.
        """
        ...

    async def renew(self, leases: Sequence[Lease]) -> Collection[str]:
        """Let leases that are still held end at their `expires_at`, which is later than it was.

        For attempts that outlived their lease by no fault of theirs: hookd was frozen, or the clock was set forward.
        Done before any claim that is asked for afterwards.

        Returns:
            The deliveries whose lease was lost: their attempts can no longer be recorded.
        """
        ...

    async def release(self, leases: Sequence[Lease], *, why: str) -> None:
        """Give back deliveries that were claimed and not sent: due at once, the attempt interrupted and not counted.

        Lost leases are left alone.

        Args:
            leases: of deliveries for which no request was made.
            why: recorded as the attempts' error.
        """
        ...

    async def make_due(self, webhook: str, *, now: float) -> bool:
        """Make the pending delivery of a webhook that is due first due now: to probe a receiver that is down.

        Returns:
            False where none waits for a later instant; then nothing was changed.
        """
        ...

    async def lift_hold(self, webhook: str, *, now: float) -> bool:
        """Let a webhook that is held (`Settlement.hold_until`) be claimed from again, also after a restart.

        Returns:
            Whether it was held beyond `now`; else nothing was changed.
        """
        ...

    async def backlog(self) -> Backlog:
        """What waits, as far as is known here: everything this process has been answered counts. Does no I/O."""
        ...

    async def wait_for_work(self) -> Backlog:
        """Return what waits when something may be claimed sooner than at the last call, and every few seconds.

        Returns too when what is paused has changed, and when writing has begun or ceased to work. For one waiter.
        """
        ...

    async def probe(self) -> None:
        """Find out whether writing works, by a tiny durable write; settles what `Backlog.fault` says.

        Raises:
            StoreUnavailable: nothing can be written now.
        """
        ...

    async def retry(self, delivery_id: str, *, now: float) -> State | None:
        """Make a delivery due at once, by hand (spec 8).

        A dead, cancelled or delivered one becomes pending again, its failures forgotten, its attempt numbers
        going on; a pending one is due now; one whose attempt is under way is left alone.

        Returns:
            The state it was in, or None where there is no such delivery.
        """
        ...

    async def cancel(self, delivery_id: str, *, now: float) -> State | None:
        """End a pending delivery by hand; any other is left alone.

        Returns:
            The state it was in, or None where there is no such delivery.
        """
        ...

    async def retry_matching(
        self, where: DeliveryFilter, *, now: float, dry_run: bool, cursor: str | None = None
    ) -> RetriedPart:
        """`retry` deliveries that match, the newest first: as many as one call may look at, as `deliveries` does.

        Args:
            where: with a state other than SENDING.
            now: when they are due.
            dry_run: only count them.
            cursor: of the part before.

        Raises:
            ValueError: such a state, or the cursor is not one of ours.
        """
        ...


class History(Protocol):
    """What has become of events and deliveries. Only reads."""

    async def delivery(self, delivery_id: str) -> DeliveryRecord | None:
        """One delivery with its body and attempts, or None."""
        ...

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, cursor: str | None = None
    ) -> Page[DeliveryRecord]:
        """Matching deliveries, newest first.

        One call looks at a bounded number of deliveries, in steps between which other calls go on. So a page may be
        shorter than `limit`, or empty, and have a cursor.

        Raises:
            ValueError: the cursor is not one of ours.
        """
        ...

    async def event(self, event_id: str) -> EventRecord | None:
        """One kept event, or None."""
        ...

    async def events(self, *, limit: int, cursor: str | None = None) -> Page[EventRecord]:
        """Kept events, newest first, without their data. Raises ValueError for a foreign cursor."""
        ...

    async def ids(self, beginning: str, *, limit: int) -> Sequence[str]:
        """The first ids, in order, of kept deliveries and then of kept events that begin so; cheap."""
        ...

    async def lanes(self, of: Collection[str] | None = None) -> Mapping[str, LaneStats]:
        """What waits, by webhook; webhooks without anything waiting may be missing.

        Args:
            of: only these; then it costs nothing for the others.
        """
        ...

    async def totals(self) -> Mapping[State, int]:
        """How many deliveries are in each state."""
        ...

    async def one_shot_marks(self) -> tuple[SpentMark, ...]:
        """Every mark of a one-shot that has run, the latest first."""
        ...

    async def last_died(self) -> float | None:
        """When the latest of the deliveries that are dead now became so, or None. Cheap, however many there are."""
        ...

    async def unreported_dead_letters(
        self, *, before: float, within_s: float, limit: int
    ) -> UnreportedDeadLetters:
        """What is dead and stands in no report (`Submission.dead_letters`), of webhooks that were reported on lately.

        Cheap, however much died before.

        Args:
            before: only what died before this instant.
            within_s: lately is so long before the last of what died, of any webhook, or later.
            limit: of more, the latest.
        """
        ...


class Housekeeping(Protocol):
    """What is kept beside the deliveries: pauses, marks, schedules, the clock; and what is deleted.

    Attributes:
        clock: the clock that the stored instants are of.
        prune_step: how many rows `prune` is best asked to delete at once.
    """

    clock: Clock
    prune_step: int

    async def pause(self, webhook: str, *, now: float) -> None:
        """Park the webhook until `resume`, across restarts. Again: the first instant stays."""
        ...

    async def resume(self, webhook: str) -> bool:
        """End a pause. Returns whether the webhook was paused."""
        ...

    async def reset_one_shot(self, task: str, digest: str) -> bool:
        """Forget that this definition of a task has run. Returns whether it had."""
        ...

    async def watch_schedules(
        self, keys: Collection[str], *, generation: str, since: float, now: float
    ) -> Mapping[str, float]:
        """Remember that a generation of the configuration watches these schedules, and no others.

        Schedules that nobody watches any more are forgotten, and new when they come again. An engine that several
        processes share cannot know at once: it keeps what any of them may still watch, and forgets by age.

        Args:
            keys: the schedules.
            generation: the configuration's hash.
            since: from when on a schedule is watched that was not watched before.
            now: what the clock shows. Nothing is dealt with beyond it: the clock was set back.

        Returns:
            For each, the instant up to which its moments are dealt with: when it was first watched, its last moment
            that was stored, or `note_alive`'s last instant, whichever is the latest.
        """
        ...

    async def note_alive(self, *, generation: str, now: float) -> None:
        """Note that every moment up to `now` is dealt with, of the schedules that this generation was last to watch."""
        ...

    async def clock_stepped(self, *, by_s: float, now: float) -> None:
        """Follow `clock`, which was set back by `by_s` seconds, or forward where that is negative, and shows `now`.

        Set back: what was due in a minute still is. Every instant after `now` at which something is due, held or
        leased comes so much nearer, but not before `now`; in bounded steps, between which other calls go on. Neither
        `clock_seen` nor the newest event is then in the future any more. Set forward: what waits is due sooner.
        """
        ...

    async def clock_seen(self) -> float | None:
        """The latest instant that `clock` is known to have shown, also before a restart; None in a new store."""
        ...

    async def prune(self, *, delivered_before: float, dead_before: float, limit: int) -> int:
        """Delete at most `limit` finished deliveries past their time, with their attempts.

        Events left without deliveries go with them.

        Delivered and cancelled ones go by `delivered_before`, dead ones by `dead_before`, over
        `finished_at`; an event that had no deliveries goes by `delivered_before` over `received_at`. Freed
        space is given back in the same step, which takes longer while others write.

        Returns:
            How many rows (deliveries and lone events) went; 0 means there is nothing left to do.
        """
        ...


@value_class
class StoreDescription:
    """What a store tells of itself.

    Attributes:
        target: where it is, as operators know it; holds no secret.
        size_bytes: how much it takes, or None where that cannot be told.
        cut_off: attempts that were under way when the process before this one ended.
        pid: the process that keeps it, where that is one of hookd's beside this one.
    """

    engine: str
    target: str
    size_bytes: int | None
    cut_off: int = 0
    pid: int | None = None


class Store(Queue, History, Housekeeping, Protocol):
    """A durable queue with history."""

    async def flush(self) -> None:
        """Return when everything that was asked before is done, and answered. Raises StoreUnavailable when closed."""
        ...

    async def heartbeat(self) -> None:
        """Return when the store's own machinery answers, whether or not writing works: it hangs where that does."""
        ...

    async def until_failed(self) -> StoreFailed:
        """Return why, when the store's own machinery has ended though nobody closed it.

        Every call then raises StoreFailed, also those under way.
        """
        ...

    async def describe(self) -> StoreDescription:
        """What it is, where, and how large."""
        ...

    async def close(self) -> None:
        """Finish what was asked, then release the store. Calls made afterwards raise StoreUnavailable."""
        ...
