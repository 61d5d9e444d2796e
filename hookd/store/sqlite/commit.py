"""What becomes of a batch of operations: one transaction, and where that fails, the least that is refused for it.

A failed transaction fails the operations that write, and nothing is half done. After any failure but a full disk the
connection is closed and the file opened and checked anew before the next use. A file that seems damaged is left alone
for longer and longer: what is not written to it can still be fixed, and where only the disk failed to read it, it is
used again.

Must never: know where it runs, raise for one batch, or run on two threads.
"""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hookd.domain.errors import HookdError, StoreDamaged, StoreUnavailable, StoreUnusable
from hookd.store.sqlite.backlog_index import BacklogDelta, BacklogIndex
from hookd.store.sqlite.engine import Engine
from hookd.store.sqlite.open import finding_of, primary_code
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


class Committer:
    """One database file and what is done to it, batch by batch.

    Args:
        path: the file; whoever makes this holds its lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: Engine | None = None
        self._reopen_at = 0.0
        self._reason = ""
        self._damages = 0
        self._damaged_at = 0.0

    def open(self) -> BacklogIndex:
        """Open the file for the first time; raises StoreUnusable."""
        self._engine = Engine(self._path)
        return self._engine.picture

    def close(self) -> None:
        """Move the write-ahead log into the file and close it."""
        self._drop_engine()

    def work(self, batch: list[Operation]) -> BatchResult:
        """Do what is asked for, as far as it can be done, and fill in the results and errors."""
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


def _is_of_the_file(call: Operation, error: Exception) -> bool:
    """Whether an error can only come from what the file holds: what is stored is given by callers, the rest read."""
    if isinstance(error, HookdError) or isinstance(call, Enqueue):
        return False
    return isinstance(error, sqlite3.Error) or not isinstance(call, Write)


def _refuse(calls: list[Operation], error: StoreUnavailable, report: BatchResult) -> None:
    report.wrote, report.fault = True, str(error)
    for call in calls:
        call.error = StoreUnavailable(report.fault)
