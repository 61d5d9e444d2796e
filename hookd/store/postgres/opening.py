"""Opening the store of one process: reach the server, look at it, bring the schema forward, and join.

Must never: give up on a server that may still be starting, or wait for what does not get better by itself.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from hookd import __version__
from hookd.domain.definitions import PostgresDef
from hookd.domain.errors import StoreUnavailable, StoreUnreachable
from hookd.domain.value_class import value_class
from hookd.store.postgres import schema_migration
from hookd.store.postgres.database_clock import DatabaseClock, boottime
from hookd.store.postgres.link import Link, Server
from hookd.store.postgres.statements import Statements
from hookd.store.stored_values import seconds

T = TypeVar("T")

PATIENCE_S = 30.0
"""So long a server that cannot be reached is waited for at start."""

_PAUSE_S = 0.1


@value_class
class Opened:
    """A server that was found fit, and what this process is to it."""

    server: Server
    statements: Statements
    clock: DatabaseClock
    node: int


def server_of(definition: PostgresDef, application: str) -> Server:
    """The server that the configuration names."""
    return Server(definition.url.value, target=definition.target, application=application)


async def open_server(definition: PostgresDef, stopping: asyncio.Event | None = None) -> Opened:
    """Reach the server and join; it is waited for until `stopping` is set, and for `PATIENCE_S`.

    Raises:
        StoreUnreachable: it cannot be reached.
        StoreUnusable: it cannot be used; the message says why and what to do.
    """
    server = server_of(definition, f"hookd/{node_name()}")
    wait = _Patience(stopping)
    await wait.reached(server.settle_mode)
    link = Link(server)
    try:
        await wait.reached(lambda: _prepare(link, definition))
        statements = Statements(definition.schema)
        node, clock = await wait.reached(lambda: _join(link, statements))
    finally:
        await link.close()
    return Opened(server, statements, clock, node)


class _Patience:
    """How long a server is waited for, over all that a start asks of it."""

    def __init__(self, stopping: asyncio.Event | None) -> None:
        self._stopping = stopping or asyncio.Event()
        self._ends_at = asyncio.get_running_loop().time() + PATIENCE_S

    async def reached(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of a call that is made again while the server cannot be reached. Raises StoreUnreachable."""
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                if self._stopping.is_set() or asyncio.get_running_loop().time() > self._ends_at:
                    raise StoreUnreachable(str(error)) from error
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_S):
                    await self._stopping.wait()


def node_name() -> str:
    """What this process is called among others."""
    return platform.node() or "hookd"


async def _prepare(link: Link, definition: PostgresDef) -> None:
    state = await schema_migration.look(link, definition.schema)
    schema_migration.refuse_unfit(state, definition.target, allow_unsafe=definition.allow_unsafe)
    await schema_migration.bring_forward(
        link, state, definition.schema, definition.target, migrate=definition.migrate
    )


async def _join(link: Link, statements: Statements) -> tuple[int, DatabaseClock]:
    sent = boottime()
    ((shown,),) = await link.call(statements.now)
    clock = DatabaseClock(sent=sent, shown=seconds(shown), answered=boottime())
    return await join(link, statements), clock


async def join(link: Link, statements: Statements) -> int:
    """Add this process to those that use the schema; its number."""
    ((node,),) = await link.call(statements.join, node_name(), __version__, schema_migration.schema_version())
    return int(node)
