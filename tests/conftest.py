"""What every test stands on."""

import asyncio
from collections.abc import Iterator

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
