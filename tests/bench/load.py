"""A cheap load generator: raw HTTP/1.1 on keep-alive connections, one request in flight on each."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast


def request_bytes(event: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """One POST of an event."""
    body = json.dumps(event).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{lines}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, free: Callable[["_Connection"], None], *, patient: bool) -> None:
        self._free = free
        self._patient = patient
        self._request = b""
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        answer, self._buffer = self._buffer, b""
        if answer.startswith(b"HTTP/1.1 202"):
            self._free(self)
        elif self._patient and answer.startswith(b"HTTP/1.1 503"):
            self.send(self._request)
        else:
            raise SystemExit(f"refused: {answer!r}")

    def send(self, request: bytes) -> None:
        """Post; `free` is called once that is answered."""
        assert self.transport is not None
        self._request = request
        self.transport.write(request)

    def close(self) -> None:
        """End it."""
        assert self.transport is not None
        self.transport.close()


async def _connect(
    path: str, count: int, free: Callable[[_Connection], None], *, patient: bool = False
) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    connect = partial(loop.create_unix_connection, partial(_Connection, free, patient=patient), path)
    return [(await connect())[1] for _ in range(count)]


async def flood(path: str, requests: Iterable[bytes], *, connections: int) -> float:
    """Post each request once over a Unix socket; returns seconds."""
    left, open_connections = iter(requests), connections
    finished = asyncio.Event()

    def free(connection: _Connection) -> None:
        nonlocal open_connections
        request = next(left, None)
        if request is not None:
            connection.send(request)
            return
        connection.close()
        open_connections -= 1
        if not open_connections:
            finished.set()

    began = time.perf_counter()
    for connection in await _connect(path, connections, free):
        free(connection)
    await finished.wait()
    return time.perf_counter() - began


class Waves:
    """Connections that all post at once, then wait for each other; what is refused by a busy daemon comes again."""

    def __init__(self, path: str, connections: int) -> None:
        self._path = path
        self._count = connections
        self._connections: list[_Connection] = []
        self._unanswered = 0
        self._answered = asyncio.Event()

    async def post(self, requests: Iterable[bytes]) -> None:
        """Post one request on each; returns once all are answered."""
        if not self._connections:
            self._connections = await _connect(self._path, self._count, self._free, patient=True)
        self._unanswered = self._count
        self._answered.clear()
        for connection, request in zip(self._connections, requests, strict=True):
            connection.send(request)
        await self._answered.wait()

    def _free(self, _connection: _Connection) -> None:
        self._unanswered -= 1
        if not self._unanswered:
            self._answered.set()
