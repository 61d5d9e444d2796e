"""The spool directory, opened and locked: two daemons on one directory would take its events twice.

The lock is the kernel's and ends with the process. It is on `rejected/`, which is hookd's own: the spool itself may be
opened, and so locked, by users who may only leave files there. Either directory may be replaced by another at any time;
then that one is opened and locked.

Must never: wait for the lock.
"""

import os
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from hookd.domain.text import error_text
from hookd.observability import log
from hookd.sources.spool.rejected_directory import DIRECTORY, is_current, open_rejected


class HeldElsewhere(Exception):
    """Another process holds the directory."""


class SpoolLock:
    """The directory that is this daemon's, if any."""

    def __init__(self) -> None:
        self._opened: int | None = None
        self._rejected: int | None = None

    @property
    def descriptor(self) -> int:
        """What `open` returned last."""
        assert self._opened is not None
        return self._opened

    @property
    def rejected(self) -> int:
        """What `take` returned last."""
        assert self._rejected is not None
        return self._rejected

    def open(self, directory: Path) -> int:
        """The descriptor of what is at the path now; the one before is closed where that is another directory.

        Raises:
            OSError: it cannot be opened.
        """
        if self._opened is not None and not _is_at(self._opened, directory):
            self.close()
        if self._opened is None:
            self._opened = os.open(directory, DIRECTORY)
        return self._opened

    def take(self) -> int:
        """Lock the directory that was opened last; the descriptor of its `rejected/`.

        Raises:
            OSError: `rejected/` can be neither used nor made.
            HeldElsewhere: the directory is another daemon's.
        """
        if self._rejected is not None and not is_current(self._rejected, self.descriptor):
            self._release()
        if self._rejected is None:
            self._rejected = _locked(open_rejected(self.descriptor))
        return self._rejected

    def close(self) -> None:
        """Let another daemon have the directory."""
        self._release()
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None

    def _release(self) -> None:
        if self._rejected is not None:
            os.close(self._rejected)
            self._rejected = None


def _is_at(opened: int, directory: Path) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(opened), directory.stat())
    return False


def _locked(opened: int) -> int:
    try:
        flock(opened, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise HeldElsewhere from None
    except OSError as exc:
        log.debug("spool.unlocked", error=error_text(exc))  # a file system that knows no locks
    return opened
