"""The lock file beside the database: it keeps a second hookd out and tells who holds the file.

POSIX record locks, because a child process does not inherit them and the kernel drops them with the process. The first
byte is held by the hookd that the file belongs to, the second by the process that has it open, which may be another and
end a moment later.

Must never: be removed from the file system; a lock on a removed file excludes nobody.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from hookd.domain.errors import StoreUnusable
from hookd.domain.text import error_text

_OWNER, _USER = 0, 1
"""Which byte says what."""

_LAST_USE_S = 10.0
"""How long the process of a hookd that was killed may take to end: the kernel kills it with hookd, but a disk may not
let it go."""


class FileLock:
    """A held lock for a database file: it belongs to this process.

    Args:
        path: the database; the lock is `PATH.lock`, which holds the process id.

    Raises:
        StoreUnusable: another process holds it (the message names its id), or the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._fd = _open(path)
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _OWNER)
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


class UseLock:
    """Held while the file is open, by a process that the file belongs to or that works for it.

    Args:
        path: the database.

    Raises:
        StoreUnusable: the process of a hookd that is gone still has it open.
    """

    def __init__(self, path: Path) -> None:
        self._fd = _open(path)
        given_up_at = time.monotonic() + _LAST_USE_S
        while not self._try():
            if time.monotonic() > given_up_at:
                os.close(self._fd)
                raise StoreUnusable(
                    f"{path} is still open in the process of a hookd that was killed: wait for its end, or kill it"
                )
            time.sleep(0.005)

    def release(self) -> None:
        """Let another process open the file; of this process, no lock of the file is left."""
        os.close(self._fd)

    def _try(self) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _USER)
        except OSError:
            return False
        return True


def _open(path: Path) -> int:
    """A descriptor of the lock file of a database, which is made where there is none."""
    lock = Path(f"{path.resolve()}.lock")
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnusable(
            f"{lock} cannot be opened ({error_text(error)}): hookd needs to write in that directory;"
            " under systemd, StateDirectory=hookd in the unit gives it one, ReadWritePaths= opens another"
        ) from error
