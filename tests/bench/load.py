"""A cheap load generator: raw HTTP/1.1 on keep-alive connections, one request in flight on each."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, cast


def request_bytes(event: Any) -> bytes:
    """One POST of an event."""
    body = json.dumps(event).encode()
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, next_request: Callable[[], bytes | None], done: Callable[[], None]) -> None:
        self._next = next_request
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"refused: {self._buffer!r}")
        self._buffer = b""
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        request = self._next()
        if request is None:
            self._transport.close()
            self._done()
        else:
            self._transport.write(request)


async def flood(path: str, request: bytes, *, count: int, connections: int) -> float:
    """Post the same request `count` times over a Unix socket; returns seconds."""
    left, open_connections = count, connections
    finished = asyncio.Event()

    def next_request() -> bytes | None:
        nonlocal left
        if not left:
            return None
        left -= 1
        return request

    def done() -> None:
        nonlocal open_connections
        open_connections -= 1
        if not open_connections:
            finished.set()

    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_unix_connection(lambda: _Connection(next_request, done), path)
    await finished.wait()
    return time.perf_counter() - began
