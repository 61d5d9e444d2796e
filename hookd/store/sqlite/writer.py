"""The one thread that owns the database: it takes whatever has been asked for and commits it together.

The event loop appends operations and awaits their futures; the thread runs all that are queued in one
transaction and answers with one call back into the loop. A failed transaction fails the operations that
write, and nothing is half done. After any failure but a full disk the connection is closed and the file
opened and checked anew before the next use. A file that seems damaged is left alone for longer and longer: what is not
written to it can still be fixed, and where only the disk failed to read it, it is used again.

Must never: die silently, or run user code.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookd.domain.errors import HookdError, StoreDamaged, StoreFailed, StoreUnavailable, StoreUnusable
from hookd.store.sqlite.backlog_index import BacklogDelta, BacklogIndex
from hookd.store.sqlite.engine import Engine
from hookd.store.sqlite.open import finding_of, lock_database, primary_code
from hookd.store.sqlite.operations import Echo, Enqueue, Operation, Read, Write

_REOPEN_PAUSE_S = 1.0
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_DAMAGE_PAUSE_S = 60.0
_DAMAGE_FORGOTTEN_S = 600.0
_IF_IT_STAYS = (
    "Nothing is taken in or sent meanwhile. hookd checks it again by itself; if this persists, stop hookd, "
    "run `hookd check --store` for details, and restore the file from a backup."
)

_FAULTS = frozenset(
    {
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""Result codes that tell of the file or the disk; any other error is the fault of one operation."""


@dataclass(slots=True)
class BatchResult:
    """What one batch came to, for the event loop.

    Attributes:
        done: operations with their results, to be resolved.
        picture: the picture read anew because the file was opened again; taken over before `changes`.
        changes: what was committed, in order.
        commit_s: seconds the commits took; None when nothing was committed.
        fault: why writing failed, None when it works; meaningful only where `wrote`.
        wrote: whether a commit was tried that tells about the disk.
    """

    done: Sequence[Operation]
    picture: BacklogIndex | None = None
    changes: list[BacklogDelta] = field(default_factory=list)
    commit_s: float | None = None
    fault: str | None = None
    wrote: bool = False


class Writer:
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
        self._engine: Engine | None = None
        self._reopen_at = 0.0
        self._reason = ""
        self._damages = 0
        self._damaged_at = 0.0

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
                _refuse_one(call.future, StoreFailed(str(failure)))
        self._unanswered.clear()
        self._inbox = []

    # From here on: on the thread.

    def _run(self) -> None:
        try:
            lock = lock_database(self._path)
            try:
                self._engine = Engine(self._path)
                self._in_loop(_resolve, self._opened, self._engine.picture)
                while batch := self._take():
                    self._in_loop(self._answer, self._work(batch))
            finally:
                self._drop_engine()
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

    def _work(self, batch: list[Operation]) -> BatchResult:
        report = BatchResult(batch)
        try:
            self._write([call for call in batch if not isinstance(call, Read | Echo)], report)
            for call in batch:
                if isinstance(call, Read):
                    self._read(call, report)
        except BaseException as error:  # noqa: BLE001  no caller may wait for ever
            self._drop_engine()
            for call in batch:
                call.error = call.error or error
        return report

    def _write(self, calls: list[Operation], report: BatchResult) -> None:
        if not calls:
            return
        started_at = time.monotonic()
        try:
            self._commit(calls, report)
        except StoreUnavailable as error:
            _refuse(calls, error, report)
        except Exception:  # noqa: BLE001  one of them cannot be done; which, shows when each goes alone
            self._write_each(calls, report)
        if report.changes:
            report.commit_s = time.monotonic() - started_at

    def _write_each(self, calls: list[Operation], report: BatchResult) -> None:
        for call in calls:
            call.error = None
            try:
                self._commit([call], report, check_all=True)
            except StoreUnavailable as error:
                _refuse([call], error, report)
            except Exception as error:  # noqa: BLE001  it belongs to this call's caller, or to the file
                if _is_of_the_file(call, error):
                    _refuse([call], self._met_damage(error), report)
                elif isinstance(error, sqlite3.Error):
                    call.error = ValueError(f"cannot be stored: {error}")
                else:
                    call.error = error

    def _commit(self, calls: list[Operation], report: BatchResult, *, check_all: bool = False) -> None:
        engine = self._usable(report)
        try:
            report.changes.append(engine.commit(calls, check_all=check_all))
            report.wrote, report.fault = True, None
        except sqlite3.Error as error:
            if primary_code(error) not in _FAULTS:
                raise
            if primary_code(error) == sqlite3.SQLITE_IOERR:
                engine.take_back()
            raise self._give_up(error) from error
        except MemoryError as error:
            raise self._lacks_memory() from error

    def _read(self, call: Read, report: BatchResult) -> None:
        try:
            call.result = call.query(self._usable(report).connection)
        except StoreUnavailable as error:
            call.error = error
        except sqlite3.Error as error:
            known = primary_code(error) in _FAULTS
            call.error = self._give_up(error) if known else self._unreadable(error)
        except MemoryError:
            call.error = self._lacks_memory()
        except Exception as error:  # noqa: BLE001  no value that hookd wrote is refused by its own reading
            call.error = self._unreadable(error)

    def _usable(self, report: BatchResult) -> Engine:
        """The open database, opened and checked again after a failure; raises StoreUnavailable."""
        if self._engine is None:
            self._engine = self._reopen()
            report.picture = self._engine.picture
            report.changes.clear()
        return self._engine

    def _reopen(self) -> Engine:
        now = time.monotonic()
        if now < self._reopen_at:
            raise StoreUnavailable(self._reason)
        self._reopen_at = now + _REOPEN_PAUSE_S
        try:
            return Engine(self._path, again=True)
        except StoreDamaged as error:
            raise self._met_damage(error) from error
        except StoreUnusable as error:
            self._reason = str(error)
            raise StoreUnavailable(self._reason) from error

    def _give_up(self, error: sqlite3.Error) -> StoreUnavailable:
        """What callers are told; a connection whose disk failed, not merely ran full, is never used again."""
        if primary_code(error) in _DAMAGE:
            return self._met_damage(error)
        if primary_code(error) != sqlite3.SQLITE_FULL:
            self._drop_engine()
        self._reason = f"{self._path} cannot be written: {error}"
        return StoreUnavailable(self._reason)

    def _lacks_memory(self) -> StoreUnavailable:
        """What callers are told; what is kept in memory of the file is read anew."""
        self._drop_engine()
        return StoreUnavailable(f"{self._path} cannot be used: hookd is out of memory")

    def _met_damage(self, error: Exception) -> StoreUnavailable:
        """Leave the file alone: each time for twice as long, since a read may have failed at random."""
        self._drop_engine()
        now = time.monotonic()
        if now - self._damaged_at > _DAMAGE_FORGOTTEN_S:
            self._damages = 0
        self._reopen_at = now + min(_DAMAGE_PAUSE_S, _REOPEN_PAUSE_S * 2**self._damages)
        self._damages, self._damaged_at = self._damages + 1, now
        self._reason = f"{self._path} seems damaged ({finding_of(error)}). {_IF_IT_STAYS}"
        return StoreUnavailable(self._reason)

    def _unreadable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._path} holds a row that cannot be read ({finding_of(error)}): it may be damaged"
        )

    def _drop_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with contextlib.suppress(sqlite3.Error):
                engine.close()

    def _in_loop(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(call, *arguments)


def _is_of_the_file(call: Operation, error: Exception) -> bool:
    """Whether an error can only come from what the file holds: what is stored is given by callers, the rest read."""
    if isinstance(error, HookdError) or isinstance(call, Enqueue):
        return False
    return isinstance(error, sqlite3.Error) or not isinstance(call, Write)


def _refuse(calls: list[Operation], error: StoreUnavailable, report: BatchResult) -> None:
    report.wrote, report.fault = True, str(error)
    for call in calls:
        call.error = StoreUnavailable(report.fault)


def _resolve(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _refuse_one(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
