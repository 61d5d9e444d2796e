"""Open-loop load: requests fall due by the clock, whatever has become of those before them.

`pressure.py ADDRESS RATE SECONDS BATCH PREFIX REPORT` posts batches of events, each on an idle connection or else on a
new one. Writes one JSON object: requests by outcome, seconds from the due moment to the answer, and the prefix of each
accepted batch. Called by: `overload`, in processes of its own.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

ANSWER_S = 30.0


@dataclass
class Books:
    """What became of the requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    open: int = 0
    most_open: int = 0


class Exchange(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, books: Books, idle: list["Exchange"], again: Callable[[str, float], None]) -> None:
        self._books, self._idle, self._again = books, idle, again
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: tuple[str, float] | None = None
        self._answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._books.open += 1
        self._books.most_open = max(self._books.most_open, self._books.open)

    def ask(self, name: str, due_at: float, raw: bytes) -> None:
        assert self.transport is not None
        self._waiting = (name, due_at)
        self.transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = b""
        self._book(head)
        assert self.transport is not None
        if b"Connection: close" in head:
            self.transport.close()
        else:
            self._idle.append(self)

    def _book(self, head: bytes) -> None:
        if self._waiting is None:
            self._books.outcomes["unasked"] += head[9:12] not in (b"408", b"503")
            return
        (name, due_at), self._waiting = self._waiting, None
        self._answers += 1
        took_s = time.monotonic() - due_at
        outcome = head[9:12].decode()
        if outcome == "202":
            self._books.accepted.append(name)
            self._books.accepted_s.append(took_s)
        else:
            self._books.refused_s.append(took_s)
            if outcome == "503" and b"Retry-After: " not in head:
                outcome = "503 without Retry-After"
        self._books.outcomes[outcome] += 1

    def connection_lost(self, _exc: Exception | None) -> None:
        self._books.open -= 1
        if self in self._idle:
            self._idle.remove(self)
        if self._waiting is not None and self._answers:
            self._again(*self._waiting)  # closed while it lay idle: RFC 9112, 9.3.1
        elif self._waiting is not None:
            self._books.outcomes["closed without an answer"] += 1


def batch(name: str, size: int) -> bytes:
    """A POST of `size` events with ids of their own."""
    events = ",".join(f'{{"type":"vm","event":"on","id":"{name}-{n}"}}' for n in range(size))
    body = f"[{events}]".encode()
    head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


async def press(address: str, rate: float, seconds: float, size: int, prefix: str) -> Books:
    books, idle = Books(), list[Exchange]()
    loop = asyncio.get_running_loop()
    asking: set[asyncio.Task[None]] = set()

    async def ask(name: str, due_at: float) -> None:
        while not idle:
            try:
                exchange = await _connect(address, lambda: Exchange(books, idle, begin))
                break
            except BlockingIOError:  # the kernel's queue is full: other clients block here
                await asyncio.sleep(0.01)
            except OSError as exc:
                books.outcomes[f"not connected: {exc}"] += 1
                return
        else:
            exchange = idle.pop()
        exchange.ask(name, due_at, batch(name, size))

    def begin(name: str, due_at: float) -> None:
        task = loop.create_task(ask(name, due_at))
        asking.add(task)
        task.add_done_callback(asking.discard)

    began_at, number = time.monotonic(), 0
    while (now := time.monotonic()) < began_at + seconds:
        while number < (now - began_at) * rate:
            begin(f"{prefix}-{number}", began_at + number / rate)
            number += 1
        await asyncio.sleep(0.001)
    give_up_at = time.monotonic() + ANSWER_S
    while books.outcomes.total() < number and time.monotonic() < give_up_at:
        await asyncio.sleep(0.01)
    books.outcomes["no answer"] = number - books.outcomes.total()
    return books


async def _connect(address: str, make: Callable[[], Exchange]) -> Exchange:
    loop = asyncio.get_running_loop()
    if address.startswith("/"):
        _, protocol = await loop.create_unix_connection(make, address)
    else:
        host, _, port = address.rpartition(":")
        _, protocol = await loop.create_connection(make, host, int(port))
    return protocol


def main() -> None:
    address, rate, seconds, size, prefix, path = sys.argv[1:]
    books = uvloop.run(press(address, float(rate), float(seconds), int(size), prefix))
    report = {
        "outcomes": {name: count for name, count in books.outcomes.items() if count},
        "accepted": books.accepted,
        "accepted_s": [round(each, 4) for each in books.accepted_s],
        "refused_s": [round(each, 4) for each in books.refused_s],
        "most_open": books.most_open,
    }
    Path(path).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
