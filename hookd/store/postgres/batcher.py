"""Calls of one kind on one connection: while one batch is under way, the next collects.

So a call waits for at most one batch, and the more come at once the fewer commits they cost.

Must never: know what a call asks for.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from hookd.domain.errors import StoreUnavailable


class BatchedCall:
    """What a caller waits for."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def resolve(self, result: object) -> None:
        """Hand the result to the caller, who may have gone meanwhile."""
        if not self.future.done():
            self.future.set_result(result)

    def refuse(self, error: BaseException) -> None:
        """Let the caller, who may have gone meanwhile, know that nothing was done."""
        if not self.future.done():
            self.future.set_exception(error)

    @property
    def weight(self) -> int:
        """How much of a batch it takes."""
        return 1


C = TypeVar("C", bound=BatchedCall)


class Batcher(Generic[C]):
    """Takes calls and hands them over in batches, one at a time.

    Args:
        work: does a batch and resolves or refuses each of its calls.
        most: the most weight of a batch of more than one call.
        on_failure: called where `work` itself fails, which ends it.
    """

    def __init__(
        self,
        work: Callable[[list[C]], Awaitable[None]],
        *,
        most: int,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._work = work
        self._most = most
        self._on_failure = on_failure
        self._waiting: deque[C] = deque()
        self._bell = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed: StoreUnavailable | None = None
        self._task = asyncio.create_task(self._run())

    def submit(self, call: C) -> C:
        """Queue a call. Raises StoreUnavailable when closed."""
        if self._closed is not None:
            raise self._closed
        self._waiting.append(call)
        self._idle.clear()
        self._bell.set()
        return call

    async def idle(self) -> None:
        """Return when nothing waits and nothing is under way."""
        await self._idle.wait()

    @property
    def is_alive(self) -> bool:
        """Whether it still works."""
        return not self._task.done()

    async def close(self, error: StoreUnavailable) -> None:
        """Refuse what comes from now on, finish what was asked, and end."""
        self._closed = self._closed or error
        if self.is_alive:
            await self.idle()
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await self._bell.wait()
            self._bell.clear()
            while self._waiting:
                batch = self._take()
                try:
                    await self._work(batch)
                except BaseException as error:
                    self._end(batch, error)
                    raise
            self._idle.set()

    def _take(self) -> list[C]:
        batch = [self._waiting.popleft()]
        weight = batch[0].weight
        while self._waiting and (weight := weight + self._waiting[0].weight) <= self._most:
            batch.append(self._waiting.popleft())
        return batch

    def _end(self, batch: list[C], error: BaseException) -> None:
        """Nobody may wait for ever."""
        self._on_failure(error)
        refusal = self._closed or StoreUnavailable(f"the store's batches have ended: {type(error).__name__}")
        self._closed = refusal
        for call in (*batch, *self._waiting):
            call.refuse(refusal)
        self._waiting.clear()
        self._idle.set()
