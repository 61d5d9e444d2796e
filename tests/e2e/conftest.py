"""Fixtures of the tests that run the real process."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.recorder import Recorder

DAEMON = "daemon: {listen: [{unix: h.sock}], store: h.db, log: {format: json}}\n"


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    async with Recorder() as running:
        yield running


class Running(Protocol):
    """Starts a daemon on a configuration, `daemon` standing before it."""

    async def __call__(self, config: str, *, daemon: str = DAEMON) -> DaemonProcess: ...


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
