"""Receivers on 127.0.0.x that behave by chance, and keep the book of what arrived.

Must never: answer what is not in the book yet. Called by: `prove`; the nemesis changes `mode`.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable

from tests.chaos.soak.books import Arrival, Books
from tests.kit.receiver import Exchange, Received, Receiver, response

GOOD = ("ok", "ok", "ok", "ok", "ok", "no content", "bare", "drip", "big", "bomb")
BAD = ("503", "500", "404", "302", "reset", "half", "close", "hang")
DOWN = ("reset", "503", "hang", "half")

UNANSWERED = frozenset({"reset", "half", "close", "hang"})
LAST = frozenset({"bare", "drip", "big", "bomb"})
"""After these answers the receiver closes the connection."""


_LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"
ANSWERS = {
    "ok": response(200),
    "no content": response(204),
    "bare": b"HTTP/1.0 200 \r\n\r\nfine",
    "drip": _LONG + b"x",
    "big": _LONG + b"x" * 500_000,
    "503": response(503),
    "500": response(500),
    "404": response(404),
    "302": response(302, "Location: /elsewhere"),
    "busy": response(429, "Retry-After: 1"),
    "bomb": b"HTTP/1.1 200 OK\r\n" + b"X-Bomb: b\r\n" * 60_000,
}

PATIENCE_S = 2.8
"""hookd waits longer than this for an answer, counted from the `webhook-timestamp`, a whole second."""

SLOW_S = 0.4
"""The longest a good receiver takes; far less than the webhooks' timeout."""


class ByChance(Receiver):
    """One webhook's receiver.

    Attributes:
        wall: what hookd's clock shows, in seconds since the epoch.
        mode: `mixed` fails one request in four, `good` never, `down` always; `stuck` answers none.
    """

    def __init__(
        self,
        webhook: str,
        host: str,
        books: Books,
        chance: random.Random,
        *,
        wall: Callable[[], float] = time.time,
        mode: str = "mixed",
    ) -> None:
        super().__init__(host=host)
        self.webhook, self.books, self.chance, self.wall, self.mode = webhook, books, chance, wall, mode

    @property
    def url(self) -> str:
        return f"{super().url}/{self.webhook}"

    async def play(self, exchange: Exchange) -> None:
        """Do something about the request that has come, and forget it: the books keep it."""
        self.requests.clear()
        reader, writer = exchange.reader, exchange.writer
        if not await self._act_by_chance(exchange.request, reader, writer):
            exchange.close()

    async def _act_by_chance(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer, or not; returns whether the connection stays."""
        arrival = self._note(request.id, request.body)
        sent_at = int(request.header("webhook-timestamp") or 0)
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


async def _leave(behaviour: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection without an answer that can be understood."""
    match behaviour:
        case "hang":
            await reader.read(1)  # until hookd gives up
        case "half":
            writer.write(b"HTTP/1.1 20")
        case "reset":
            writer.transport.abort()
