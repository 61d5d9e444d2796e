"""Which files are being taken in, marked on the disk: what ends the process each time is not tried for ever.

Files that were being taken in when the process ended are suspects: each is tried after all others, and alone. One that
was alone when the process ended is condemned. The mark is in `rejected/`, into which nobody else can write.

Must never: keep a file from being taken in because the mark cannot be written. Blocks; runs in threads.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any

from hookd.domain.spool_layout import PART
from hookd.sources.spool.spool_files import FileIdentity

MARK = ".taking"

CONDEMNED = (
    "hookd ended twice while it took this file in, the second time with no other file; its log and that of the service "
    "manager say how it ended. Where that had another cause, nothing need be fixed"
)

_LARGEST = 1 << 22
"""Bytes of a mark; ours are far below."""

_Files = dict[str, FileIdentity]


class TakingMark:
    """What the mark of one spool says, from the process before and for the next."""

    def __init__(self) -> None:
        self._suspects: _Files = {}
        self._condemned: _Files = {}
        self._read_from: tuple[int, int] | None = None
        self._lock = Lock()
        self._withdrawn = False

    def load(self, spool: int, rejected: int) -> tuple[str, ...]:
        """Read what the process before has left, once for each directory; returns the names of new suspects."""
        facts = os.fstat(rejected)
        if self._read_from == (facts.st_dev, facts.st_ino):
            return ()
        self._read_from = facts.st_dev, facts.st_ino
        taking, suspects = _read(rejected)
        there = {name: mark for name, mark in {**suspects, **taking}.items() if identity(spool, name) == mark}
        self._condemned = {name: mark for name, mark in there.items() if name in taking and name in suspects}
        self._suspects = {name: mark for name, mark in there.items() if name not in self._condemned}
        return tuple(name for name in self._suspects if name in taking)

    def is_suspect(self, name: str) -> bool:
        """Whether a file is to be tried alone, after all others."""
        return name in self._suspects

    def is_condemned(self, name: str, mark: FileIdentity | None) -> bool:
        """Whether a file is not to be tried any more; another one of its name is."""
        return self._condemned.get(name) == mark is not None

    def begin(self, rejected: int, files: Mapping[str, FileIdentity]) -> None:
        """Mark that these files are being taken in."""
        with self._lock:
            if not self._withdrawn:
                _write(rejected, {"taking": files, "suspects": self._suspects})

    def end(self, rejected: int, done: Iterable[str] = ()) -> None:
        """Mark that none is; those that are done are no suspects any more."""
        for name in done:
            self._suspects.pop(name, None)
            self._condemned.pop(name, None)
        if self._suspects:
            _write(rejected, {"taking": {}, "suspects": self._suspects})
        else:
            with suppress(OSError):
                os.unlink(MARK, dir_fd=rejected)

    def withdraw(self, rejected: int) -> None:
        """Mark that none is, and none will be: also where a thread is about to say that some are."""
        with self._lock:
            self._withdrawn = True
            self.end(rejected)


def identity(directory: int, name: str) -> FileIdentity | None:
    """Which file has a name now."""
    try:
        facts = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _read(rejected: int) -> tuple[_Files, _Files]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(MARK, flags, dir_fd=rejected), "rb") as file:
            said = json.loads(file.read(_LARGEST))
        return _files(said["taking"]), _files(said["suspects"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, {}  # there is none, or it is of no use


def _files(said: Any) -> _Files:
    return {
        str(name): (int(dev), int(ino), int(size), int(at)) for name, (dev, ino, size, at) in said.items()
    }


def _write(rejected: int, said: Mapping[str, Mapping[str, FileIdentity]]) -> None:
    """Replace the mark; that it outlives the machine's end is not needed, only the process's."""
    part = MARK + PART
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):
        with os.fdopen(os.open(part, flags, 0o600, dir_fd=rejected), "w", encoding="ascii") as file:
            json.dump(said, file)
        os.rename(part, MARK, src_dir_fd=rejected, dst_dir_fd=rejected)
