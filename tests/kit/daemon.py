"""A real hookd process for tests: started, observed through sd_notify and its listeners, killed."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.kit import procfs
from tests.kit.waiting import WITHIN_S, comes_true, until

START_S = 60.0

TRACEABLE = {} if os.geteuid() == 0 else {"HOOKD_DUMPABLE": "1"}
"""For a daemon's environment: without root's rights, tests could look into it no more than others of its user may."""


class Notifications:
    """The service manager's end of `$NOTIFY_SOCKET`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[dict[str, str]] = []
        path.unlink(missing_ok=True)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)

    async def wait_for(
        self, key: str, value: str | None = None, *, within_s: float = START_S
    ) -> dict[str, str]:
        """The next datagram that carries the field."""
        async with asyncio.timeout(within_s):
            while True:
                raw = await asyncio.get_running_loop().sock_recv(self._sock, 65536)
                fields = dict(line.split("=", 1) for line in raw.decode().splitlines())
                self.seen.append(fields)
                if key in fields and value in (None, fields[key]):
                    return fields

    def forget(self) -> None:
        """Drop what was sent so far: a reload says READY as well as a start does."""
        with suppress(BlockingIOError):
            while True:
                self._sock.recv(65536)

    def close(self) -> None:
        self._sock.close()
        self.path.unlink(missing_ok=True)


class DaemonProcess:
    """One hookd on a configuration in `directory` (file `hookd.yaml`, unless `config` names another path).

    `wrap` is a command that runs it as its child, such as `strace … --`; `module` with its words is what runs in place
    of `hookd`. Both may be changed between two starts. `python` runs it: another venv's runs another build.
    """

    def __init__(
        self,
        directory: Path,
        *,
        config: Path | None = None,
        env: Mapping[str, str] | None = None,
        wrap: Sequence[str] = (),
        module: Sequence[str] = ("hookd",),
        python: str = sys.executable,
    ) -> None:
        self.directory = directory
        self.config = config or directory / "hookd.yaml"
        self.socket = directory / "h.sock"
        self.log = directory / "daemon.log"
        self.process: asyncio.subprocess.Process | None = None
        self.notifications = Notifications(directory / "notify.sock")
        self.wrap = wrap
        self.module = module
        self._python = python
        self._env = dict(env or {})
        self._session: aiohttp.ClientSession | None = None

    @property
    def pid(self) -> int:
        """The process id of hookd itself."""
        assert self.process is not None
        pid = self.process.pid
        if not self.wrap:
            return pid
        return procfs.children(pid)[0]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to hookd, unless it has ended."""
        with suppress(ProcessLookupError, FileNotFoundError, IndexError):
            os.kill(self.pid, number)

    async def launch(self) -> None:
        """Start the process without waiting for it to be ready."""
        env = {**os.environ, **TRACEABLE, **self._env, "NOTIFY_SOCKET": str(self.notifications.path)}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.wrap, self._python, "-m", *self.module, "run", "-c", str(self.config),
                cwd=self.directory, env=env, stdout=log, stderr=log,
            )  # fmt: skip

    async def start(self, *, within_s: float = START_S) -> Self:
        """Start it and wait for READY."""
        self.notifications.forget()
        await self.launch()
        assert self.process is not None
        ready = asyncio.ensure_future(self.notifications.wait_for("READY", within_s=within_s))
        ended = asyncio.ensure_future(self.process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            raise AssertionError(f"the daemon ended with {ended.result()}:\n{self.log.read_text()}")
        ended.cancel()
        await ready
        return self

    async def kill(self) -> None:
        """SIGKILL and reap."""
        assert self.process is not None
        await self._close_session()
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM and the exit code."""
        assert self.process is not None
        await self._close_session()
        if self.process.returncode is None:
            self.signal(signal.SIGTERM)
        async with asyncio.timeout(40):
            return await self.process.wait()

    async def ended(self) -> int:
        """The exit code of a process that ends by itself."""
        assert self.process is not None
        async with asyncio.timeout(START_S):
            return await self.process.wait()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self.process is not None:
            await self.kill()
        self.notifications.close()

    async def request(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request over the Unix socket; a JSON answer is decoded."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=str(self.socket), limit=0)
            )
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if raw is not None else {}
        async with self._session.request(
            method, f"http://localhost{path}", data=raw, headers={**given, **(headers or {})}
        ) as response:
            answer = await response.read()
            return response.status, json.loads(answer) if "json" in response.content_type else answer

    async def post(self, event: Any) -> tuple[int, Any]:
        """Post one event or a batch."""
        return await self.request("POST", "/v1/events", body=event)

    async def get(self, path: str) -> Any:
        """A GET that must succeed."""
        status, answer = await self.request("GET", path)
        assert status == 200, answer
        return answer

    async def status(self) -> Any:
        """What it says of itself."""
        return await self.get("/v1/status")

    async def metric(self, line: str) -> float:
        """The value of a metric with its labels, as it stands in the exposition."""
        exposition = (await self.get("/metrics")).decode()
        rows = (row.rsplit(" ", 1) for row in exposition.splitlines())
        return next(float(value) for name, value in rows if name == line)

    async def listed(self, query: str = "") -> list[Any]:
        """Every delivery that a query (`webhook=w&state=dead`) finds, all pages."""
        found: list[Any] = []
        path = f"/v1/deliveries?limit=500&{query}".rstrip("&")
        page = await self.get(path)
        while page["cursor"]:
            found += page["deliveries"]
            page = await self.get(f"{path}&cursor={page['cursor']}")
        return [*found, *page["deliveries"]]

    def logged(self, event: str | None = None, **keys: Any) -> list[dict[str, Any]]:
        """The facts it has logged in JSON: of this name, with these keys; what else it printed is left out."""
        lines = self.log.read_text().splitlines()
        facts = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [fact for fact in facts if event in {None, fact["event"]} and fact.items() >= keys.items()]

    async def get_when(
        self, path: str, enough: Callable[[Any], object], *, within_s: float = WITHIN_S
    ) -> Any:
        """The answer to a GET once it is enough."""

        async def look() -> Any:
            found = await self.get(path)
            return (found,) if enough(found) else ()

        (found,) = await until(look, within_s=within_s)
        return found

    async def gone(self, path: str, *, within_s: float = WITHIN_S) -> None:
        """Wait until a GET is answered 404."""

        async def look() -> bool:
            return (await self.request("GET", path))[0] == 404

        await until(look, within_s=within_s)

    async def delivery_when(self, delivery_id: str, *states: str, within_s: float = WITHIN_S) -> Any:
        """The delivery once it is in one of the states."""
        path = f"/v1/deliveries/{delivery_id}"
        return await self.get_when(path, lambda found: found["state"] in states, within_s=within_s)

    async def unfinished(self) -> int:
        """How many deliveries wait or are being sent."""
        counts = (await self.status())["deliveries"]
        return int(counts["pending"]) + int(counts["sending"])

    async def rested(self, descriptors: int, *, within_s: float = WITHIN_S) -> int:
        """How many descriptors it has open, once they are no more than these, or else at the end."""
        await self._close_session()  # what asks here is no client
        await comes_true(lambda: len(procfs.open_files(self.pid)) <= descriptors, within_s=within_s)
        return len(procfs.open_files(self.pid))

    async def settled(self, *, within_s: float = 60.0) -> bool:
        """Wait until nothing is waiting or being sent; whether it came to that in time."""

        async def look() -> bool:
            return not await self.unfinished()

        return await comes_true(look, within_s=within_s, every_s=0.05)

    async def _close_session(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
