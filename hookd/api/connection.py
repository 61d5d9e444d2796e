"""The listener's connections: aiohttp's request parser under a small protocol of our own.

aiohttp's server bounds neither heads, bodies nor idle time, echoes bad bytes, and costs three times as much for a
request (spec 14 gives the bounds). Requests of one connection are served in order, one at a time; each answer is one
write. One sweep a second looks at every connection, so that a connection costs no timer of its own.

Must never: look at what a request asks for. Called by: `listen`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from hookd.api.message import Answer, Request
from hookd.api.problem import Problem
from hookd.clock import Clock

Serve = Callable[[Request], Awaitable[Answer]]
"""Answers a request; must not raise."""

MOST_PIPELINED = 8
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a client may take (spec 14). Seconds and numbers.

    Attributes:
        head_s: from a head's first byte, or a connection's begin, to the head's end.
        idle_s: between two requests.
        unread_s: how long an answer may lie unread.
        linger_s: how long the rest of a refused body is read and thrown away, so that the client sees the answer.
        sweep_s: how often connections are looked at.
    """

    head_s: float = 10.0
    idle_s: float = 75.0
    unread_s: float = 30.0
    linger_s: float = 2.0
    sweep_s: float = 1.0
    connections: int = 1000
    head_line: int = 8190
    headers: int = 64


class Connection(BaseProtocol):
    """One client connection."""

    __slots__ = (
        "_closing",
        "_listener",
        "_payload",
        "_queue",
        "_reading_head",
        "_since",
        "_task",
        "lingering",
    )

    def __init__(self, listener: "Listener") -> None:
        bounds = listener.bounds
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(
            self,
            loop,
            READ_BYTES,
            max_line_size=bounds.head_line,
            max_field_size=bounds.head_line,
            max_headers=bounds.headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=MOST_PIPELINED,
        )
        super().__init__(loop, parser)
        self._listener = listener
        self._queue: deque[tuple[RawRequestMessage, StreamReader] | None] = deque()
        self._task: asyncio.Task[None] | None = None
        self._payload: StreamReader | None = None
        self._closing = False
        self._reading_head = True
        self._since = 0.0
        self.lingering = False

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head must come within its time."""
        super().connection_made(transport)
        self._since = self._loop.time()
        self._listener.enter(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes: whole heads are queued, bodies go to their readers."""
        if self.lingering or self._parser is None:
            return
        if data and self._task is None and not self._reading_head:
            self._reading_head, self._since = True, self._loop.time()
        try:
            messages, upgraded, _tail = self._parser.feed_data(data)
        except HttpProcessingError:
            self._parser = None
            self._queue.append(None)
        else:
            self._closing |= (
                upgraded  # no other protocol is spoken here: the request is answered as it stands
            )
            for message, payload in messages:
                self._payload = payload
                self._queue.append((message, payload))
        if len(self._queue) >= MOST_PIPELINED and not self._buffer_paused:
            self._pause_reading_for_buffer()
        if self._queue and self._task is None:
            self._reading_head = False
            self._task = self._loop.create_task(self._serve_all())

    def eof_received(self) -> bool:
        """The client has said all; what it asked for is still answered where the transport can do that."""
        self._closing = True
        self._cut_payload()
        transport = self.transport
        return self._task is not None and transport is not None and transport.can_write_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone; what is being served goes on to its end, unanswered."""
        super().connection_lost(exc)
        self._closing = True
        self._cut_payload()
        self._queue.clear()
        self._listener.leave(self)

    # What the listener asks.

    @property
    def serving(self) -> bool:
        """Whether a request is being served."""
        return self._task is not None

    @property
    def slowness(self) -> tuple[bool, float]:
        """Sorts connections that wait for their clients: unfinished heads first, then the longest wait."""
        return not self._reading_head, self._since

    def overdue(self, now: float, bounds: Bounds) -> bool:
        """Whether the client took too long: with a head, with nothing at all, or with reading its answer."""
        waited_s = now - self._since
        if self.lingering:
            return waited_s > bounds.linger_s
        if self._task is not None:
            return False
        if self._unread():
            return waited_s > bounds.unread_s
        return waited_s > (bounds.head_s if self._reading_head else bounds.idle_s)

    def cut(self) -> None:
        """Close; a client in the middle of its head is told why, one that does not read is dropped."""
        transport = self.transport
        if transport is None:
            return
        if self._unread() or self.lingering:
            transport.abort()
            return
        if self._reading_head:
            self._write(Problem(408, "the request's head did not arrive in time").answer(), close=True)
        transport.close()

    def finish(self) -> "asyncio.Task[None] | None":
        """Close after what is being served, which is returned; at once where nothing is."""
        self._closing = True
        if self._task is None and self.transport is not None:
            self.transport.close()
        return self._task

    # Serving.

    async def _serve_all(self) -> None:
        try:
            while self._queue:
                await self._serve(self._queue.popleft())
                self._consumed()
        finally:
            self._task = None
            self._since = self._loop.time()

    async def _serve(self, queued: tuple[RawRequestMessage, StreamReader] | None) -> None:
        if queued is None:
            self._answer(Problem(400, "the request is not valid HTTP/1.1").answer(), close=True)
            return
        message, payload = queued
        answer = await self._listener.serve(self._request(message, payload))
        unread_body = not payload.is_eof()
        close = answer.close or self._closing or message.should_close or unread_body
        self._answer(answer, close=close, head_only=message.method == "HEAD", linger=unread_body)

    def _request(self, message: RawRequestMessage, payload: StreamReader) -> Request:
        target = message.path
        if not target.startswith("/"):
            target = message.url.raw_path_qs  # the absolute form (RFC 9112, 3.2.2)
        path, _, query = target.partition("?")
        return Request(message.method, path, query, message.headers, payload, self._own_host, self._send_now)

    def _own_host(self) -> str:
        own = self.transport.get_extra_info("sockname") if self.transport is not None else None
        return str(own[0]) if isinstance(own, tuple) else ""

    def _send_now(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def _answer(self, answer: Answer, *, close: bool, head_only: bool = False, linger: bool = False) -> None:
        self._write(answer, close=close, head_only=head_only)
        if not close:
            return
        self._queue.clear()
        transport = self.transport
        if transport is None:
            return
        if linger and transport.can_write_eof():
            transport.write_eof()
            self.lingering = True
            self._resume_transport_reading()
        else:
            transport.close()

    def _write(self, answer: Answer, *, close: bool, head_only: bool = False) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.write(answer.encode(close=close, head_only=head_only, now=self._listener.clock.now()))

    def _consumed(self) -> None:
        """Make room for pipelined requests that the parser holds back."""
        if self._parser is None:
            return
        self._parser.message_consumed()
        if self._buffer_paused and len(self._queue) <= MOST_PIPELINED // 2:
            self.data_received(b"")
            if len(self._queue) < MOST_PIPELINED:
                self._resume_reading_for_buffer()

    def _cut_payload(self) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(RequestPayloadError("the body was cut off"))

    def _unread(self) -> bool:
        return self.transport is not None and self.transport.get_write_buffer_size() > 0


class Listener:
    """Makes the connections of one socket and keeps their number and patience within bounds."""

    def __init__(self, serve: Serve, clock: Clock, bounds: Bounds = Bounds()) -> None:
        self.serve = serve
        self.clock = clock
        self.bounds = bounds
        self._open: set[Connection] = set()
        self._sweeper = asyncio.create_task(self._sweep())

    def __call__(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self)

    def enter(self, connection: Connection) -> None:
        """Take a connection in; past the bound, the slowest one that waits for its client makes room."""
        if len(self._open) >= self.bounds.connections:
            waiting = [each for each in self._open if not each.serving]
            if waiting:
                min(waiting, key=lambda each: each.slowness).cut()
        self._open.add(connection)

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._open.discard(connection)

    async def stop(self, grace_s: float = 1.0) -> None:
        """Close idle connections, let the others answer what they are serving, cut what is then left."""
        self._sweeper.cancel()
        serving = [task for connection in self._open if (task := connection.finish()) is not None]
        if serving:
            await asyncio.wait(serving, timeout=grace_s)
        for connection in tuple(self._open):
            if connection.transport is not None:
                connection.transport.abort() if connection.serving else connection.transport.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.bounds.sweep_s)
            now = self._sweeper.get_loop().time()
            for connection in tuple(self._open):
                if connection.overdue(now, self.bounds):
                    connection.cut()
