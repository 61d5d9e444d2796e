"""The files of the spool: which there are, what is in one, and what becomes of it. Everything here blocks.

Other users write into the directory, so nothing is followed (symlinks), waited for (FIFOs) or read past its limit, and
files are named by their directory's descriptor.

Must never: raise for what a single file is like; or replace or drop a file. Called by: `hookd.spool`, in threads.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, ELOOP, ENXIO, EPERM
from heapq import nsmallest
from pathlib import Path

from hookd.config.files import kind_of
from hookd.log import printable
from hookd.spooldir import JSON, NDJSON, REASON, REJECTED

MOST_LISTED = 10_000
"""Names that one look brings; the rest is found by the next."""

MOST_BYTES = 1 << 20
"""Once this much has been read, the files that are left wait for the next lot."""

LONGEST_NAME = 200
"""Bytes of a name in `rejected/`: the reason's name is longer, and 255 is the limit of file systems."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a file: nothing but its name is set where its events were taken in.

    Attributes:
        refused: why it is rejected.
        later: why it stays and is tried again.
        gone: it was removed by somebody else.
    """

    name: str
    refused: str = ""
    later: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A file's content, or what becomes of it without that."""

    name: str
    content: bytes | Verdict


class Refused(Exception):
    """A file that cannot be events; the reason is fit for an operator."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in the spool.

    Attributes:
        names: what to take in, in order, `MOST_LISTED` at most.
        waiting: how many there are in all.
        rejected: files in `rejected/`, reasons not counted.
        still: of the names to leave alone, those that are still there.
        fault: why nothing can be taken in; then there are no names.
    """

    names: tuple[str, ...] = ()
    waiting: int = 0
    rejected: int = 0
    still: frozenset[str] = frozenset()
    fault: str | None = None


def look(directory: Path, leave: frozenset[str]) -> Listing:
    """What is in the spool; a directory that is not there is empty.

    Args:
        directory: the spool.
        leave: names that are not to be listed again.
    """
    try:
        names = _names(directory)
    except (FileNotFoundError, NotADirectoryError):
        return Listing()
    except OSError as exc:
        return Listing(fault=f"{directory} cannot be read: {_said(exc)}")
    still = leave.intersection(names)
    waiting = [name for name in names if name not in still]
    facts = Listing(waiting=len(waiting), rejected=_count_rejected(directory), still=still)
    if waiting and not os.access(directory, os.W_OK | os.X_OK):
        fault = f"{directory} cannot be written to by hookd, so that nothing could be removed from it"
        return Listing(waiting=facts.waiting, rejected=facts.rejected, still=still, fault=fault)
    return Listing(tuple(nsmallest(MOST_LISTED, waiting)), facts.waiting, facts.rejected, still)


def _names(directory: Path) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries if entry.name != REJECTED and not entry.name.startswith(".")]


def _count_rejected(directory: Path) -> int:
    try:
        with os.scandir(directory / REJECTED) as entries:
            return sum(not entry.name.endswith(REASON) for entry in entries)
    except OSError:
        return 0


def read(directory: Path, names: Iterable[str], limit: int) -> list[Found]:
    """Read files, in order, until there is enough for one lot; those that are left out come last.

    Args:
        directory: the spool.
        names: what `look` listed.
        limit: the most bytes a file may have.

    Raises:
        OSError: the directory cannot be opened.
    """
    found: list[Found] = []
    size = 0
    with _opened(directory) as spool:
        for name in names:
            content = _content(spool, name, limit)
            found.append(Found(name, content))
            size += len(content) if isinstance(content, bytes) else 0
            if size >= MOST_BYTES:
                break
    return found


def _content(spool: int, name: str, limit: int) -> bytes | Verdict:
    try:
        return _read(spool, name, limit)
    except Refused as exc:
        return Verdict(name, refused=str(exc))
    except FileNotFoundError:
        return Verdict(name, gone=True)
    except OSError as exc:
        if exc.errno in {EACCES, EPERM, ELOOP, ENXIO}:
            return Verdict(name, refused=_unreadable(spool, name, exc))
        return Verdict(name, later=f"{printable(name)} cannot be read: {_said(exc)}")


def _read(spool: int, name: str, limit: int) -> bytes:
    _refuse(os.stat(name, dir_fd=spool, follow_symlinks=False), limit)
    if not name.endswith((JSON, NDJSON)):
        raise Refused(f"the name must end in {JSON} (an event or an array) or {NDJSON} (one event a line)")
    with os.fdopen(os.open(name, _FILE, dir_fd=spool), "rb") as file:
        # The name may stand for something else since the first look; what counts is what was opened.
        _refuse(os.fstat(file.fileno()), limit)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Refused(_too_large(limit))
    return content


def _refuse(facts: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise Refused(f"is {kind_of(facts.st_mode)}, not a regular file")
    if facts.st_size > limit:
        raise Refused(_too_large(limit))


def _too_large(limit: int) -> str:
    return f"is larger than {limit} bytes (daemon.limits.event_size)"


def _unreadable(spool: int, name: str, exc: OSError) -> str:
    said = f"cannot be read by hookd: {_said(exc)}"
    with suppress(OSError):
        facts = os.stat(name, dir_fd=spool, follow_symlinks=False)
        said += f" (its mode is {stat.S_IMODE(facts.st_mode):04o}, its group {facts.st_gid})"
    return said


def settle(directory: Path, verdicts: Sequence[Verdict]) -> Mapping[str, str]:
    """Remove the files that were taken in, move the refused ones to `rejected/`.

    Returns:
        For each file that is still where it was, though it should not be, the reason.
    """
    failed: dict[str, str] = {}
    with _opened(directory) as spool:
        for verdict in verdicts:
            try:
                if verdict.refused:
                    _reject(spool, verdict.name, verdict.refused)
                elif not (verdict.later or verdict.gone):
                    os.unlink(verdict.name, dir_fd=spool)
            except FileNotFoundError:
                continue
            except OSError as exc:
                failed[verdict.name] = _said(exc)
    return failed


def _reject(spool: int, name: str, reason: str) -> None:
    """Move a file aside: first its reason, so that there is none without one."""
    with suppress(FileExistsError):
        os.mkdir(REJECTED, 0o750, dir_fd=spool)
    rejected = os.open(REJECTED, _DIRECTORY | os.O_NOFOLLOW, dir_fd=spool)
    try:
        free = next(kept for kept in _kept_names(name) if not _is_there(rejected, kept))
        with suppress(FileNotFoundError):
            os.unlink(free + REASON, dir_fd=rejected)
        _write_reason(rejected, free + REASON, reason)
        os.rename(name, free, src_dir_fd=spool, dst_dir_fd=rejected)
    finally:
        os.close(rejected)


def _kept_names(name: str) -> Iterator[str]:
    """The name, cut where it is too long, then others made of it: what is there is never replaced."""
    short = os.fsdecode(os.fsencode(name)[:LONGEST_NAME])
    yield short
    for number in range(2, 1_000_000):
        yield f"{number}-{short}"


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _write_reason(directory: int, name: str, reason: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    text = "\n".join(map(printable, reason.split("\n"))) + "\n"
    with os.fdopen(os.open(name, flags, 0o640, dir_fd=directory), "wb") as file:
        file.write(text.encode("utf-8", "backslashreplace"))


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    opened = os.open(directory, _DIRECTORY)
    try:
        yield opened
    finally:
        os.close(opened)


def _said(exc: OSError) -> str:
    return (exc.strerror or type(exc).__name__).lower()
