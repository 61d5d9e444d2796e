"""Answers that come in pieces: framed for each version, bounded for a client that does not read, ended with it."""

import asyncio

import pytest

from tests.service.api.conftest import Serving
from tests.service.api.served import LARGE, Client, Server, get


async def begun(server: Server, request: bytes) -> tuple[Client, bytes]:
    client = await server.connect()
    client.send(request)
    async with asyncio.timeout(5):
        head = await client.reader.readuntil(b"\r\n\r\n")
    return client, head.lower()


async def rest(client: Client) -> bytes:
    async with asyncio.timeout(5):
        return await client.reader.read()


async def left(server: Server) -> None:
    async with asyncio.timeout(5):
        await server.routes.left.wait()


async def test_it_is_chunked_and_the_connection_ends_after_it(serving: Serving) -> None:
    server = await serving()
    client, head = await begun(server, get("/pieces"))
    assert b"transfer-encoding: chunked\r\n" in head
    assert b"connection: close\r\n" in head
    assert b"content-length" not in head
    async with asyncio.timeout(5):
        assert await client.reader.readexactly(9) == b"4\r\none\n\r\n"
    server.routes.gate.set()
    assert await rest(client) == b"4\r\ntwo\n\r\n0\r\n\r\n"


async def test_http_1_0_gets_it_as_it_is(serving: Serving) -> None:
    server = await serving()
    client, head = await begun(server, get("/pieces", version="1.0"))
    assert b"transfer-encoding" not in head
    server.routes.gate.set()
    assert await rest(client) == b"one\ntwo\n"


async def test_a_head_gets_no_piece(serving: Serving) -> None:
    server = await serving()
    client, _head = await begun(server, get("/pieces", method="HEAD"))
    assert not server.routes.entered.is_set()
    assert (await client.ask(get())).body == b"hello"


async def test_nothing_of_the_next_request_is_answered(serving: Serving) -> None:
    server = await serving()
    client, _head = await begun(server, get("/pieces") + get())
    server.routes.gate.set()
    assert (await rest(client)).endswith(b"0\r\n\r\n")
    assert server.routes.seen == ["/pieces"]


async def test_it_may_be_silent_for_longer_than_an_idle_connection(serving: Serving) -> None:
    server = await serving(idle_s=0.02, head_s=0.02, body_s=0.02, unread_s=0.02)
    client, _head = await begun(server, get("/pieces"))
    idle = await server.connect()
    async with asyncio.timeout(5):
        await idle.reader.read()  # it is cut meanwhile
    server.routes.gate.set()
    assert (await rest(client)).endswith(b"4\r\ntwo\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("flood", [False, True])
async def test_it_ends_when_the_client_is_gone(serving: Serving, flood: bool) -> None:
    server = await serving()
    server.routes.flood = flood
    client, _head = await begun(server, get("/pieces"))
    client.writer.transport.abort()
    await left(server)


async def test_a_client_that_does_not_read_costs_a_piece_and_is_cut(serving: Serving) -> None:
    server = await serving(unread_s=0.1)
    server.routes.flood = True
    client = await server.connect()
    client.stop_reading()
    client.send(get("/pieces"))
    await left(server)
    assert (
        server.routes.flooded * len(LARGE) <= 8 << 20
    )  # what the kernel and this client's reader have taken


async def test_a_stop_does_not_wait_for_it(serving: Serving) -> None:
    server = await serving()
    client, _head = await begun(server, get("/pieces"))
    async with asyncio.timeout(5):
        await client.reader.readexactly(9)
        with server.skipping():
            await server.listeners.close()
    await left(server)
