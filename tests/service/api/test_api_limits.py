"""Clients that are slow, silent or too many, and a listener that stops (spec 14)."""

import asyncio

import pytest

from hookd.domain.definitions import HttpListen
from tests.service.api.conftest import Serving
from tests.service.api.served import LIMIT, get, post

TCP = HttpListen("127.0.0.1", 0)
CHUNKED = get("/body", "Transfer-Encoding: chunked", method="POST")


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET /hel", get()[:-2]])
async def test_a_slow_head_is_cut(serving: Serving, begun: bytes) -> None:
    server = await serving(head_s=0.05)
    client = await server.connect()
    client.send(begun)
    assert (await client.answer()).status == 408
    assert await client.ended()
    assert server.routes.seen == []


async def test_a_dripping_head_is_cut(serving: Serving) -> None:
    client = await (await serving(head_s=0.1)).connect()
    answered = asyncio.create_task(client.answer())
    for byte in get("/hello", "X-Long: " + "x" * 5000):
        if answered.done():
            break
        client.send(bytes([byte]))
        await asyncio.sleep(0.005)
    assert (await answered).status == 408


async def test_a_slow_second_head_is_cut(serving: Serving) -> None:
    client = await (await serving(head_s=0.05)).connect()
    assert (await client.ask(get())).status == 200
    assert (await client.ask(b"GET ")).status == 408
    assert await client.ended()


async def test_an_idle_connection_is_closed_without_a_word(serving: Serving) -> None:
    client = await (await serving(idle_s=0.05)).connect()
    assert (await client.ask(get())).status == 200
    assert await client.ended()


async def test_what_is_being_served_is_not_cut(serving: Serving) -> None:
    server = await serving(idle_s=0.05, head_s=0.05, body_s=0.05)
    client = await server.connect()
    client.send(get("/gate"))
    await server.routes.entered.wait()
    for _ in range(3):
        await server.passes(0.05)
        await asyncio.sleep(0.01)  # for the sweep
    server.routes.gate.set()
    assert (await client.answer()).body == b"passed"


async def test_a_slow_body_is_refused(serving: Serving) -> None:
    server = await serving(linger_s=0.05)
    server.routes.body_s = 0.05
    client = await server.connect()
    answered = await client.ask(post(b"12345")[:-1])
    assert (answered.status, answered.connection) == (408, "close")
    assert await client.ended()


@pytest.mark.parametrize("listen", [None, TCP])
@pytest.mark.parametrize(
    "sent",
    [post(b"x" * (LIMIT * 8)), CHUNKED + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 128],
    ids=["length", "chunked"],
)
async def test_too_large_is_told_to_a_client_that_still_sends(
    serving: Serving, listen: HttpListen | None, sent: bytes
) -> None:
    client = await (await serving(listen)).connect()
    client.send(sent)
    await client.writer.drain()
    answered = await client.answer()
    assert (answered.status, answered.connection) == (413, "close")
    assert await client.ended()


async def test_a_refused_body_is_not_read_for_ever(serving: Serving) -> None:
    server = await serving(linger_s=0.05)
    client = await server.connect()
    assert (await client.ask(post(b"x" * LIMIT * 2)[:1000])).status == 413
    [listener] = server.listeners._listeners
    async with asyncio.timeout(5):
        while listener._open:
            client.send(b"x" * 1000)
            await asyncio.sleep(0.005)


async def test_the_slowest_unfinished_head_makes_room(serving: Serving) -> None:
    server = await serving(connections=3, slow=1e-4)
    served, idle, slow = [await server.connect() for _ in range(3)]
    served.send(get("/gate"))
    await server.routes.entered.wait()
    await idle.ask(get())
    slow.send(b"GET ")
    await asyncio.sleep(0.02)  # of 10 s for a head that is a larger share than of 75 s for the next request
    assert (await server.ask(get())).status == 200
    assert (await slow.answer()).status == 503
    assert await slow.ended()
    await asyncio.sleep(0.02)
    assert (await server.ask(get())).status == 200
    assert await idle.ended()
    server.routes.gate.set()
    assert (await served.answer()).body == b"passed"


async def test_a_slow_body_makes_room(serving: Serving) -> None:
    server = await serving(connections=1, slow=1e-4)
    slow = await server.connect()
    slow.send(post(b"12345")[:-1])
    await server.routes.entered.wait()
    await asyncio.sleep(0.02)  # of 30 s for a body
    assert (await server.ask(get())).status == 200
    assert await slow.ended()
    await server.routes.left.wait()
    assert server.routes.seen == ["/hello"]


async def test_where_all_are_served_the_newest_is_refused(serving: Serving) -> None:
    server = await serving(connections=1, slow=1e-4)
    served = await server.connect()
    served.send(get("/gate"))
    await server.routes.entered.wait()
    refused = await server.connect()
    assert (await refused.answer()).status == 503
    assert await refused.ended()
    server.routes.gate.set()
    assert (await served.answer()).body == b"passed"


async def test_stopping_answers_what_is_being_served(serving: Serving) -> None:
    server = await serving()
    served, idle, begun = [await server.connect() for _ in range(3)]
    begun.send(b"GET ")
    await idle.ask(get())
    served.send(get("/gate") * 2)
    await server.routes.entered.wait()
    stopped = asyncio.create_task(server.listeners.close())
    assert await idle.ended()
    assert await begun.ended()
    server.routes.gate.set()
    answered = await served.answer()
    assert (answered.body, answered.connection) == (b"passed", "close")
    assert await served.ended()
    await stopped
    assert server.routes.seen == ["/hello", "/gate"]
