"""What every test stands on.

Laws are tried on 20 examples each; `HYPOTHESIS_PROFILE=full` tries them on 100, as `.ci/run` does.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

for _profile, _examples in (("dev", 20), ("full", 100)):
    settings.register_profile(
        _profile, max_examples=_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )  # a law holds on a busy machine too
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


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
def _no_size_of_a_terminal() -> Iterator[None]:
    """Let nothing be cut to the size of the terminal that the tests happen to run in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.delenv("LINES", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _children_hear_ctrl_c() -> Iterator[None]:
    """Let SIGINT end what tests start, also where a shell that ran the tests in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty directory with a short path: that of a socket has 107 bytes, and `tmp_path` may take them all."""
    with tempfile.TemporaryDirectory(prefix="hookd-") as path:
        yield Path(path)
