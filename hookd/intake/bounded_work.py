"""How much a request may make of messages, and how long it may keep others from the loop meanwhile (spec 14).

Must never: match or render.
"""

import asyncio
from collections.abc import Callable

from hookd.domain.clock import Clock
from hookd.domain.errors import EventRejected

MOST_RENDERED = 32 << 20
"""Bytes that the messages of one request may take, unless a single one may take more."""

SLICE_S = 0.005
"""After so much work without a pause, what else the loop has to do comes first."""

_WORTH_HOLDING = 4096
"""Shorter messages are what is held for an event in any case."""


def hold_nothing(_size: int) -> None:
    """Where no request holds memory."""


class Rendering:
    """How much the messages of one request take: bounded before they are stored, and held in memory's budget."""

    def __init__(self, hold: Callable[[int], None], largest_message: int) -> None:
        self._hold = hold
        self._left = max(MOST_RENDERED, largest_message)

    def add(self, body: bytes) -> None:
        """Count one message.

        Raises:
            EventRejected: 413; all of them take too much.
        """
        self._left -= len(body)
        if self._left < 0:
            raise EventRejected(
                413,
                "Too much to store",
                f"the messages of this request take more than {MOST_RENDERED >> 20} MiB; nothing was stored: "
                "post fewer events at once, or let fewer or shorter messages hold their data",
            )
        if len(body) > _WORTH_HOLDING:
            self._hold(len(body))


class Turn:
    """Lets others have the loop between the steps of a long piece of work."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic() + SLICE_S

    async def rest(self) -> None:
        """Between two steps: make way for others once it is time."""
        if self._clock.monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = self._clock.monotonic() + SLICE_S
