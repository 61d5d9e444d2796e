"""An open sender, on both kinds of event loop: hookd runs on uvloop, tools may use asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from hookd.send import Sender
from tests.service.send.attempts import Attempts


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def send() -> AsyncIterator[Attempts]:
    sender = Sender()
    await sender.open()
    yield Attempts(sender)
    await sender.close()
