"""The temporary state of `hookd demo`: a directory, a receiver, and a real daemon as a child process.

Must never: leave anything behind, however the demo ends, or touch anything outside its directory. Called
by: `demo`.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from hookd.cli.client.api_client import Client
from hookd.cli.failure import Failure
from hookd.cli.testbench.receiver import ReceivedRequest, Receiver

TIMEOUT_S = 10.0
"""How long the demo waits for any one thing, in seconds."""

POLL_S = 0.02

FROM_SYSTEMD = frozenset(
    {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"}
)
"""Variables that would make the child speak to the service manager of the user who runs the demo."""


class DemoStage:
    """Everything the demo plays on.

    Attributes:
        directory: holds all files and the socket; removed at the end.
        client: asks the daemon.
    """

    def __init__(self, directory: Path, receiver: Receiver) -> None:
        self.directory = directory
        self.client = Client(str(directory / "hookd.sock"))
        self._receiver = receiver
        self._config = directory / "hookd.yaml"
        self._log = directory / "daemon.log"
        self._daemon: subprocess.Popen[bytes] | None = None

    def write_config(self, text: str) -> None:
        """Put the configuration in its place."""
        self._config.write_text(text, encoding="utf-8")

    async def start_daemon(self) -> int:
        """Start the daemon and wait until it answers; its pid."""
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(  # noqa: ASYNC220, S603 - returns at once; runs ourselves
                [sys.executable, "-m", "hookd", "run", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if name not in FROM_SYSTEMD},
                start_new_session=True,
            )
        async with asyncio.timeout(TIMEOUT_S):
            while not await self._answers():
                if self._daemon.poll() is not None:
                    raise Failure("the daemon ended while starting")
                await asyncio.sleep(POLL_S)
        return self._daemon.pid

    async def _answers(self) -> bool:
        try:
            await self.get("/v1/status")
        except Failure:
            return False
        return True

    def kill_daemon(self) -> None:
        """`kill -9` the daemon and whatever it started."""
        if self._daemon is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._daemon.pid, signal.SIGKILL)
            self._daemon.wait()

    async def stop_daemon(self) -> int:
        """Ask the daemon to stop, as systemd does; its exit code."""
        assert self._daemon
        self._daemon.terminate()
        return await asyncio.to_thread(self._daemon.wait, TIMEOUT_S)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Ask the daemon."""
        return await asyncio.to_thread(self.client.get, path, query)

    async def post(self, path: str, body: bytes) -> Any:
        """Post to the daemon."""
        return await asyncio.to_thread(self.client.send, path, body)

    async def arrival(self) -> ReceivedRequest:
        """Wait for the receiver's next request."""
        return await asyncio.wait_for(self._receiver.next_request(), TIMEOUT_S)

    async def delivery_in(self, state: str, delivery_id: str, *, failures: int) -> None:
        """Wait until a delivery is recorded in that state with this many failed attempts."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                delivery = await self.get(f"/v1/deliveries/{delivery_id}")
                if (delivery["state"], delivery["failures"]) == (state, failures):
                    return
                await asyncio.sleep(POLL_S)

    def daemon_log(self) -> list[str]:
        """What the daemon has logged."""
        with contextlib.suppress(OSError):
            return self._log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
        return []


@contextlib.asynccontextmanager
async def set_up(receiver: Receiver) -> AsyncIterator[tuple[DemoStage, int]]:
    """A stage and the receiver's port; at the end, however it comes, nothing of it is left."""
    directory = Path(tempfile.mkdtemp(prefix="hookd-demo-"))
    stage = DemoStage(directory, receiver)
    try:
        _, port = await receiver.start("127.0.0.1", 0)
        yield stage, port
    finally:
        stage.kill_daemon()
        shutil.rmtree(directory, ignore_errors=True)
        await receiver.stop()
