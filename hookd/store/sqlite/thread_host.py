"""The host that is a thread: it takes whatever has been asked for and commits it together.

The event loop queues parts; the thread has all that are queued done in one transaction (`commit`) and answers with one
call back into the loop.

Must never: die silently, or run user code.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hookd.store.sqlite.commit import BatchResult, Committer
from hookd.store.sqlite.host import Host, resolve
from hookd.store.sqlite.lock import UseLock
from hookd.store.sqlite.open import lock_database
from hookd.store.sqlite.operations import Operation

PACED_CALLS = 8
PACE_S = 0.001
"""After a commit of more calls than `PACED_CALLS` the next waits this long, for more calls to share it: that many come
soon again, and each commit costs the loop as much as an event does, since this thread runs instead of it."""


class ThreadHost(Host):
    """The thread and its queue."""

    what = "the thread"

    def __init__(
        self, path: Path, loop: asyncio.AbstractEventLoop, deliver: Callable[[BatchResult], None]
    ) -> None:
        super().__init__(path, loop, deliver)
        self._thread = threading.Thread(target=self._run, name="hookd-store", daemon=True)
        self._queue: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()
        self._committer = Committer(path)

    def check(self) -> None:
        """Notice a thread that could not even report its end."""
        if not (self._thread.is_alive() or self._ended.done()):
            self._fail(RuntimeError("it did not say why"))
            resolve(self._ended, None)

    def _begin(self) -> None:
        self._thread.start()

    def _send(self, part: list[Operation]) -> None:
        self._queue.put(part)

    def _end(self) -> None:
        self._queue.put(None)

    # From here on: on the thread.

    def _run(self) -> None:
        try:
            lock, use = lock_database(self._path), UseLock(self._path)
            try:
                self._in_loop(resolve, self._opened, self._committer.open())
                batch: list[Operation] = []
                while batch := self._take(paced=len(batch) > PACED_CALLS):
                    self._in_loop(self._answer, self._committer.work(batch))
            finally:
                self._committer.close()
                use.release()
                lock.release()
        except BaseException as error:  # noqa: BLE001  all that wait for the store must learn of it
            self._in_loop(self._fail, error)
        finally:
            self._in_loop(resolve, self._ended, None)

    def _take(self, *, paced: bool) -> list[Operation]:
        """All that is queued, waiting for something; empty when the store is to close."""
        batch: list[Operation] = []
        part = self._queue.get()
        if paced and part is not None:
            time.sleep(PACE_S)
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
