"""Fixtures of the tests that run the real process: every coroutine test of this folder does, and is marked so."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver

HERE = Path(__file__).parent
DAEMON = "daemon: {listen: [{unix: h.sock}], store: h.db, log: {format: json}}\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.process)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as running:
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
