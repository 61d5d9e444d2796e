"""The one thread that owns the database: it takes whatever has been asked for and commits it together.

The event loop appends operations and awaits their futures; the thread has all that are queued done in one
transaction (`commit`) and answers with one call back into the loop.

Must never: die silently, or run user code.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hookd.domain.errors import StoreFailed, StoreUnavailable
from hookd.store.sqlite.backlog_index import BacklogIndex
from hookd.store.sqlite.commit import BatchResult, Committer
from hookd.store.sqlite.open import lock_database
from hookd.store.sqlite.operations import Operation


class ThreadHost:
    """The thread and its queue.

    Args:
        path: the database file.
        loop: where results are delivered.
        deliver: called in the loop with the report of each batch.

    Attributes:
        failed: done when nothing can be done any more, though nobody closed it; holds why.
    """

    def __init__(
        self, path: Path, loop: asyncio.AbstractEventLoop, deliver: Callable[[BatchResult], None]
    ) -> None:
        self._path = path
        self._loop = loop
        self._deliver = deliver
        self.failed: asyncio.Future[StoreFailed] = loop.create_future()
        self._thread = threading.Thread(target=self._run, name="hookd-store", daemon=True)
        self._inbox: list[Operation] = []
        self._unanswered: deque[list[Operation]] = deque()
        self._queue: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()
        self._opened: asyncio.Future[BacklogIndex] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._closing = False
        self._committer = Committer(path)

    async def open(self) -> BacklogIndex:
        """Start the thread and open the file; raises StoreUnusable."""
        self._thread.start()
        return await self._opened

    def submit(self, operation: Operation) -> None:
        """Queue an operation; those of one turn of the loop reach the thread together."""
        if self.failed.done():
            raise StoreFailed(str(self.failed.result()))
        if self._closing:
            raise StoreUnavailable("the store is closed")
        self._inbox.append(operation)
        if len(self._inbox) == 1:
            self._loop.call_soon(self._hand_over)

    async def close(self) -> None:
        """Let the thread finish what was asked and release the file."""
        if not self._closing:
            self._closing = True
            self._hand_over()
            self._queue.put(None)
        await asyncio.shield(self._ended)

    def check(self) -> None:
        """Notice a thread that could not even report its end."""
        if not (self._thread.is_alive() or self._ended.done()):
            self._fail(RuntimeError("it did not say why"))
            _resolve(self._ended, None)

    def _hand_over(self) -> None:
        if self._inbox:
            self._unanswered.append(self._inbox)
            self._queue.put(self._inbox)
            self._inbox = []

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
        failure = StoreFailed(f"the thread that writes {self._path} has ended ({type(error).__name__})")
        failure.__cause__ = error
        self.failed.set_result(failure)
        self._queue.put(None)  # it may still be there, where what took its report failed
        for part in (*self._unanswered, self._inbox):
            for call in part:
                call.refuse(StoreFailed(str(failure)))
        self._unanswered.clear()
        self._inbox = []

    # From here on: on the thread.

    def _run(self) -> None:
        try:
            lock = lock_database(self._path)
            try:
                self._in_loop(_resolve, self._opened, self._committer.open())
                while batch := self._take():
                    self._in_loop(self._answer, self._committer.work(batch))
            finally:
                self._committer.close()
                lock.release()
        except BaseException as error:  # noqa: BLE001  all that wait for the store must learn of it
            self._in_loop(self._fail, error)
        finally:
            self._in_loop(_resolve, self._ended, None)

    def _take(self) -> list[Operation]:
        """All that is queued, waiting for something; empty when the store is to close."""
        batch: list[Operation] = []
        part = self._queue.get()
        while part is not None:
            batch += part
            if self._queue.empty():
                return batch
            part = self._queue.get()
        if batch:
            self._queue.put(None)
        return batch

    def _in_loop(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(call, *arguments)


def _resolve(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)
