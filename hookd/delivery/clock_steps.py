"""The wall clock as the worker lives by it: due instants and leases follow it where it is set back.

Where it is set forward, what waits is simply due sooner.

Must never: claim or settle.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

from hookd.delivery.lane import Lane
from hookd.delivery.leases import Leases, WallClock
from hookd.domain.clock import Clock
from hookd.store.contract import Store

SLEW_S = 1.0
"""The wall clock may fall behind the monotonic one so far between two looks before it counts as set back."""


class WallTime:
    """Follows the wall clock on behalf of what waits and what is under way.

    Attributes:
        followed_s: seconds it was followed back in all: what was reckoned before is that much too late.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        lanes: Mapping[str, Lane],
        leases: Leases,
        *,
        on_lost: Callable[[Collection[str]], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._leases = leases
        self._seen = WallClock(clock.now(), clock.monotonic())
        self._followed = False
        self._following = asyncio.Lock()
        self._on_lost = on_lost
        self.followed_s = 0.0

    def is_off(self) -> bool:
        """Whether it was set, either way, since the last look."""
        now, mono = self._clock.now(), self._clock.monotonic()
        return abs(self._seen.behind_s(now=now, mono=mono)) > SLEW_S

    async def follow(self) -> None:
        """Follow a wall clock that is set back: what was due in a minute still is. Set forward, it is due sooner.

        Raises:
            StoreUnavailable: it will be followed next time.
        """
        async with self._following:
            await self._follow()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[float]:
        """Follow; the instant to claim by. Until this ends, nothing that is due and no lease is moved by anybody.

        A lease that was moved between the look at the clock and the claim would be taken for ended.

        Raises:
            StoreUnavailable: nothing can be claimed now.
        """
        async with self._following:
            await self._follow()
            now = self._clock.now()
            await self._renew_leases(now)
            yield now

    async def _follow(self) -> None:
        if not self._followed:
            await self._set_back_since_the_last_run()
            self._followed = True
        # Looked at once: it may be set again while the store follows.
        now, mono = self._clock.now(), self._clock.monotonic()
        if (by_s := self._seen.behind_s(now=now, mono=mono)) > SLEW_S:
            await self._set_back(by_s, now)
        elif by_s < -SLEW_S:
            await self._store.clock_stepped(by_s=by_s, now=now)
        self._seen.look(now=now, mono=mono)

    async def _renew_leases(self, now: float) -> None:
        """Keep the leases of attempts under way, also after a freeze or a step of the clock: none is made twice."""
        if late := self._leases.late(now):
            lost = await self._store.renew(late)
            self._leases.renewed(late)
            self._on_lost(lost)

    async def _set_back_since_the_last_run(self) -> None:
        """Follow a wall clock that was set back while hookd was down: then it was last seen in the future."""
        seen_at = await self._store.clock_seen()
        now = self._clock.now()
        if seen_at is not None and (by_s := seen_at - now) > SLEW_S:
            await self._set_back(by_s, now)

    async def _set_back(self, by_s: float, now: float) -> None:
        await self._store.clock_stepped(by_s=by_s, now=now)
        for lane in self._lanes.values():
            lane.hold_until = min(lane.hold_until, max(now, lane.hold_until - by_s))
        self._leases.set_back(by_s)
        self.followed_s += by_s
