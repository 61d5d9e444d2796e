"""Posting at a steady rate, and receivers that behave as they are told; both note instants.

Everything runs in the proof's own event loop, so that all instants are of one clock (`time.perf_counter`, seconds).
"""

import asyncio
import json
import socket
import statistics
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self, cast

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FLOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n" + bytes(8 << 20)
DOWN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

_RST_ON_CLOSE = struct.pack("ii", 1, 0)


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Request:
    """One request as it came; `at` is the instant of its first byte."""

    webhook: str
    id: str
    n: int
    at: float


Behaviour = Callable[["Line", Request], None]
"""What a receiver does once a request has come."""


def answer(line: "Line", _request: Request) -> None:
    line.send(OK)


def refuse_service(line: "Line", _request: Request) -> None:
    line.send(DOWN)


def missing(line: "Line", _request: Request) -> None:
    line.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def hang(line: "Line", _request: Request) -> None:
    """Take the request and say nothing."""


def after(seconds: float) -> Behaviour:
    """Answer after some work."""

    def at_work(line: "Line", request: Request) -> None:
        asyncio.get_running_loop().call_later(seconds, line.answer, request)

    return at_work if seconds else answer


def drip(line: "Line", _request: Request) -> None:
    line.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000)


def reset(line: "Line", _request: Request) -> None:
    line.reset()


def flood(line: "Line", _request: Request) -> None:
    """An answer of 8 MiB, of which hookd reads 64 KiB."""
    line.send(FLOOD)


@dataclass
class Receivers:
    """Listens on one port for many webhooks, told apart by the path; `behaves` may be changed at any time.

    Attributes:
        requests: everything that came, in order.
        most: by webhook, the most requests that were unanswered at once.
    """

    behaves: Behaviour = answer
    requests: list[Request] = field(default_factory=list)
    most: Counter[str] = field(default_factory=Counter)
    lines: "set[Line]" = field(default_factory=set)
    port: int = 0
    _waiting: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Line(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    def of(self, webhook: str) -> list[Request]:
        return [request for request in self.requests if request.webhook == webhook]

    def release(self) -> None:
        """Answer what waits for an answer."""
        for line in tuple(self.lines):
            if line.waits:
                line.send(OK)

    def hang_up(self) -> None:
        """Close every connection."""
        for line in tuple(self.lines):
            line.close()

    def came(self, line: "Line", request: Request) -> None:
        self.requests.append(request)
        self._waiting[request.webhook] += 1
        self.most[request.webhook] = max(self.most[request.webhook], self._waiting[request.webhook])
        self.behaves(line, request)

    def ended(self, webhook: str) -> None:
        self._waiting[webhook] -= 1


class Line(asyncio.Protocol):
    """One connection to a receiver."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers
        self._buffer = b""
        self._first_at = 0.0
        self._request: Request | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def waits(self) -> bool:
        """Whether a request is unanswered."""
        return self._request is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._receivers.lines.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._receivers.lines.discard(self)
        self._end()

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._first_at = time.perf_counter()
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._buffer = b""
        webhook = head.split(b" ", 2)[1].decode().removeprefix("/")
        self._request = Request(webhook, _header(head, b"webhook-id"), json.loads(body)["n"], self._first_at)
        self._receivers.came(self, self._request)

    def send(self, data: bytes) -> None:
        """Answer."""
        self._end()
        if self._transport is not None:
            self._transport.write(data)

    def answer(self, request: Request) -> None:
        """Answer this request, if it still waits."""
        if self._request is request:
            self.send(OK)

    def drip(self, data: bytes) -> None:
        """Send one byte after the other, ten in a second, and never end."""
        if self.waits and self._transport is not None:
            self._transport.write(data[:1])
            self._timer = asyncio.get_running_loop().call_later(0.1, self.drip, data[1:])

    def reset(self) -> None:
        """End the connection as a crash does."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        if self._request is not None:
            self._receivers.ended(self._request.webhook)
        self._request = None
        if self._timer is not None:
            self._timer.cancel()


def _length(head: bytes) -> int:
    return int(_header(head, b"content-length") or 0)


def _header(head: bytes, name: bytes) -> str:
    start = head.lower().find(b"\r\n" + name + b": ")
    return head[start:].split(b"\r\n", 2)[1].split(b": ", 1)[1].decode() if start >= 0 else ""


@dataclass
class Poster:
    """Posts events over a Unix socket on kept-alive connections, as many as are needed.

    Attributes:
        posted: by `n`, the instant before the event was written.
        taken: by `n`, the seconds until its 202 came.
    """

    path: str
    posted: dict[int, float] = field(default_factory=dict)
    taken: dict[int, float] = field(default_factory=dict)
    _next: int = 0
    _free: "list[_Wire]" = field(default_factory=list)

    async def post(self, webhooks: Iterable[str]) -> list[int]:
        """Post an event for each of these webhooks, as one batch; returns their numbers once they are stored."""
        numbered = [(self._number(), webhook) for webhook in webhooks]
        events = [{"type": "load", "event": webhook, "data": {"n": n}} for n, webhook in numbered]
        body = json.dumps(events if len(events) > 1 else events[0]).encode()
        self._free = [
            wire for wire in self._free if wire.is_open
        ]  # hookd closes those that are idle for long
        wire = self._free.pop() if self._free else await _Wire.open(self.path)
        began = time.perf_counter()
        self.posted.update((n, began) for n, _ in numbered)
        status = await wire.ask(body)
        took = time.perf_counter() - began
        self._free.append(wire)
        assert status == 202, f"an event was answered {status}"
        self.taken.update((n, took) for n, _ in numbered)
        return [n for n, _ in numbered]

    async def steadily(self, webhooks: Sequence[str], *, per_s: float, for_s: float) -> list[int]:
        """Post to each webhook in turn at a steady rate, whether or not the answers keep up; the events' numbers."""
        count, began = int(per_s * for_s), time.perf_counter()
        posts: list[asyncio.Task[list[int]]] = []
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            posts.append(asyncio.create_task(self.post([webhooks[number % len(webhooks)]])))
        return [n for post in posts for n in await post]

    def _number(self) -> int:
        self._next += 1
        return self._next


class _Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self.is_open = True
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, path: str) -> Self:
        _, wire = await asyncio.get_running_loop().create_unix_connection(cls, path)
        return wire

    async def ask(self, body: bytes) -> int:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if found and len(rest) >= _length(head) and self._answer is not None:
            self._buffer = b""
            self._answer.set_result(int(head[9:12]))


@dataclass
class BlackHole:
    """A listener whose queue is full: whoever connects hears nothing, not even a refusal."""

    port: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = listener.getsockname()[1]
        self._sockets = [listener]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._sockets.append(filler)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()


def waits_s(posted: dict[int, float], requests: Iterable[Request], wanted: Iterable[int]) -> dict[int, float]:
    """Seconds from posting each of these events to its first byte at a receiver; those that came alone."""
    first: dict[int, float] = {}
    for request in requests:
        first.setdefault(request.n, request.at)
    return {n: first[n] - posted[n] for n in wanted if n in first}


def definitions(webhooks: dict[str, dict[str, Any]], *, level: str = "warning", limits: str = "{}") -> str:
    """A configuration in which an event of each webhook's name goes to it."""
    names = list(webhooks)
    return "\n".join(
        [
            "daemon: {listen: [{unix: h.sock}], store: h.db,",
            f"  limits: {limits}, log: {{level: {level}, format: json}}}}",
            "webhooks:",
            *(f"  {name}: {json.dumps(webhooks[name])}" for name in names),
            "tasks:",
            *(f'  {name}: {{webhook: {name}, message: {{n: "${{data.n}}"}}}}' for name in names),
            "events:",
            *(f"  {name}: {{type: load, event: {name}, task: {name}}}" for name in names),
        ]
    )
