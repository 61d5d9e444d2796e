"""Receivers on the loopback interface that do exactly what a test scripts, on raw asyncio streams.

`async with Receiver(answer(200), reset()) as receiver:` plays the first script for the first request, the
second for the second, and the last one for every further. A script gets an `Exchange`: the request as it
stood on the wire, and the connection to write to, close or reset. After a script the connection goes on,
unless the script ended it.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Received:
    """One request as it stood on the wire.

    Attributes:
        head: the request line and headers, byte for byte, without the empty line.
        connection: which connection it came on, from 0.
    """

    head: bytes
    body: bytes
    connection: int

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n")[0].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode().split("\r\n")[1:]
        return [(name, value.removeprefix(" ")) for name, _, value in (line.partition(":") for line in lines)]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


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


Script = Callable[[Exchange], Awaitable[None]]


def response(status: int = 200, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an ordinary answer."""
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers)
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


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


def answer(status: int = 200, body: bytes = b"", *headers: str) -> Script:
    """Answer and keep the connection."""
    return raw(response(status, body, *headers))


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


class Receiver:
    """A scripted server on 127.0.0.1.

    Attributes:
        requests: what has been received, in order.
        connections: how many have been accepted (after the TLS handshake, where there is TLS).
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = scripts or (answer(),)
        self.tls = tls
        self.requests: list[Received] = []
        self.connections = 0
        self._arrived = asyncio.Condition()
        self._ended = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, target: str = "/hook", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{target}"

    async def received(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def quiet(self) -> None:
        """Wait until no connection is open."""
        async with self._ended:
            await self._ended.wait_for(lambda: not self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        number, self.connections = self.connections, self.connections + 1
        self._tasks.add(task)
        try:
            await self._serve(number, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)
            async with self._ended:
                self._ended.notify_all()

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            request = await _read_request(number, reader)
            script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
            self.requests.append(request)
            async with self._arrived:
                self._arrived.notify_all()
            await script(Exchange(request, reader, writer))
        await writer.wait_closed()


async def _read_request(number: int, reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    ]
    body = await reader.readexactly(int(lengths[0])) if lengths else b""
    return Received(head, body, number)
