"""A hookd that is started with passed sockets, as systemd starts it (sd_listen_fds(3))."""

import asyncio
import http.client
import os
import socket
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Self

from tests.kit.daemon import TRACEABLE, DaemonProcess
from tests.kit.waiting import until

_PASS = """
import os, sys
sources, pid, names = sys.argv[1:4]
wanted = [int(each) for each in sources.split(",") if each]
parked = [os.dup2(fd, 100 + n) for n, fd in enumerate(wanted)]
for fd in wanted:
    os.close(fd)
for n, fd in enumerate(parked):
    os.dup2(fd, 3 + n)
    os.close(fd)
os.environ.update(LISTEN_PID=pid or str(os.getpid()), LISTEN_FDS=str(len(wanted)), LISTEN_FDNAMES=names)
os.execv(sys.argv[4], sys.argv[4:])
"""


def unix_socket(path: Path) -> socket.socket:
    """A listening Unix socket, as a socket unit makes it."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(4096)
    return sock


def tcp_socket(host: str = "127.0.0.1") -> socket.socket:
    """A listening TCP socket on a free port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    sock.listen(4096)
    return sock


class Activated(DaemonProcess):
    """A daemon with `passed` sockets; `listen_pid` is who they are said to be for, itself by default."""

    passed: tuple[socket.socket, ...] = ()
    listen_pid = ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def launch(self) -> None:
        fds = tuple(sock.fileno() for sock in self.passed)
        names = ":".join("hookd.socket" for _ in fds)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _PASS, ",".join(map(str, fds)), self.listen_pid, names,
                sys.executable, "-m", "hookd", "run", "-c", str(self.config),
                cwd=self.directory,
                env={**os.environ, **TRACEABLE, "NOTIFY_SOCKET": str(self.notifications.path)},
                stdout=log, stderr=log, pass_fds=fds,
            )  # fmt: skip


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def post_once(where: str | tuple[str, int], body: bytes, *, timeout_s: float = 30) -> tuple[int, bytes]:
    """Post on a connection of its own, by the standard library's client; the status and the answer."""
    if isinstance(where, str):
        connection: http.client.HTTPConnection = _UnixConnection(where, timeout_s)
    else:
        connection = http.client.HTTPConnection(*where, timeout=timeout_s)
    try:
        connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Posters:
    """Threads that post events, a connection for each, until they are told to end; what became of each is counted."""

    def __init__(self, *where: str | tuple[str, int], each: int = 4) -> None:
        self.outcomes: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._post, args=(place, f"{number}-{index}"))
            for number, place in enumerate(where)
            for index in range(each)
        ]

    def enter(self) -> None:
        """Called in each thread before it begins."""

    async def __aenter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._end.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 60)

    async def wait_for(self, count: int, *, within_s: float = 30) -> None:
        """Return once so many more posts have been answered."""
        target = self.outcomes.total() + count
        await until(lambda: self.outcomes.total() >= target, within_s=within_s)

    def _post(self, where: str | tuple[str, int], name: str) -> None:
        self.enter()
        number = 0
        while not self._end.is_set():
            number += 1
            event_id = f"{name}-{number}"
            body = b'{"type": "vm", "event": "up", "id": "%s"}' % event_id.encode()
            try:
                status, _ = post_once(where, body)
                outcome = str(status)
            except (OSError, http.client.HTTPException) as exc:
                outcome = type(exc).__name__
            with self._lock:
                self.outcomes[outcome] += 1
                if outcome == "202":
                    self.acknowledged.add(event_id)
