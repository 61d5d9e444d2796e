"""Connections that end without being served are counted by kind, and logged at most once a minute each."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.clock import Clock
from hookd.domain.definitions import HttpListen
from hookd.observability import log
from hookd.server.unserved import LOG_EVERY_S, UnservedConnections, UnservedKind
from tests.kit.tls import Authority
from tests.kit.waiting import until
from tests.service.api.conftest import Serving
from tests.service.api.served import Server, get

NO_REQUEST, PAST_LIMIT, EVICTED = UnservedKind.NO_REQUEST, UnservedKind.PAST_LIMIT, UnservedKind.EVICTED
TLS_FAILED, PLAIN_HTTP = UnservedKind.TLS_FAILED, UnservedKind.PLAIN_HTTP
TCP = HttpListen("127.0.0.1", 0)

Lines = list[dict[str, Any]]


@pytest.fixture
def said() -> Iterator[Lines]:
    lines: Lines = []
    log.follow(lambda level, _fact, keys: lines.append({"level": level, **keys}))
    yield lines
    log.follow(None)


def counted(server: Server) -> dict[UnservedKind, int]:
    """What was counted, without zeros."""
    (state,) = server.listeners.states()
    return {kind: each.count for kind, each in state.unserved.items() if each.count}


async def counts(server: Server, **wanted: int) -> None:
    await until(lambda: counted(server) == wanted)


async def test_clients_that_are_served_count_for_nothing(serving: Serving, said: Lines) -> None:
    server = await serving(TCP)
    for request in (get(), get("/nowhere"), b"no HTTP\r\n\r\n"):
        client = await server.connect()
        await client.ask(request)
        await client.close()
    (state,) = server.listeners.states()
    assert (state.most, counted(server), said) == (1000, {}, [])
    await until(lambda: server.listeners.states()[0].open == 0)


async def test_a_connection_without_a_request(serving: Serving, said: Lines) -> None:
    server = await serving(TCP, head_s=0.2)
    await (await server.connect()).close()
    await counts(server, no_request=1)
    half = await server.connect()
    half.send(b"GET / HT")
    assert (await half.answer()).status == 408
    silent = await server.connect()
    assert (await silent.answer()).status == 408
    await counts(server, no_request=3)
    assert said == [
        {
            "level": "info",
            "listen": server.listeners.addresses[0],
            "reason": "no_request",
            "count": 1,
            "client": "127.0.0.1",
        }
    ]


async def test_a_stop_is_no_fault_of_the_clients(serving: Serving, said: Lines) -> None:
    server = await serving()
    await server.connect()
    await until(lambda: server.listeners.states()[0].open == 1)
    await server.listeners.close()
    assert (counted(server), said) == ({}, [])


async def test_connections_past_the_limit(serving: Serving, said: Lines) -> None:
    server = await serving(TCP, connections=1, slow=0.9)
    server.routes.gate.clear()
    served = await server.connect()
    served.send(get("/gate"))
    await server.routes.entered.wait()
    for _ in range(3):
        assert (await (await server.connect()).answer()).status == 503
    await counts(server, past_limit=3)
    assert [(line["level"], line["reason"], line["count"]) for line in said] == [("warning", "past_limit", 1)]


async def test_a_slow_one_that_is_closed_for_another(serving: Serving, said: Lines) -> None:
    server = await serving(TCP, connections=1, slow=0.0, sweep_s=10.0)
    slow = await server.connect()
    slow.send(b"GET / HT")
    await asyncio.sleep(0.05)
    assert (await server.ask(get())).status == 200
    await counts(server, evicted=1)
    assert [(line["level"], line["reason"]) for line in said] == [("warning", "evicted")]


@pytest.fixture
async def https(serving: Serving, tmp_path: Path) -> Server:
    pair = Authority(tmp_path).issue("server", "127.0.0.1")
    return await serving(HttpListen("127.0.0.1", 0, cert=str(pair.cert), key=str(pair.key)), head_s=0.5)


async def test_plain_http_on_a_listener_that_speaks_tls(https: Server, said: Lines) -> None:
    client = await https.connect()
    client.send(get())
    assert await client.ended()
    await counts(https, plain_http=1)
    assert [line["reason"] for line in said] == ["plain_http"]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "wrong version number"),
        (b"", "it took longer than 0 s"),
    ],
)
async def test_a_handshake_that_fails(https: Server, said: Lines, sent: bytes, error: str) -> None:
    client = await https.connect()
    client.send(sent)
    assert await client.ended()
    await counts(https, tls_failed=1)
    assert [(line["reason"], line["error"]) for line in said] == [("tls_failed", error)]


async def test_a_client_that_does_not_trust_the_certificate(https: Server) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await https.connect(ssl=ssl.create_default_context())
    await counts(https, tls_failed=1)


async def test_a_client_that_resets_its_handshake(https: Server, said: Lines) -> None:
    raw = socket.create_connection(("127.0.0.1", https.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    await counts(https, tls_failed=1)
    assert [line["error"] for line in said] == ["the client closed the connection"]


def test_a_kind_is_logged_once_a_minute_and_says_how_many_it_stands_for(said: Lines) -> None:
    clock = SetClock()
    unserved = UnservedConnections(clock)
    for _ in range(5):
        unserved.note(NO_REQUEST, ("::1", 1, 0, 0))
    unserved.note(TLS_FAILED, "", "why")
    unserved.log_overdue()
    assert [(line["reason"], line["count"]) for line in said] == [("no_request", 1), ("tls_failed", 1)]
    clock.mono += LOG_EVERY_S
    unserved.log_overdue()
    unserved.log_overdue()
    assert [(line["reason"], line["count"]) for line in said[2:]] == [("no_request", 4)]
    assert (said[2]["client"], said[1]["error"], "client" in said[1]) == ("::1", "why", False)
    unserved.note(NO_REQUEST, None)
    assert len(said) == 3
    assert (unserved.counts[NO_REQUEST].count, unserved.counts[NO_REQUEST].last_at) == (6, clock.now())


class SetClock(Clock):
    """A clock that a test sets."""

    mono = 1000.0

    def now(self) -> float:
        return 5.0

    def monotonic(self) -> float:
        return self.mono
