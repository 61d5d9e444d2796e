"""What has the store's work done, as the event loop sees it: calls go in, and come back in the order they were asked.

The calls of one turn of the loop go together as one part; parts are answered whole and in order.

Must never: block the loop, let a caller wait for what will not be done, or touch the database.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hookd.domain.errors import StoreFailed, StoreUnavailable
from hookd.store.sqlite.backlog_index import BacklogIndex
from hookd.store.sqlite.commit import BatchResult
from hookd.store.sqlite.operations import Operation


class Host(ABC):
    """Where the database is used.

    Args:
        path: the database file.
        loop: where results are delivered.
        deliver: called in the loop with the report of each batch.

    Attributes:
        failed: done when nothing can be done any more, though nobody closed it; holds why.
    """

    what = ""
    """What it is, as messages name it."""

    def __init__(
        self, path: Path, loop: asyncio.AbstractEventLoop, deliver: Callable[[BatchResult], None]
    ) -> None:
        self._path = path
        self._loop = loop
        self._deliver = deliver
        self.failed: asyncio.Future[StoreFailed] = loop.create_future()
        self._inbox: list[Operation] = []
        self._unanswered: deque[list[Operation]] = deque()
        self._opened: asyncio.Future[BacklogIndex] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The process that uses the database, where that is not this one."""
        return None

    async def open(self) -> BacklogIndex:
        """Open the file; raises StoreUnusable."""
        self._begin()
        return await self._opened

    def submit(self, operation: Operation) -> None:
        """Queue an operation; those of one turn of the loop go together."""
        if self.failed.done():
            raise StoreFailed(str(self.failed.result()))
        if self._closing:
            raise StoreUnavailable("the store is closed")
        self._inbox.append(operation)
        if len(self._inbox) == 1:
            self._loop.call_soon(self._hand_over)

    async def close(self) -> None:
        """Have what was asked finished, and the file released."""
        if not self._closing:
            self._closing = True
            self._hand_over()
            self._end()
        await asyncio.shield(self._ended)

    @abstractmethod
    def check(self) -> None:
        """Notice an end that could not be reported."""

    @abstractmethod
    def _begin(self) -> None:
        """Start what uses the database; it settles `_opened`."""

    @abstractmethod
    def _send(self, part: list[Operation]) -> None:
        """Have a part done; it is among the unanswered ones."""

    @abstractmethod
    def _end(self) -> None:
        """Let it end when all parts are done; then `_ended` is settled."""

    def _hand_over(self) -> None:
        if self._inbox:
            part, self._inbox = self._inbox, []
            self._unanswered.append(part)
            self._send(part)

    def _answer(self, report: BatchResult) -> None:
        """Have the report of a batch taken over, which is of the parts that have waited longest."""
        if self.failed.done():
            return
        try:
            self._deliver(report)
        except BaseException as error:  # noqa: BLE001  what is known of the file is now wrong
            self._fail(error)
            return
        answered = len(report.done)
        while answered:
            answered -= len(self._unanswered.popleft())

    def _fail(self, error: BaseException) -> None:
        """Let nobody wait for what will not be done."""
        if not self._opened.done():
            self._opened.set_exception(error)
            return
        if self.failed.done():
            return
        failure = StoreFailed(f"{self.what} that writes {self._path} has ended ({_cause(error)})")
        failure.__cause__ = error
        self.failed.set_result(failure)
        self._end()  # it may still be there, where what took its report failed
        self._refuse(self._take_unanswered(), failure)

    def _take_unanswered(self) -> list[Operation]:
        """All that was asked and not answered, which is forgotten here."""
        calls = [call for part in (*self._unanswered, self._inbox) for call in part]
        self._unanswered.clear()
        self._inbox = []
        return calls

    def _refuse(self, calls: list[Operation], error: StoreUnavailable) -> None:
        for call in calls:
            call.refuse(type(error)(str(error)))


def resolve(future: asyncio.Future[Any], value: object) -> None:
    """Settle a future that may be settled already."""
    if not future.done():
        future.set_result(value)


def _cause(error: BaseException) -> str:
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
