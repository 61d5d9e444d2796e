"""Records results of attempts, however long the store cannot write.

Must never: drop a result, or decide one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from hookd.delivery.clock_steps import ClockCompensator
from hookd.delivery.store_outage import StoreOutage
from hookd.domain.deliveries import Attempt, Lease, Settlement
from hookd.domain.errors import StoreUnavailable
from hookd.store.contract import Queue

STORE_RETRY_S = 1.0
"""Pause before asking a store again that could not write."""


class ResultRecorder:
    """Settles attempts.

    Attributes:
        waiting: results that the store has refused so far. While there are any nothing may be claimed, so that no
            result is overtaken by a later attempt.
    """

    def __init__(
        self, store: Queue, outage: StoreOutage, clock: ClockCompensator, *, on_recorded: Callable[[], None]
    ) -> None:
        """Record in `store`; `on_recorded` is called when a result that had to wait is recorded."""
        self._store = store
        self._outage = outage
        self._clock = clock
        self._on_recorded = on_recorded
        self.waiting = 0

    async def record(self, lease: Lease, attempt: Attempt, settlement: Settlement, *, now: float) -> bool:
        """Settle; returns whether the lease was still held.

        Args:
            lease: of the attempt.
            attempt: its record.
            settlement: what follows from it.
            now: when that was decided, seconds since the epoch.
        """
        try:
            return await self._store.settle(lease, attempt, settlement, now=now)
        except StoreUnavailable as exc:
            self._outage.began(exc)
        self.waiting += 1
        try:
            return await self._record_later(lease, attempt, settlement, now)
        finally:
            self.waiting -= 1
            self._on_recorded()

    async def _record_later(self, lease: Lease, attempt: Attempt, settlement: Settlement, now: float) -> bool:
        compensated_s = self._clock.compensated_s
        while True:
            await asyncio.sleep(STORE_RETRY_S)
            try:
                await self._clock.compensate()
                by_s = self._clock.compensated_s - compensated_s
                return await self._store.settle(lease, attempt, _sooner(settlement, by_s), now=now - by_s)
            except StoreUnavailable as exc:
                self._outage.began(exc)


def _sooner(settlement: Settlement, by_s: float) -> Settlement:
    """What was decided before the wall clock was set back by that many seconds."""
    due_at, hold_until = settlement.due_at, settlement.hold_until
    return replace(
        settlement,
        due_at=None if due_at is None else due_at - by_s,
        hold_until=None if hold_until is None else hold_until - by_s,
    )
