"""Bounds on the time of attempts: one timer for all of them.

Attempts with the same bound end in the order in which they begin, so each bound has a dict of them in that order, and
only its first entry is ever looked at.

An event loop that was frozen runs its timers before it looks at its sockets, so a time that was up meanwhile is not
over before the sockets have been read.

Must never: let a time be up too early, or more than `INTERVAL_S` late.
"""

import asyncio
from math import inf
from typing import Protocol

INTERVAL_S = 0.1
"""The least time between two looks: what is up between them waits for the next."""

LATE_S = 0.5
"""A time that is noticed to be up this much too late was up while the event loop did not run: hookd was frozen."""

READING_S = 1.0
"""So long may then still be read what came meanwhile: it is no reason to ask for it a second time."""


class BoundInTime(Protocol):
    """Something that takes a bounded time."""

    def expire(self) -> None:
        """Its time is up, and it is no longer bounded. Must not raise."""


class Deadlines:
    """What runs against time. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: dict[
            float, dict[BoundInTime, float]
        ] = {}  # by bound; with the instant at which each is up
        self._late: dict[BoundInTime, float] = {}  # was up while the loop was frozen
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = inf

    def begin(self, timed: BoundInTime, seconds: float) -> None:
        """Let the time of something begin."""
        up_at = self._loop.time() + seconds
        running = self._running.get(seconds)
        if running is None:
            running = self._running[seconds] = {}
        running[timed] = up_at
        if up_at < self._look_at:
            self._look(up_at)

    def end(self, timed: BoundInTime, seconds: float) -> None:
        """Take note that something is over; `seconds` as it began. Again: nothing."""
        running = self._running.get(seconds)
        if running is None or running.pop(timed, None) is None:
            self._late.pop(timed, None)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._look_at = None, inf

    def _look(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look_at = at
        self._timer = self._loop.call_at(at, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        self._timer, self._look_at = None, inf
        up = _up(self._late, now)
        for timed in up:
            del self._late[timed]
        for seconds, running in tuple(self._running.items()):
            for timed in _up(running, now):
                if now - running.pop(timed) > LATE_S:
                    self._late[timed] = now + READING_S
                else:
                    up.append(timed)
            if not running:
                del self._running[seconds]
        self._look_again(now)
        for timed in up:
            timed.expire()

    def _look_again(self, now: float) -> None:
        firsts = [next(iter(each.values())) for each in (self._late, *self._running.values()) if each]
        if firsts:
            self._look(max(min(firsts), now + INTERVAL_S))


def _up(running: dict[BoundInTime, float], now: float) -> list[BoundInTime]:
    """Those whose time is up, which stand first."""
    up = []
    for timed, up_at in running.items():
        if up_at > now:
            break
        up.append(timed)
    return up
