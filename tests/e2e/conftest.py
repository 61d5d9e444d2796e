"""Fixtures of the tests that run the real process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.recorder import Recorder

DAEMON = "daemon: {listen: [{unix: h.sock}], store: h.db, log: {format: json}}\n"


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    async with Recorder() as running:
        yield running


Running = Callable[[str], Awaitable[DaemonProcess]]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """Start a daemon on a configuration (the `daemon:` section stands before it)."""
    started: list[DaemonProcess] = []

    async def start(config: str, *, daemon: str = DAEMON) -> DaemonProcess:
        (tmp_path / "hookd.yaml").write_text(daemon + config)
        process = DaemonProcess(tmp_path)
        started.append(process)
        return await process.start()

    yield start
    for process in started:
        await process.close()
