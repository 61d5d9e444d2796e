"""An open sender, on both kinds of event loop: hookd runs on uvloop, tools may use asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from hookd.delivery.http import Sender
from tests.service.send.attempts import Attempts, until


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def _sockets() -> int:
    """How many sockets this process has open."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            links.append(str(descriptor.readlink()))
    return sum(link.startswith("socket:") for link in links)


@pytest.fixture
async def send() -> AsyncIterator[Attempts]:
    """Makes attempts; leaves no socket behind, whatever the test did."""
    before = _sockets()
    sender = Sender()
    await sender.open()
    yield Attempts(sender)
    await sender.close()
    await until(lambda: _sockets() <= before)
