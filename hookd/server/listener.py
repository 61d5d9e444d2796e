"""The connections of one socket: how many there are, which are evicted, and how they end.

One sweep a second looks at every connection, so that a connection costs no timer of its own.

Must never: look at what a connection carries.
"""

import asyncio
from contextlib import suppress
from heapq import nlargest

from hookd.domain.clock import Clock
from hookd.server.connection import Connection, Serve
from hookd.server.known_heads import KnownHeads
from hookd.server.limits import Limits
from hookd.server.memory_budget import MemoryBudget
from hookd.server.messages import Again
from hookd.server.unserved import UnservedConnections, UnservedKind

AT_ONCE = 64
"""Slow clients that are evicted together where descriptors have run out."""

IDLE_S = 0.5
"""How long a client that has been served may still ask while hookd stops (seconds)."""

EVICTION_INTERVAL_S = 0.02
"""How long after a look that found no slow client there is no other (seconds)."""


class Listener:
    """Makes the connections of one socket and keeps their number and their time within the limits."""

    def __init__(
        self, serve: Serve, clock: Clock, software: str, limits: Limits, memory: MemoryBudget
    ) -> None:
        self.serve = serve
        self.clock = clock
        self.software = software
        self.limits = limits
        self.memory = memory
        self.known_heads: KnownHeads[Again] = KnownHeads()
        self.unserved = UnservedConnections(clock)
        self._open: set[Connection] = set()
        self._closing: set[Connection] = set()
        self._looks_again_at = 0.0
        self._keep_alive_disabled = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._sweeper = asyncio.create_task(self._sweep())

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self)

    def add(self, connection: Connection) -> None:
        """Count a new connection; past the limit one is evicted for it (`_slow`), or else the new one is refused."""
        full = self.open >= self.limits.connections
        slow = (
            self._slow(1, or_idle=True) if full else []
        )  # the newcomer is none of them, however long this takes
        for each in slow:
            self._evict(each)
        self._open.add(connection)
        self._empty.clear()
        if self._keep_alive_disabled:
            connection.disable_keep_alive()
        if full and not slow:
            self.unserved.note(UnservedKind.PAST_LIMIT, connection.client)
            self._closing.add(connection)
            connection.refuse(linger=len(self._closing) <= self.limits.refused)

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is gone and served."""
        self._open.discard(connection)
        self._closing.discard(connection)
        if not self._open:
            self._empty.set()

    @property
    def open(self) -> int:
        """How many connections are open and count against the limit."""
        return len(self._open) - len(self._closing)

    def evict_slow(self) -> None:
        """End slow connections: descriptors have run out."""
        for each in self._slow(AT_ONCE):
            self._evict(each)

    def _slow(self, most: int, *, or_idle: bool = False) -> list[Connection]:
        """The slow connections, the slowest first; with `or_idle`, else the one that has been idle longest.

        Looking costs, so it is not done again soon where there is nothing.
        """
        now = self._sweeper.get_loop().time()
        if now < self._looks_again_at:
            return []
        used = {each: each.time_used(now) for each in self._open - self._closing}
        slow = nlargest(most, (each for each in used if used[each] >= self.limits.slow), key=used.__getitem__)
        if not slow and or_idle:
            idle = [each for each in used if each.kept_alive]
            slow = [max(idle, key=used.__getitem__)] if idle else []
        if not slow:
            self._looks_again_at = now + EVICTION_INTERVAL_S
        return slow

    def _evict(self, connection: Connection) -> None:
        if not connection.gone:
            self.unserved.note(UnservedKind.EVICTED, connection.client)
            self._closing.add(connection)
            connection.evict()

    def disable_keep_alive(self) -> None:
        """Let every connection, also those to come, end with its next response, which says so."""
        self._keep_alive_disabled = True
        for connection in self._open:
            connection.disable_keep_alive()

    async def stop(self, grace_s: float = 1.0, *, first_request_s: float = 0.0) -> None:
        """Let what is being served be answered, close idle connections, cut what is then left.

        Args:
            grace_s: for what is being served.
            first_request_s: before that, for clients that were accepted and have not asked yet; one that was served
                and asks for nothing more gets at most `IDLE_S` of it.
        """
        self._sweeper.cancel()
        self.disable_keep_alive()
        await self._emptied(min(IDLE_S, first_request_s))
        for connection in tuple(self._open):
            if connection.idle:
                connection.close()
        await self._emptied(first_request_s - IDLE_S)
        for connection in tuple(self._open):
            connection.close()
        await self._emptied(grace_s)
        for connection in self._open:
            if connection.transport is not None:
                connection.transport.abort()

    async def _emptied(self, within_s: float) -> None:
        """Return when no connection is left, or after `within_s` seconds."""
        if within_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._empty.wait()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.limits.sweep_s)
            now = self._sweeper.get_loop().time()
            for connection in tuple(self._open):
                if connection.time_used(now) > 1:
                    connection.time_out()
            self.unserved.log_overdue()
