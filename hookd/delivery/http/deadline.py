"""A bound on the time of a whole attempt.

Does what `asyncio.timeout` does, at a third of its cost: one is needed for every attempt, and a good part of an attempt
is such overhead.

An event loop that was frozen runs its timers before it looks at its sockets, so a time that was up meanwhile is not
over before the sockets have been read.

Must never: hide a cancellation that came from elsewhere.
"""

import asyncio
from types import TracebackType

LATE_S = 0.5
"""A time that is noticed to be up this much too late was up while the event loop did not run: hookd was frozen."""

READING_S = 1.0
"""So long may then still be read what came meanwhile: it is no reason to ask for it a second time."""


class Deadline:
    """Cancels what the current task awaits within the `with` block once `seconds` have passed.

    Raises:
        TimeoutError: the time was up.
    """

    __slots__ = ("_cancelling", "_expired", "_loop", "_task", "_timer", "_up_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
        self._loop = loop
        self._up_at: float | None = loop.time() + seconds
        self._timer = loop.call_later(seconds, self._expire)

    def __enter__(self) -> None:
        """Nothing is left to do: the time runs since the construction."""

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc

    def _expire(self) -> None:
        if self._up_at is not None and self._loop.time() - self._up_at > LATE_S:
            self._up_at = None
            self._timer = self._loop.call_later(READING_S, self._expire)
            return
        self._expired = True
        self._task.cancel()
