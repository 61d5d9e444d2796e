"""The store's contract: what every engine promises (spec 6). No engine's type, path or thread crosses it.

The store is the queue: first attempts, retries, recovery and replay all come out of it by the same `claim`.
Every method that changes something returns only after the change is durable; methods called together may
share one commit.

Called by: `intake` (enqueue), `worker` (claim, settle, release), `prune`, `api` (the readers). Must never:
know HTTP, the configuration, or retry rules.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hookd.model import (
    Attempt,
    DeliveryFilter,
    DeliveryRecord,
    EventRecord,
    LaneStats,
    Lease,
    Page,
    Receipt,
    Settlement,
    State,
    Submission,
    Want,
)


class Store(Protocol):
    """A durable queue with history.

    Instants are seconds since the epoch, kept to the microsecond, and passed in; the store reads no clock.
    A call whose await is cancelled is done all the same; only its result is lost.
    """

    async def enqueue(self, batch: Sequence[Submission], *, now: float, limit: int) -> tuple[Receipt, ...]:
        """Store every event of the batch with its deliveries, or nothing at all.

        An event whose id is kept already with the same digest is a duplicate: nothing is stored for it and
        its receipt names the first deliveries. The same holds between events of one batch.

        Args:
            batch: what to store, in order.
            now: becomes `received_at`, `created_at` and the first `due_at`.
            limit: the most unfinished deliveries there may be afterwards.

        Raises:
            IdConflict: an id is kept with another digest.
            PendingLimitReached: `limit` would be passed.
            StoreUnavailable: nothing can be written now.
        """
        ...

    async def claim(self, wants: Sequence[Want], *, now: float) -> tuple[Lease, ...]:
        """Lease due deliveries, oldest due first, at most `seats` for each want; at most 1,000 in one call.

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

    async def earliest_due(self) -> Mapping[str, float]:
        """For each webhook with unfinished deliveries, an instant before which none of them can be claimed.

        Cheap: called before every claim.
        """
        ...

    async def wait_for_work(self) -> None:
        """Return when `earliest_due` may have changed for the sooner since the last call (the doorbell).

        Rings too when writing works again after a failure. For one waiter.
        """
        ...

    async def holds(self) -> Mapping[str, float]:
        """Until when each webhook waits as a whole (`Settlement.hold_until`); kept across restarts.

        Past ones may be missing.
        """
        ...

    async def delivery(self, delivery_id: str) -> DeliveryRecord | None:
        """One delivery with its body and attempts, or None."""
        ...

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, cursor: str | None = None
    ) -> Page[DeliveryRecord]:
        """Matching deliveries, newest first.

        Raises:
            ValueError: the cursor is not one of ours.
        """
        ...

    async def event(self, event_id: str) -> EventRecord | None:
        """One kept event, or None."""
        ...

    async def events(self, *, limit: int, cursor: str | None = None) -> Page[EventRecord]:
        """Kept events, newest first. Raises ValueError for a foreign cursor."""
        ...

    async def lanes(self) -> Mapping[str, LaneStats]:
        """What waits, by webhook; webhooks without anything waiting may be missing."""
        ...

    async def totals(self) -> Mapping[State, int]:
        """How many deliveries are in each state, once everything asked before is done."""
        ...

    def pending_count(self) -> int:
        """How many deliveries are unfinished. Costs nothing."""
        ...

    def fault(self) -> str | None:
        """Why the last write failed, fit for an operator; None while writing works. Costs nothing."""
        ...

    async def probe(self) -> None:
        """Find out whether writing works, by a tiny durable write; settles what `fault` says.

        Raises:
            StoreUnavailable: nothing can be written now.
        """
        ...

    async def prune(self, *, delivered_before: float, dead_before: float, limit: int) -> int:
        """Delete at most `limit` finished deliveries past their time, with their attempts.

        Events left without deliveries go with them.

        Delivered and cancelled ones go by `delivered_before`, dead ones by `dead_before`, over
        `finished_at`; an event that had no deliveries goes by `delivered_before` over `received_at`. Freed
        space is given back in the same step.

        Returns:
            How many rows (deliveries and lone events) went; 0 means there is nothing left to do.
        """
        ...

    async def close(self) -> None:
        """Finish what was asked, then release the file. Calls made afterwards raise StoreUnavailable."""
        ...
