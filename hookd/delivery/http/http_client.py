"""Exchanges: a message written as it is on a line of ours, or first on a new one, and its answer.

aiohttp's connector (names, happy eyeballs, TLS) opens connections; from then on they are lines of our own. Its pool and
its `ClientSession` are left out: they cost more than all the rest of an attempt, and the latter reorders and adds
headers and requotes the URL. The names used here that aiohttp does not document are the connector's `_factory` and
`_create_connection`; nothing else in hookd touches them.

Must never: know webhooks, retries or secrets; send one message twice, except where a kept-alive connection
turns out to have been closed meanwhile.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, cast
from weakref import WeakSet, WeakValueDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from hookd.delivery.http.destination import Destination
from hookd.delivery.http.failures import NeverCalled, Phase
from hookd.delivery.http.known_answers import KnownAnswers
from hookd.delivery.http.line import Ended, Line, TlsLine
from hookd.delivery.http.receiver_response import ReceiverResponse
from hookd.delivery.http.resolver import ThreadResolver
from hookd.domain.blocked_addresses import is_never_called
from hookd.domain.value_class import value_class

_SWEEP_S = 1.0
"""Seconds between two looks for idle lines that may not be used any more."""

_CLOSING_S = 1.0
"""How long a receiver may take to agree to the end of an idle connection with TLS, when hookd stops."""

_BUFFER_BYTES = 64 * 1024
"""As much is taken at once from lines with TLS."""

_NO_LIMITS = aiohttp.ClientTimeout()


class HttpClient:
    """The lines to all receivers. Belongs to the event loop it is made in."""

    def __init__(self, resolver: ThreadResolver) -> None:
        self.loop = asyncio.get_running_loop()
        self._connector = _Connector(resolver)
        self._destinations: WeakValueDictionary[ConnectionKey, Destination] = WeakValueDictionary()
        self._known = KnownAnswers()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._lines: WeakSet[Line] = WeakSet()
        self._with_idle: set[Destination] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._openings: set[asyncio.Task[None]] = set()

    def destination(self, origin: URL, context: ssl.SSLContext | None) -> Destination:
        """Describe a receiver; the same one again where lines may be shared.

        Args:
            origin: scheme, host and port.
            context: for https; its identity decides which connections may be shared.

        Raises:
            aiohttp.InvalidURL: there is no host.
        """
        request = aiohttp.ClientRequest("GET", origin, loop=self.loop, ssl=context or True)
        key = request.connection_key
        destination = self._destinations.get(key)
        if destination is None:
            destination = self._destinations[key] = Destination(request, self._note_idle)
        return destination

    def spawn(self, exchange: "Exchange") -> asyncio.Task[None]:
        """Open a line for an exchange in a task of its own."""
        task = self.loop.create_task(exchange.open())
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)
        return task

    async def connect(self, destination: Destination, response: ReceiverResponse) -> Line:
        """Open a line; to be called in a task of its own. For what it raises see `failures.explain`."""
        make = functools.partial(self._new_line, destination)
        _opening.set(_Opening(make, response if destination.request.is_ssl() else None))
        return await self._connector.open(destination.request)

    async def close(self) -> None:
        """Close every line. No exchange may be under way."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        lines = list(self._lines)
        for line in lines:
            line.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await asyncio.gather(*self._openings, return_exceptions=True)
                for line in lines:
                    await line.wait_closed()
        for line in lines:
            line.drop()
        await self._connector.close()

    def _new_line(self, destination: Destination) -> Line:
        if destination.request.is_ssl():
            line: Line = TlsLine(self.loop, self._known, destination.give_back, self._buffer)
        else:
            line = Line(self.loop, self._known, destination.give_back)
        self._lines.add(line)
        return line

    def _note_idle(self, destination: Destination) -> None:
        self._with_idle.add(destination)
        if self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        now = self.loop.time()
        self._with_idle = {each for each in self._with_idle if each.close_unusable(now)}
        self._sweep_timer = self.loop.call_later(_SWEEP_S, self._sweep) if self._with_idle else None


class Exchange:
    """One message and its answer.

    Where a line that was idle ends within `RACE_S` of the message, and without a byte of answer, the message goes out
    once more on a new one, and the response says so; nothing else is sent twice.
    """

    __slots__ = (
        "_client",
        "_destination",
        "_ended",
        "_is_kept",
        "_keep",
        "_line",
        "_message",
        "_opening",
        "_response",
    )

    def __init__(
        self,
        client: HttpClient,
        destination: Destination,
        message: bytes,
        response: ReceiverResponse,
        *,
        keep: int,
        ended: Ended,
    ) -> None:
        """Begin it.

        Args:
            client: whose lines are used.
            destination: the receiver.
            message: head and body as they go out.
            response: filled in meanwhile; keeps what came when this fails or is cancelled.
            keep: bytes of the answer's body to keep.
            ended: called once, never at once, and not after `cancel`. For what it may be given see
                `failures.explain`.
        """
        self._client = client
        self._destination = destination
        self._message = message
        self._response = response
        self._keep = keep
        self._ended = ended
        self._opening: asyncio.Task[None] | None = None
        self._line = destination.take(client.loop.time())
        self._is_kept = self._line is not None
        if self._line is None:
            self._opening = client.spawn(self)
        else:
            self._line.send(message, response, keep, self._end)

    def cancel(self) -> None:
        """End it at once; the connection is closed."""
        if self._opening is not None:
            self._opening.cancel()
        if self._line is not None:
            self._line.drop()

    async def open(self) -> None:
        """Open a line and send on it."""
        try:
            line = await self._client.connect(self._destination, self._response)
        except Exception as exc:  # noqa: BLE001  who waits for the answer must learn of it
            self._opening = None
            self._ended(exc)
            return
        self._opening, self._line = None, line
        line.send(self._message, self._response, self._keep, self._end)

    def _end(self, failure: Exception | None) -> None:
        line, self._line = self._line, None
        if failure is not None and line is not None and self._is_kept and _was_being_closed(line, failure):
            self._is_kept = False
            self._response.phase = Phase.CONNECTING
            self._response.resent = line.written_at is not None
            self._opening = self._client.spawn(self)
            return
        self._ended(failure)


def _was_being_closed(line: Line, failure: Exception) -> bool:
    """Whether a kept-alive connection was on its end already when the message went out."""
    return (
        isinstance(failure, (aiohttp.ClientConnectionError, OSError))
        and not line.bytes_received
        and line.ended_in_race()
    )


@value_class
class _Opening:
    """What a connection is opened for: aiohttp tells nobody how far it came; `securing`: with TLS, for this answer."""

    make: Callable[[], Line]
    securing: ReceiverResponse | None

    def note(self, phase: Phase) -> None:
        if self.securing is not None:
            self.securing.phase = phase


_opening: ContextVar[_Opening] = ContextVar("_opening")
"""What the current task opens a connection for."""


class _Connector(aiohttp.TCPConnector):
    """aiohttp's connector without its pool, making connections of our kind."""

    def __init__(self, resolver: ThreadResolver) -> None:
        super().__init__(
            resolver=resolver,
            force_close=True,
            limit=0,  # how many attempts run at once is the worker's affair
            socket_factory=_socket_to,
        )
        self._factory = cast("functools.partial[ResponseHandler]", _connected)

    async def open(self, request: aiohttp.ClientRequest) -> Line:
        """Open the line that is described in `_opening`."""
        return cast("Line", await self._create_connection(request, [], _NO_LIMITS))


def _socket_to(found: tuple[Any, ...]) -> socket.socket:
    """A socket for an address that is about to be called, whether it stood in the URL or a name resolved to it.

    Raises:
        NeverCalled: it is one that hookd does not call (spec 12, 14).
    """
    family, kind, protocol, _, address = found
    _opening.get().note(Phase.CONNECTING)
    if is_never_called(address[0]):
        raise NeverCalled
    return socket.socket(family, kind, protocol)


def _connected() -> Line:
    """Our end of a connection whose socket is connected; with TLS its handshake is next."""
    opening = _opening.get()
    opening.note(Phase.HANDSHAKING)
    return opening.make()
