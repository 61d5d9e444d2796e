"""Time that a test sets: hookd's clock and the running event loop's are one, and nobody has to wait.

It works on asyncio's own loop; uvloop keeps its time in C.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hookd.domain.clock import Clock

GRACE_S = 0.005
"""So long something may still come from a socket before the time is skipped until the next timer."""


class LoopClock(Clock):
    """The machine's clocks, as far ahead as time went by in a test; timers of the loop it is made in follow it.

    Attributes:
        ahead_s: of the wall clock, which may also be set.
        mono_ahead_s: of the monotonic clock, which is the loop's.
    """

    def __init__(self) -> None:
        self.ahead_s = self.mono_ahead_s = 0.0
        loop = asyncio.get_running_loop()
        assert isinstance(loop, asyncio.BaseEventLoop), "time can be set on asyncio's own loop alone"
        self._machine = loop.time
        loop.time = self.monotonic  # type: ignore[method-assign]

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return self._machine() + self.mono_ahead_s

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.ahead_s += seconds
        self.mono_ahead_s += seconds

    @contextmanager
    def skipping(self) -> Iterator[None]:
        """Let time go by up to the next timer, whenever nothing else is to be done.

        What is waited for must come from this loop or through a socket, at once: a thread would be left behind.
        """
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        select = selector.select

        def skip(timeout_s: float | None = None) -> object:
            events = select(timeout_s if timeout_s is None else min(timeout_s, GRACE_S))
            if not events and timeout_s is not None:
                self.advance(max(0.0, timeout_s - GRACE_S))
            return events

        selector.select = skip
        try:
            yield
        finally:
            selector.select = select


def on_asyncio() -> bool:
    """Whether the running loop's time can be set."""
    return isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
