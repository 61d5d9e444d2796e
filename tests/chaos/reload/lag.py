"""How late an event loop is, seen from outside: a process of its own asks again and again, and a twin for comparison.

`python lag.py SOCKET PID` asks GET /healthz of a daemon and of a bare loop in turn. Each line on
its standard input ends a span, of which it prints the worst answers as JSON.

What the machine kept from the daemon's main thread while it was ready to run is the kernel's to tell (schedstat), and
is taken off: what is left is the daemon's own. Used by: `hostile`.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PAUSE_S = 0.003
_ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Worst:
    """The longest answer of a span, in milliseconds; `own` without what the machine kept from the thread."""

    asked: int = 0
    whole: float = 0.0
    own: float = 0.0

    def take(self, whole_s: float, kept_s: float) -> None:
        self.asked += 1
        self.whole = max(self.whole, round(whole_s * 1e3, 1))
        self.own = max(self.own, round((whole_s - kept_s) * 1e3, 1))


class Watcher:
    """The asking process, from the proof's side."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, socket: Path, pid: int) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, str(socket), str(pid),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        watcher = cls(process)
        await watcher.span()
        return watcher

    async def span(self) -> dict[str, Any]:
        """What was worst since the last call, by `daemon` and `bare`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        line = await self._process.stdout.readline()
        worst: dict[str, Any] = json.loads(line)
        return worst

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # it ends, and its twin with it
        await self._process.wait()


async def _ask(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], pid: int, worst: Worst) -> None:
    reader, writer = connection
    kept_before = _kept_s(pid) + _kept_s(os.getpid())
    began = time.perf_counter()
    writer.write(_ASKED)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    whole_s = time.perf_counter() - began
    worst.take(whole_s, _kept_s(pid) + _kept_s(os.getpid()) - kept_before)


def _kept_s(pid: int) -> float:
    """How long the main thread has been ready to run without a CPU to run on."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


async def _bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def _serve_bare(socket: str) -> None:
    async with await asyncio.start_unix_server(_bare, socket) as server:
        print(flush=True)
        await server.serve_forever()


async def _watch(daemon: str, pid: int) -> None:
    bare = daemon + ".bare"
    twin = await asyncio.create_subprocess_exec(
        sys.executable, __file__, bare, stdout=asyncio.subprocess.PIPE
    )
    assert twin.stdout is not None
    await twin.stdout.readline()
    asked = {
        "daemon": (await asyncio.open_unix_connection(daemon), pid),
        "bare": (await asyncio.open_unix_connection(bare), twin.pid),
    }
    worst = {name: Worst() for name in asked}
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    line = asyncio.ensure_future(stdin.readline())
    try:
        while True:
            for name, (connection, of) in asked.items():
                await _ask(connection, of, worst[name])
            await asyncio.sleep(PAUSE_S)
            if line.done():
                if not line.result():
                    return
                print(json.dumps({name: vars(each) for name, each in worst.items()}), flush=True)
                worst = {name: Worst() for name in asked}
                line = asyncio.ensure_future(stdin.readline())
    finally:
        twin.kill()
        await twin.wait()


if __name__ == "__main__":
    asyncio.run(_watch(sys.argv[1], int(sys.argv[2])) if sys.argv[2:] else _serve_bare(sys.argv[1]))
