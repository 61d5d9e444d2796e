"""Deletes what retention allows, in small steps, so that deliveries never wait for it (spec 6, 14).

A wall clock that is wrong, as after a start without a battery, must not cost the history: after it has jumped ahead by
more than a day, or hookd was down so long, nothing is deleted for an hour.

Must never: decide what is past its time (the configuration and the store do).
"""

import asyncio
from math import inf

from hookd.config.generation import CurrentConfig
from hookd.domain.clock import Clock, ClockStep, ClockStepDetector
from hookd.domain.errors import StoreUnavailable
from hookd.observability import log
from hookd.store.contract import Housekeeping

EVERY_S = 60.0
"""Seconds between two times that history is deleted."""

JUMP_S = 86_400.0
"""A wall clock that went ahead by more at once may be wrong."""

DOUBT_S = 3600.0
"""How long it is doubted: long enough for time synchronization, or an operator, to set it right."""


class ClockGuard:
    """Whether history may be deleted by the wall clock: not while it may be wrong. Pure; instants come in.

    Attributes:
        doubted_until: of the monotonic clock.
    """

    def __init__(self, clock_steps: ClockStepDetector) -> None:
        self.doubted_until = -inf
        self._clock_steps = clock_steps
        if clock_steps.since_last_run is not None:
            self._note_step(clock_steps.since_last_run)
        clock_steps.on_step(self._note_step)

    def is_plausible(self, *, now: float, mono: float) -> bool:
        """Whether the wall clock may be believed; not for a while after it jumped ahead, unless it came back."""
        self._clock_steps.look(now=now, mono=mono)
        return mono >= self.doubted_until

    def _note_step(self, step: ClockStep) -> None:
        if step.back_s < -JUMP_S:
            self.doubted_until = step.noticed_mono + DOUBT_S
            log.warning("history.kept", clock_jumped_s=round(-step.back_s), for_s=DOUBT_S)
        elif step.back_s > JUMP_S:
            self.doubted_until = -inf


async def run(store: Housekeeping, current_config: CurrentConfig, clock: Clock, guard: ClockGuard) -> None:
    """Prune at start and then every minute, until cancelled."""
    while True:
        try:
            deleted = await prune(store, current_config, clock, guard)
        except StoreUnavailable:
            deleted = 0
        if deleted:
            log.info("history.pruned", rows=deleted)
        await asyncio.sleep(EVERY_S)


async def prune(store: Housekeeping, current_config: CurrentConfig, clock: Clock, guard: ClockGuard) -> int:
    """Delete everything past its time, while the clock is plausible; the number of rows. Raises StoreUnavailable."""
    total = 0
    while guard.is_plausible(now=(now := clock.now()), mono=clock.monotonic()):
        daemon = current_config.generation.config.daemon
        deleted = await store.prune(
            delivered_before=now - daemon.keep_delivered_s,
            dead_before=now - daemon.keep_dead_s,
            limit=store.prune_step,
        )
        if not deleted:
            break
        total += deleted
    return total
