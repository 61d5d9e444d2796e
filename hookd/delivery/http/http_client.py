"""The bytes: connections from aiohttp's pool, a message written as it is, an answer read within bounds.

aiohttp's connector (pool, names, happy eyeballs, TLS) and its response parser do the work. Its
`ClientSession` is left out: it reorders and adds headers, requotes the URL, and costs twice as much as all
the rest of an attempt. The few names used here that aiohttp does not document are `ResponseHandler`, its
`set_response_params`, and the connector's `_factory`; nothing else in hookd touches them.

Must never: know webhooks, retries or secrets; send one message twice, except where a kept-alive connection
turns out to have been closed meanwhile.
"""

import asyncio
import functools
import socket
import ssl
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy
from yarl import URL

from hookd.delivery.http.failures import HEAD_TOO_LONG, NeverCalled, Phase
from hookd.delivery.http.keep_alive import KeepAlive
from hookd.delivery.http.resolver import ThreadResolver
from hookd.delivery.http.response_head import HeadReader
from hookd.domain.blocked_addresses import is_never_called

BODY_BYTES = 64 * 1024
"""At most this much of an answer's body is read (spec 5)."""

HEAD_BYTES = 64 * 1024
"""At most this much head, interim answers included."""

RACE_S = 0.5
"""A kept-alive connection that ends so soon after a message was written was being closed while that went out. What
ends later may have been at work on the message."""

KEEPALIVE_S = 4.0
"""How long an idle connection is kept: less than the five seconds of Node.js, Apache and uvicorn, so that
hookd is mostly the first to close and seldom meets a connection that the receiver has just closed."""

_FRAMED_BYTES = BODY_BYTES + 8 * 1024
"""Beyond this a body is cut, its framing included: chunks of one byte, or chunk extensions, are little body or none,
but parsing them takes the event loop as long as many times that body would."""

_NO_LIMITS = aiohttp.ClientTimeout()

Destination = aiohttp.ClientRequest
"""Where to connect and with which TLS context; aiohttp's own type for it. Never sent, and holds no path."""


@dataclass(slots=True)
class ReceiverResponse:
    """What has been received so far; filled in as it comes, so that an attempt cut off can be judged.

    Attributes:
        status: of the final answer, once its code was read.
        headers: of the same, once the head is complete and valid.
        head: what has come of it.
        body: its first bytes.
        whole: the body was received to its end.
        resent: the message was written on a kept-alive connection that was being closed, and once more on a new one.
    """

    phase: Phase = Phase.CONNECTING
    status: int | None = None
    headers: CIMultiDictProxy[str] | None = None
    head: HeadReader = field(default_factory=HeadReader)
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    resent: bool = False

    def values(self, name: str) -> list[str]:
        """The values of a header, also of a head that is not valid or was cut off."""
        return list(self.head.fields(name)) if self.headers is None else self.headers.getall(name, [])


_securing: ContextVar[ReceiverResponse | None] = ContextVar("_securing", default=None)
"""Whose connection with TLS is being opened by the current task: aiohttp tells nobody how far it came."""


class HttpClient:
    """The pool of connections. Belongs to the event loop it is made in."""

    def __init__(self, resolver: ThreadResolver) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = _Connector(resolver, keep_s=KEEPALIVE_S)
        self._unpooled = _Connector(resolver, keep_s=None)

    def destination(self, origin: URL, context: ssl.SSLContext | None) -> Destination:
        """Describe a receiver.

        Args:
            origin: scheme, host and port.
            context: for https; its identity decides which connections may be shared.

        Raises:
            aiohttp.InvalidURL: there is no host.
        """
        return aiohttp.ClientRequest("GET", origin, loop=self._loop, ssl=context or True)

    async def exchange(
        self, destination: Destination, message: bytes, response: ReceiverResponse, *, keep: int
    ) -> None:
        """Send a message and receive its answer.

        Where a connection that was idle in the pool ends within `RACE_S` of the message, and without a byte of answer,
        the message goes out once more on a new one, and `response` says so; nothing else is sent twice.

        Args:
            destination: the receiver.
            message: head and body as they go out.
            response: filled in meanwhile; keeps what came when this raises or is cancelled.
            keep: bytes of the answer's body to keep.

        Raises:
            aiohttp.ClientError, HttpProcessingError, OSError: see `failures.explain`.
        """
        connection = await _connect(self._pool, destination, response)
        protocol = _protocol(connection)
        reused = protocol.exchanges > 0
        try:
            await _exchange_on(connection, message, response, keep)
        except (aiohttp.ClientConnectionError, OSError):
            if not reused or protocol.bytes_received or not protocol.ended_in_race():
                raise
            response.phase = Phase.CONNECTING
            response.resent = protocol.written_at is not None
        else:
            return
        await _exchange_on(await _connect(self._unpooled, destination, response), message, response, keep)

    async def close(self) -> None:
        """Close every connection, at once."""
        await self._pool.close()
        await self._unpooled.close()


class _Protocol(ResponseHandler):
    """aiohttp's end of a connection, which also counts what was received and bounds an answer as a whole.

    Attributes:
        exchanges: messages sent on this connection so far.
        bytes_received: since the last one.
        written_at: when the last piece of it was handed to the system (the loop's time); None where none was.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.exchanges = 0
        self.bytes_received = 0
        self.written_at: float | None = None
        self._ended_at: float | None = None
        self._keep_alive = KeepAlive(longest_s=KEEPALIVE_S)
        self._usable_until = inf
        self._framed = 0
        self._answer: ReceiverResponse | None = None
        self._answer_body: StreamReader | None = None

    def begin(self, answer: ReceiverResponse) -> None:
        """Make ready for the answer to the next message; its status is filled in as soon as it is read."""
        self.exchanges += 1
        self._framed = 0
        self._answer = answer
        self._answer_body = None
        self.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=BODY_BYTES,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            max_headers=HEAD_BYTES,
        )

    def is_connected(self) -> bool:
        """Whether it may be used; the pool asks before each use."""
        return super().is_connected() and self._loop.time() <= self._usable_until

    def ended_in_race(self) -> bool:
        """Whether it ended while the message went out, or before."""
        return self.written_at is None or (
            self._ended_at is not None and self._ended_at - self.written_at <= RACE_S
        )

    def write(self, message: bytes) -> None:
        """Send a message, unless the connection is closed already."""
        if self.transport is not None and not self.transport.is_closing():
            self.written_at = self._loop.time()
            self.transport.write(message)

    def note_used(self, headers: CIMultiDictProxy[str]) -> None:
        """Note what an answer that was received to its end says of further use."""
        idle_s = self._keep_alive.idle_s(headers.getall("Keep-Alive", ()))
        self._usable_until = self._loop.time() + idle_s
        if idle_s <= 0:
            self.force_close()

    def resume_writing(self) -> None:
        """Note that a large message goes on."""
        self.written_at = self._loop.time()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note when it ended."""
        self._ended_at = self._loop.time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse heads apart from what follows them: a fault in a body must not take its head along."""
        self.bytes_received += len(data)
        if self._answer is not None:
            data = self._read_head(self._answer, data)
        if data and self.exception() is None:
            super().data_received(self._within_bounds(data))
        self._bound()

    def _read_head(self, answer: ReceiverResponse, data: bytes) -> bytes:
        """Give a whole head to the parser; returns what follows it."""
        try:
            parts = answer.head.feed(data)
        except BadHttpMessage as exc:
            self._answer = None
            self.set_exception(exc)
            return b""
        answer.status = answer.head.status
        if parts is None:
            return b""
        self._answer = None
        head, rest = parts
        super().data_received(head)
        return rest

    def _within_bounds(self, data: bytes) -> bytes:
        if self._answer_body is None:
            return data
        left = max(0, _FRAMED_BYTES - self._framed)
        self._framed += len(data)
        return data[:left]

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a parsed head from the parser."""
        if self._answer_body is None:
            self._answer_body = data[1]
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Fail the one that waits; aiohttp's tells the reader of a head alone, and one of a body would wait on."""
        super().set_exception(exc, *cause)
        if self._answer_body is not None and not self._answer_body.is_eof():
            self._answer_body.set_exception(exc)

    def _bound(self) -> None:
        if self._answer_body is None and self.bytes_received > HEAD_BYTES:
            self.set_exception(BadHttpMessage(HEAD_TOO_LONG))
        elif self._framed <= _FRAMED_BYTES:
            return
        if self.transport is not None:
            self.transport.abort()


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool, making connections of our kind."""

    def __init__(self, resolver: ThreadResolver, *, keep_s: float | None) -> None:
        """Make a pool that keeps idle connections for `keep_s` seconds; None: it keeps none."""
        super().__init__(
            resolver=resolver,
            keepalive_timeout=keep_s,
            force_close=keep_s is None,
            limit=0,  # how many attempts run at once is the worker's affair
            socket_factory=_socket_to,
        )
        make = functools.partial(_connected, self._loop)
        self._factory = cast("functools.partial[ResponseHandler]", make)


def _socket_to(found: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that is about to be called, whether it stood in the URL or a name resolved to it.

    Raises:
        NeverCalled: it is one that hookd does not call (spec 12, 14).
    """
    family, kind, protocol, _, address = found
    _note(Phase.CONNECTING)
    if is_never_called(address[0]):
        raise NeverCalled
    return socket.socket(family, kind, protocol)


def _connected(loop: asyncio.AbstractEventLoop) -> _Protocol:
    """Our end of a connection whose socket is connected; with TLS its handshake is next."""
    _note(Phase.HANDSHAKING)
    return _Protocol(loop)


def _note(phase: Phase) -> None:
    if (response := _securing.get()) is not None:
        response.phase = phase


async def _connect(pool: _Connector, destination: Destination, response: ReceiverResponse) -> Connection:
    _securing.set(response if destination.is_ssl() else None)
    return await pool.connect(destination, [], _NO_LIMITS)


async def _exchange_on(connection: Connection, message: bytes, response: ReceiverResponse, keep: int) -> None:
    """One message and its answer; whatever happens, the connection is pooled or closed afterwards."""
    try:
        await _write_and_read(_protocol(connection), message, response, keep)
    finally:
        _give_back(connection, reusable=response.whole)


async def _write_and_read(protocol: _Protocol, message: bytes, response: ReceiverResponse, keep: int) -> None:
    protocol.bytes_received, protocol.written_at = 0, None
    if protocol.exchanges and protocol.should_close:  # what came unasked is no answer
        raise aiohttp.ServerDisconnectedError
    protocol.begin(response)
    protocol.write(message)
    response.phase = Phase.WAITING
    head, body = await protocol.read()
    response.headers, response.phase = head.headers, Phase.READING
    await _read_body(body, response, keep)
    if response.whole:
        protocol.note_used(head.headers)


async def _read_body(body: StreamReader, response: ReceiverResponse, keep: int) -> None:
    size = 0
    while size <= BODY_BYTES:
        chunk = await body.readany()
        if not chunk:
            response.whole = True
            return
        size += len(chunk)
        response.body += chunk[: max(0, keep - len(response.body))]


def _give_back(connection: Connection, *, reusable: bool) -> None:
    """Give a connection back where the message is out and the answer in; else drop it at once."""
    protocol = _protocol(connection)
    transport = protocol.transport
    if transport is None:
        connection.close()
    elif reusable and not protocol.should_close and not transport.get_write_buffer_size():
        connection.release()
    else:
        transport.abort()
        connection.close()


def _protocol(connection: Connection) -> _Protocol:
    protocol = connection.protocol
    assert isinstance(protocol, _Protocol)
    return protocol
