"""Records results of attempts, however long the store cannot write.

Must never: drop a result, or decide one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from hookd.delivery.clock_steps import ClockCompensator
from hookd.delivery.store_outage import StoreOutage
from hookd.domain.deliveries import Attempt, Lease, Settlement
from hookd.domain.errors import StoreUnavailable
from hookd.store.contract import Queue

STORE_RETRY_S = 1.0
"""Pause before asking a store again that could not write."""


Recorded = Callable[[bool | Exception | None], None]
"""Takes whether the lease was still held; an exception where recording failed for good, None where it was given up.
Must not raise."""


class _UnrecordedResult(NamedTuple):
    """A result on its way into the store."""

    lease: Lease
    attempt: Attempt
    settlement: Settlement
    now: float
    recorded: Recorded


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
        self._later: set[asyncio.Task[bool | Exception]] = set()
        self.waiting = 0

    def record(
        self, lease: Lease, attempt: Attempt, settlement: Settlement, *, now: float, recorded: Recorded
    ) -> None:
        """Settle.

        Args:
            lease: of the attempt.
            attempt: its record.
            settlement: what follows from it.
            now: when that was decided, seconds since the epoch.
            recorded: called once, it may be at once.
        """
        result = _UnrecordedResult(lease, attempt, settlement, now, recorded)
        then = partial(self._answered, result)
        try:
            self._store.begin_settle(lease, attempt, settlement, now=now, then=then)
        except Exception as exc:  # noqa: BLE001  it is the caller's to say what becomes of the attempt
            then(exc)

    def give_up(self) -> None:
        """Record nothing more of what the store has refused so far."""
        for task in self._later:
            task.cancel()

    def _answered(self, result: _UnrecordedResult, held: bool | Exception) -> None:
        if not isinstance(held, StoreUnavailable):
            result.recorded(held)
            return
        self._outage.began(held)
        self.waiting += 1
        task = asyncio.create_task(self._record_later(result))
        self._later.add(task)
        task.add_done_callback(partial(self._ended, result))

    def _ended(self, result: _UnrecordedResult, task: asyncio.Task[bool | Exception]) -> None:
        self._later.discard(task)
        self.waiting -= 1
        self._on_recorded()
        result.recorded(None if task.cancelled() else task.result())

    async def _record_later(self, result: _UnrecordedResult) -> bool | Exception:
        lease, attempt, settlement, now, _ = result
        compensated_s = self._clock.compensated_s
        while True:
            await asyncio.sleep(STORE_RETRY_S)
            try:
                await self._clock.compensate()
                by_s = self._clock.compensated_s - compensated_s
                return await self._store.settle(lease, attempt, _sooner(settlement, by_s), now=now - by_s)
            except StoreUnavailable as exc:
                self._outage.began(exc)
            except Exception as exc:  # noqa: BLE001  as in `record`
                return exc


def _sooner(settlement: Settlement, by_s: float) -> Settlement:
    """What was decided before the wall clock was set back by that many seconds."""
    due_at, hold_until = settlement.due_at, settlement.hold_until
    return replace(
        settlement,
        due_at=None if due_at is None else due_at - by_s,
        hold_until=None if hold_until is None else hold_until - by_s,
    )
