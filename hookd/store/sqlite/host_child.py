"""The process of the store: it has the file open, for the hookd that the file belongs to.

What comes through a socket is done part by part. It ends when it is asked to, when the other end is gone, and (by the
kernel) when hookd dies; never by a signal that is meant for hookd. What it says of its end is one line on standard
error, without what it held.

Must never: import an event loop, the HTTP client or the log, outlive hookd, or take anything from anybody else.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hookd.prctl import end_with_parent, refuse_dumps
from hookd.store.sqlite.commit import Committer
from hookd.store.sqlite.frames import (
    CLOSE,
    VERSION,
    FirstWord,
    FrameReader,
    RequestReader,
    batch_frames,
    first_word_frame,
)
from hookd.store.sqlite.lock import UseLock
from hookd.store.sqlite.operations import Operation

AGAIN = "again"
"""The word for a process that comes after one that died: leases are under way, and the file may have failed."""

EXIT_FAILED = 70
NAME = "hookd-store"
IGNORED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Whoever sends these to all processes of a service or a terminal means hookd, which still needs the store."""

_CHUNK = 1 << 17


def main() -> None:
    """Do what comes through descriptor `argv[1]` to the file `argv[2]`, for the process `argv[3]`."""
    _become_part_of(int(sys.argv[3]))
    socket, path = int(sys.argv[1]), Path(sys.argv[2])
    try:
        _serve(socket, path, again=AGAIN in sys.argv[4:])
    except (BrokenPipeError, ConnectionError):  # hookd is gone: what it asked last is done, or not
        pass
    except BaseException as error:  # noqa: BLE001  a traceback would show what it worked on
        with suppress(OSError):
            os.write(2, f"hookd: the process of the store has ended: {type(error).__name__}\n".encode())
        os._exit(EXIT_FAILED)


def _become_part_of(parent: int) -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    with suppress(OSError):
        Path("/proc/self/comm").write_text(NAME)
    end_with_parent()
    refuse_dumps()
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(EXIT_FAILED)


def _serve(socket: int, path: Path, *, again: bool) -> None:
    committer = Committer(path)
    try:
        lock = UseLock(path)
        picture = None if again else committer.open()
    except Exception as error:  # noqa: BLE001  whatever it is, hookd says it
        _write(socket, first_word_frame(FirstWord(VERSION, error)))
        return
    try:
        _write(socket, first_word_frame(FirstWord(VERSION, None, picture)))
        for batch in _batches(socket):
            _write(socket, *batch_frames(committer.work(batch)))
    finally:
        committer.close()
        lock.release()


def _batches(socket: int) -> Iterator[list[Operation]]:
    """All that has come meanwhile, each time; ends when it is to close, or nobody is left to ask."""
    frames, requests = FrameReader(), RequestReader()
    while chunk := os.read(socket, _CHUNK):
        batch: list[Operation] = []
        for part in frames.feed(chunk):
            if isinstance(part, bytes):
                requests.large.append(part)
                continue
            if part == CLOSE:
                if batch:
                    yield batch
                return
            batch += requests.calls(part)
        if batch:
            yield batch


def _write(socket: int, *pieces: bytes) -> None:
    for piece in pieces:
        left = memoryview(piece)
        while left:
            left = left[os.write(socket, left) :]
