"""Too much at once: bodies that would fill the memory, connections for which there is no descriptor (spec 2, 12)."""

import asyncio
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hookd.domain.definitions import HttpListen
from hookd.server.acceptor import PAUSE_S
from hookd.server.memory_budget import BudgetExceeded, MemoryBudget
from tests.kit.waiting import until
from tests.service.api.conftest import Serving
from tests.service.api.served import get, post

TCP = HttpListen("127.0.0.1", 0)


def test_room_is_bounded_and_given_back() -> None:
    memory = MemoryBudget(max_complete=100)
    first, second = memory.reserve(), memory.reserve()
    first.hold(60)
    with pytest.raises(BudgetExceeded):
        second.hold(50)
    second.hold(40)
    first.release()
    second.hold(60)
    with pytest.raises(BudgetExceeded):
        first.hold(1)


def test_one_alone_may_be_larger_than_the_room() -> None:
    memory = MemoryBudget(max_complete=100)
    alone = memory.reserve()
    alone.hold(1000)
    alone.hold(1000)
    with pytest.raises(BudgetExceeded):
        memory.reserve().hold(1)
    alone.release()
    memory.reserve().hold(1)


def test_who_has_waited_too_long_is_refused() -> None:
    memory = MemoryBudget(timeout_s=3, max_waiting=2)
    with pytest.raises(BudgetExceeded):
        memory.reserve().admit(1, since=0, now=3.1)
    memory.reserve().admit(1, since=0, now=2.9)


def test_while_a_crowd_waits_for_too_long_nobody_enters() -> None:
    memory = MemoryBudget(timeout_s=3, max_waiting=2)
    first, second = memory.reserve(), memory.reserve()
    first.admit(1, since=0, now=0)
    second.admit(1, since=4, now=4)  # a slow disk alone is no crowd
    with pytest.raises(BudgetExceeded):
        memory.reserve().admit(1, since=4, now=4)
    first.release()
    third = memory.reserve()
    third.admit(1, since=5, now=5)
    with pytest.raises(BudgetExceeded):
        memory.reserve().admit(1, since=8, now=8)


async def test_the_body_that_comes_longest_makes_room(serving: Serving) -> None:
    server = await serving()
    server.listeners.memory.max_unfinished = 1000
    slow, next_slow = await server.connect(), await server.connect()
    for client in (slow, next_slow):
        client.send(post(b"x" * 600)[:-1])
        await server.routes.entered.wait()
        server.routes.entered.clear()
    answered = await slow.answer()
    assert (answered.status, answered.connection) == (503, "close")
    assert "retry-after" in answered.headers
    next_slow.send(b"x")
    assert (await next_slow.answer()).status == 200
    assert (await server.ask(post(b"x" * 900))).status == 200
    assert server.listeners.memory.unfinished_bytes == server.listeners.memory.complete_bytes == 0


async def test_an_announced_length_takes_no_room(serving: Serving) -> None:
    server = await serving()
    server.listeners.memory.max_unfinished = 1000
    slow = await server.connect()
    slow.send(post(b"x" * 5000)[:-4990])
    await server.routes.entered.wait()
    assert (await server.ask(post(b"x" * 900))).status == 200


@contextmanager
def no_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("listen", [None, TCP])
async def test_without_descriptors_newcomers_wait(serving: Serving, listen: HttpListen | None) -> None:
    server = await serving(listen)
    address = server.listeners.addresses[0]
    family = socket.AF_INET if listen else socket.AF_UNIX
    here = await server.connect()
    assert (await here.ask(get())).status == 200
    loop = asyncio.get_running_loop()
    with socket.socket(family) as newcomer:
        newcomer.setblocking(False)
        with no_descriptors():
            cpu_s = time.process_time()
            await loop.sock_connect(
                newcomer, ("127.0.0.1", server.port) if listen else address.removeprefix("unix:")
            )
            await until(lambda: server.listeners._bound[0]._short)
            assert (await here.ask(get())).status == 200
            await asyncio.sleep(0.3)
            assert time.process_time() - cpu_s < 0.2
        await loop.sock_sendall(newcomer, get())
        await server.passes(PAUSE_S)
        async with asyncio.timeout(5):
            assert (await loop.sock_recv(newcomer, 100)).startswith(b"HTTP/1.1 200")
