"""Requests whose head is known: served without a task, and with the same answers, bounds and order as all others."""

import asyncio

import pytest

from hookd.domain.definitions import HttpListen, Secret, TokenDef
from hookd.server.messages import Response
from tests.kit.waiting import until
from tests.service.api.conftest import Serving
from tests.service.api.served import LARGE, Client, Server, get, post

PATH = "/known"


async def known(server: Server) -> Client:
    """A connection whose head is known from now on."""
    client = await server.connect()
    assert (await client.ask(post(b"first", PATH))).status == 202
    server.routes.seen.clear()
    return client


async def test_a_head_is_known_once_a_request_with_it_was_taken(serving: Serving) -> None:
    server = await serving()
    client = await known(server)
    for body in (b"second", b"of another length", b"x" * 5000):
        answered = await client.ask(post(body, PATH))
        assert (answered.status, answered.body, answered.connection) == (202, body, "")
    assert server.routes.seen == ["known"] * 3
    assert server.listeners.memory.complete_bytes == 0


async def test_by_tcp_a_head_is_known_on_all_connections(serving: Serving) -> None:
    server = await serving(HttpListen("127.0.0.1", 0))
    for _ in range(2):
        assert (await server.ask(post(b"x", PATH))).status == 202
    assert server.routes.seen == ["whole way", "known"]


async def test_by_a_unix_socket_a_connection_s_user_is_asked_for_first(serving: Serving) -> None:
    server = await serving()
    for _ in range(2):
        client = await server.connect()
        for _ in range(2):
            assert (await client.ask(post(b"x", PATH))).status == 202
    assert server.routes.seen == ["whole way", "known"] * 2
    assert len(server.listeners._listeners[0].known_heads._known) == 1


async def test_the_answer_is_the_same_to_the_byte(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    first, second = [await client.ask(post(b"same", PATH)) for _ in range(2)]
    assert server.routes.seen == ["whole way", "known"]
    assert {**first.headers, "date": ""} == {**second.headers, "date": ""}
    assert (first.status, first.body) == (second.status, second.body)


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"x", PATH, "Accept: */*"),
        post(b"x", PATH, "Connection: keep-alive"),
        post(b"x", "/body"),
        post(b"odd", PATH),
        post(b"x", PATH).replace(b"localhost", b"LOCALHOST"),
        post(b"x", PATH).replace(b"Content-Length: 1", b"Content-Length:  1"),
        post(b"x", PATH).replace(b"Content-Length: 1", b"Content-Length: 01"),
        post(b"x", PATH).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_what_is_not_known_to_the_byte_goes_the_whole_way(
    serving: Serving, request_bytes: bytes
) -> None:
    server = await serving()
    client = await known(server)
    assert (await client.ask(request_bytes)).status in (200, 202)
    assert "known" not in server.routes.seen


async def test_a_head_whose_request_was_not_taken_is_not_known(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    await client.ask(post(b"not taken", PATH))
    await client.ask(post(b"x", PATH))
    assert server.routes.seen == ["whole way"] * 2


@pytest.mark.parametrize("cut", [1, 30, -1])
async def test_a_request_that_comes_in_pieces_goes_the_whole_way_and_the_next_does_not(
    serving: Serving, cut: int
) -> None:
    server = await serving()
    client = await known(server)
    data = post(b"in pieces", PATH)
    client.send(data[:cut])
    await asyncio.sleep(0.02)
    assert (await client.ask(data[cut:])).body == b"in pieces"
    assert server.routes.seen == ["whole way"]
    await client.ask(get())
    await client.ask(post(b"whole", PATH))
    left_whole = cut == -1  # of a head that came in pieces it is not known where it ended
    assert server.routes.seen[-1] == ("known" if left_whole else "whole way")


async def test_requests_one_behind_the_other_are_answered_in_order(serving: Serving) -> None:
    server = await serving()
    client = await known(server)
    client.send(post(b"one", PATH) + post(b"two", PATH) + post(b"three", PATH))
    assert [(await client.answer()).body for _ in range(3)] == [b"one", b"two", b"three"]
    client = await known(server)
    client.send(post(b"hold", PATH))
    await until(lambda: server.routes.held)
    client.send(post(b"behind", PATH) + get() + post(b"last", PATH)[:-2])
    await asyncio.sleep(0.02)
    server.routes.held[0].answer(Response(202, b"held"))
    assert [(await client.answer()).body for _ in range(3)] == [b"held", b"behind", b"hello"]
    assert (await client.ask(post(b"last", PATH)[-2:])).body == b"last"


async def test_a_client_that_goes_before_its_answer_leaves_nothing_behind(serving: Serving) -> None:
    server = await serving()
    client = await known(server)
    client.send(post(b"hold", PATH))
    await until(lambda: server.routes.held)
    client.writer.transport.abort()
    await asyncio.sleep(0.02)
    server.routes.held[0].answer(Response(202, b"unheard"))
    await until(lambda: not server.listeners._listeners[0]._open)
    assert server.listeners.memory.complete_bytes == 0


async def test_a_client_that_has_sent_all_gets_its_answer_and_the_end(serving: Serving) -> None:
    server = await serving()
    client = await known(server)
    client.send(post(b"hold", PATH))
    client.writer.write_eof()
    await until(lambda: server.routes.held)
    server.routes.held[0].answer(Response(202, b"heard"))
    answered = await client.answer()
    assert answered.body == b"heard"
    assert await client.ended()


async def test_what_is_being_served_is_answered_before_the_end(serving: Serving) -> None:
    server = await serving()
    client, idle = await known(server), await known(server)
    client.send(post(b"hold", PATH))
    await until(lambda: server.routes.held)
    server.listeners.disable_keep_alive()
    server.routes.held[0].answer(Response(202, b"the last"))
    answered = await client.answer()
    assert (answered.body, answered.connection) == (b"the last", "close")
    assert await client.ended()
    answered = await idle.ask(post(b"once more", PATH))
    assert (answered.connection, server.routes.seen[-1]) == ("close", "whole way")


async def test_a_client_that_does_not_read_is_not_served_on(serving: Serving) -> None:
    server = await serving()
    client = await known(server)
    client.stop_reading()
    for _ in range(40):
        client.send(post(LARGE[:500_000], PATH))
    await asyncio.sleep(0.2)
    assert len(server.routes.seen) < 40


async def test_a_head_with_another_token_is_another_head(serving: Serving) -> None:
    tokens = (TokenDef("1", Secret("right")),)
    server = await serving(HttpListen("127.0.0.1", 0, tokens=tokens))
    client = await server.connect()
    for _ in range(2):
        assert (await client.ask(post(b"x", PATH, "Authorization: Bearer right"))).status == 202
        assert (await client.ask(post(b"x", PATH, "Authorization: Bearer wrong"))).status == 401
    assert server.routes.seen == ["whole way", "known"]


async def test_a_trace_may_differ(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    for number in range(3):
        parent = f"traceparent: 00-{number + 1:032x}-{number + 1:016x}-01"
        assert (await client.ask(post(b"x", PATH, parent))).status == 202
    assert server.routes.seen == ["whole way", "known", "known"]
