"""Opening a database file: what is looked at first, how it is set up, and bringing its schema forward.

Must never: replace, truncate or repair a file that is not as expected; a file that is refused stays as it is.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from hookd.domain.errors import HookdError, StoreDamaged, StoreUnusable
from hookd.domain.text import error_text
from hookd.store.sqlite import wal_check
from hookd.store.sqlite.lock import FileLock, UseLock

APPLICATION_ID = 0x686F6F6B
"""Marks the file as hookd's (the bytes `hook`)."""

_MAGIC = b"SQLite format 3\0"
_QUICK_CHECK_S = 0.8
_LOG_CHECK_S = 3.0
"""Enough for a log as it is left in use (16 MiB, 0.5 s), not for one of gigabytes that a killed migration left."""

_LOCK_WAIT_S = 1.0
_OLDEST_SQLITE = (3, 37)  # STRICT tables
_LEFT_AS_IS = (
    "The file is left as it is: restore it from a backup, "
    "or move it away (with its -wal file) to start empty."
)


def open_database(path: Path, *, again: bool = False) -> sqlite3.Connection:
    """Open a database for this process alone, check it and bring its schema up to date.

    The caller holds the file's `FileLock`. A file that does not exist or is empty becomes a new database,
    mode 0600.

    Args:
        path: the file.
        again: it was open in this process until its disk failed. Then it must still be there, and its log
            is moved into it before anything is added: what a failed sync left in the log may never reach
            the disk.

    Raises:
        StoreDamaged: the file is damaged.
        StoreUnusable: the file cannot be used; says why and what to do.
    """
    _refuse_unfit(path, new=not again)
    _refuse_broken_log(path)
    try:
        connection = _connect(path)
        try:
            _refuse_damaged(connection, path)
            # What was brought forward goes into the file itself: it may not look empty without its log.
            if migrate(connection, path, packaged_migrations()) or again:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except BaseException:
            close_as_it_is(connection)
            raise
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    return connection


def lock_database(path: Path) -> FileLock:
    """Keep every other hookd away from this file; taken before the file is opened.

    Raises:
        StoreUnusable: another one has it, or this is no place for a database.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreUnusable(f"this Python has SQLite {sqlite3.sqlite_version}; hookd needs 3.37 or newer")
    if _loops(path):
        raise StoreUnusable(f"{path} is a link that leads to itself: daemon.store names the database file")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise StoreUnusable(f"{path} is not a regular file: daemon.store names the database file")
    if path.is_dir():
        raise StoreUnusable(f"{path} is a directory: daemon.store names the database file itself")
    if not path.parent.is_dir():
        raise StoreUnusable(f"{path.parent} does not exist: create the directory, or correct daemon.store")
    return FileLock(path)


def _loops(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def deep_check(path: Path) -> list[str]:
    """Look at every row and index of a store that no daemon uses; returns what is wrong, or nothing.

    Raises:
        StoreUnusable: there is no such store, it is in use, or it is no database of hookd's.
    """
    if not path.is_file():
        raise StoreUnusable(f"{path} does not exist or is not a file")
    lock = lock_database(path)
    try:
        use = UseLock(path)
    except BaseException:
        lock.release()
        raise
    try:
        _refuse_unfit(path, new=False)
        if fault := wal_check.fault_in(_log_of(path)):
            return [fault]
        connection = _connect(path)
        try:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise unusable(path, error) from error
        return [str(error)]
    finally:
        use.release()
        lock.release()
    return [text for (text,) in rows if text != "ok"]


def schema_version() -> int:
    """The schema version this program writes."""
    return max(number for number, _ in packaged_migrations())


def _refuse_unfit(path: Path, *, new: bool) -> None:
    """Look at the file before SQLite does, which would make a new one or discard a log without asking."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if new else 0), 0o600)
    except OSError as error:
        raise StoreUnusable(
            f"{path} cannot be opened for writing ({error_text(error)}): hookd needs to read and write it"
        ) from error
    try:
        head = os.pread(fd, len(_MAGIC), 0)
    finally:
        os.close(fd)
    if head and head != _MAGIC:
        raise StoreUnusable(f"{path} is not a database. {_LEFT_AS_IS}")
    if not head and not new:
        raise StoreUnusable(f"{path} is empty; it held a database. Restore it from a backup.")
    if not head and _size(_log_of(path)):
        raise StoreUnusable(
            f"{path} is empty, but {_log_of(path)} beside it holds data of the database that was there. "
            "Put the database back, or move the -wal file away to start empty."
        )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw",
        uri=True,
        timeout=_LOCK_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    new = _size(path) == 0
    try:
        connection.execute(
            "PRAGMA locking_mode=EXCLUSIVE"
        ).fetchall()  # first: the log's index then lives in memory
        _refuse_foreign(connection, path)  # before anything is set that is written to the file
        for pragma in (
            *(["auto_vacuum=INCREMENTAL"] if new else []),  # in a file that has tables it would only write
            "journal_mode=WAL",
            "synchronous=FULL",
            "cache_size=-16384",
            "temp_store=MEMORY",
            "wal_autocheckpoint=4000",
            "journal_size_limit=33554432",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except BaseException:
        close_as_it_is(connection)
        raise
    return connection


def close_as_it_is(connection: sqlite3.Connection) -> None:
    """Close without moving the log into a file that is refused: an interrupted connection moves nothing."""
    connection.interrupt()
    connection.close()


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    application_id, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and application_id != APPLICATION_ID:
        raise StoreUnusable(f"{path} is a database of another program. {_LEFT_AS_IS}")
    if version > schema_version():
        raise StoreUnusable(
            f"{path} has schema version {version}, made by a newer hookd; this one knows up to version "
            f"{schema_version()}. Install the newer hookd again, or restore a backup from before it."
        )


def _refuse_broken_log(path: Path) -> None:
    if fault := wal_check.fault_in(_log_of(path), timeout_s=_LOG_CHECK_S):
        raise damaged(path, fault)


def _refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    missing = _missing_pages(connection, path)
    if missing > 0:
        raise damaged(path, f"it is cut off, at least {missing} pages are missing")
    findings = _quick_check(connection)
    if findings:
        raise damaged(path, findings)


def _missing_pages(connection: sqlite3.Connection, path: Path) -> int:
    """How many pages are neither in the file nor can be in its write-ahead log."""
    page_size = _pragma(connection, "page_size")
    in_log = max(0, _size(_log_of(path)) - 32) // (page_size + 24)
    return _pragma(connection, "page_count") - _size(path) // page_size - in_log


def _quick_check(connection: sqlite3.Connection) -> str:
    """The first structural fault found within a bounded time, or nothing.

    Interrupted from a thread, because a progress handler is not called while SQLite walks one large tree.
    """
    time_is_up = threading.Timer(_QUICK_CHECK_S, connection.interrupt)
    time_is_up.start()
    try:
        (text,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        return ""
    finally:
        time_is_up.cancel()
        time_is_up.join()
    return "" if text == "ok" else str(text).replace("\n", "; ")


def migrate(connection: sqlite3.Connection, path: Path, migrations: Iterable[tuple[int, str]]) -> bool:
    """Run each newer migration in a transaction of its own, together with the version it leads to.

    Args:
        connection: outside a transaction.
        path: the file, for messages.
        migrations: schema versions and the SQL that leads to each from the one before, in order.

    Returns:
        Whether any was run.

    Raises:
        StoreUnusable: one failed; those before it are done, of it nothing is.
    """
    version = _pragma(connection, "user_version")
    for number, sql in migrations:
        if number <= version:
            continue
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreUnusable(
                f"{path} could not be brought from schema version {number - 1} to {number} ({error}). "
                "Nothing was changed; make room or restore a backup, and start again."
            ) from error
    return _pragma(connection, "user_version") > version


def packaged_migrations() -> Iterator[tuple[int, str]]:
    """The packaged migrations with their numbers, in order."""
    files = (
        file
        for file in resources.files("hookd.store.sqlite").joinpath("migrations").iterdir()
        if file.name.endswith(".sql")
    )
    for file in sorted(files, key=lambda file: file.name):
        yield int(file.name.partition("_")[0]), file.read_text("utf-8")


def unusable(path: Path, error: sqlite3.Error) -> StoreUnusable:
    """The same as `error`, for an operator."""
    match primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            text = (
                f"{path} is in use by another program: end it (lsof or fuser name it), then start hookd again"
            )
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, str(error))
        case sqlite3.SQLITE_NOTADB:
            text = f"{path} is not a database. {_LEFT_AS_IS}"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            text = f"{path} cannot be written ({error}): hookd needs to write the file and its directory"
        case sqlite3.SQLITE_FULL:
            text = f"{path} cannot be set up: the disk is full. Make room, then start hookd again"
        case _:
            text = f"{path} cannot be used: {error}"
    return StoreUnusable(text)


def finding_of(error: Exception) -> str:
    """What an error says of the file: in SQLite's words, or ours; what Python makes of a value is of no help."""
    if isinstance(error, HookdError) or getattr(error, "sqlite_errorcode", None) is not None:
        return str(error)
    return f"it holds a value that hookd never wrote: {type(error).__name__}"


def damaged(path: Path, finding: str) -> StoreDamaged:
    """The refusal of a damaged file, for an operator."""
    return StoreDamaged(f"{path} is damaged ({finding}). {_LEFT_AS_IS}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; errors of the Python module itself have none."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _log_of(path: Path) -> Path:
    """The write-ahead log, which stands beside the file itself and not beside a link to it."""
    return Path(f"{path.resolve()}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
