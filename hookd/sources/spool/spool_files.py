"""The files of the spool: which there are, what is in one, and what becomes of it. Everything here blocks.

Other users write into the directory, so nothing is followed (symlinks), waited for (FIFOs) or read past its limit, and
files are named by their directory's descriptor, which `spool_lock` has opened. What is no regular file is left alone.

Must never: raise for what a single file is like; or replace or drop a file that may hold events. Runs in threads.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from errno import EACCES, ELOOP, ENXIO, EPERM
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

from hookd.config.yaml.files import kind_of
from hookd.domain.spool_layout import BATCH_BYTES, JSON, NDJSON, PART, REASON, REJECTED
from hookd.domain.text import error_text, printable
from hookd.domain.value_class import value_class
from hookd.sources.spool.content import FileRefused
from hookd.sources.spool.rejected_directory import free_name
from hookd.sources.spool.spool_lock import HeldElsewhere, SpoolLock

MOST_LISTED = 10_000
"""Names that one look brings; the rest is found by the next."""

MOST_SKIPPED = 20
"""Names of what is skipped that are shown."""

MOST_BYTES = 1 << 20
"""Once this much has been read, the files that are left wait for the next lot."""

ABANDONED_S = 3600.0
"""A file that is still being written after so long is nobody's any more: its writer was killed."""

ELSEWHERE = "name another directory in daemon.spool"

FileIdentity = tuple[int, int, int, int]
"""Device, inode, size and time of change of a file: with its name, which file it is."""

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@value_class
class FileResult:
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


@value_class
class SpoolFile:
    """A file's content, or what becomes of it without that; and which file it is, where that is known."""

    name: str
    content: bytes | FileResult
    mark: FileIdentity | None = None


@value_class
class SpoolListing:
    """What is in the spool.

    Attributes:
        names: what to take in, in order, `MOST_LISTED` at most.
        waiting: how many there are in all.
        rejected: files in `rejected/`, reasons not counted.
        skipped: what is no regular file, by name, `MOST_SKIPPED` at most.
        still: of the names that were left, those that are still there.
        fault: why nothing can be taken in; then there are no names.
        cpu_s: processor time that the look took.
    """

    names: tuple[str, ...] = ()
    waiting: int = 0
    rejected: int = 0
    skipped: tuple[str, ...] = ()
    still: frozenset[str] = frozenset()
    fault: str | None = None
    cpu_s: float = 0.0


def look(claim: SpoolLock, directory: Path, left: frozenset[str], *, again: bool, now: float) -> SpoolListing:
    """What is in the spool; a directory that is not there is empty. What nobody needs any more is removed.

    Args:
        claim: has the directory from now on, unless another daemon has it.
        directory: the spool.
        left: names that could be neither removed nor moved.
        again: whether these are listed too.
        now: seconds since the epoch.
    """
    begun_s = time.thread_time()
    listing = _look(claim, directory, _Scan(left, again=again, now=now))
    return replace(listing, cpu_s=time.thread_time() - begun_s)


def _look(claim: SpoolLock, directory: Path, scan: "_Scan") -> SpoolListing:
    try:
        spool = claim.open(directory)
        names = tuple(nsmallest(MOST_LISTED, scan.names(spool)))
    except FileNotFoundError:
        return SpoolListing()
    except OSError as exc:
        return SpoolListing(
            fault=f"{directory} cannot be read: {error_text(exc).lower()}; fix that, or {ELSEWHERE}"
        )
    skipped = tuple(printable(name) for name in nsmallest(MOST_SKIPPED, scan.skipped))
    found = SpoolListing(waiting=scan.waiting, skipped=skipped, still=frozenset(scan.still))
    try:
        found = replace(found, rejected=_count_rejected(claim.take()))
    except HeldElsewhere:
        return SpoolListing(fault=f"{directory} is emptied by another hookd; {ELSEWHERE}")
    except OSError as exc:
        fault = None if not scan.waiting else _unwritable(spool, directory) or _no_rejected(directory, exc)
        return replace(found, fault=fault)
    if scan.waiting and (fault := _unwritable(spool, directory)):
        return replace(found, fault=fault)
    return replace(found, names=names)


def _unwritable(spool: int, directory: Path) -> str | None:
    if os.access(".", os.W_OK | os.X_OK, dir_fd=spool):
        return None
    return f"{directory} cannot be written to by hookd, so that nothing could be removed from it"


def _no_rejected(directory: Path, exc: OSError) -> str:
    place = directory / REJECTED
    return (
        f"{place} cannot be used: {error_text(exc).lower()}; make it a directory that only hookd can write to"
    )


class _Scan:
    """One pass through the spool; of a million names it remembers few.

    Attributes:
        waiting: files that are to be taken in.
        still: of the names that were left, those that are still there.
        skipped: what is no regular file: some names, the first ones among them.
    """

    def __init__(self, left: frozenset[str], *, again: bool, now: float) -> None:
        self._left, self._again, self._now = left, again, now
        self.waiting = 0
        self.still: set[str] = set()
        self.skipped: list[str] = []

    def names(self, spool: int) -> Iterator[str]:
        """What is to be taken in now; reasons that were moved back and abandoned halves of files are removed."""
        for name, is_file in _entries(spool):
            if name.startswith("."):
                if name.endswith(PART):
                    _forget(spool, name, before=self._now - ABANDONED_S)
            elif name == REJECTED:
                continue
            elif not is_file:
                self._skip(name)
            elif name.endswith(REASON):
                _forget(spool, name)
            elif self._counts(name):
                yield name

    def _skip(self, name: str) -> None:
        self.skipped.append(name)
        if len(self.skipped) > 10 * MOST_SKIPPED:
            self.skipped = nsmallest(MOST_SKIPPED, self.skipped)

    def _counts(self, name: str) -> bool:
        """Count a file that waits; whether it is to be tried now."""
        self.waiting += 1
        if name in self._left:
            self.still.add(name)
            return self._again
        return True


def _entries(directory: int) -> Iterator[tuple[str, bool]]:
    """Each name, and whether it is that of a regular file."""
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name, entry.is_file(follow_symlinks=False)


def _forget(directory: int, name: str, *, before: float | None = None) -> None:
    """Remove a file, if it can be; with `before`, only one that was last changed before that time."""
    with suppress(OSError):
        if before is None or os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime < before:
            os.unlink(name, dir_fd=directory)


def _count_rejected(rejected: int) -> int:
    """The files in `rejected/`; a reason whose file is gone goes too, unless there are very many."""
    count = 0
    names: list[str] = []
    for name, _ in _entries(rejected):
        if name.startswith("."):
            continue
        count += not name.endswith(REASON)
        if len(names) <= MOST_LISTED:
            names.append(name)
    if len(names) <= MOST_LISTED:
        kept = {name for name in names if not name.endswith(REASON)}
        for name in names:
            if name not in kept and name.removesuffix(REASON) not in kept:
                _forget(rejected, name)
    return count


def read(spool: int, names: Iterable[str], limit: int, taken: Mapping[str, FileIdentity]) -> list[SpoolFile]:
    """Read files, in order, until there is enough for one lot; those that are left out come last.

    Args:
        spool: the directory.
        names: what `look` listed.
        limit: the most bytes an event may have.
        taken: files whose events were taken in before; these are not read again.
    """
    found: list[SpoolFile] = []
    size = 0
    for name in names:
        found.append(_found(spool, name, limit, taken.get(name)))
        content = found[-1].content
        size += len(content) if isinstance(content, bytes) else 0
        if size >= MOST_BYTES:
            break
    return found


def _found(spool: int, name: str, limit: int, taken: FileIdentity | None) -> SpoolFile:
    mark = None
    try:
        facts = os.stat(name, dir_fd=spool, follow_symlinks=False)
        mark = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        return SpoolFile(name, FileResult(name) if mark == taken else _read(spool, name, facts, limit), mark)
    except FileRefused as exc:
        verdict = FileResult(name, refused=str(exc))
    except FileNotFoundError:
        verdict = FileResult(name, gone=True)
    except OSError as exc:
        if exc.errno in {EACCES, EPERM, ELOOP, ENXIO}:
            verdict = FileResult(name, refused=_unreadable(spool, name, exc))
        else:
            verdict = FileResult(name, later=f"{printable(name)} cannot be read: {error_text(exc).lower()}")
    return SpoolFile(name, verdict, mark)


def _read(spool: int, name: str, facts: os.stat_result, event_limit: int) -> bytes:
    limit = max(event_limit, BATCH_BYTES) if name.endswith(NDJSON) else event_limit
    _refuse(facts, limit)
    if not name.endswith((JSON, NDJSON)):
        raise FileRefused(
            f"the name must end in {JSON} (an event or an array) or {NDJSON} (one event a line)"
        )
    with os.fdopen(os.open(name, _FILE, dir_fd=spool), "rb") as file:
        # The name may stand for something else since the first look; what counts is what was opened.
        _refuse(os.fstat(file.fileno()), limit)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise FileRefused(_too_large(limit))
    return content


def _refuse(facts: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise FileRefused(f"it is {kind_of(facts.st_mode)}, not a regular file")
    if facts.st_size > limit:
        raise FileRefused(_too_large(limit))


def _too_large(limit: int) -> str:
    return f"the file is larger than {limit} bytes (daemon.limits.event_size)"


def _unreadable(spool: int, name: str, exc: OSError) -> str:
    said = f"the file cannot be read by hookd: {error_text(exc).lower()}"
    with suppress(OSError):
        facts = os.stat(name, dir_fd=spool, follow_symlinks=False)
        said += f" (its mode is {stat.S_IMODE(facts.st_mode):04o}, its group {facts.st_gid})"
    return said


class Settled(NamedTuple):
    """What came of verdicts.

    Attributes:
        kept: for each file that was moved, where it is, below the spool.
        failed: for each file that is still where it was, though it should not be, the reason.
    """

    kept: dict[str, str]
    failed: dict[str, str]


def settle(spool: int, rejected: int, directory: Path, verdicts: Sequence[FileResult]) -> Settled:
    """Remove the files that were taken in, move the refused ones to `rejected/`.

    Args:
        spool: the directory.
        rejected: its `rejected/`.
        directory: its path, for the reasons.
        verdicts: what becomes of files.
    """
    settled = Settled({}, {})
    for verdict in verdicts:
        try:
            if verdict.refused:
                reason = f"{verdict.refused}\nfix it and move it back into {directory} under its name, or remove it"
                settled.kept[verdict.name] = _reject(spool, rejected, verdict.name, reason)
            elif not (verdict.later or verdict.gone):
                os.unlink(verdict.name, dir_fd=spool)
        except FileNotFoundError:
            continue
        except OSError as exc:
            settled.failed[verdict.name] = error_text(exc).lower()
    return settled


def _reject(spool: int, rejected: int, name: str, reason: str) -> str:
    """Move a file aside: first its reason, so that there is none without one; where it is then, below the spool."""
    free = free_name(rejected, name)
    _forget(rejected, free + REASON)
    try:
        _write_reason(rejected, free + REASON, reason)
        os.rename(name, free, src_dir_fd=spool, dst_dir_fd=rejected)
    except OSError:
        _forget(rejected, free + REASON)
        raise
    return f"{REJECTED}/{free}"


def _write_reason(directory: int, name: str, reason: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    text = "\n".join(map(printable, reason.split("\n"))) + "\n"
    with os.fdopen(os.open(name, flags, 0o640, dir_fd=directory), "wb") as file:
        file.write(text.encode("utf-8", "backslashreplace"))
