"""An open listener, on both kinds of event loop: hookd runs on uvloop, tools may use asyncio's own."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from hookd.domain.definitions import HttpListen, UnixListen
from hookd.observability import log
from hookd.server.limits import Limits
from tests.service.listener.stand import Stand, Stub

Open = Callable[..., Awaitable[Stand]]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def logged() -> Iterator[io.StringIO]:
    """The log's lines."""
    stream = io.StringIO()
    log.configure(level="debug", form="json", stream=stream)
    yield stream
    log.configure(level="error", form="json")


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Open a listener with the stub's routes; a Unix socket unless told otherwise."""
    stands: list[Stand] = []

    async def start(
        bounds: Limits | None = None,
        *,
        stub: Stub | None = None,
        listen: HttpListen | UnixListen | None = None,
    ) -> Stand:
        where = listen or UnixListen(str(tmp_path / "h.sock"))
        stand = Stand(stub or Stub(), bounds or Limits(), where)
        stands.append(stand)
        await stand.open()
        return stand

    yield start
    for stand in stands:
        stand.stub.gate.set()
        await stand.listeners.close()


@pytest.fixture
async def stand(opened: Open) -> Stand:
    return await opened()
