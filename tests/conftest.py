"""What every test stands on."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_stray_loop() -> Iterator[None]:
    """Give the main thread a loop of its own, closed at the end.

    Where it has none, pytest-asyncio's look for the current loop makes one (Python 3.11) that nobody closes; it is then
    collected in the middle of some other test, whose fault its ResourceWarning seems.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.fixture(scope="session", autouse=True)
def _no_width_of_a_terminal() -> Iterator[None]:
    """Let no table be cut to the width of the terminal that the tests happen to run in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty directory with a short path: that of a socket has 107 bytes, and `tmp_path` may take them all."""
    with tempfile.TemporaryDirectory(prefix="hookd-") as path:
        yield Path(path)
