"""Keeps what waits and what is under way right where the wall clock is set, or hookd was frozen.

Where the clock is set back, due instants, holds and leases follow it: what was due in a minute still is. Where it is
set forward, what waits is simply due sooner. Leases of attempts under way are renewed before they end.

Must never: claim or settle.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from hookd.delivery.lane import Lanes
from hookd.delivery.under_way import AttemptsUnderWay
from hookd.domain.clock import STEP_S, Clock, ClockStep, ClockStepDetector
from hookd.store.contract import Housekeeping, Queue

INTERVAL_S = 2.0
"""Seconds between two looks at the clocks while nothing else looks at them."""


async def watch_clock(clock_steps: ClockStepDetector, clock: Clock) -> None:
    """Look at the clocks now and then, until cancelled, so that no step stays unnoticed for long."""
    while True:
        await asyncio.sleep(INTERVAL_S)
        clock_steps.look(now=clock.now(), mono=clock.monotonic())


class DeliveryStore(Queue, Housekeeping, Protocol):
    """What delivering needs of the store: the queue, and the clock that it goes by."""


class ClockCompensator:
    """Follows the wall clock where it is set back, on behalf of the store, the lanes and the leases.

    Attributes:
        compensated_s: seconds it was followed back in all: what was reckoned before is that much too late.
    """

    def __init__(
        self,
        store: DeliveryStore,
        clock_steps: ClockStepDetector,
        lanes: Lanes,
        under_way: AttemptsUnderWay,
    ) -> None:
        """Follow `store.clock`."""
        self._store = store
        self._clock = store.clock
        self._clock_steps = clock_steps
        self._lanes = lanes
        self._under_way = under_way
        since = clock_steps.since_last_run
        self._pending_s = since.back_s if since is not None and since.back_s > STEP_S else 0.0
        self._one_at_a_time = asyncio.Lock()
        self.compensated_s = 0.0
        clock_steps.on_step(self._note_step)

    def is_pending(self) -> bool:
        """Whether the clock was set, either way, and that is not compensated yet."""
        return self.instant() is None

    def instant(self) -> tuple[float, float] | None:
        """What the wall clock and the monotonic clock show; None where the former was set: see `is_pending`."""
        now, mono = self._clock.now(), self._clock.monotonic()
        self._clock_steps.look(now=now, mono=mono)
        return (now, mono) if self._pending_s == 0.0 else None

    async def compensate(self) -> None:
        """Follow a wall clock that was set back.

        Raises:
            StoreUnavailable: it will be followed next time.
        """
        async with self._one_at_a_time:
            await self._compensate()

    @asynccontextmanager
    async def compensated(self) -> AsyncIterator[float]:
        """Follow; the instant to claim by. Until this ends, nothing that is due and no lease is moved by anybody.

        A lease that was moved between the look at the clock and the claim would be taken for ended.

        Raises:
            StoreUnavailable: nothing can be claimed now.
        """
        async with self._one_at_a_time:
            await self._compensate()
            now = self._clock.now()
            await self._renew_leases(now)
            yield now

    def _note_step(self, step: ClockStep) -> None:
        self._pending_s += step.back_s

    async def _compensate(self) -> None:
        # Looked at once: it may be set again while the store follows.
        now, mono = self._clock.now(), self._clock.monotonic()
        self._clock_steps.look(now=now, mono=mono)
        by_s = self._pending_s
        if abs(by_s) > STEP_S:
            await self._store.clock_stepped(by_s=by_s, now=now)
        if by_s > STEP_S:
            self._lanes.compensate(by_s, now=now)
            self._under_way.leases.compensate(by_s)
            self.compensated_s += by_s
        self._pending_s -= by_s

    async def _renew_leases(self, now: float) -> None:
        """Keep the leases of attempts under way, also after a freeze or a step of the clock: none is made twice."""
        leases = self._under_way.leases
        if late := leases.late(now):
            lost = await self._store.renew(late)
            leases.renewed(late)
            self._under_way.abandon(lost)
