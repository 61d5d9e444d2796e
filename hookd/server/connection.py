"""The listener's connections: aiohttp's request parser under a small protocol of our own.

aiohttp's server bounds neither heads, bodies nor idle time, echoes bad bytes, and costs three times as much for a
request (spec 14 gives the bounds). Requests of one connection are served in order, one at a time; each answer is one
write, but for an endless one (`Response.pieces`): there each piece is, and the next waits until the client has read it.

Must never: look at what a request asks for, or know of other connections.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Protocol

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from multidict import CIMultiDict, CIMultiDictProxy

from hookd.domain.clock import Clock
from hookd.server.limits import Limits
from hookd.server.memory_budget import MemoryBudget
from hookd.server.messages import Request, Response
from hookd.server.parse_errors import refusal
from hookd.server.problems import Problem, unavailable

Serve = Callable[[Request], Awaitable[Response]]
"""Answers a request; must not raise."""

READ_BYTES = 64 * 1024

_Queued = tuple[RawRequestMessage, StreamReader] | Problem
"""A request, or the answer to what is none."""


class Keeper(Protocol):
    """What a connection needs of its listener."""

    serve: Serve
    clock: Clock
    bounds: Limits
    room: MemoryBudget

    def enter(self, connection: "Connection") -> None:
        """Take a new connection in, or turn it away."""

    def leave(self, connection: "Connection") -> None:
        """Forget a connection that is gone and served."""


class Connection(BaseProtocol):
    """One client connection."""

    __slots__ = (
        "_closing",
        "_discarded",
        "_ended",
        "_fed_at",
        "_listener",
        "_payload",
        "_queue",
        "_reading_head",
        "_since",
        "_streaming",
        "_task",
        "lingering",
    )

    def __init__(self, listener: Keeper) -> None:
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
            max_msg_queue_size=1,  # a bad request makes the parser forget good ones returned with it
        )
        super().__init__(loop, parser)
        self._listener = listener
        self._queue: deque[_Queued] = deque()
        self._task: asyncio.Task[None] | None = None
        self._payload: StreamReader | None = None
        self._closing = False
        self._discarded = 0
        self._ended = False
        self._fed_at = 0.0
        self._reading_head = True
        self._since = 0.0
        self._streaming = False
        self.lingering = False

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head must come within its time."""
        super().connection_made(transport)
        self._since = self._loop.time()
        self._listener.enter(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes: whole heads are queued, bodies go to their readers."""
        if self.lingering:
            self._discard(data)
            return
        if self._parser is None:
            return
        if data and self._task is None and not self._reading_head:
            self._reading_head, self._since = True, self._loop.time()
        self._feed(data)
        if data and self._task is not None and self._body_is_complete() and not self._buffer_paused:
            self._pause_reading_for_buffer()  # the next request waits in the kernel
        if self._queue and self._task is None:
            self._reading_head = False
            self._task = self._loop.create_task(self._serve_all())

    def eof_received(self) -> bool:
        """The client has said all; what it asked for is still answered where the transport can do that.

        Only whoever follows an endless answer is taken to be gone: most close, and nothing else would tell.
        """
        self._ended = True
        self._cut_payload()
        if self._streaming:
            return False
        transport = self.transport
        return self._task is not None and transport is not None and transport.can_write_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone; what is being served goes on to its end, unanswered; an endless answer ends."""
        super().connection_lost(exc)
        self._parser = None
        self._cut_payload()
        self._queue.clear()
        if self._task is None:
            self._listener.leave(self)
        elif self._streaming:
            self._task.cancel()

    # What the listener asks.

    @property
    def going(self) -> bool:
        """Whether it is gone, or will be in the loop's next turn."""
        return self.transport is None or (self.transport.is_closing() and not self._unread())

    def spent(self, now: float) -> float:
        """The share of its time that the client has used up: negative in hookd's turn, past 1.0 it is overdue."""
        bounds, waited_s = self._listener.bounds, now - self._since
        if self.lingering:
            return waited_s / bounds.linger_s
        if self._paused or (self._task is None and self._unread()):
            return waited_s / bounds.unread_s
        if self._task is None:
            return waited_s / (bounds.head_s if self._reading_head else bounds.idle_s)
        if self._body_is_complete():
            return -1.0
        return min(1.0, waited_s / bounds.body_s)  # the route ends it, with an answer

    def cut(self, *, for_room: bool = False) -> None:
        """Close; a client in the middle of its head is told why, one that does not read is dropped."""
        transport = self.transport
        if transport is None:
            return
        if self._unread():
            transport.abort()
            return
        if self._reading_head and not self.lingering:
            late = Problem(408, "the request's head did not arrive in time")
            self._write((_crowded() if for_room else late).answer(), "close")
        transport.close()

    def refuse(self, *, linger: bool) -> None:
        """Turn a new connection away for which there is no room; lingering, where there is some for that."""
        self._parser = None
        self._write(_crowded().answer(), "close")
        self._close(linger=linger)

    @property
    def idle(self) -> bool:
        """Whether it has been served, and nothing of another request has come."""
        return self._task is None and not self._reading_head

    def finish(self) -> None:
        """Close after what is being served; at once where nothing is."""
        self.finish_next()
        if self._task is None and self.transport is not None:
            self.transport.close()

    def finish_next(self) -> None:
        """Close after what is being served, or after the next request where nothing is."""
        self._closing = True

    # Serving.

    async def _serve_all(self) -> None:
        try:
            while self._queue:
                await self._serve(self._queue.popleft())
                if self._paused:
                    await self._answers_read()
        finally:
            self._task = None
            self._since = self._loop.time()
            if self.transport is None:
                self._listener.leave(self)
            elif (self._closing or self._ended) and not self.lingering:
                self.transport.close()

    async def _serve(self, queued: _Queued) -> None:
        if isinstance(queued, Problem):
            self._refuse(queued)
            return
        message, payload = queued
        if not payload.is_eof():
            self._since = self._loop.time()
        if message.version not in (HttpVersion10, HttpVersion11):
            self._refuse(Problem(505, "HTTP/1.1 and HTTP/1.0 are spoken here"))
            return
        request = self._request(message, payload)
        try:
            answer = await self._listener.serve(request)
        finally:
            request.share.release()
        if answer.pieces is not None and message.method != "HEAD":
            await self._stream(answer, answer.pieces, chunked=message.version == HttpVersion11)
            return
        unread_body = not payload.is_eof()
        close = answer.close or self._closing or unread_body or _is_last(message)
        if not close:
            self._read_on()
            close = self._ended and not self._queue
        connection = "close" if close else "keep-alive" if message.version == HttpVersion10 else ""
        self._write(answer, connection, head_only=message.method == "HEAD")
        if close:
            self._close(linger=unread_body or bool(self._queue) or self._buffer_paused)

    async def _stream(self, answer: Response, pieces: AsyncGenerator[bytes, None], *, chunked: bool) -> None:
        """Write an answer that comes in pieces (RFC 9112, 7.1; plain for HTTP/1.0), then close."""
        if chunked:
            answer.headers += (("Transfer-Encoding", "chunked"),)
        self._write(answer, "close")
        self._streaming = True
        async with aclosing(pieces):
            async for piece in pieces:
                if self.going:
                    return
                self._send_now(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                if self._paused:
                    await self._answers_read()
        if chunked:
            self._send_now(b"0\r\n\r\n")
        self._close(linger=bool(self._queue) or self._buffer_paused)

    def _refuse(self, problem: Problem) -> None:
        self._write(problem.answer(), "close")
        self._close(linger=True)

    async def _answers_read(self) -> None:
        """Wait until the client has read what it was answered, so that a client that does not costs no memory."""
        self._since = self._loop.time()
        with suppress(ConnectionError):
            await self._drain_helper()

    def _request(self, message: RawRequestMessage, payload: StreamReader) -> Request:
        target, headers = message.path, message.headers
        if target != "*" and not target.startswith("/"):
            target = message.url.raw_path_qs  # the absolute form (RFC 9112, 3.2.2)
            headers = _with_host(headers, message.url.raw_authority)
        path, _, query = target.partition("?")
        say = self._send_now if message.version == HttpVersion11 else _say_nothing  # RFC 9110, 10.1.1
        share = self._listener.room.share()
        return Request(
            message.method, path, query, headers, payload, self._own_host, say, share, self._fed_at
        )

    def _own_host(self) -> str:
        own = self.transport.get_extra_info("sockname") if self.transport is not None else None
        return str(own[0]) if isinstance(own, tuple) else ""

    def _send_now(self, data: bytes) -> None:
        if not self.going and self.transport is not None:
            self.transport.write(data)

    def _write(self, answer: Response, connection: str, *, head_only: bool = False) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            now = self._listener.clock.now()
            transport.write(answer.encode(connection=connection, head_only=head_only, now=now))

    def _close(self, *, linger: bool) -> None:
        """Close; lingering, so that bytes still on their way do not make the kernel throw the answer away."""
        self._queue.clear()
        transport = self.transport
        if transport is None:
            return
        if not linger or self._ended:
            transport.close()
            return
        if transport.can_write_eof():
            transport.write_eof()
        self.lingering = True
        self._resume_transport_reading()

    # Reading.

    def _feed(self, data: bytes) -> None:
        """Queue the request that ends here, if one does; the parser keeps what follows it."""
        if self._parser is None:
            return
        self._fed_at = self._listener.clock.monotonic()  # the loop's own time stands still while it is busy
        try:
            messages, _upgraded, _tail = self._parser.feed_data(data)
        except HttpProcessingError as problem:
            self._parser = None
            self._cut_payload()
            self._queue.append(refusal(problem, self._listener.bounds))
            return
        for message, payload in messages:
            self._payload = payload
            self._queue.append((message, payload))

    def _read_on(self) -> None:
        """Go on to the next request, which the parser may hold already."""
        if self._parser is not None:
            self._parser.message_consumed()
        if not self._queue:
            self._feed(b"")
        if not self._queue and self._buffer_paused:
            self._reading_head = True  # what came meanwhile is no whole request
            self._resume_reading_for_buffer()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > self._listener.bounds.linger_bytes and self.transport is not None:
            self.transport.abort()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read again after a reader was full; every complete body asks for it, few were ever paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _body_is_complete(self) -> bool:
        return self._payload is None or self._payload.is_eof()

    def _cut_payload(self) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(RequestPayloadError("the body was cut off"))

    def _unread(self) -> bool:
        return self.transport is not None and self.transport.get_write_buffer_size() > 0


def _is_last(message: RawRequestMessage) -> bool:
    """Whether the connection ends with this request, by its wish or because the parser cannot be trusted behind it.

    Behind an offer to speak another protocol (never taken here) the parser loses bytes; a chunked body's last trailer
    field it counts among the next request's headers, which behind a proxy may be somebody else's.
    """
    return bool(message.should_close or message.upgrade or message.chunked)


def _crowded() -> Problem:
    return unavailable("too many connections are being served")


def _say_nothing(_data: bytes) -> None:
    """HTTP/1.0 knows no interim answers."""


def _with_host(headers: CIMultiDictProxy[str], authority: str) -> CIMultiDictProxy[str]:
    """The headers with the host of the target beside another one in `Host`: then there are two, which none accepts."""
    given = headers.get("Host", "").strip().lower()
    if given.removesuffix(":80") == authority.lower().removesuffix(":80"):
        return headers
    both = CIMultiDict(headers)
    both.add("Host", authority)
    return CIMultiDictProxy(both)
