"""Receivers on the loopback interface: what arrives is kept byte for byte, and answered as a test wants.

    async with Receiver() as receiver:  # answers 200
        receiver.reply = busy           # a coroutine function of the request: the answer's bytes
        [request] = await receiver.wait_for(1)
    async with Receiver(answer(503), reset(), answer()):  # a script for each request, the last for all further ones

A script gets an `Exchange`: the request and the connection to write to, close or reset. After it the connection goes
on, unless the script ended it.

Must never: import anything of `hookd`.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

Certificate = Mapping[str, Any]


@dataclass(frozen=True)
class Received:
    """One request as it stood on the wire.

    Attributes:
        head: request line and headers byte for byte, with the line ends, without the empty line.
        connection: the connection it came on, counted from 0 in each receiver.
        at: the event loop's time when it had arrived, in seconds.
        client: the client certificate as `ssl.SSLSocket.getpeercert` tells it; None without one.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes = b""
    connection: int = 0
    at: float = 0.0
    client: Certificate | None = None

    def values(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of a header that stands once; None where it is missing."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    @property
    def id(self) -> str:
        """The receiver's key against duplicates."""
        value = self.header("webhook-id")
        assert value is not None
        return value

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.split(b"\r\n")[0].decode()

    @property
    def lines(self) -> list[bytes]:
        """The header lines as they stood, in order, without the request line."""
        return self.head.removesuffix(b"\r\n").split(b"\r\n")[1:]

    def lines_of(self, name: str) -> list[bytes]:
        """The header lines of this name (in any case), as they stood."""
        return [line for line in self.lines if line.split(b":", 1)[0].lower() == name.lower().encode()]

    @property
    def names(self) -> list[str]:
        """The header names as they stood, in order."""
        return [name for name, _ in self.headers]


@dataclass
class Exchange:
    """A request and the connection it came on."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Reply = Callable[[Received], Awaitable[bytes]]
Script = Callable[[Exchange], Awaitable[None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def response(status: int = 200, *headers: str, body: bytes = b"") -> bytes:
    """The bytes of an ordinary answer."""
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers)
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def always(status: int = 200, *headers: str, body: bytes = b"") -> Reply:
    """The same answer to every request."""

    async def reply(_request: Received) -> bytes:
        return response(status, *headers, body=body)

    return reply


def held(go: asyncio.Event, then: Reply | None = None) -> Reply:
    """No answer before the event is set."""

    async def reply(request: Received) -> bytes:
        await go.wait()
        return await then(request) if then else response()

    return reply


OK = always()


def raw(*pieces: bytes, then_close: bool = False, pause_s: float = 0.0) -> Script:
    """Write these bytes as they stand, with a pause after each."""

    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.send(piece)
            if pause_s:
                await asyncio.sleep(pause_s)
        if then_close:
            exchange.close()

    return script


def answer(status: int = 200, *headers: str, body: bytes = b"") -> Script:
    """Answer and keep the connection."""
    return raw(response(status, *headers, body=body))


def hang() -> Script:
    """Never answer; over when the other side closes."""

    async def script(exchange: Exchange) -> None:
        await exchange.reader.read()

    return script


def close() -> Script:
    """Close without a word."""
    return raw(then_close=True)


def reset(*pieces: bytes) -> Script:
    """Write these bytes, then reset the connection."""

    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.send(piece)
        exchange.reset()

    return script


def endless(opening: bytes, piece: bytes, *, pause_s: float = 0.0) -> Script:
    """Write a piece again and again, as fast as it is taken or with a pause after each."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(opening)
        while True:
            await exchange.send(piece)
            await asyncio.sleep(pause_s)

    return script


class Server:
    """Serves each connection by a coroutine function; at the end no task and no connection of it is left.

    Attributes:
        port: free to choose, or one that is given; a bound socket may be given instead.
        connections: how many have been accepted (after the TLS handshake, where there is TLS).
    """

    def __init__(
        self,
        serve: Serve,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sock: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host, self.port, self.tls = host, port, tls
        self.connections = 0
        self._act = serve
        self._sock = sock
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._ended = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    async def listen(self) -> None:
        """Listen; after `shut` again, on the same port."""
        where: dict[str, Any] = {"sock": self._sock} if self._sock else {"host": self.host, "port": self.port}
        self._server = await asyncio.start_server(self._accept, ssl=self.tls, **where)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Refuse connections, and reset those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._serving.values():
            writer.transport.abort()

    async def quiet(self) -> None:
        """Wait until no connection is open."""
        async with self._ended:
            await self._ended.wait_for(lambda: not self._serving)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        server = self._server
        self.shut()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._serving[task] = writer
        try:
            await self._act(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            del self._serving[task]
            async with self._ended:
                self._ended.notify_all()


class Receiver(Server):
    """A server that reads requests, keeps them, and answers by its scripts, or where it has none by `reply`.

    Attributes:
        requests: what has been received, in order.
        reply: may be changed at any time.
    """

    def __init__(self, *scripts: Script, reply: Reply = OK, **where: Any) -> None:
        super().__init__(self._serve, **where)
        self.scripts = scripts
        self.reply = reply
        self.requests: list[Received] = []
        self._news = asyncio.Condition()

    def to(self, target: str = "/hook", *, host: str = "127.0.0.1") -> str:
        """The URL of a target, by an address or name of this machine."""
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{target}"

    def at(self, target: str) -> list[Received]:
        """What has come to a target (path and query) so far."""
        return [request for request in self.requests if request.target == target]

    async def until(self, enough: Callable[[], bool], *, within_s: float = 30.0) -> None:
        """Wait until what has come is enough."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(enough)

    async def wait_for(self, count: int, *, within_s: float = 15.0) -> list[Received]:
        """The requests once there are at least `count`."""
        await self.until(lambda: len(self.requests) >= count, within_s=within_s)
        return self.requests

    async def play(self, exchange: Exchange) -> None:
        """What is done about a request that has been noted."""
        if self.scripts:
            await self.scripts[min(len(self.requests), len(self.scripts)) - 1](exchange)
        else:
            await exchange.send(await self.reply(exchange.request))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, client = self.connections - 1, writer.get_extra_info("peercert") or None
        while not writer.is_closing():
            request = await _read(reader, number, client)
            async with self._news:
                self.requests.append(request)
                self._news.notify_all()
            await self.play(Exchange(request, reader, writer))
        await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, connection: int, client: Certificate | None) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n")
    first, *lines = head.removesuffix(b"\r\n").split(b"\r\n")
    method, target, _ = first.decode("latin-1").split(" ")
    pairs = (line.decode(errors="surrogateescape").partition(":") for line in lines)
    headers = tuple((name, value.strip(" ")) for name, _, value in pairs)
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body = await reader.readexactly(length)
    now = asyncio.get_running_loop().time()
    return Received(method, target, headers, body, head=head, connection=connection, at=now, client=client)
