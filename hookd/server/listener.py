"""The connections of one socket: how many there are, which make room, and how they end.

One sweep a second looks at every connection, so that a connection costs no timer of its own.

Must never: look at what a connection carries.
"""

import asyncio
from contextlib import suppress
from heapq import nlargest

from hookd.domain.clock import Clock
from hookd.server.connection import Connection, Serve
from hookd.server.limits import Limits
from hookd.server.memory_budget import MemoryBudget

AT_ONCE = 64
"""Slow clients that are let go together where descriptors lack."""

QUIET_S = 0.5
"""How long a client that has been served may still ask while hookd stops (seconds)."""

LOOK_AGAIN_S = 0.02
"""How long it is taken for granted that no client has become slow."""


class Listener:
    """Makes the connections of one socket and keeps their number and patience within bounds."""

    def __init__(self, serve: Serve, clock: Clock, bounds: Limits, room: MemoryBudget) -> None:
        self.serve = serve
        self.clock = clock
        self.bounds = bounds
        self.room = room
        self._open: set[Connection] = set()
        self._parting: set[Connection] = set()
        self._none_is_slow_until = 0.0
        self._ending = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._sweeper = asyncio.create_task(self._sweep())

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self)

    def enter(self, connection: Connection) -> None:
        """Take a connection in; past the bound, the slowest client makes room, or else the newcomer is turned away."""
        full = len(self._open) - len(self._parting) >= self.bounds.connections
        slow = self._slow(1) if full else []  # the newcomer is none of them, however long this takes
        for each in slow:
            self._part(each)
        self._open.add(connection)
        self._empty.clear()
        if self._ending:
            connection.finish_next()
        if full and not slow:
            self._parting.add(connection)
            connection.refuse(linger=len(self._parting) <= self.bounds.refused)

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is gone and served."""
        self._open.discard(connection)
        self._parting.discard(connection)
        if not self._open:
            self._empty.set()

    def lacking(self) -> None:
        """Let slow clients go: descriptors have run out."""
        for each in self._slow(AT_ONCE):
            self._part(each)

    def _slow(self, most: int) -> list[Connection]:
        """The clients that are slow, the slowest first. Looking costs, so nobody is found in vain twice in a row."""
        now = self._sweeper.get_loop().time()
        if now < self._none_is_slow_until:
            return []
        spent = {each: each.spent(now) for each in self._open - self._parting}
        slow = nlargest(
            most, (each for each in spent if spent[each] >= self.bounds.slow), key=spent.__getitem__
        )
        if not slow:
            self._none_is_slow_until = now + LOOK_AGAIN_S
        return slow

    def _part(self, connection: Connection) -> None:
        if not connection.going:
            self._parting.add(connection)
            connection.cut(for_room=True)

    def end_each(self) -> None:
        """Let every connection, also those to come, end with its next answer, which says so."""
        self._ending = True
        for connection in self._open:
            connection.finish_next()

    async def stop(self, grace_s: float = 1.0, *, patience_s: float = 0.0) -> None:
        """Let what is being served be answered, close idle connections, cut what is then left.

        Args:
            grace_s: for what is being served.
            patience_s: before that, for clients that were accepted and have not asked yet; who has been served and asks
                for nothing more gets at most `QUIET_S` of it.
        """
        self._sweeper.cancel()
        self.end_each()
        await self._gone(min(QUIET_S, patience_s))
        for connection in tuple(self._open):
            if connection.idle:
                connection.finish()
        await self._gone(patience_s - QUIET_S)
        for connection in tuple(self._open):
            connection.finish()
        await self._gone(grace_s)
        for connection in self._open:
            if connection.transport is not None:
                connection.transport.abort()

    async def _gone(self, within_s: float) -> None:
        """Return when no connection is left, or after so many seconds."""
        if within_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._empty.wait()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.bounds.sweep_s)
            now = self._sweeper.get_loop().time()
            for connection in tuple(self._open):
                if connection.spent(now) > 1:
                    connection.cut()
