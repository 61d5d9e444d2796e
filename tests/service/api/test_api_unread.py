"""Clients that leave their answers unread, go away, or come in crowds (spec 14)."""

import asyncio
import socket
import struct
import time
from typing import cast

import pytest

from hookd.domain.definitions import HttpListen
from tests.kit.waiting import until
from tests.service.api.conftest import Serving
from tests.service.api.served import LARGE, get, post

TCP = HttpListen("127.0.0.1", 0)


async def test_a_client_that_reads_no_answers_is_held_and_cut(serving: Serving) -> None:
    server = await serving(unread_s=0.2)
    client = await server.connect()
    client.stop_reading()
    client.send(get("/large") * 200)
    await until(lambda: server.routes.seen)
    [listener] = server.listeners._listeners
    [connection] = listener._open
    assert connection.transport is not None
    assert connection.transport.get_write_buffer_size() <= 2 * len(LARGE)
    await until(lambda: not listener._open)
    assert len(server.routes.seen) <= 3


async def test_unread_answers_count_and_past_the_bound_a_get_is_refused(serving: Serving) -> None:
    server = await serving(unread_s=0.5)
    budget = server.listeners.memory
    budget.max_answers = 4 * len(LARGE)
    lazy = [await server.connect() for _ in range(10)]
    for client in lazy:
        client.stop_reading()
        client.send(get("/large"))
    await until(lambda: len(server.routes.seen) == len(lazy))
    await until(lambda: 3 * len(LARGE) <= budget.answer_bytes <= budget.max_answers)
    refused = await server.ask(get("/large"))
    assert (refused.status, b"too many answers wait" in refused.body) == (503, True)
    assert (await server.ask(get())).body == b"hello", "small answers always have room"
    await until(lambda: budget.answer_bytes == 0)
    assert (await server.ask(get("/large"))).body == LARGE


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_counts_no_longer_than_it_is_unread(serving: Serving, version: str) -> None:
    server = await serving()
    for _ in range(3):
        assert (await server.ask(get("/large", version=version))).body == LARGE
    await until(lambda: server.listeners.memory.answer_bytes == 0)


async def test_a_client_that_reads_late_gets_all(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(get("/large") * 20 + get())
    await until(lambda: server.routes.seen)
    for _ in range(20):
        assert (await client.answer()).body == LARGE
    assert (await client.answer()).body == b"hello"


async def test_half_a_request_that_comes_while_the_last_response_is_unread(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.stop_reading()
    client.send(get("/large"))
    [listener] = server.listeners._listeners
    await until(lambda: any(connection._paused for connection in listener._open))
    client.send(get()[:9])
    await asyncio.sleep(0.05)
    cast(asyncio.Transport, client.writer.transport).resume_reading()
    assert (await client.answer()).body == LARGE
    assert (await client.ask(get()[9:])).body == b"hello"


async def test_a_crowd_is_bounded(serving: Serving) -> None:
    server = await serving(connections=5, slow=0.2, head_s=2)
    clients = [await server.connect() for _ in range(30)]
    refused = [await client.answer() for client in clients[5:]]
    assert {each.status for each in refused} == {503}
    assert all("retry-after" in each.headers for each in refused)
    await server.passes(0.5)  # now the five are slow, and make room for who is not
    assert (await server.ask(get())).status == 200


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", [b"", b"GET ", post(b"12345")[:-1], get("/gate"), get("/gate") * 3])
async def test_a_client_that_goes(serving: Serving, sent: bytes, reset: bool) -> None:
    server = await serving(TCP)
    client = await server.connect()
    client.send(sent)
    if sent.startswith((b"POST", b"GET /gate")):
        await server.routes.entered.wait()
    if reset:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    if sent.startswith(b"GET /gate"):
        assert (await server.ask(get())).status == 200
        server.routes.gate.set()
        await server.routes.left.wait()
    [listener] = server.listeners._listeners
    for other in server.clients[1:]:
        await other.close()
    await until(lambda: not listener._open)
    assert (await server.ask(get())).status == 200


async def test_stopping_does_not_wait_for_ever(serving: Serving) -> None:
    server = await serving()
    [listener] = server.listeners._listeners
    client, unread, gone = [await server.connect() for _ in range(3)]
    unread.stop_reading()
    unread.send(get("/large") * 3)
    client.send(post(b"12345")[:-1])
    gone.send(get("/gate"))
    await until(lambda: len(server.routes.seen) == 2 and server.routes.entered.is_set())
    began_at = time.monotonic()
    await listener.stop(grace_s=0.1)
    assert time.monotonic() - began_at < 1
    await until(lambda: all(each.transport is None for each in listener._open))
    assert server.routes.seen.count("/large") <= 2


async def test_past_the_limit_the_one_that_has_been_idle_longest_makes_room(serving: Serving) -> None:
    server = await serving(connections=3, slow=1.0)
    clients = [await server.connect() for _ in range(3)]
    for client in (clients[1], clients[0], clients[2]):
        assert (await client.ask(get())).body == b"hello"
        await asyncio.sleep(0.02)  # the loop's clock may have steps of a millisecond
    newcomer = await server.connect()
    assert (await newcomer.ask(get())).body == b"hello"
    assert await clients[1].ended()
    for client in (clients[0], clients[2], newcomer):
        assert (await client.ask(get())).body == b"hello"


async def test_who_is_at_work_makes_no_room(serving: Serving) -> None:
    server = await serving(connections=2, slow=1.0)
    clients = [await server.connect() for _ in range(2)]
    for client in clients:
        client.send(get("/gate"))
    await until(lambda: len(server.routes.seen) == len(clients))
    assert (await (await server.connect()).answer()).status == 503
    server.routes.gate.set()
    for client in clients:
        assert (await client.answer()).status == 200
