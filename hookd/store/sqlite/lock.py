"""The lock file beside the database: it keeps a second hookd out and tells who holds the file.

A POSIX record lock, because a child process does not inherit it and the kernel drops it with the process.

Must never: be removed from the file system; a lock on a removed file excludes nobody.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from hookd.domain.errors import StoreUnusable
from hookd.domain.text import error_text


class FileLock:
    """A held lock for a database file.

    Args:
        path: the database; the lock is `PATH.lock`, which holds the process id.

    Raises:
        StoreUnusable: another process holds it (the message names its id), or the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path.resolve()}.lock")
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnusable(
                f"{self._path} cannot be opened ({error_text(error)}): hookd needs to write in that directory;"
                " under systemd, StateDirectory=hookd in the unit gives it one, ReadWritePaths= opens another"
            ) from error
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            os.close(self._fd)
            raise StoreUnusable(
                f"{path} is in use by another hookd ({holder}): "
                "stop that one, or give this one another daemon.store"
            ) from error
        self._write_pid()
        self._share_owner(path)

    def release(self) -> None:
        """Let another process have the file."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        os.close(self._fd)

    def _holder(self) -> str:
        text = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
        return f"pid {text}" if text.isdigit() else "pid unknown"

    def _share_owner(self, path: Path) -> None:
        """Give a lock file that root made for a check to the database's owner, who must open it too."""
        with contextlib.suppress(OSError):  # there is no database yet, or we are not root
            database = path.stat()
            os.fchown(self._fd, database.st_uid, database.st_gid)

    def _write_pid(self) -> None:
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
