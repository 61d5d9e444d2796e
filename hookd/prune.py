"""Deletes what retention allows, in small steps, so that deliveries never wait for it (spec 6, 14).

Must never: decide what is past its time (the configuration and the store do). Called by: `daemon`.
"""

import asyncio

from hookd import log
from hookd.clock import Clock
from hookd.errors import StoreUnavailable
from hookd.generation import Holder
from hookd.store.base import Store

EVERY_S = 60.0
STEP_ROWS = 500
STEP_PAUSE_S = 0.05


async def run(store: Store, holder: Holder, clock: Clock) -> None:
    """Prune at start and then every minute, until cancelled."""
    while True:
        try:
            deleted = await prune(store, holder, clock)
        except StoreUnavailable:
            deleted = 0
        if deleted:
            log.info("history.pruned", rows=deleted)
        await asyncio.sleep(EVERY_S)


async def prune(store: Store, holder: Holder, clock: Clock) -> int:
    """Delete everything past its time; returns the number of rows. Raises StoreUnavailable."""
    total = 0
    while True:
        daemon, now = holder.current.config.daemon, clock.now()
        deleted = await store.prune(
            delivered_before=now - daemon.keep_delivered_s,
            dead_before=now - daemon.keep_dead_s,
            limit=STEP_ROWS,
        )
        if not deleted:
            return total
        total += deleted
        await asyncio.sleep(STEP_PAUSE_S)
