"""The latest facts, numbered and kept in memory for those who follow them live (`GET /v1/tail`).

A ring of fixed size, shared by all readers: each remembers only how far it has come. One that is too slow misses what
has been overwritten, and learns how much; it costs neither time nor memory. What nobody reads costs no more than to be
put there: it becomes a `LogRecord` when it is first read.

Must never: write anything, wait for a reader, or know what a fact means.
"""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hookd.domain.clock import Clock

KEPT = 4096
"""How many facts are kept: what a reader that comes back can be told."""


@dataclass(slots=True)
class LogRecord:
    """One fact.

    Attributes:
        number: counts from 1 in each run of the daemon.
        at: seconds since the epoch.
        level: `debug`, `info`, `warning` or `error`.
        facts: its keys and values, as they are logged.
        line: its encoding, once one reader has made it: all readers share it.
    """

    number: int
    at: float
    level: str
    name: str
    facts: Mapping[str, Any]
    line: bytes | None = None


_Unread = tuple[int, float, str, str, Mapping[str, Any]]
"""The fields of a `LogRecord`."""


class LogTail:
    """The facts of one run of the daemon. Made, and read, in the event loop.

    Attributes:
        run: names this run, so that a number of another one is recognised.
        latest: the number of the last fact; 0 before the first.
        closed: no more facts will come; readers end.
    """

    def __init__(self, clock: Clock, *, kept: int = KEPT) -> None:
        self.run = os.urandom(6).hex()
        self.latest = 0
        self.closed = False
        self._clock = clock
        self._ring: list[LogRecord | _Unread | None] = [None] * kept
        self._kept = kept
        self._wakeups: set[asyncio.Event] = set()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @property
    def readers(self) -> int:
        """How many follow now."""
        return len(self._wakeups)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.now()

    def put(self, level: str, name: str, facts: Mapping[str, Any]) -> None:
        """Keep a fact and wake the readers; from any thread."""
        if threading.get_ident() != self._thread:
            with suppress(RuntimeError):  # the loop is closed: nobody follows any more
                self._loop.call_soon_threadsafe(self.put, level, name, facts)
            return
        self.latest = number = self.latest + 1
        self._ring[number % self._kept] = (number, self._clock.now(), level, name, facts)
        if self._wakeups:
            self._wake()

    def after(self, number: int, most: int) -> tuple[int, list[LogRecord]]:
        """The facts that follow `number`, at most `most`, and how many before them are kept no more."""
        first = max(number + 1, self.latest - self._kept + 1)
        kept = (self._read(n % self._kept) for n in range(first, min(first + most, self.latest + 1)))
        return first - number - 1, [fact for fact in kept if fact is not None]

    def _read(self, place: int) -> LogRecord | None:
        """What is kept there; a record that several readers read is made once."""
        found = self._ring[place]
        if isinstance(found, tuple):
            found = self._ring[place] = LogRecord(*found)
        return found

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Event]:
        """Follow: the event is set whenever there may be something new, and once the tail is closed."""
        wakeup = asyncio.Event()
        self._wakeups.add(wakeup)
        try:
            yield wakeup
        finally:
            self._wakeups.discard(wakeup)

    def close(self) -> None:
        """Let the readers take what is there, and end."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for wakeup in self._wakeups:
            wakeup.set()
