"""A listener with routes that stand for all others, and a client that speaks to it in bytes."""

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import cast

from hookd.domain.clock import Clock
from hookd.server import body
from hookd.server.limits import BODY_S
from hookd.server.messages import KnownRequest, Request, Response
from hookd.server.router import Router
from hookd.server.sockets import Listeners
from tests.kit.loop_time import LoopClock

LIMIT = 1 << 20
LARGE = b"l" * (1 << 20)
HEAD = b"Host: localhost\r\n"


def get(path: str = "/hello", *headers: str, version: str = "1.1", method: str = "GET") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(content: bytes, path: str = "/body", *headers: str) -> bytes:
    """A request with a body of announced length."""
    return get(path, f"Content-Length: {len(content)}", *headers, method="POST") + content


WITHIN_S = 20
"""So long an answer may take: 20,000 events do, where several test processes share the machine."""


@dataclass(frozen=True)
class Answered:
    """An answer as read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def connection(self) -> str:
        return self.headers.get("connection", "")


@dataclass(frozen=True)
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def socket(self) -> socket.socket:
        found: socket.socket = self.writer.get_extra_info("socket")
        return found

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def stop_reading(self) -> None:
        cast(asyncio.Transport, self.writer.transport).pause_reading()

    async def ask(self, data: bytes) -> Answered:
        self.send(data)
        return await self.answer()

    async def answer(self, *, of_head: bool = False) -> Answered:
        """The next answer."""
        async with asyncio.timeout(WITHIN_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            length = 0 if of_head else int(headers.get("content-length", "0"))
            return Answered(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def ended(self) -> bool:
        """Whether the other side ends without a further byte."""
        async with asyncio.timeout(WITHIN_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class Routes:
    """The routes, and what they have seen."""

    seen: list[str] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    held: list[KnownRequest] = field(default_factory=list)
    body_s: float = BODY_S
    flood: bool = False
    flooded: int = 0

    def router(self) -> Router:
        router = Router(defaultdict(frozenset))
        router.add("GET", "/hello", self._hello)
        router.add("GET", "/large", self._large)
        router.add("GET", "/gate", self._gate)
        router.add("GET", "/pieces", self._pieces)
        router.add("GET", "/echo/{name}", self._echo, None)
        router.add("POST", "/body", self._body)
        router.add("POST", "/known", self._known)
        router.add("POST", "/ignore", self._hello)
        return router

    async def _hello(self, request: Request, _variables: Mapping[str, str]) -> Response:
        self.seen.append(request.path)
        return Response(200, b"hello")

    async def _large(self, request: Request, _variables: Mapping[str, str]) -> Response:
        self.seen.append(request.path)
        return Response(200, LARGE)

    async def _gate(self, request: Request, _variables: Mapping[str, str]) -> Response:
        self.seen.append(request.path)
        self.entered.set()
        await self.gate.wait()
        self.left.set()
        return Response(200, b"passed")

    async def _pieces(self, request: Request, _variables: Mapping[str, str]) -> Response:
        self.seen.append(request.path)
        return Response(200, content_type="text/plain", stream=self._flow())

    async def _flow(self) -> AsyncGenerator[bytes, None]:
        """Two pieces with the gate between them, or with `flood` one and then ever more; `left` is set at its end."""
        self.entered.set()
        try:
            yield b"one\n"
            while self.flood:
                self.flooded += 1
                yield LARGE
            await self.gate.wait()
            yield b"two\n"
        finally:
            self.left.set()

    async def _echo(self, request: Request, variables: Mapping[str, str]) -> Response:
        self.seen.append(request.path)
        query = "&".join(f"{name}={value}" for name, value in request.query())
        return Response(200, f"{variables['name']}?{query}".encode("utf-8", "backslashreplace"))

    async def _body(self, request: Request, _variables: Mapping[str, str]) -> Response:
        self.entered.set()
        try:
            raw = await body.read(request, LIMIT, self.body_s)
        finally:
            self.left.set()
        self.seen.append(request.path)
        return Response(200, raw)

    async def _known(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """Serves the first request with a head; `_again` those that follow."""
        raw = await body.read(request, LIMIT, self.body_s)
        self.seen.append("whole way")
        request.again = self._again
        return Response(200 if raw == b"not taken" else 202, raw)

    def _again(self, request: KnownRequest) -> bool:
        """Answers at once, or where the body asks for it once the test does."""
        if request.body == b"odd":
            return False
        self.seen.append("known")
        request.reservation.hold(len(request.body))
        if request.body == b"hold":
            self.held.append(request)
        else:
            asyncio.get_running_loop().call_soon(request.answer, Response(202, request.body))
        return True


@dataclass
class Server:
    """Open listeners of which the first is the one spoken to."""

    routes: Routes
    listeners: Listeners
    clock: Clock
    clients: list[Client] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listeners.addresses[0].rpartition(":")[2])

    async def passes(self, seconds: float) -> None:
        """Let time go by: at once on asyncio's loop, in fact on uvloop."""
        if isinstance(self.clock, LoopClock):
            self.clock.advance(seconds)
        await asyncio.sleep(0 if isinstance(self.clock, LoopClock) else seconds)

    def skipping(self) -> AbstractContextManager[None]:
        """Let no timer be waited for on asyncio's loop."""
        return self.clock.skipping() if isinstance(self.clock, LoopClock) else nullcontext()

    async def connect(self, **options: object) -> Client:
        address = self.listeners.addresses[0]
        if address.startswith("unix:"):
            streams = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        else:
            host = "::1" if "[" in address else "127.0.0.1"
            streams = await asyncio.open_connection(host, self.port, **options)  # type: ignore[arg-type]  # its own
        client = Client(*streams)
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answered:
        """Ask on a connection of its own."""
        return await (await self.connect()).ask(data)

    async def close(self) -> None:
        self.routes.gate.set()
        for client in self.clients:
            await client.close()
        await self.listeners.close()
