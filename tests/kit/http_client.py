"""A client that speaks bytes, so that a test says exactly what goes over the wire, and when."""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from multidict import CIMultiDict

JSON = "Content-Type: application/json"


def request(method: str, path: str, *fields: str, body: bytes | None = None, version: str = "1.1") -> bytes:
    """A request with a Host, and a Content-Length where there is a body."""
    length = () if body is None else (f"Content-Length: {len(body)}",)
    head = "\r\n".join([f"{method} {path} HTTP/{version}", "Host: localhost", *length, *fields])
    return head.encode() + b"\r\n\r\n" + (body or b"")


def post(body: bytes, *fields: str, version: str = "1.1") -> bytes:
    return request("POST", "/echo", JSON, *fields, body=body, version=version)


@dataclass
class Answered:
    """One answer as it came."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""

    @property
    def closes(self) -> bool:
        return self.headers.get("Connection") == "close"


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that tells nobody, such as the kernel."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    @classmethod
    async def to(cls, address: Any, **options: int) -> Self:
        """Connect to a Unix path or a (host, port)."""
        is_unix = isinstance(address, str)
        family = socket.AF_UNIX if is_unix else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        client = cls(socket.socket(family, socket.SOCK_STREAM))
        if "receive_bytes" in options:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive_bytes"])
        try:
            await client._loop.sock_connect(client.sock, address)
        except OSError:
            client.sock.close()
            raise
        return client

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(5):
            await self._loop.sock_sendall(self.sock, data)

    async def flood(self, piece: bytes, *, most: int) -> int:
        """Send a piece again and again until nobody takes it for 0.3 s, or `most` bytes are sent; returns how many."""
        sent = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while sent < most:
                    await self._loop.sock_sendall(self.sock, piece)
                    sent += len(piece)
        return sent

    async def taken(self) -> None:
        """Wait until the server has read all that was sent (exact on a Unix socket)."""
        await until(lambda: self._unread() == 0)

    def _unread(self) -> int:
        return int(struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0" * 4))[0])

    async def answer(self, *, head_only: bool = False) -> Answered:
        """The next answer."""
        while b"\r\n\r\n" not in self._buffer:
            await self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        headers = CIMultiDict[str](
            (name, value) for name, _, value in (each.partition(": ") for each in fields)
        )
        found = Answered(int(line.split()[1]), headers)
        if head_only or found.status == 100:
            return found
        length = int(headers["Content-Length"])
        while len(self._buffer) < length:
            await self._more()
        found.body, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    async def rest(self) -> bytes:
        """Everything up to the end; raises ConnectionResetError where there is none."""
        while piece := await self._read():
            self._buffer += piece
        rest, self._buffer = self._buffer, b""
        return rest

    async def ask(self, data: bytes, *, head_only: bool = False) -> Answered:
        await self.send(data)
        return await self.answer(head_only=head_only)

    def end(self) -> None:
        """Say that nothing more comes."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close the socket, and make the loop forget it first: the next one may have its number."""
        if self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock)
            self._loop.remove_writer(self.sock)
        self.sock.close()

    async def _more(self) -> None:
        piece = await self._read()
        if not piece:
            raise EOFError(self._buffer)
        self._buffer += piece

    async def _read(self) -> bytes:
        async with asyncio.timeout(5):
            return await self._loop.sock_recv(self.sock, 65536)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


async def tls_streams(port: int, ca: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TLS connection to 127.0.0.1."""
    context = ssl.create_default_context(cafile=ca)
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)
