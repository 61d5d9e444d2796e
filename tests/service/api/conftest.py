"""Open listeners, on both kinds of event loop: hookd runs on uvloop, tools may use asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from hookd.domain.clock import Clock
from hookd.domain.definitions import HttpListen, UnixListen
from hookd.server.activation import ListenTarget
from hookd.server.limits import Limits
from hookd.server.sockets import Listeners
from tests.kit.loop_time import LoopClock, on_asyncio
from tests.kit.procfs import open_sockets
from tests.kit.waiting import until
from tests.service.api.served import Routes, Server

Serving = Callable[..., Awaitable[Server]]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    """Opens a listener with these limits; at the end no socket and no task is left, whatever the test did.

    Nor has a callback failed, as one does on a transition that the table of `connection_state` does not have.
    """
    before = open_sockets(), len(asyncio.all_tasks())
    opened = []
    failed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context))

    clock = LoopClock() if on_asyncio() else Clock()

    async def serving(listen: UnixListen | HttpListen | None = None, **bounds: float) -> Server:
        routes = Routes()
        listeners = Listeners(routes.router(), clock, "hookd/test", Limits(**{"sweep_s": 0.02, **bounds}))  # type: ignore[arg-type]  # numbers of either kind
        opened.append(Server(routes, listeners, clock))
        await listeners.open(ListenTarget(listen or UnixListen(str(tmp_path / "h.sock"))))
        return opened[-1]

    yield serving
    for server in opened:
        await server.close()
    await until(lambda: open_sockets() <= before[0] and len(asyncio.all_tasks()) <= before[1])
    assert failed == []
