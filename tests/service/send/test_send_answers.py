"""What a receiver may answer, whole, broken or hostile, and what becomes of it."""

import asyncio
import gzip

import pytest

from hookd.domain.definitions import Method
from hookd.domain.deliveries import Reason
from tests.kit.receiver import (
    Exchange,
    Receiver,
    Script,
    Server,
    answer,
    close,
    endless,
    hang,
    raw,
    reset,
    response,
)
from tests.service.send.attempts import Attempts

OK_HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
async def test_2xx_is_delivered(send: Attempts, status: int) -> None:
    async with Receiver(answer(status)) as receiver:
        outcome = await send(receiver.to())
    assert (outcome.reason, outcome.status, outcome.error) == (Reason.OK, status, "")
    assert not outcome.insecure
    assert 0 < outcome.duration_s < 5


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (304, "HTTP 304 Not Modified"),
        (400, "HTTP 400 Bad Request"),
        (410, "HTTP 410 Gone"),
        (429, "HTTP 429 Too Many Requests"),
        (500, "HTTP 500 Internal Server Error"),
        (599, "HTTP 599"),
        (799, "HTTP 799"),
        (99, "HTTP 99"),
        (0, "HTTP 0"),
    ],
)
async def test_any_other_status_fails_in_our_own_words(send: Attempts, status: int, sentence: str) -> None:
    async with Receiver(
        raw(f"HTTP/1.1 {status:03} \x1b[31mOdd\r\nContent-Length: 3\r\n\r\nwhy".encode())
    ) as receiver:
        outcome = await send(receiver.to())
    assert (outcome.reason, outcome.status, outcome.error) == (Reason.STATUS, status, sentence)
    assert outcome.response == (b"" if status == 304 else b"why")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(send: Attempts, status: int) -> None:
    async with Receiver() as other, Receiver(answer(status, f"Location: {other.to()}")) as receiver:
        outcome = await send(receiver.to())
        assert (outcome.reason, outcome.status) == (Reason.STATUS, status)
        assert not other.requests


@pytest.mark.parametrize(
    ("status", "header", "asked_s"),
    [(429, "5", 5), (503, "100000", 86_400), (503, "soon", None), (500, "5", None), (200, "5", None)],
)
async def test_retry_after(send: Attempts, status: int, header: str, asked_s: float | None) -> None:
    async with Receiver(answer(status, f"retry-after: {header}")) as receiver:
        assert (await send(receiver.to())).retry_after_s == asked_s


async def test_of_repeated_retry_after_the_largest_counts(send: Attempts) -> None:
    async with Receiver(answer(503, "Retry-After: 5", "Retry-After: 9")) as receiver:
        assert (await send(receiver.to())).retry_after_s == 9


async def test_retry_after_of_a_head_that_is_known_counts_anew(send: Attempts) -> None:
    script = [answer(503, f"Retry-After: {asked}", "Date: now") for asked in (5, 9, 5)]
    async with Receiver(*script, answer(503, "Date: now")) as receiver:
        asked = [(await send(receiver.to())).retry_after_s for _ in range(4)]
        assert (asked, receiver.connections) == ([5, 9, 5, None], 1)


async def test_heads_that_differ_in_date_and_id_alone_are_answers_like_any_other(send: Attempts) -> None:
    script = [
        answer(status, f"Date: {n}", f"X-Request-Id: {n}", body=f"body {n}".encode())
        for n, status in enumerate((200, 200, 500, 200, 500))
    ]
    async with Receiver(*script) as receiver:
        outcomes = [await send(receiver.to()) for _ in script]
        assert [outcome.status for outcome in outcomes] == [200, 200, 500, 200, 500]
        assert [outcome.response for outcome in outcomes] == [f"body {n}".encode() for n in range(5)]
        assert receiver.connections == 1


HEAD = OK_HEAD + b"Date: now\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "body", "connections"),
    [
        (raw(HEAD + b"body"), b"body", 1),
        (raw(HEAD[:30], HEAD[30:], b"bo", b"dy", pause_s=0.01), b"body", 1),
        (raw(HEAD, b"body", pause_s=0.01), b"body", 1),
        (raw(HEAD + b"body and more"), b"body", 2),
        (raw(HEAD + b"bo", then_close=True), b"bo", 2),
        (raw(HEAD.replace(b"now", b"a\r\n b") + b"body"), b"body", 1),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"body"), b"body", 1),
        (raw(b"\r\n" + HEAD + b"body"), b"body", 1),
        (raw(HEAD.replace(b"Date: now", b"Connection: close") + b"body"), b"body", 2),
        (raw(HEAD.replace(b"Date: now", b"Keep-Alive: timeout=1") + b"body"), b"body", 2),
    ],
    ids=[
        "at once",
        "in pieces",
        "head and body",
        "more",
        "cut off",
        "folded",
        "interim answer before",
        "empty line before",
        "close",
        "ends soon",
    ],
)
async def test_after_an_answer_with_a_known_head_any_other_is_read_as_ever(
    send: Attempts, script: Script, body: bytes, connections: int
) -> None:
    async with Receiver(raw(HEAD + b"body"), raw(HEAD + b"body"), script, answer(204)) as receiver:
        for _ in range(2):
            assert (await send(receiver.to())).response == b"body"
        outcome = await send(receiver.to())
        assert (outcome.reason, outcome.status, outcome.response) == (Reason.OK, 200, body)
        assert (await send(receiver.to())).status == 204
        assert receiver.connections == connections


async def test_a_compressed_answer_is_not_expanded(send: Attempts) -> None:
    packed = gzip.compress(bytes(10_000_000))
    async with Receiver(answer(200, "Content-Encoding: gzip", body=packed)) as receiver:
        outcome = await send(receiver.to())
    assert outcome.reason is Reason.OK
    assert outcome.response == packed[:4096]


async def test_cookies_are_not_sent_back(send: Attempts) -> None:
    async with Receiver(answer(200, "Set-Cookie: a=b")) as receiver:
        await send(receiver.to())
        await send(receiver.to())
        assert receiver.requests[1].values("cookie") == []


async def test_interim_answers_are_passed_over(send: Attempts) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with Receiver(raw(interim + response(201, body=b"made")), raw(interim, response(202))) as receiver:
        assert (await send(receiver.to())).status == 201
        assert (await send(receiver.to())).status == 202
        assert receiver.connections == 1


@pytest.mark.parametrize("size", [4096, 4097, 65_536])
async def test_at_most_4_kib_are_kept(send: Attempts, size: int) -> None:
    async with Receiver(answer(200, body=b"x" * size)) as receiver:
        outcome = await send(receiver.to())
        assert outcome.response == b"x" * 4096
        await send(receiver.to())
        assert receiver.connections == 1


async def test_a_body_that_is_mostly_framing_is_not_read_to_its_end(send: Attempts) -> None:
    tiny = raw(CHUNKED + b"1\r\nx\r\n" * 60_000 + b"0\r\n\r\n")
    async with Receiver(tiny, answer(204)) as receiver:
        outcome = await send(receiver.to())
        assert (outcome.reason, outcome.response) == (Reason.OK, b"x" * 4096)
        assert (await send(receiver.to())).status == 204
        assert receiver.connections == 2


async def test_a_body_in_ordinary_chunks_is_read_to_its_end(send: Attempts) -> None:
    chunks = raw(CHUNKED + (b"40\r\n" + b"x" * 64 + b"\r\n") * 1000 + b"0\r\n\r\n")
    async with Receiver(chunks, answer(204)) as receiver:
        assert (await send(receiver.to())).response == b"x" * 4096
        assert (await send(receiver.to())).status == 204
        assert receiver.connections == 1


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
async def test_a_huge_body_is_not_read_on(send: Attempts, status: int, framing: str) -> None:
    head = f"HTTP/1.1 {status} X\r\n".encode()
    opening, piece = {
        "length": (b"Content-Length: 100000000000\r\n\r\n", b"x" * 4000),
        "chunks": (b"Transfer-Encoding: chunked\r\n\r\n", b"fa0\r\n" + b"x" * 4000 + b"\r\n"),
        "close": (b"\r\n", b"x" * 4000),
    }[framing]
    async with Receiver(endless(head + opening, piece)) as receiver:
        outcome = await send(receiver.to())
        await receiver.quiet()
    assert outcome.status == status
    assert outcome.reason is (Reason.OK if status == 200 else Reason.STATUS)
    assert outcome.response == b"x" * 4096


# Of a 2xx whose body goes wrong: delivered, and the connection is not used again (spec 14).
BROKEN_BODIES: dict[str, Script] = {
    "half": raw(OK_HEAD + b"Content-Length: 10\r\n\r\nhalf", then_close=True),
    "half, in pieces": raw(OK_HEAD, b"Content-Length: 10\r\n\r\n", b"half", then_close=True, pause_s=0.01),
    "reset": reset(OK_HEAD + b"Content-Length: 10\r\n\r\nhalf"),
    "chunk that is none": raw(CHUNKED + b"zzz\r\n"),
    "chunk that is none, later": raw(CHUNKED, b"4\r\nhalf\r\n", b"zzz\r\n", pause_s=0.01),
    "chunk cut off": raw(CHUNKED + b"a\r\nhalf", then_close=True),
    "trailer that is none": raw(CHUNKED + b"0\r\n\x00: x\r\n\r\n"),
    "more than its length": raw(OK_HEAD + b"Content-Length: 4\r\n\r\nhalf and more"),
    "after interim answers": raw(b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"zzz\r\n"),
    "endless chunk extension": endless(CHUNKED + b"4;x=", b"y" * 60_000),
    "endless trailers": endless(CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
}


@pytest.mark.parametrize("script", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
async def test_a_2xx_with_a_broken_body_is_delivered(send: Attempts, script: Script) -> None:
    async with Receiver(script, answer(204)) as receiver:
        outcome = await send(receiver.to())
        assert (outcome.reason, outcome.status, outcome.error) == (Reason.OK, 200, "")
        assert outcome.duration_s < 2
        assert (await send(receiver.to())).status == 204
        assert receiver.connections == 2


@pytest.mark.parametrize(("status", "reason"), [(200, Reason.OK), (500, Reason.STATUS)])
@pytest.mark.usefixtures("skipping")
async def test_a_dripping_body_ends_at_the_timeout_with_its_status(
    send: Attempts, status: int, reason: Reason
) -> None:
    opening = f"HTTP/1.1 {status} X\r\nContent-Length: 100000\r\n\r\n".encode()
    async with Receiver(endless(opening, b"x", pause_s=0.02)) as receiver:
        outcome = await send(receiver.to(), timeout_s=0.3)
        await receiver.quiet()
    assert (outcome.reason, outcome.status) == (reason, status)
    assert outcome.response.startswith(b"x")
    assert 0.29 <= outcome.duration_s < 1


@pytest.mark.parametrize(
    "script",
    [
        hang(),
        raw(b"HTTP/1.1 20"),
        endless(b"", b"HTTP/1.1 100 C\r\n\r\n", pause_s=0.03),
    ],
    ids=["silence", "no status code", "dripping interim answers"],
)
@pytest.mark.usefixtures("skipping")
async def test_no_status_by_the_timeout(send: Attempts, script: Script) -> None:
    async with Receiver(script) as receiver:
        outcome = await send(receiver.to(), timeout_s=0.3)
        await receiver.quiet()
    assert (outcome.reason, outcome.status) == (Reason.TIMEOUT, None)
    assert outcome.error == "timed out after 0.3 s while waiting for the answer"
    assert 0.29 <= outcome.duration_s < 1


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (close(), "closed the connection without an answer"),
        (reset(), "broke before an answer: Connection reset by peer"),
        (raw(b"HTTP/1.1 20", then_close=True), "closed the connection before its answer was complete"),
        (
            raw(b"HTTP/1.1 100 C\r\n\r\n", then_close=True),
            "closed the connection before its answer was complete",
        ),
    ],
    ids=["closed", "reset", "half a status code", "interim answer alone"],
)
async def test_disconnected(send: Attempts, script: Script, sentence: str) -> None:
    async with Receiver(script) as receiver:
        outcome = await send(receiver.to())
        assert (outcome.reason, outcome.status) == (Reason.DISCONNECTED, None)
        assert sentence in outcome.error
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "script",
    [
        raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        raw(b"\x15\x03\x03\x00\x02\x02\x16\r\n\r\n"),
        raw(b"HTTP/1.1 abc OK\r\n\r\n"),
        raw(b"HTTP/1.1 2000 OK\r\n\r\n"),
        raw(b"HTTP/2 200\r\n\r\n"),
        endless(b"", b"HTTP/1.1 100 C\r\n\r\n"),
        endless(b"", b"HTTP/1.1 100 C\r\nX: " + b"y" * 8000 + b"\r\n\r\n"),
    ],
    ids=[
        "ssh",
        "tls alert",
        "status not a number",
        "status of four digits",
        "no version of HTTP/1",
        "endless interim answers",
        "endless fat interim answers",
    ],
)
async def test_what_is_not_http_or_passes_the_bounds(send: Attempts, script: Script) -> None:
    async with Receiver(script) as receiver:
        outcome = await send(receiver.to())
        await receiver.quiet()
    assert (outcome.reason, outcome.status) == (Reason.PROTOCOL, None)
    assert outcome.error.isprintable()
    assert outcome.duration_s < 2


NOT_VALID = "the answer is not valid HTTP: "
CUT_OFF = "closed the connection before its answer was complete"
FAULTY_HEADS = {
    "two lengths": (raw(b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), NOT_VALID),
    "negative length": (raw(b"Content-Length: -1\r\n\r\n"), NOT_VALID),
    "length and chunks": (
        raw(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        NOT_VALID,
    ),
    "no colon": (raw(b"no field\r\nContent-Length: 0\r\n\r\n"), NOT_VALID),
    "space before the colon": (raw(b"X : y\r\n\r\n"), NOT_VALID),
    "a null byte": (raw(b"X: a\0b\r\n\r\n"), f"{NOT_VALID}a header holds what no header may"),
    "one line too long": (
        raw(b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"),
        f"{NOT_VALID}its head is longer than 64 KiB",
    ),
    "endless headers": (endless(b"", b"X: y\r\n" * 100), "its head is longer than 64 KiB"),
    "endless header": (endless(b"X: ", b"y" * 1000), "its head is longer than 64 KiB"),
    "status line alone": (raw(then_close=True), CUT_OFF),
    "half a head": (raw(b"X: y\r\n", then_close=True), CUT_OFF),
    "half a head, reset": (reset(b"X: y"), "broke before its answer was complete: Connection reset by peer"),
    "dripping head": (endless(b"X: ", b"y", pause_s=0.02), "timed out after 0.5 s"),
}


def _after(first: bytes, script: Script) -> Script:
    async def both(exchange: Exchange) -> None:
        await exchange.send(first)
        await asyncio.sleep(0.02)
        await script(exchange)

    return both


@pytest.mark.parametrize(("script", "note"), FAULTY_HEADS.values(), ids=FAULTY_HEADS)
@pytest.mark.parametrize(("status", "reason"), [(200, Reason.OK), (410, Reason.STATUS), (503, Reason.STATUS)])
async def test_a_status_that_was_read_counts_whatever_stands_behind_it(
    send: Attempts, script: Script, note: str, status: int, reason: Reason
) -> None:
    first = f"HTTP/1.1 {status} X\r\nRetry-After: 7\r\n".encode()
    async with Receiver(_after(first, script), answer(204)) as receiver:
        outcome = await send(receiver.to(), timeout_s=0.5)
        assert (outcome.reason, outcome.status) == (reason, status)
        assert note in outcome.error
        assert outcome.retry_after_s == (7.0 if status == 503 else None)
        assert outcome.error.isprintable()
        assert (await send(receiver.to())).status == 204
        assert receiver.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        OK_HEAD + b"X: " + b"y" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 " + b"y" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n",
        OK_HEAD + b"X: y\r\n" * 9000 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"\r\n" + OK_HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 E\r\nno field\r\n\r\n" + OK_HEAD + b"Content-Length: 0\r\n\r\n",
    ],
    ids=["long line", "long reason", "many", "no reason", "bare LF", "folded", "faulty interim answer"],
)
async def test_heads_up_to_64_kib_are_read(send: Attempts, head: bytes) -> None:
    async with Receiver(raw(head[:15], head[15:-3], head[-3:], pause_s=0.01)) as receiver:
        for _ in range(2):
            outcome = await send(receiver.to())
            assert (outcome.reason, outcome.status, outcome.error) == (Reason.OK, 200, "")
        assert receiver.connections == 1


async def test_switching_protocols_unasked_is_a_status_like_any_other(send: Attempts) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x00\x01"
    async with Receiver(raw(switch), answer()) as receiver:
        assert (await send(receiver.to())).status == 101
        assert (await send(receiver.to())).status == 200
        assert receiver.connections == 2


async def test_a_receiver_that_speaks_first_is_no_http_server(send: Attempts) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async with Server(greet) as server:
        outcome = await send(server.url)
    assert outcome.reason is Reason.PROTOCOL


async def test_an_early_answer_to_a_body_that_is_not_read_counts(send: Attempts) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(413, body=b"too much"))
        await writer.drain()
        await reader.read()

    async with Server(refuse) as server:
        outcome = await send(server.url, body=bytes(20_000_000))
    assert (outcome.status, outcome.response) == (413, b"too much")


@pytest.mark.usefixtures("skipping")
async def test_a_receiver_that_never_reads_a_large_body_times_out(send: Attempts) -> None:
    ended = asyncio.Event()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await ended.wait()

    async with Server(ignore) as server:
        outcome = await send(server.url, body=bytes(20_000_000), timeout_s=0.3)
        ended.set()
    assert outcome.reason is Reason.TIMEOUT


async def test_cancelling_closes_the_connection(send: Attempts) -> None:
    async with Receiver(hang()) as receiver:
        attempt = asyncio.create_task(send(receiver.to()))
        await receiver.wait_for(1)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await receiver.quiet()


@pytest.mark.parametrize("method", Method)
async def test_methods(send: Attempts, method: Method) -> None:
    async with Receiver() as receiver:
        assert (await send(receiver.to("/a"), method=method)).reason is Reason.OK
        (request,) = receiver.requests
    assert request.line == f"{method} /a HTTP/1.1"
    assert request.values("content-length") == ([] if method is Method.GET else ["19"])
