"""The listener's connections: bounds on head, idle time and number, which aiohttp's server does not set (spec 14).

One sweep a second looks at every connection, so that a connection costs no timer of its own.

Must never: look into a request. Called by: `app`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from hookd.api.problem import Problem

HEAD_S = 10.0
IDLE_S = 75.0
UNREAD_S = 30.0
MOST_CONNECTIONS = 1000
SWEEP_S = 1.0
MAX_HEAD_LINE = 8190
MAX_HEADERS = 64

_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Connection(RequestHandler):
    """One client connection. `since` is when it last changed between waiting, reading a head and being served."""

    __slots__ = ("reading_head", "serving", "since")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head must come within `HEAD_S`."""
        self.since = self._loop.time()
        self.serving = 0
        self.reading_head = True
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a first byte after idling begins a head."""
        if not self.serving and not self.reading_head:
            self.reading_head = True
            self.since = self._loop.time()
        super().data_received(data)

    def begun(self) -> None:
        """A whole head has been read; the request is being served."""
        self.serving += 1
        self.reading_head = False

    def finished(self) -> None:
        """The answer has been handed over; the connection idles, or reads the next head."""
        self.serving -= 1
        self.since = self._loop.time()

    def overdue(self, now: float) -> bool:
        """Whether the client took too long with a head, with nothing at all, or with reading its answer."""
        if self.serving:
            return False
        waited_s = now - self.since
        if self._unread():
            return waited_s > UNREAD_S
        return waited_s > (HEAD_S if self.reading_head else IDLE_S)

    def cut(self) -> None:
        """Close at once; a client in the middle of its head is told why."""
        if self.transport is not None and self.reading_head and not self._unread():
            with suppress(OSError, RuntimeError):
                self.transport.write(_TOO_SLOW)
        self.force_close()

    def _unread(self) -> bool:
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, without echoing a byte of it and without a line in the log."""
        del request, exc, message
        detail = "the request is not valid HTTP/1.1" if status == 400 else "the request could not be served"
        response = Problem(status, detail).answer()
        response.force_close()
        return response


class Listener(web.Server):
    """Makes the connections of all sockets and keeps their number and patience within bounds."""

    def __init__(self, serve: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(serve)
        self._sweeper: asyncio.Task[None] | None = None

    def __call__(self) -> RequestHandler:
        """A protocol for a new connection; past the bound, the slowest one makes room."""
        if len(self._connections) >= MOST_CONNECTIONS:
            self._make_room()
        return Connection(
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_S * 2,
            access_log=None,
            max_line_size=MAX_HEAD_LINE,
            max_field_size=MAX_HEAD_LINE,
            max_headers=MAX_HEADERS,
            lingering_time=2.0,
            auto_decompress=False,
        )

    def start(self) -> None:
        """Begin sweeping."""
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Cut what is still open."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.shutdown(timeout=1.0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = asyncio.get_running_loop().time()
            for connection in self._open():
                if connection.overdue(now):
                    connection.cut()

    def _make_room(self) -> None:
        waiting = [connection for connection in self._open() if not connection.serving]
        if waiting:
            min(waiting, key=lambda connection: (not connection.reading_head, connection.since)).cut()

    def _open(self) -> list[Connection]:
        return [c for c in self.connections if isinstance(c, Connection) and c.transport is not None]
