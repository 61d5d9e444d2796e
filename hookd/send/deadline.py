"""A bound on the time of a whole attempt.

Does what `asyncio.timeout` does, at a third of its cost: one is needed for every attempt, and a good part of an attempt
is such overhead.

Must never: hide a cancellation that came from elsewhere. Called by: `sender`.
"""

import asyncio
from types import TracebackType


class Deadline:
    """Cancels what the current task awaits within the `with` block once `seconds` have passed.

    Raises:
        TimeoutError: the time was up.
    """

    __slots__ = ("_cancelling", "_expired", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        task = asyncio.current_task(loop)
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._expired = False
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
        self._expired = True
        self._task.cancel()
