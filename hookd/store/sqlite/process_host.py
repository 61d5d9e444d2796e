"""The host that is a process of its own: the same work as the thread's, without sharing the interpreter's lock.

One socket pair, made before the process is started and inherited by it alone; a part is one write, and all that has
come back is one read a turn of the loop. Where the process dies, another is started, and what is known of the file is
read anew; the leases of attempts under way are in the file and settle with the new one. What only the dead one knew it
had leased is given back. Of what was asked of it and not answered nobody knows whether it is done: events and results
are asked again, once, and the new one finds out; all else is refused as in any outage of the store.

Must never: wait for the process in the loop, or leave one behind.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from hookd.domain.errors import StoreFailed, StoreUnavailable
from hookd.domain.text import error_text
from hookd.store.sqlite import due_times, frames
from hookd.store.sqlite.backlog_index import BacklogIndex
from hookd.store.sqlite.commit import BatchResult
from hookd.store.sqlite.host import Host, resolve
from hookd.store.sqlite.host_child import AGAIN, IGNORED
from hookd.store.sqlite.lock import FileLock
from hookd.store.sqlite.open import lock_database
from hookd.store.sqlite.operations import Echo, Enqueue, Operation, Settle, Write

_CODE = "import sys; sys.path.append(sys.argv.pop()); from hookd.store.sqlite.host_child import main; main()"
_PACKAGES = str(Path(__file__).parents[3])
_CHUNK = 1 << 18
_BUFFER = 1 << 20
"""Of the kernel's, each way, as far as it allows: a part is then one write."""

_PASSED_ON = ("LANG", "LC_", "LD_", "PATH", "PYTHON", "SQLITE_TMPDIR", "TMPDIR", "TZ", "HOOKD_DUMPABLE")
"""Beginnings of what the process gets of the environment; the rest may be secrets, which it has no use for."""

_REAP_S = 0.002
_RESTART_PAUSE_S = 1.0
"""From one start to the next at least: a process that dies at each call may not take all of the machine."""

GIVE_UP_S = 10.0
"""So long without one that works, and hookd ends: whatever starts it again begins anew."""


class ProcessHost(Host):
    """The process, and the socket to it."""

    what = "the process"

    def __init__(
        self, path: Path, loop: asyncio.AbstractEventLoop, deliver: Callable[[BatchResult], None]
    ) -> None:
        super().__init__(path, loop, deliver)
        self._lock: FileLock | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._frames = frames.FrameReader()
        self._out: deque[bytes | memoryview] = deque()
        self._large: list[bytes] = []
        self._has_spoken = False
        self._started_at = self._worked_at = loop.time()
        self._reason = ""
        self._for_next: list[Operation] = []  # what the next process is asked
        self._unclaimed: list[due_times.ClaimedBy] = []

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._child is None else self._child.pid

    async def open(self) -> BacklogIndex:
        """Start the process, which opens the file; raises StoreUnusable, or StoreFailed where it cannot be started."""
        self._lock = await self._loop.run_in_executor(None, lock_database, self._path)
        try:
            return await super().open()
        except BaseException:
            await self.close()
            raise

    def check(self) -> None:
        """Nothing to look for: the kernel closes the socket of a process that ends."""

    def _begin(self) -> None:
        try:
            self._start()
        except OSError as error:
            text = f"the process that is to write {self._path} cannot be started ({error_text(error)})"
            self._opened.set_exception(StoreFailed(text))

    def _start(self) -> None:
        """Start a process and listen to it; raises OSError."""
        self._started_at = self._loop.time()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                for end in (ours, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                ours.setblocking(False)
                self._child = _start_child(theirs, self._path, again=self._opened.done())
            except BaseException:
                ours.close()
                raise
        self._socket, self._has_spoken = ours, False
        self._frames, self._out, self._large = frames.FrameReader(), deque(), []
        self._loop.add_reader(ours.fileno(), self._readable)

    def _send(self, part: list[Operation]) -> None:
        if self._socket is None:  # none of them was asked of any process
            self._unanswered.remove(part)
            self._refuse_or_keep(part, kept=(Echo,))
            return
        requests: list[frames.PlainCall] = []
        large: list[bytes] = []
        for call in part:
            try:
                requests.append(frames.request_of(call, large))
            except Exception as error:  # noqa: BLE001  it has no name by which another process could find it
                call.refuse(ValueError(f"cannot be done in another process: {error}"))
                requests.append(frames.NOTHING)
        self._write(*frames.part_frames(requests, large))

    def _write(self, *pieces: bytes) -> None:
        is_waiting = bool(self._out)
        self._out += pieces
        if not is_waiting and not self._has_written():
            assert self._socket is not None
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        assert self._socket is not None
        if self._has_written():
            self._loop.remove_writer(self._socket.fileno())

    def _has_written(self) -> bool:
        """Write as much as the socket takes; whether that was all."""
        assert self._socket is not None
        out = self._out
        try:
            while out:
                piece = out[0]
                sent = self._socket.send(piece)
                if sent < len(piece):
                    out[0] = memoryview(piece)[sent:]
                    return False
                out.popleft()
        except BlockingIOError:
            return False
        except ConnectionError:  # a connection that is gone is found by the next read
            out.clear()
        return True

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            chunk = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            chunk = b""
        if not chunk:
            self._disconnect()
            self._reap()
            return
        for frame in self._frames.feed(chunk):
            if isinstance(frame, bytes):
                self._large.append(frame)
            elif self._has_spoken:
                self._take_over(frame)
            else:
                self._has_spoken = True
                self._take_first_word(frames.first_word(frame))

    def _take_over(self, frame: Any) -> None:
        waiting = chain.from_iterable(self._unanswered)
        large, self._large = self._large, []
        self._answer(frames.take_over(frame, list(islice(waiting, frames.answered(frame))), large))

    def _take_first_word(self, word: frames.FirstWord) -> None:
        if word.version != frames.VERSION:
            self._fail(StoreFailed("another version of hookd was installed meanwhile"))
        elif word.error is not None:
            self._fail(StoreFailed(str(word.error)) if self._opened.done() else word.error)
        elif word.picture is not None:
            resolve(self._opened, word.picture)
        else:
            self._give_back()

    def _end(self) -> None:
        if self._socket is not None:
            self._write(frames.framed(frames.CLOSE))
        elif self._child is None:
            self._release()

    def _fail(self, error: BaseException) -> None:
        kept = self._take_kept()
        super()._fail(error)
        if kept:
            self._refuse(kept, self.failed.result())

    def _release(self) -> None:
        """Nothing uses the file any more."""
        self._refuse(self._take_kept(), StoreUnavailable(self._reason))
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        resolve(self._ended, None)

    # After the end of a process.

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _reap(self) -> None:
        """Wait for the end of a process that has closed the socket."""
        assert self._child is not None
        code = self._child.poll()
        if code is None:
            self._loop.call_later(_REAP_S, self._reap)
            return
        self._child = None
        self._reason = f"the process that writes {self._path} has ended ({_cause(code)})"
        if not self._opened.done():
            self._opened.set_exception(StoreFailed(self._reason))
        self._refuse_or_keep(self._take_unanswered(), kept=(Echo, Enqueue, Settle))
        if self._closing or self.failed.done() or self._opened.exception() is not None:
            self._release()
            return
        if self._has_spoken:
            self._worked_at = self._loop.time()
        self._answer(BatchResult([], wrote=True, fault=self._reason))
        self._start_soon()

    def _refuse_or_keep(self, calls: list[Operation], *, kept: tuple[type[Operation], ...]) -> None:
        """Keep calls of these kinds for the next process, and refuse the others, and what two processes died of."""
        refused: list[Operation] = []
        for call in calls:
            self._unclaimed += due_times.claimed_by(call)
            if isinstance(call, kept) and not call.in_doubt:
                call.in_doubt = not isinstance(call, Echo)
                self._for_next.append(call)
            else:
                refused.append(call)
        self._refuse(refused, StoreUnavailable(self._reason))

    def _start_soon(self) -> None:
        now = self._loop.time()
        if now - self._worked_at > GIVE_UP_S:
            self._fail(StoreFailed(self._reason))
            return
        self._loop.call_later(max(0.0, self._started_at + _RESTART_PAUSE_S - now), self._start_again)

    def _start_again(self) -> None:
        if self._closing or self.failed.done():
            self._release()
            return
        try:
            self._start()
        except OSError as error:
            self._reason = f"no process to write {self._path} can be started ({error_text(error)})"
            self._start_soon()

    def _take_kept(self) -> list[Operation]:
        kept, self._for_next = self._for_next, []
        return kept

    def _give_back(self) -> None:
        """Give back what was leased to calls that got no answer; this also has the file opened and read anew."""
        if self._closing or self.failed.done() or self._socket is None:
            return
        gone = tuple(dict.fromkeys(self._unclaimed))
        call = Write(self._loop.create_future(), partial(due_times.give_back, claims=gone))
        call.future.add_done_callback(partial(self._gave_back, gone))
        self.submit(call)
        self._inbox += self._take_kept()

    def _gave_back(self, gone: tuple[due_times.ClaimedBy, ...], done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception() is None:
            self._unclaimed = [claim for claim in self._unclaimed if claim not in gone]
        elif self._child is not None:  # its disk is full, say; the next process asks by itself
            self._loop.call_later(_RESTART_PAUSE_S, self._give_back)


def _start_child(theirs: socket.socket, path: Path, *, again: bool) -> "subprocess.Popen[bytes]":
    """A child that has one end of a socket pair, and none of what stops hookd."""
    # -P: a module in the current directory must not stand in for one of ours. -S: it needs no packages.
    command = [
        sys.executable,
        "-P",
        "-S",
        "-c",
        _CODE,
        str(theirs.fileno()),
        os.fspath(path),
        str(os.getpid()),
    ]
    command += [*([AGAIN] if again else []), _PACKAGES]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)  # until it ignores them itself
    try:
        return subprocess.Popen(  # noqa: S603 - fixed words, and a path that cannot pass for an option
            command,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_PASSED_ON)}


def _cause(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
