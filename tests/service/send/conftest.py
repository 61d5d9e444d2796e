"""An open sender, on both kinds of event loop: hookd runs on uvloop, tools may use asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import nullcontext

import pytest
import uvloop

from hookd.delivery.http import Sender
from hookd.domain.clock import Clock
from tests.kit.loop_time import LoopClock, on_asyncio
from tests.kit.procfs import open_sockets
from tests.kit.waiting import until
from tests.service.send.attempts import Attempts


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def clock() -> Clock:
    """Shows the loop's time where that can be set."""
    return LoopClock() if on_asyncio() else Clock()


@pytest.fixture
async def skipping(clock: Clock) -> AsyncIterator[None]:
    """Lets nobody wait for a time on asyncio's loop; on uvloop time is real."""
    with clock.skipping() if isinstance(clock, LoopClock) else nullcontext():
        yield


@pytest.fixture
async def send(clock: Clock) -> AsyncIterator[Attempts]:
    """Makes attempts; leaves no socket behind, whatever the test did."""
    before = open_sockets()
    sender = Sender(clock)
    await sender.open()
    yield Attempts(sender)
    await sender.close()
    await until(lambda: open_sockets() <= before)
