"""The spool directory, opened and locked: two daemons on one directory would take its events twice.

The lock is the kernel's, on the opened directory: it needs no right to write, and ends with the process. The directory
may be replaced by another at any time; then that one is opened and locked.

Must never: wait for the lock.
"""

import os
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from hookd.domain.text import error_text
from hookd.observability import log

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class HeldElsewhere(Exception):
    """Another process holds the directory."""


class SpoolLock:
    """The directory that is this daemon's, if any."""

    def __init__(self) -> None:
        self._held: int | None = None

    @property
    def descriptor(self) -> int:
        """What `take` returned last."""
        assert self._held is not None
        return self._held

    def take(self, directory: Path) -> int:
        """The descriptor of what is at the path now; the one before is closed where that is another directory.

        Raises:
            OSError: it cannot be opened.
            HeldElsewhere: it is another daemon's.
        """
        if self._held is not None and not _is_at(self._held, directory):
            os.close(self._held)
            self._held = None
        if self._held is None:
            self._held = _locked(directory)
        return self._held


def _is_at(opened: int, directory: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), directory.stat())
    except OSError:
        return False


def _locked(directory: Path) -> int:
    opened = os.open(directory, DIRECTORY)
    try:
        flock(opened, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise HeldElsewhere from None
    except OSError as exc:
        log.debug(
            "spool.unlocked", path=str(directory), error=error_text(exc)
        )  # a file system that knows no locks
    return opened
