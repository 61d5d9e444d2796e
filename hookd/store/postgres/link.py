"""Connections to the server, and every call of the driver: the one module that knows it.

A call that came to nothing says which kind of nothing: `errors` has them. Each call ends within `CALL_S`, so that a
network that swallows everything cannot hang one.

Must never: know a table, or run a call twice.
"""

import asyncio
import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from hookd.store.postgres.call_failures import (
    Declined,
    Forbidden,
    InDoubt,
    Overtaken,
    RunAgain,
    Unreachable,
    ValueRefused,
)

CALL_S = 20.0
"""A call that has no answer by then is taken for lost; longer than the server lets a statement run."""

_CONNECT_S = 5.0
_PAUSES_S = (0.2, 3.0)
"""The shortest and the longest pause between two tries to connect."""

_SESSION = (
    "SET idle_in_transaction_session_timeout = '5s'; SET statement_timeout = '15s'; SET lock_timeout = '5s'; "
    "SET client_connection_check_interval = '2s'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; "
    "SET tcp_keepalives_count = 3; SET tcp_user_timeout = '20s'; SET jit = off"
)
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000),
)
_OVERTAKEN = "HK001"
_AGAIN = frozenset({"40001", "40P01", "55P03"})
_FORBIDDEN = frozenset({"28P01", "28000", "3D000", "42501", "0LP01"})
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})

Row = Sequence[Any]


class Server:
    """Where to connect, and whether that is worth trying now: one connection tries, the others wait for it.

    Attributes:
        target: for messages; holds no secret.
        is_pooled: whether a pooler stands between, which gives each transaction another session.
        was_fit: whether it has been used: what it refuses then, it may take again.
    """

    def __init__(self, url: str, *, target: str, application: str) -> None:
        self._url = url
        self._application = application
        self.target = target
        self.is_pooled = False
        self.was_fit = False
        self._reason = ""
        self._pause_s = 0.0
        self._not_before = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def connect(self) -> "asyncpg.Connection[Any]":
        """A new connection.

        Raises:
            Unreachable: not now. Forbidden: it will not have us, and never had.
        """
        async with self._one_at_a_time:
            clock = asyncio.get_running_loop().time
            if clock() < self._not_before:
                raise Unreachable(self._reason)
            try:
                connection = await self._connect()
            except (Unreachable, Forbidden) as error:
                if isinstance(error, Forbidden) and not self.was_fit:
                    raise
                shortest, longest = _PAUSES_S
                self._pause_s = min(longest, max(shortest, self._pause_s * 2))
                self._not_before = clock() + self._pause_s * random.uniform(0.7, 1.3)  # noqa: S311  not a secret
                self._reason = str(error)
                raise Unreachable(self._reason) from error
            self._pause_s = self._not_before = 0.0
            return connection

    async def settle_mode(self) -> None:
        """Find out whether a pooler stands between: then the session that answers is not the one that was announced."""
        connection = await self.connect()
        try:
            (row,) = await connection.fetch("SELECT pg_backend_pid()", timeout=CALL_S)
            self.is_pooled = row[0] != connection.get_server_pid()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unreachable(self._cannot_reach(error)) from error
        finally:
            connection.terminate()

    async def _connect(self) -> "asyncpg.Connection[Any]":
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=_CONNECT_S,
                command_timeout=CALL_S,
                statement_cache_size=0 if self.is_pooled else 200,
                max_cached_statement_lifetime=0,
                server_settings={"application_name": self._application},
                target_session_attrs="read-write",
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate in _FORBIDDEN:
                raise Forbidden(f"{self.target} refuses: {_text(error)}", error.sqlstate) from error
            raise Unreachable(self._cannot_reach(error)) from error
        except asyncpg.exceptions.TargetServerAttributeNotMatched as error:
            raise Unreachable(f"{self.target} only reads now (a standby): no server to write to") from error
        except (asyncpg.InterfaceError, ValueError) as error:
            raise Forbidden(f"{self.target} cannot be used: {_text(error)}") from error
        except (OSError, TimeoutError) as error:
            raise Unreachable(self._cannot_reach(error)) from error
        try:
            self._keep_alive(connection)
            if not self.is_pooled:
                await connection.execute(_SESSION, timeout=CALL_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            connection.terminate()
            raise Unreachable(self._cannot_reach(error)) from error
        return connection

    def _cannot_reach(self, error: Exception) -> str:
        return f"cannot reach {self.target}: {_text(error)}"

    @staticmethod
    def _keep_alive(connection: "asyncpg.Connection[Any]") -> None:
        """Notice a peer that is gone without a word; the driver sets nothing of it."""
        used = connection._transport.get_extra_info("socket")  # noqa: SLF001  the driver shows its socket nowhere else
        if used is not None and used.family != socket.AF_UNIX:
            for level, option, value in _KEEPALIVE:
                with suppress(OSError):
                    used.setsockopt(level, option, value)


class Link:
    """One connection, made when it is needed and again after it was lost. For one call at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: asyncpg.Connection[Any] | None = None
        self._last_backend: tuple[int, Any] | None = None
        self._turn = asyncio.Lock()

    async def call(self, sql: str, *args: object) -> list[Row]:
        """Run one statement in a transaction of its own.

        Raises:
            Unreachable, InDoubt, Declined, RunAgain, Overtaken, ValueRefused: see `errors`.
            Forbidden: connecting failed for good.
        """
        async with self._turn:
            connection = await self._connected()
            try:
                return list(await connection.fetch(sql, *args, timeout=CALL_S))
            except asyncpg.PostgresError as error:
                raise self._meaning(error) from error
            except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                raise self._lost(error) from error

    async def script(self, sql: str) -> None:
        """Run several statements in one transaction; raises like `call`."""
        async with self._turn:
            connection = await self._connected()
            try:
                await connection.execute(sql, timeout=None)
            except asyncpg.PostgresError as error:
                raise self._meaning(error) from error
            except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                raise self._lost(error) from error

    async def end_last(self) -> None:
        """Connect anew, and end the session that was lost where the server still has it: its locks go with it."""
        async with self._turn:
            last, self._last_backend = self._last_backend, None
            connection = await self._connected()
            if last is None or self._server.is_pooled:
                return
            try:
                await connection.fetch(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
                    "WHERE pid = $1 AND backend_start = $2",
                    *last,
                    timeout=CALL_S,
                )
            except asyncpg.PostgresError:  # no right to: it ends by its timeouts
                return
            except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                raise self._lost(error) from error

    async def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        async with self._turn:
            if self._connection is not None:
                with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await self._connection.close(timeout=2.0)
                self._drop()

    async def _connected(self) -> "asyncpg.Connection[Any]":
        if self._connection is not None and self._connection.is_closed():
            self._drop()
        if self._connection is None:
            self._connection = await self._server.connect()
            if not self._server.is_pooled:
                await self._note_backend(self._connection)
        return self._connection

    async def _note_backend(self, connection: "asyncpg.Connection[Any]") -> None:
        if self._last_backend is not None:
            return  # still to be ended
        try:
            rows = await connection.fetch(
                "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()", timeout=CALL_S
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._drop()
            raise Unreachable(f"{self._server.target} was lost: {_text(error)}") from error
        self._last_backend = (rows[0][0], rows[0][1]) if rows else None

    def _meaning(self, error: "asyncpg.PostgresError") -> Exception:
        """What the server's answer means for the call."""
        state = error.sqlstate or ""
        if isinstance(error.__cause__, UnicodeError):  # found before anything was sent
            return error.__cause__
        connection = self._connection
        if connection is None or connection.is_closed() or state in _LOST or state[:2] == "08":
            return self._lost(error)
        if state == _OVERTAKEN:
            return Overtaken(_text(error))
        if state in _AGAIN:
            return RunAgain(_text(error))
        if state[:2] in ("22", "23"):
            return ValueRefused(f"cannot be stored: {_text(error)}")
        return Declined(f"{self._server.target}: {_text(error)}")

    def _lost(self, error: Exception) -> InDoubt:
        self._drop()
        return InDoubt(f"{self._server.target} was lost: {_text(error)}")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _text(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(message).split())
