"""A client that speaks bytes, so that a test says exactly what goes over the wire, and when."""

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Self

from multidict import CIMultiDict


@dataclass
class Answered:
    """One answer as it came."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    @classmethod
    async def to(cls, address: Any) -> Self:
        """Connect to a Unix path or a (host, port)."""
        is_unix = isinstance(address, str)
        family = socket.AF_UNIX if is_unix else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        client = cls(socket.socket(family, socket.SOCK_STREAM))
        try:
            await client._loop.sock_connect(client.sock, address)
        except OSError:
            client.sock.close()
            raise
        return client

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(5):
            await self._loop.sock_sendall(self.sock, data)

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
