"""What stands on the wire, byte for byte, and which connection it stands on."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import pytest

from hookd import __version__
from hookd.delivery.http.line import KEEPALIVE_S
from hookd.domain.clock import Clock
from hookd.domain.definitions import Method, Secret
from hookd.domain.deliveries import Reason
from tests.kit.loop_time import LoopClock
from tests.kit.receiver import Exchange, Receiver, Script, answer, close, hang, raw, reset, response
from tests.kit.waiting import until
from tests.service.send.attempts import BODY, Attempts, webhook

JSON = ("Content-Type", Secret("application/json"))


async def test_the_whole_request(send: Attempts) -> None:
    headers = (
        ("X-Route", Secret("a")),
        ("x-ROUTE", Secret("b")),
        JSON,
        ("X-Empty", Secret("")),
        ("X-Name", Secret("Grüße")),
        ("X-Bytes", Secret("\udcff")),
        ("AUTHORIZATION", Secret("Bearer token")),
    )
    async with Receiver() as receiver:
        await send(receiver.to("/hook"), headers=headers)
        (request,) = receiver.requests
    assert [request.line.encode(), *request.lines] == [
        b"POST /hook HTTP/1.1",
        f"Host: 127.0.0.1:{receiver.port}".encode(),
        f"user-agent: hookd/{__version__}".encode(),
        b"X-Route: a",
        b"x-ROUTE: b",
        b"Content-Type: application/json",
        b"X-Empty: ",
        "X-Name: Grüße".encode(),
        b"X-Bytes: \xff",
        b"AUTHORIZATION: Bearer token",
        b"webhook-id: dlv_1",
        b"webhook-timestamp: 1700000000",
        b"Content-Length: 19",
    ]
    assert request.body == BODY


async def test_without_a_content_type_none_is_sent(send: Attempts) -> None:
    async with Receiver() as receiver:
        await send(receiver.to(), headers=())
        names = [name.lower() for name, _ in receiver.requests[0].headers]
    assert names == ["host", "user-agent", "webhook-id", "webhook-timestamp", "content-length"]


async def test_get_sends_no_body(send: Attempts) -> None:
    async with Receiver() as receiver:
        await send(receiver.to(), headers=(JSON,), method=Method.GET)
        (request,) = receiver.requests
    assert [name.lower() for name, _ in request.headers] == [
        "host",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
    ]


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/", "/"),
        ("/a%20b/%2F%2f/%C3%BC/%c3%bc", "/a%20b/%2F%2f/%C3%BC/%c3%bc"),
        ("/?a=b+c&d=%2B&e&=&f=a/b?c", "/?a=b+c&d=%2B&e&=&f=a/b?c"),
        ("/a/../b/./c//d/", "/a/../b/./c//d/"),
        ("/~a!$&'()*,;=:@[]{}|^`\"<>\\", "/~a!$&'()*,;=:@[]{}|^`\"<>\\"),
        ("/%zz%", "/%zz%"),
    ],
)
async def test_the_url_is_called_byte_for_byte(send: Attempts, written: str, target: str) -> None:
    async with Receiver() as receiver:
        outcome = await send(receiver.to(written))
        assert receiver.requests[0].line == f"POST {target} HTTP/1.1"
    assert outcome.reason is Reason.OK


async def test_names_and_schemes_in_capitals(send: Attempts) -> None:
    async with Receiver() as receiver:
        outcome = await send(f"HTTP://LocalHost:{receiver.port}/X")
        assert receiver.requests[0].values("host") == [f"localhost:{receiver.port}"]
    assert outcome.reason is Reason.OK


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
async def test_bodies_arrive_whole(send: Attempts, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with Receiver() as receiver:
        assert (await send(receiver.to(), body=body)).reason is Reason.OK
        assert receiver.requests[0].body == body
        assert receiver.requests[0].values("content-length") == [str(size)]


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    send: Attempts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.to())
        await send(receiver.to())
        assert receiver.requests[0].values("authorization") == []
        assert not proxy.connections


async def test_an_edited_webhook_counts_from_the_next_attempt(send: Attempts) -> None:
    async with Receiver() as old, Receiver() as new:
        await send(old.to())
        await send(new.to("/moved"), headers=(("X-New", Secret("1")),))
        assert [len(old.requests), len(new.requests)] == [1, 1]
        assert new.requests[0].values("x-new") == ["1"]


async def test_connections_are_kept_and_used_again(send: Attempts) -> None:
    async with Receiver(answer(200, body=b"body"), answer(500, body=b"why"), answer(204)) as receiver:
        for _ in range(4):
            await send(receiver.to())
        assert receiver.connections == 1


@pytest.mark.parametrize(
    "script",
    [
        answer(200, "Connection: close"),
        raw(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        raw(response(200) + response(408)),
    ],
    ids=["close", "HTTP/1.0", "two answers"],
)
async def test_connections_that_cannot_be_trusted_are_not_used_again(send: Attempts, script: Script) -> None:
    async with Receiver(script, answer(201)) as receiver:
        assert (await send(receiver.to())).status == 200
        assert (await send(receiver.to())).status == 201
        assert receiver.connections == 2


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("end", [close(), reset()], ids=["closed", "reset"])
async def test_a_kept_connection_that_was_closed_is_replaced_once(
    send: Attempts, method: Method, end: Script
) -> None:
    async with Receiver(answer(200), end, answer(201)) as receiver:
        definition = webhook(receiver.to(), method=method)
        await send.to(definition)
        outcome = await send.to(definition)
        assert (outcome.reason, outcome.status, outcome.resent) == (Reason.OK, 201, True)
        assert [request.connection for request in receiver.requests] == [0, 0, 1]
        assert receiver.requests[1].head == receiver.requests[2].head


async def test_a_kept_connection_that_was_seen_to_close_costs_nothing(send: Attempts) -> None:
    async with Receiver(raw(response(200), then_close=True), answer(201)) as receiver:
        await send(receiver.to())
        await receiver.quiet()
        assert (await send(receiver.to())).status == 201
        assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("further", "count"),
    [
        ((close(), close(), answer()), 3),  # the new connection too: that is the receiver's answer
        ((raw(b"H", then_close=True), answer()), 2),  # one byte of answer: it may have been taken in
        ((reset(b"HTTP/1.1 "), answer()), 2),
    ],
    ids=["twice", "one byte", "some bytes, reset"],
)
async def test_no_other_request_is_sent_again(
    send: Attempts, further: tuple[Script, ...], count: int
) -> None:
    async with Receiver(answer(200), *further) as receiver:
        await send(receiver.to())
        assert (await send(receiver.to())).reason is Reason.DISCONNECTED
        assert len(receiver.requests) == count


def _late_close(after_s: float) -> Script:
    async def late_close(exchange: Exchange) -> None:
        await asyncio.sleep(after_s)
        exchange.close()

    return late_close


@pytest.mark.usefixtures("skipping")
async def test_the_second_try_has_the_remaining_time_only(send: Attempts) -> None:
    async with Receiver(answer(200), _late_close(0.2), hang()) as receiver:
        await send(receiver.to())
        outcome = await send(receiver.to(), timeout_s=0.4)
        assert (outcome.reason, len(receiver.requests)) == (Reason.TIMEOUT, 3)
        assert outcome.resent
    assert 0.39 <= outcome.duration_s < 0.6


@pytest.mark.usefixtures("skipping")
async def test_a_receiver_that_was_at_work_is_not_sent_the_message_again(send: Attempts) -> None:
    async with Receiver(answer(200), _late_close(0.8), answer(201)) as receiver:
        await send(receiver.to())
        outcome = await send(receiver.to())
        assert (outcome.reason, outcome.resent) == (Reason.DISCONNECTED, False)
        assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    "value", ["timeout=1", "timeout=1, max=100", "timeout=5, max=0", "max=0", "timeout=0"]
)
async def test_a_connection_about_to_be_closed_is_not_used_again(send: Attempts, value: str) -> None:
    async with Receiver(answer(200, f"Keep-Alive: {value}")) as receiver:
        await send(receiver.to())
        await send(receiver.to())
        assert receiver.connections == 2


async def test_a_connection_is_used_as_often_as_the_receiver_says(send: Attempts) -> None:
    async with Receiver(answer(200, "Keep-Alive: timeout=60, max=1"), answer(200)) as receiver:
        for _ in range(3):
            await send(receiver.to())
        assert [request.connection for request in receiver.requests] == [0, 0, 1]


@pytest.mark.usefixtures("skipping")
async def test_a_connection_is_not_used_later_than_a_second_before_the_receivers_time(send: Attempts) -> None:
    async with Receiver(answer(200, "Keep-Alive: timeout=2")) as receiver:
        await send(receiver.to())
        await asyncio.sleep(0.7)
        await send(receiver.to())
        await asyncio.sleep(1.1)
        await send(receiver.to())
        assert [request.connection for request in receiver.requests] == [0, 0, 1]


async def test_what_is_idle_is_closed_in_time(send: Attempts, clock: Clock) -> None:
    async with Receiver() as receiver:
        await asyncio.gather(*(send(receiver.to()) for _ in range(5)))
        with clock.skipping() if isinstance(clock, LoopClock) else nullcontext():
            began = asyncio.get_running_loop().time()
            await receiver.quiet()
            assert asyncio.get_running_loop().time() - began < KEEPALIVE_S + 2
        assert (await send(receiver.to())).reason is Reason.OK


async def test_webhooks_share_connections_to_one_origin_alone(send: Attempts) -> None:
    async with Receiver() as receiver:
        for name, path in (("a", "/a"), ("b", "/b"), ("c", "")):
            await send(receiver.to(path), name=name)
        assert receiver.connections == 1
        await send(receiver.to(host="localhost"), name="d")
        assert receiver.connections == 2


async def test_bytes_that_came_unasked_are_no_answer(send: Attempts) -> None:
    """Some servers say 408 on a connection they are about to close."""
    late = asyncio.Event()

    async def twice(exchange: Exchange) -> None:
        await exchange.send(response(200))
        await late.wait()
        await exchange.send(response(408))

    async with Receiver(twice, answer(201)) as receiver:
        await send(receiver.to())
        late.set()
        await until(lambda: _nothing_is_idle(send))
        assert (await send(receiver.to())).status == 201
        assert [request.connection for request in receiver.requests] == [0, 1]


def _nothing_is_idle(send: Attempts) -> bool:
    assert send.sender._means is not None
    now = asyncio.get_running_loop().time()
    return not any(line.is_usable(now) for line in send.sender._means.client._lines)


async def test_many_at_once(send: Attempts) -> None:
    async with Receiver() as receiver:
        definition = webhook(receiver.to())
        outcomes = await asyncio.gather(*(send.to(definition) for _ in range(100)))
        assert {outcome.status for outcome in outcomes} == {200}
        assert len(receiver.requests) == 100


async def test_an_attempt_needs_an_open_sender(send: Attempts) -> None:
    await send.sender.close()
    with pytest.raises(RuntimeError, match="not open"):
        await send("http://127.0.0.1:9/")
