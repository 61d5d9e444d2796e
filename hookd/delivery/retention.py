"""Deletes what retention allows, in small steps, so that deliveries never wait for it (spec 6, 14).

A wall clock that is wrong, as after a start without a battery, must not cost the history: after it has jumped ahead by
more than a day, or hookd was down so long, nothing is deleted for an hour.

Must never: decide what is past its time (the configuration and the store do).
"""

import asyncio
from dataclasses import dataclass
from math import inf

from hookd.config.generation import CurrentConfig
from hookd.domain.clock import Clock
from hookd.domain.errors import StoreUnavailable
from hookd.observability import log
from hookd.store.contract import Housekeeping

EVERY_S = 60.0
LOOK_S = 2.0
"""Between two looks at the clock: it may jump ahead and back within a minute."""

JUMP_S = 86_400.0
"""A wall clock that went ahead by more at once may be wrong."""

DOUBT_S = 3600.0
"""How long it is doubted: long enough for time synchronization, or somebody, to set it right."""


@dataclass(slots=True)
class ClockGuard:
    """Whether the wall clock may be believed when history is deleted by it. Pure; instants come in.

    Attributes:
        seen_at: what it showed last, in seconds since the epoch; None: nobody knows.
        seen_mono: the monotonic clock at that look; None: before this process.
        doubted_until: of the monotonic clock.
    """

    seen_at: float | None
    seen_mono: float | None = None
    doubted_until: float = -inf

    def is_plausible(self, *, now: float, mono: float) -> bool:
        """Take note of both clocks; false where the wall clock jumped ahead a short while ago and did not come back."""
        if self.seen_at is not None:
            jump_s = now - self.seen_at - (0.0 if self.seen_mono is None else mono - self.seen_mono)
            if jump_s > JUMP_S:
                self.doubted_until = mono + DOUBT_S
                log.warning("history.kept", clock_jumped_s=round(jump_s), for_s=DOUBT_S)
            elif jump_s < -JUMP_S:
                self.doubted_until = -inf
        self.seen_at, self.seen_mono = now, mono
        return mono >= self.doubted_until


async def run(store: Housekeeping, current_config: CurrentConfig, clock: Clock, trust: ClockGuard) -> None:
    """Prune at start and then every minute, until cancelled."""
    while True:
        try:
            deleted = await prune(store, current_config, clock, trust)
        except StoreUnavailable:
            deleted = 0
        if deleted:
            log.info("history.pruned", rows=deleted)
        for _ in range(int(EVERY_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            trust.is_plausible(now=clock.now(), mono=clock.monotonic())


async def prune(store: Housekeeping, current_config: CurrentConfig, clock: Clock, trust: ClockGuard) -> int:
    """Delete everything past its time, while the clock is believed; the number of rows. Raises StoreUnavailable."""
    total = 0
    while trust.is_plausible(now=(now := clock.now()), mono=clock.monotonic()):
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
