"""The listener's connections: aiohttp's request parser under a small protocol of our own.

aiohttp's server bounds neither heads, bodies nor idle time, echoes bad bytes, and costs three times as much for a
request (spec 14 gives the limits). Requests of one connection are served in order, one at a time; each response is one
write, but for an endless one (`Response.stream`): there each chunk is, and the next waits until the client has read it.
What a connection waits for, how long, and what leads on, is the table in `connection_state`.

Must never: look at what a request asks for, or know of other connections.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Protocol

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError

from hookd.domain.clock import Clock
from hookd.server import connection_state as states
from hookd.server.body import BodyBroken
from hookd.server.client_end import ClientEnd
from hookd.server.connection_state import BUSY, DEADLINES, ConnectionInput, next_state
from hookd.server.known_heads import KnownHeads, WholeRequest, lacking, whole_request
from hookd.server.limits import Limits
from hookd.server.memory_budget import MemoryBudget, Reservation
from hookd.server.messages import Again, KnownRequest, Request, Response
from hookd.server.problems import Problem, unavailable
from hookd.server.request_head import is_last, refusal, target_of
from hookd.server.unread_answer import UnreadAnswer
from hookd.server.unserved import UnservedConnections, UnservedKind

Serve = Callable[[Request], Awaitable[Response]]
"""Makes the response to a request; must not raise."""

_UNSERVED = frozenset({states.HEAD, states.IDLE})
"""Where no request is being served."""

READ_BYTES = 64 * 1024

_Queued = tuple[RawRequestMessage, StreamReader, WholeRequest | None] | Problem
"""A request, as it came in one piece if it did; or the refusal of what is not one."""


class ConnectionRegistry(Protocol):
    """What a connection needs of its listener."""

    serve: Serve
    clock: Clock
    software: str
    limits: Limits
    memory: MemoryBudget
    unserved: UnservedConnections
    known_heads: KnownHeads[Again]

    def add(self, connection: "Connection") -> None:
        """Count a new connection, or refuse it."""

    def discard(self, connection: "Connection") -> None:
        """Forget a connection that is gone and served."""


class Connection(BaseProtocol):
    """One client connection."""

    __slots__ = (
        "_accounted",
        "_answer",
        "_client_end",
        "_discarded",
        "_eof",
        "_fed_at",
        "_keep_alive",
        "_known",
        "_left",
        "_listener",
        "_payload",
        "_queue",
        "_since",
        "_state",
        "_task",
    )

    def __init__(self, listener: ConnectionRegistry) -> None:
        limits = listener.limits
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(
            self,
            loop,
            READ_BYTES,
            max_line_size=limits.head_line,
            max_field_size=limits.head_line,
            max_headers=limits.headers,
            payload_exception=BodyBroken,
            auto_decompress=False,
            max_msg_queue_size=1,  # a bad request makes the parser forget good ones returned with it
        )
        super().__init__(loop, parser)
        self._listener = listener
        self._state = states.HEAD
        self._since = 0.0  # the loop's time: since when the client has been waited for
        self._keep_alive = True  # False: the next response is the last one
        self._eof = False  # the client has sent all
        self._queue: deque[_Queued] = deque()
        self._payload: StreamReader | None = None
        self._task: asyncio.Task[None] | None = None
        self._accounted = False  # it has asked for something, or its end is hookd's own doing
        self._discarded = 0
        self._fed_at = 0.0
        self._client_end = ClientEnd()
        self._left = 0  # bytes that the parser lacks of a request; 0: the next byte begins one; -1: not known
        self._known: Reservation | None = None  # of a request that is served without a task
        self._answer = UnreadAnswer(listener.memory)

    def _advance(self, given: ConnectionInput) -> None:
        """Go on to the next state; with it the client's time starts anew, unless the connection only closes."""
        state = next_state(self._state, given)
        if state is not self._state:
            self._state = state
            if given is not states.CLOSE and given is not states.EOF:
                self._since = self._loop.time()

    # What the transport reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the first head must come within its time."""
        super().connection_made(transport)
        self._client_end.connected(transport)
        self._since = self._loop.time()
        self._listener.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes: whole heads are queued, bodies go to their readers."""
        if self._state is states.LINGERING:
            self._discard(data)
            return
        if self._parser is None or self._state is states.CLOSING:
            return
        if self._left == 0 and self._state in _UNSERVED and self._serve_known(data):
            return
        self._feed(data)
        if data and self._is_serving and self._body_is_complete() and not self._buffer_paused:
            self._pause_reading_for_buffer()  # the next request waits in the kernel
        if self._queue and not self._is_serving:
            self._begin()
            self._task = self._loop.create_task(self._serve_all())
        elif data:
            self._advance(states.BYTES)

    def eof_received(self) -> bool:
        """The client has sent all; what it asked for is still answered where the transport can do that.

        A client that follows an endless response is taken to be gone: most close, and nothing else would tell.
        """
        self._eof = True
        self._cut_payload()
        self._advance(states.EOF)
        transport = self.transport
        answers = self._state in BUSY and self._state is not states.STREAMING
        return answers and transport is not None and transport.can_write_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone; what is being served goes on to its end, unanswered; an endless response ends."""
        if not self._accounted:
            self._listener.unserved.note(UnservedKind.NO_REQUEST, self.client)
        super().connection_lost(exc)
        self._client_end.connected(None)
        self._answer.forget()
        self._parser = None
        self._cut_payload()
        self._queue.clear()
        if self._state is states.STREAMING and self._task is not None:
            self._task.cancel()
        self._advance(states.LOST)
        if self._state is states.CLOSED:
            self._listener.discard(self)

    # What the listener asks.

    @property
    def gone(self) -> bool:
        """Whether it is gone, or will be in the loop's next turn."""
        return self.transport is None or (self.transport.is_closing() and not self._unread())

    @property
    def client(self) -> object:
        """The client's address as the socket has it; None where it is gone."""
        return self._client_end.address

    @property
    def idle(self) -> bool:
        """Whether it has been served, and nothing of another request has come."""
        return self._state in (states.IDLE, states.LINGERING, states.CLOSING)

    @property
    def kept_alive(self) -> bool:
        """Whether it has been served, is kept open, and asks for nothing."""
        return self._state is states.IDLE

    def time_used(self, now: float) -> float:
        """The fraction of its time that the client has used: negative in hookd's turn, past 1.0 it is overdue."""
        state, limits, waited_s = self._state, self._listener.limits, now - self._since
        deadline = DEADLINES[state]
        if state is states.STREAMING:
            deadline = "unread_s" if self._paused else None
        elif state in (states.HEAD, states.IDLE) and self._unread():
            deadline = "unread_s"
        if deadline is None:
            return -1.0
        used: float = waited_s / getattr(limits, deadline)
        return min(1.0, used) if state is states.BODY else used  # the route ends it, with a response

    def time_out(self) -> None:
        """Close a connection whose time is up."""
        self._end(Problem(408, "the request's head did not arrive in time"))

    def evict(self) -> None:
        """Close a connection whose place others need."""
        self._accounted = True
        self._end(_crowded())

    def _end(self, reason: Problem) -> None:
        """Close; a client in the middle of its head gets the reason, one that does not read is dropped."""
        transport, state = self.transport, self._state
        if transport is None:
            return
        self._advance(states.CLOSE)
        if self._unread():
            transport.abort()
            return
        if state is states.HEAD:
            self._write(reason.response(), "close")
        transport.close()

    def refuse(self, *, linger: bool) -> None:
        """Refuse a new connection for which there is no place; lingering, where there is one for that."""
        self._accounted = True
        self._parser = None
        self._write(_crowded().response(), "close")
        self._finish(linger=linger)

    def close(self) -> None:
        """Close after what is being served; at once where nothing is."""
        self._accounted = True
        self.disable_keep_alive()
        if not self._is_serving and self.transport is not None:
            self._advance(states.CLOSE)
            self.transport.close()

    def disable_keep_alive(self) -> None:
        """Close after what is being served, or after the next request where nothing is."""
        self._keep_alive = False

    # Serving.

    @property
    def _is_serving(self) -> bool:
        return self._task is not None or self._known is not None

    def _begin(self) -> None:
        """From now on the first of the queue is served."""
        self._accounted = True
        queued = self._queue[0]
        is_whole = isinstance(queued, Problem) or queued[1].is_eof()
        self._advance(states.REQUEST_COMPLETE if is_whole else states.HEAD_COMPLETE)
        if not is_whole and self._buffer_paused:
            self._resume_reading_for_buffer()  # the rest of its body is still to come

    async def _serve_all(self) -> None:
        try:
            while self._queue:
                await self._serve(self._queue.popleft())
                if self._paused and self._state is states.DRAINING:
                    await self._drain()
                if self._queue:
                    self._begin()
        finally:
            self._task = None
            self._advance(states.SERVED)
            self._after_serving()

    async def _go_on(self) -> None:
        """What is left to do behind an answer that was written without a task."""
        if self._paused and self._state is states.DRAINING:
            await self._drain()
        if self._queue:
            self._begin()
        await self._serve_all()

    def _after_serving(self) -> None:
        state, transport = self._state, self.transport
        if state is states.IDLE:
            if self._eof or not self._keep_alive:
                self.close()
            elif self._buffer_paused:
                self._advance(states.BYTES)  # what came meanwhile is no whole request
                self._resume_reading_for_buffer()
        elif state is states.CLOSED:
            self._listener.discard(self)
        elif state is states.CLOSING and transport is not None:
            transport.close()

    async def _serve(self, queued: _Queued) -> None:
        if isinstance(queued, Problem):
            self._refuse(queued)
            return
        message, payload, whole = queued
        if message.version not in (HttpVersion10, HttpVersion11):
            self._refuse(Problem(505, "HTTP/1.1 and HTTP/1.0 are spoken here"))
            return
        request = self._request(message, payload)
        try:
            response = await self._listener.serve(request)
        finally:
            request.reservation.release()
        if response.stream is not None and message.method != "HEAD":
            await self._stream(response, response.stream, chunked=message.version == HttpVersion11)
            return
        unread_body = not payload.is_eof()
        close = response.close or not self._keep_alive or unread_body or is_last(message)
        if not close:
            self._take_next()
            close = self._eof and not self._queue
        connection = "close" if close else "keep-alive" if message.version == HttpVersion10 else ""
        response = self._answer.within_budget(response, message.method)
        self._write(response, connection, head_only=message.method == "HEAD")
        if not self._unread():
            self._answer.forget()
        if close:
            self._finish(linger=unread_body or bool(self._queue) or self._buffer_paused)
        else:
            self._advance(states.RESPONSE)
            if whole is not None and request.again is not None and response.status == HTTPStatus.ACCEPTED:
                self._listener.known_heads.learn(self._client_end.scope, whole.key, request.again)

    def _serve_known(self, data: bytes) -> bool:
        """Serve a whole request whose head is known; False where it goes the whole way, and nothing was done."""
        if not self._keep_alive or self._eof or self._queue or self._paused:
            return False
        request = whole_request(data)
        if request is None:
            return False
        listener = self._listener
        again = listener.known_heads.recall(self._client_end.scope, request.key)
        if again is None:
            return False
        reservation, now = listener.memory.reserve(), listener.clock.monotonic()
        known = KnownRequest(request.body, request.traceparent, reservation, now, self._answer_known)
        if not again(known):
            reservation.release()
            return False
        self._known = reservation
        self._accounted = True
        self._advance(states.REQUEST_COMPLETE)
        return True

    def _answer_known(self, response: Response) -> None:
        """Write the response to a request that is served without a task, and go on."""
        if self._known is not None:
            self._known.release()
            self._known = None
        if self._state is not states.SERVING:  # the client is gone
            self._advance(states.SERVED)
            self._after_serving()
            return
        close = response.close or not self._keep_alive or (self._eof and not self._queue)
        self._write(response, "close" if close else "")
        if close:
            self._finish(linger=bool(self._queue) or self._buffer_paused)
        else:
            self._advance(states.RESPONSE)
            if self._queue or self._paused:
                self._task = self._loop.create_task(self._go_on())
                return
        self._advance(states.SERVED)
        self._after_serving()

    async def _stream(
        self, response: Response, stream: AsyncGenerator[bytes, None], *, chunked: bool
    ) -> None:
        """Write a response that comes in chunks (RFC 9112, 7.1; plain for HTTP/1.0), then close."""
        if chunked:
            response.headers += (("Transfer-Encoding", "chunked"),)
        self._write(response, "close")
        self._advance(states.STREAM)
        async with aclosing(stream):
            async for chunk in stream:
                if self.gone:
                    return
                self._send_now(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._paused:
                    await self._drain()
        if chunked:
            self._send_now(b"0\r\n\r\n")
        self._finish(linger=bool(self._queue) or self._buffer_paused)

    def _refuse(self, problem: Problem) -> None:
        self._write(problem.response(), "close")
        self._finish(linger=True)

    async def _drain(self) -> None:
        """Wait until the client has read what was written, so that a client that does not costs no memory."""
        self._since = self._loop.time()
        with suppress(ConnectionError):
            await self._drain_helper()
        self._answer.forget()

    def _request(self, message: RawRequestMessage, payload: StreamReader) -> Request:
        path, query, headers = target_of(message)
        send_now = self._send_now if message.version == HttpVersion11 else _send_nothing  # RFC 9110, 10.1.1
        reservation = self._listener.memory.reserve()
        return Request(
            message.method,
            path,
            query,
            headers,
            payload,
            self._client_end.local_address,
            send_now,
            reservation,
            self._fed_at,
            self._client_end.find_peer,
        )

    def _send_now(self, data: bytes) -> None:
        if not self.gone and self.transport is not None:
            self.transport.write(data)

    def _write(self, response: Response, connection: str, *, head_only: bool = False) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            now, server = self._listener.clock.now(), self._listener.software
            transport.write(
                response.encode(server=server, connection=connection, head_only=head_only, now=now)
            )

    def _finish(self, *, linger: bool) -> None:
        """Close; lingering, so that bytes still on their way do not make the kernel throw the response away."""
        self._queue.clear()
        transport = self.transport
        if transport is None or not linger or self._eof:
            self._advance(states.LAST_RESPONSE)
            if transport is not None:
                transport.close()
            return
        self._advance(states.LINGER)
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_transport_reading()

    # Reading.

    def _feed(self, data: bytes) -> None:
        """Queue the request that ends here, if one does; the parser keeps what follows it."""
        if self._parser is None:
            return
        self._fed_at = self._listener.clock.monotonic()  # the loop's own time stands still while it is busy
        whole = whole_request(data) if data and self._left == 0 else None
        try:
            messages, _upgraded, _tail = self._parser.feed_data(data)
        except HttpProcessingError as problem:
            self._parser = None
            self._cut_payload()
            self._queue.append(refusal(problem, self._listener.limits))
            return
        if messages:
            self._payload = messages[-1][1]
        if data:
            self._left = self._left_behind(data, messages)
        for message, payload in messages:
            self._queue.append((message, payload, whole if self._left == 0 else None))
        if self._state is states.BODY and self._body_is_complete():
            self._advance(states.BODY_COMPLETE)

    def _left_behind(self, data: bytes, messages: Sequence[tuple[RawRequestMessage, StreamReader]]) -> int:
        """What the parser lacks of a request once it has read `data`; -1 where that cannot be told for sure."""
        if self._left > 0:
            left = self._left - len(data)
        elif self._left < 0 or len(messages) != 1 or is_last(messages[0][0]):
            return -1
        else:
            left = lacking(data, messages[0][0].raw_headers)
        return left if left > 0 or self._body_is_complete() else -1

    def _take_next(self) -> None:
        """Queue the next request, if the parser holds the whole of its head."""
        if self._parser is not None:
            self._parser.message_consumed()
        if not self._queue:
            self._feed(b"")

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > self._listener.limits.linger_bytes and self.transport is not None:
            self.transport.abort()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read again after a reader was full; every complete body asks for it, few were ever paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _body_is_complete(self) -> bool:
        return self._payload is None or self._payload.is_eof()

    def _cut_payload(self) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(BodyBroken("the body was cut off"))

    def _unread(self) -> bool:
        return self.transport is not None and self.transport.get_write_buffer_size() > 0


def _crowded() -> Problem:
    return unavailable("too many connections are being served")


def _send_nothing(_data: bytes) -> None:
    """HTTP/1.0 knows no interim responses."""
