"""Receivers on 127.0.0.x that behave by chance, and keep the book of what arrived.

Must never: answer what is not in the book yet. Called by: `prove`; the nemesis changes `mode`.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.chaos.soak.books import Arrival, Books

GOOD = ("ok", "ok", "ok", "ok", "ok", "no content", "bare", "drip", "big")
BAD = ("503", "500", "404", "302", "reset", "half", "close", "hang", "bomb")
DOWN = ("reset", "503", "hang", "half")

UNANSWERED = frozenset({"reset", "half", "close", "hang"})
LAST = frozenset({"bare", "drip", "big", "bomb"})
"""After these answers the receiver closes the connection."""


def _status(status: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", "Content-Length: 0", *headers, "", ""]).encode()


_LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"
ANSWERS = {
    "ok": _status(200),
    "no content": _status(204),
    "bare": b"HTTP/1.0 200 \r\n\r\nfine",
    "drip": _LONG + b"x",
    "big": _LONG + b"x" * 500_000,
    "503": _status(503),
    "500": _status(500),
    "404": _status(404),
    "302": _status(302, "Location: /elsewhere"),
    "busy": _status(429, "Retry-After: 1"),
    "bomb": b"HTTP/1.1 200 OK\r\n" + b"X-Bomb: b\r\n" * 60_000,
}

PATIENCE_S = 2.8
"""hookd waits longer than this for an answer, counted from the `webhook-timestamp`, a whole second."""

SLOW_S = 0.4
"""The longest a good receiver takes; far less than the webhooks' timeout."""


@dataclass
class Receiver:
    """One webhook's receiver.

    Attributes:
        wall: what hookd's clock shows, in seconds since the epoch.
        mode: `mixed` fails one request in four, `good` never, `down` always; `stuck` answers none.
    """

    webhook: str
    host: str
    books: Books
    chance: random.Random
    wall: Callable[[], float] = time.time
    mode: str = "mixed"
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/{self.webhook}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Refuse connections, and reset those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass  # hookd closed the connection, or the soak is over
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and what is done about it; returns whether the connection stays."""
        delivery, sent_at, body = await _read(reader)
        arrival = self._note(delivery, body)
        began_at = arrival.at - abs(self.wall() - sent_at)  # long ago where the clock was stepped meanwhile
        behaviour = arrival.behaviour = self._choose()
        if self.chance.random() < 0.2:
            await asyncio.sleep(self.chance.uniform(0, SLOW_S))
        arrival.lost = behaviour in UNANSWERED or writer.is_closing()
        if not arrival.lost and not reader.at_eof():
            return await self._answer(arrival, writer)
        await _leave(behaviour, reader, writer)
        in_time = time.time() - began_at < PATIENCE_S
        arrival.cut_off = in_time and reader.at_eof() and self._server is not None
        return False

    async def _answer(self, arrival: Arrival, writer: asyncio.StreamWriter) -> bool:
        behaviour = arrival.behaviour
        writer.write(ANSWERS[behaviour])
        if behaviour in GOOD:
            arrival.answered_at = time.time()
        await writer.drain()
        return behaviour not in LAST

    def _note(self, delivery: str, body: bytes) -> Arrival:
        arrival = Arrival(self.webhook, delivery, body, json.loads(body)["n"], time.time())
        self.books.arrivals.append(arrival)
        return arrival

    def _choose(self) -> str:
        if self.mode == "stuck":
            return "hang"
        if self.mode == "down":
            return self.chance.choice(DOWN)
        if self.mode == "mixed" and self.chance.random() < 0.25:
            is_busy = self.chance.random() < 0.02  # makes its whole webhook wait for a second
            return "busy" if is_busy else self.chance.choice(BAD)
        return self.chance.choice(GOOD)


async def _read(reader: asyncio.StreamReader) -> tuple[str, int, bytes]:
    """The `webhook-id`, the `webhook-timestamp` and the body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return headers["webhook-id"], int(headers["webhook-timestamp"]), body


async def _leave(behaviour: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection without an answer that can be understood."""
    match behaviour:
        case "hang":
            await reader.read(1)  # until hookd gives up
        case "half":
            writer.write(b"HTTP/1.1 20")
        case "reset":
            writer.transport.abort()
