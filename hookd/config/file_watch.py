"""Rings when something in a directory may have changed: inotify in the event loop, without a thread.

What counts is that a file was made, renamed, removed, closed after it was written to, or got another owner or mode.
Bytes that are written to a file which stays open wake nobody: so do databases and logs beside a configuration.

Must never: look at a file, or ring for names that it was given to ignore.
"""

import asyncio
import os
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_ATTRIB = 0x4
_CLOSE_WRITE = 0x8
_MOVED = 0x40 | 0x80
_CREATE = 0x100
_DELETE = 0x200
_DELETE_SELF = 0x400
_MOVE_SELF = 0x800
_IGNORED = 0x8000
_ONLYDIR = 0x01000000
_WANTED = _ATTRIB | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR

_HEAD = struct.Struct("iIII")
"""Of an event: its watch, what happened, a cookie, and the length of the name that follows."""

_MOST_BYTES = 1 << 16


@contextmanager
def watching(
    directories: Collection[Path], ring: Callable[[], None], *, ignored: Collection[str] = ()
) -> Iterator["Watch"]:
    """Watch directories, not what is below them, from the entry on.

    Args:
        directories: which.
        ring: called in the running loop, once for what came together. Also when the kernel has lost count.
        ignored: absolute paths of files that do not count.

    Raises:
        OSError: no watch is to be had, such as of a directory that is gone.
    """
    loop = asyncio.get_running_loop()
    watch = Watch(ignored)
    try:
        for directory in directories:
            watch.add(directory)
        loop.add_reader(watch.descriptor, lambda: ring() if watch.read() else None)
        try:
            yield watch
        finally:
            loop.remove_reader(watch.descriptor)
    finally:
        os.close(watch.descriptor)


class Watch:
    """One instance of the kernel's inotify.

    Attributes:
        lost: whether a directory was removed or renamed, or events were: what has its name now must be watched anew.
    """

    def __init__(self, ignored: Collection[str]) -> None:
        try:
            from ctypes import CDLL, get_errno  # noqa: PLC0415 - see hookd.prctl

            self._libc = CDLL(None, use_errno=True)
            self._errno = get_errno
            self.descriptor = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        except (ImportError, MemoryError, AttributeError) as exc:
            raise OSError("this system has no inotify for hookd") from exc
        self._ignored = frozenset(map(os.fsencode, ignored))
        self._directories: dict[int, bytes] = {}
        self.lost = False

    def _checked(self, result: int) -> int:
        if result < 0:
            number = self._errno()
            raise OSError(number, os.strerror(number))
        return result

    def add(self, directory: Path) -> None:
        """Watch a directory, too. Raises OSError."""
        name = os.fsencode(directory)
        watch = self._checked(self._libc.inotify_add_watch(self.descriptor, name, _WANTED))
        self._directories[watch] = name

    def read(self) -> bool:
        """Take what has come; whether any of it counts."""
        try:
            came = os.read(self.descriptor, _MOST_BYTES)
        except BlockingIOError:
            return False
        count = [self._counts(*event) for event in _events(came)]  # all of them: one may tell of a loss
        return any(count)

    def _counts(self, watch: int, happened: int, name: bytes) -> bool:
        directory = self._directories.get(watch)
        if directory is None or happened & (_DELETE_SELF | _MOVE_SELF | _IGNORED):
            self.lost = True
            return True
        return os.path.join(directory, name) not in self._ignored  # noqa: PTH118 - bytes


def _events(came: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The watch of each event, what happened, and the name of the entry; empty for the directory itself."""
    at = 0
    while at < len(came):
        watch, happened, _, length = _HEAD.unpack_from(came, at)
        at += _HEAD.size + length
        yield watch, happened, came[at - length : at].rstrip(b"\0")
