"""The keep-alive race: receivers that close idle connections at the very moment hookd sends on them again (spec 5).

The receiver is a protocol of its own, because it must know, for every close, whether a request had reached the kernel
unread. It answers what it reads, always; so a delivery may be lost only by hookd, and none may be read twice, except
where the receiver closed after reading.
"""

import asyncio
import fcntl
import random
import struct
import termios
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers.stage import WebhookStage, webhook
from tests.kit.receiver import response

LANES = 20


@dataclass
class Book:
    """What the receivers saw.

    Attributes:
        read: how often each delivery's request was read whole.
        dropped: deliveries whose request was read, and whose connection was then closed without a byte of answer.
        unread: closes that hit a request which had come but was not read.
        struck: these of them that waited for it; the others were chance.
        closes: closes of connections that had answered before.
    """

    chance: random.Random
    read: Counter[str] = field(default_factory=Counter)
    dropped: set[str] = field(default_factory=set)
    unread: int = 0
    struck: int = 0
    closes: int = 0
    connections: int = 0


class Fickle(asyncio.Protocol):
    """Answers, then closes when its idle time is up, whatever may be under way; or at once on the next request.

    `drops` is the share of requests on used connections that it reads and then closes without an answer.
    """

    def __init__(self, book: Book, *, idle_s: tuple[float, float], strikes: float, drops: float) -> None:
        self._book = book
        self._idle_s = idle_s
        self._strikes = strikes
        self._drops = drops
        self._buffer = b""
        self._answered = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._book.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        lowered = head.lower()
        if not found or len(rest) < int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0]):
            return
        self._buffer = b""
        if self._timer is not None:
            self._timer.cancel()
        delivery = lowered.split(b"webhook-id: ")[1].split(b"\r\n")[0].decode()
        self._book.read[delivery] += 1
        if self._answered and self._book.chance.random() < self._drops:
            self._book.dropped.add(delivery)
            self._transport.abort()
            return
        self._transport.write(response(200))
        self._answered += 1
        self._rest()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        if self._book.chance.random() < self._strikes:
            self._transport.pause_reading()  # so the next request stays unread, and the close hits it
            self._timer = loop.call_later(0.001, self._strike)
        else:
            self._timer = loop.call_later(self._book.chance.uniform(*self._idle_s), self._close)

    def _strike(self) -> None:
        if self._unread_bytes():
            self._book.struck += 1
            self._close()
        elif not self._transport.is_closing():
            self._timer = asyncio.get_running_loop().call_later(0.001, self._strike)

    def _close(self) -> None:
        self._book.closes += 1
        self._book.unread += self._unread_bytes() > 0
        self._transport.abort()

    def _unread_bytes(self) -> int:
        if self._transport.is_closing():
            return 0
        number: int = self._transport.get_extra_info("socket").fileno()
        return int(struct.unpack("i", fcntl.ioctl(number, termios.FIONREAD, b"    "))[0])


async def _run(
    options: Options, found: Findings, *, part: str, count: int, idle: float, strikes: float, drops: float
) -> None:
    chance = options.chance()
    book = Book(chance)
    loop = asyncio.get_running_loop()
    pause_s = 0.004

    def make() -> Fickle:
        return Fickle(book, idle_s=(idle * pause_s / 2, idle * pause_s * 2), strikes=strikes, drops=drops)

    server = await loop.create_server(make, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    hooks = {f"w{number}": webhook(url, concurrency=1) for number in range(LANES)}
    ids: list[str] = []

    async def post(name: str) -> None:
        for _ in range(count // LANES):
            ids.append(await stage.send(name))
            await asyncio.sleep(chance.uniform(0, 2 * pause_s))

    async with server, WebhookStage(options.place(part), hooks) as stage:
        await asyncio.gather(*map(post, hooks))
        await stage.daemon.settled()
        counts = (await stage.daemon.get("/v1/status"))["deliveries"]
        dead = (await stage.daemon.get("/v1/deliveries?state=dead&limit=5"))["deliveries"]
    lost = [each for each in ids if not book.read[each.lower()]]
    twice = [each for each in ids if book.read[each.lower()] > 1]
    unexplained = [each for each in twice if each.lower() not in book.dropped]
    errors = sorted({each["last_error"] for each in dead})
    found.expect(not lost, f"{part}: {len(lost)} of {len(ids)} never read, {lost[:3]}")
    found.expect(not counts["dead"], f"{part}: {counts['dead']} of {len(ids)} dead: {errors}")
    found.expect(not unexplained, f"{part}: {len(unexplained)} of {len(ids)} read twice for no reason")
    found.expect(book.unread, f"{part}: no close met a request; nothing is shown")
    found.expect(not drops or book.dropped, f"{part}: no request was dropped; nothing is shown")
    found.figures[part] = (
        f"{len(lost)} lost, {len(unexplained)} read twice without having been dropped, of {len(ids)} deliveries; "
        f"{book.closes} closes, {book.unread} of them on a request not yet read "
        f"({book.unread - book.struck} by chance); "
        f"{book.connections} connections; "
        f"{len(book.dropped)} dropped after reading, {len(twice)} read twice for that"
    )


async def prove(options: Options, found: Findings) -> None:
    """Closes around the reuse; then also closes after reading, where a second request is right."""
    count = options.scale(short=1000, long=20_000)
    await _run(options, found, part="keepalive_race", count=count, idle=1, strikes=0.2, drops=0.0)
    await _run(options, found, part="keepalive_dropped", count=count // 4, idle=40, strikes=0.1, drops=0.2)
