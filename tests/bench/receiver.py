"""A receiver in the benchmark's own process: whole requests are counted and answered 204 as nginx does it, or later."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_ANSWER = (
    "HTTP/1.1 204 No Content\r\nServer: nginx/1.22.1\r\nDate: Tue, 01 Dec 2026 12:00:00 GMT\r\n"
    "Connection: keep-alive\r\n{header}\r\n"
)


@dataclass
class CountingReceiver:
    """Where it listens, how many requests have come, and the bodies of those it has answered."""

    delay_s: float = 0.0
    url: str = ""
    came: int = 0
    answered: set[bytes] = field(default_factory=set)


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: CountingReceiver, own_ids: "itertools.count[int] | None") -> None:
        self._receiver = receiver
        self._own_ids = own_ids
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        self._receiver.came += 1
        if self._receiver.delay_s:
            asyncio.get_running_loop().call_later(self._receiver.delay_s, self._answer, body)
        else:
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        header = f"X-Request-Id: {next(self._own_ids):032x}\r\n" if self._own_ids else ""
        self._transport.write(_ANSWER.format(header=header).encode())
        self._receiver.answered.add(body)


@asynccontextmanager
async def counting_receiver(*, own_ids: bool, delay_s: float = 0.0) -> AsyncIterator[CountingReceiver]:
    """Run one; with `own_ids` each answer has another `X-Request-Id`, and each comes `delay_s` late."""
    receiver = CountingReceiver(delay_s)
    ids = itertools.count() if own_ids else None
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(receiver, ids), "127.0.0.1", 0
    )
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver
