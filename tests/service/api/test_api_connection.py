"""The listener speaks HTTP/1.1 to clients of every kind, and refuses what is none (RFC 9112)."""

import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest

from hookd.domain.definitions import HttpListen
from tests.kit.tls import Authority
from tests.service.api.conftest import Serving
from tests.service.api.served import HEAD, LARGE, get, post

TCP = HttpListen("127.0.0.1", 0)
CHUNKED = get("/body", "Transfer-Encoding: chunked", method="POST")
MARK = "s3cr3t-m4rk"

BAD: list[tuple[str, bytes]] = [
    ("no http", b"hello there\r\n\r\n"),
    ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("http/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("no host", b"GET /hello HTTP/1.1\r\n\r\n"),
    ("two hosts", get("/hello", "Host: other")),
    ("length and chunked", get("/body", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST")),
    ("two lengths", get("/body", "Content-Length: 5", "Content-Length: 6", method="POST") + b"123456"),
    ("a list of lengths", get("/body", "Content-Length: 5, 6", method="POST") + b"123456"),
    ("a signed length", get("/body", "Content-Length: +5", method="POST") + b"12345"),
    ("a negative length", get("/body", "Content-Length: -5", method="POST") + b"12345"),
    ("a hexadecimal length", get("/body", "Content-Length: 0x5", method="POST") + b"12345"),
    ("an endless length", get("/body", "Content-Length: " + "9" * 500, method="POST")),
    ("an unknown coding", get("/body", "Transfer-Encoding: zip", method="POST")),
    ("chunked not last", get("/body", "Transfer-Encoding: chunked, identity", method="POST")),
    ("a bad chunk size", CHUNKED + b"x\r\n"),
    ("a signed chunk size", CHUNKED + b"+5\r\n12345\r\n0\r\n\r\n"),
    ("a prefixed chunk size", CHUNKED + b"0x5\r\n12345\r\n0\r\n\r\n"),
    ("a huge chunk size", CHUNKED + b"f" * 17 + b"\r\n"),
    ("a longer chunk than told", CHUNKED + b"5\r\n123456\r\n0\r\n\r\n"),
    ("a folded header", get("/hello", "X-A: 1\r\n 2")),
    ("a space before the colon", get("/hello", "X-A : 1")),
    ("a header without a colon", get("/hello", MARK)),
    ("a NUL", get("/hello", f"X-A: {MARK}\x00")),
    ("a control", get("/hello", f"X-A: {MARK}\x01")),
    ("a bare CR", get("/hello", "X-A: 1\rX-B: 2")),
    ("a long header", get("/hello", "X-A: " + MARK + "x" * 8190)),
    ("a long header name", get("/hello", MARK + "x" * 8190 + ": 1")),
    ("a long target", get("/" + MARK + "x" * 8190)),
    ("many headers", get("/hello", *[f"X-{index}: {MARK}" for index in range(64)])),
    ("many trailers", CHUNKED + b"0\r\n" + b"X-A: 1\r\n" * 64 + b"\r\n"),
    ("a control in the target", get(f"/{MARK}\x01")),
    ("a space in the target", get(f"/{MARK} x")),
    ("a target that is no path", get(MARK)),
    ("an absolute target without a host", get(f"http:///{MARK}")),
]


@pytest.mark.parametrize("sent", [pytest.param(sent, id=what) for what, sent in BAD])
async def test_bad_requests(serving: Serving, sent: bytes) -> None:
    server = await serving(TCP)
    client = await server.connect()
    answered = await client.ask(sent)
    assert answered.status == 400
    assert answered.connection == "close"
    assert MARK.encode() not in answered.body
    assert await client.ended()
    assert server.routes.seen == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("sent", [pytest.param(sent, id=what) for what, sent in BAD])
async def test_bad_requests_byte_by_byte_after_a_good_one(serving: Serving, sent: bytes) -> None:
    server = await serving()
    client = await server.connect()
    for index, byte in enumerate(get() + sent):
        client.send(bytes([byte]))
        if index % 64 == 0:
            await asyncio.sleep(0)
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    assert await client.ended()
    assert server.routes.seen == ["/hello"]


LONG = "a header, or the target, is longer than 8190 bytes"
NONE = "the request is not valid HTTP/1.1"


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (get("/hello", "X-A: " + MARK + "x" * 8190), LONG),
        (get("/hello", MARK + "x" * 8190 + ": 1"), LONG),
        (get("/" + MARK + "x" * 8190), LONG),
        (get("/hello", *[f"X-{index}: 1" for index in range(64)]), "there are more than 64 headers"),
        (
            get("/hello", "content-type: a", "CONTENT-type: b"),
            "one Content-Type is expected, several were sent",
        ),
        (get("/hello", "Host: other"), "one Host is expected, several were sent"),
        (b"GET /hello HTTP/1.1\r\n\r\n", "there is no Host header"),
        (
            b"GET /hello HTTP/1.0\r\n\r\n",
            "there is no Host header; HTTP/1.0 needs one here too, such as `Host: localhost`",
        ),
        (get(f"http:///{MARK}"), NONE),
        (get("/hello", f"X-A: {MARK}\x00"), NONE),
        (b"hello there\r\n\r\n", NONE),
    ],
)
async def test_a_refused_head_is_told_what_is_wrong(serving: Serving, sent: bytes, detail: str) -> None:
    answered = await (await (await serving(TCP)).connect()).ask(sent)
    assert answered.status == 400
    assert json.loads(answered.body)["detail"] == detail


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", "3.0"])
async def test_other_versions(serving: Serving, version: str) -> None:
    server = await serving()
    client = await server.connect()
    assert (await client.ask(get(version=version))).status in (400, 505)
    assert await client.ended()
    assert server.routes.seen == []


async def test_a_long_head_that_is_still_being_sent_can_be_answered(serving: Serving) -> None:
    client = await (await serving(TCP)).connect()
    client.send(get("/hello", "X-A: " + "x" * 4_000_000))
    assert (await client.answer()).status == 400
    assert await client.ended()


async def test_a_bad_request_after_good_ones(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(get("/echo/1") + post(b"two") + get("/echo/3") + b"bad\r\n\r\n" + get("/echo/4"))
    assert [(await client.answer()).body for _ in range(3)] == [b"1?", b"two", b"3?"]
    assert (await client.answer()).status == 400
    assert await client.ended()
    assert server.routes.seen == ["/echo/1", "/body", "/echo/3"]


async def test_a_body_that_breaks_while_it_is_read(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(CHUNKED + b"5\r\n12345\r\n")
    await server.routes.entered.wait()
    answered = await client.ask(b"zz\r\n")
    assert (answered.status, answered.connection) == (400, "close")
    assert await client.ended()


async def test_keep_alive(serving: Serving) -> None:
    client = await (await serving()).connect()
    for number in range(20):
        answered = await client.ask(get(f"/echo/{number}"))
        assert (answered.body, answered.connection) == (f"{number}?".encode(), "")
        assert (await client.ask(post(b"x" * number * 1000))).body == b"x" * number * 1000


async def test_a_client_that_wants_to_close(serving: Serving) -> None:
    client = await (await serving()).connect()
    answered = await client.ask(get("/hello", "Connection: close"))
    assert (answered.body, answered.connection) == (b"hello", "close")
    assert await client.ended()


@pytest.mark.parametrize("count", [9, 300, 5000])
async def test_pipelined_requests_are_all_answered_in_order(serving: Serving, count: int) -> None:
    server = await serving()
    client = await server.connect()
    client.send(b"".join([get(f"/echo/{n}") if n % 3 else post(b"%d" % n) for n in range(count)]))
    for n in range(count):
        assert (await client.answer()).body == (b"%d?" if n % 3 else b"%d") % n
    assert (await client.ask(get())).body == b"hello"
    assert len(server.routes.seen) == count + 1


async def test_requests_that_come_while_one_is_served(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(get("/gate"))
    await server.routes.entered.wait()
    for n in range(50):
        client.send(get(f"/echo/{n}"))
        await asyncio.sleep(0)
    assert server.routes.seen == ["/gate"]
    server.routes.gate.set()
    assert (await client.answer()).body == b"passed"
    assert [(await client.answer()).body for _ in range(50)] == [b"%d?" % n for n in range(50)]


async def test_what_waits_while_one_is_served_is_bounded(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(get("/gate"))
    await server.routes.entered.wait()
    client.send(get("/hello", "X-A: " + "x" * 8000) * 2000)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.writer.drain(), 0.1)
    left = client.writer.transport.get_write_buffer_size()
    assert left > 2000 * 8000 - 2_000_000
    server.routes.gate.set()
    for _ in range(2001):
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("header", "connection"), [("X-A: 1", "close"), ("Connection: keep-alive", "keep-alive")]
)
async def test_http_1_0(serving: Serving, header: str, connection: str) -> None:
    client = await (await serving()).connect()
    answered = await client.ask(get("/hello", header, version="1.0"))
    assert (answered.status, answered.body, answered.connection) == (200, b"hello", connection)
    if connection == "close":
        assert await client.ended()
    else:
        assert (await client.ask(get())).status == 200


@pytest.mark.parametrize(
    "sent", [get("/echo/a%20b", "X-A: 1"), post(b"12345"), CHUNKED + b"5\r\n12345\r\n0\r\n\r\n"]
)
async def test_every_split(serving: Serving, sent: bytes) -> None:
    server = await serving()
    client = await server.connect()
    wanted = b"a b?" if sent.startswith(b"GET") else b"12345"
    for index in range(1, len(sent)):
        if b"chunked" in sent:  # it ends its connection
            client = await server.connect()
        client.send(sent[:index])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (await client.ask(sent[index:])).body == wanted


async def test_chunks_byte_by_byte(serving: Serving) -> None:
    client = await (await serving()).connect()
    for byte in CHUNKED + b'5;a="b"\r\n12345\r\n00a\r\n67890abcde\r\n0\r\nX-Trailer: 1\r\n\r\n':
        client.send(bytes([byte]))
        await asyncio.sleep(0)
    answered = await client.answer()
    assert (answered.body, answered.connection) == (b"1234567890abcde", "close")
    assert await client.ended()


async def test_a_trailer_is_no_header_of_the_next_request(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(CHUNKED + b"0\r\nOrigin: http://localhost\r\n\r\n" + get())
    assert (await client.answer()).connection == "close"
    assert await client.ended()
    assert server.routes.seen == ["/body"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/echo/a%2Fb", b"a/b?"),
        ("/echo/%E2%82%AC", "€?".encode()),
        ("/echo/a+b?c=d+e&f=%26&g=", b"a+b?c=d e&f=&&g="),
        ("/echo/%ff", "�?".encode()),
        ("/echo/%", b"%?"),
        ("/echo/x?a=1?2", b"x?a=1?2"),
        ("http://localhost/echo/a%2Fb?c=d", b"a/b?c=d"),
        ("http://localhost:80/echo/x", b"x?"),
    ],
)
async def test_targets(serving: Serving, path: str, wanted: bytes) -> None:
    answered = await (await serving(TCP)).ask(get(path))
    assert (answered.status, answered.body) == (200, wanted)


@pytest.mark.parametrize(
    "path", ["//", "//hello", "/hello/", "/hello#a", "/%2Fhello", "http://localhost", "/echo/a/b"]
)
async def test_targets_where_nothing_is(serving: Serving, path: str) -> None:
    server = await serving()
    assert (await server.ask(get(path))).status in (400, 404)
    assert server.routes.seen == []


@pytest.mark.parametrize("path", ["/echo/\xff", "/echo/x?\xff=\xff", "/\xff"])
async def test_raw_bytes_in_targets_do_no_harm(serving: Serving, path: str) -> None:
    assert (await (await serving()).ask(get(path))).status in (200, 400, 404)


async def test_head(serving: Serving) -> None:
    client = await (await serving()).connect()
    client.send(get(method="HEAD") + get())
    answered = await client.answer(of_head=True)
    assert (answered.status, answered.headers["content-length"]) == (200, "5")
    assert (await client.answer()).body == b"hello"


async def test_100_continue(serving: Serving) -> None:
    client = await (await serving()).connect()
    head = post(b"", "/body", "Expect: 100-continue").replace(b"Length: 0", b"Length: 5")
    client.send(head)
    assert await client.reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await client.ask(b"12345")).body == b"12345"
    client.send(head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"12345")
    assert (await client.answer()).status == 200


async def test_100_continue_is_not_said_for_a_body_too_large(serving: Serving) -> None:
    client = await (await serving()).connect()
    head = post(b"", "/body", "Expect: 100-continue").replace(b"Length: 0", b"Length: 9999999")
    assert (await client.ask(head)).status == 413
    assert await client.ended()


@pytest.mark.parametrize("offer", ["websocket", "h2c", "TLS/1.0"])
async def test_no_other_protocol_is_taken_up(serving: Serving, offer: str) -> None:
    server = await serving()
    client = await server.connect()
    client.send(get("/echo/1") + get("/echo/2", "Connection: Upgrade", f"Upgrade: {offer}") + get("/echo/3"))
    assert (await client.answer()).body == b"1?"
    answered = await client.answer()
    assert (answered.status, answered.body, answered.connection) == (200, b"2?", "close")
    assert await client.ended()
    assert server.routes.seen == ["/echo/1", "/echo/2"]


async def test_an_upgrade_with_a_body(serving: Serving) -> None:
    client = await (await serving()).connect()
    client.send(post(b"12345", "/body", "Connection: Upgrade", "Upgrade: websocket"))
    answered = await client.answer()
    assert (answered.status, answered.connection) == (200, "close")
    assert answered.body == b"12345"


async def test_connect(serving: Serving) -> None:
    client = await (await serving()).connect()
    client.send(b"CONNECT localhost:443 HTTP/1.1\r\n" + HEAD + b"\r\n\x16\x03\x01")
    answered = await client.answer()
    assert (answered.status, answered.connection) == (404, "close")
    assert await client.ended()


async def test_options_of_the_server(serving: Serving) -> None:
    assert (await (await serving()).ask(get("*", method="OPTIONS"))).status == 404


async def test_a_body_that_no_route_reads(serving: Serving) -> None:
    client = await (await serving()).connect()
    assert (await client.ask(post(b"12345", "/ignore"))).connection == ""
    client.send(post(LARGE, "/ignore"))
    answered = await client.answer()
    assert (answered.body, answered.connection) == (b"hello", "close")
    assert await client.ended()


@pytest.mark.parametrize("listen", [None, TCP])
@pytest.mark.parametrize("sent", [get(), get() * 3, get() * 300, post(b"12345"), get("/large") * 3])
async def test_a_client_that_has_said_all_is_still_answered(
    serving: Serving, listen: HttpListen | None, sent: bytes
) -> None:
    client = await (await serving(listen)).connect()
    client.send(sent)
    client.writer.write_eof()
    count = max(sent.count(b"GET"), 1)
    for number in range(count):
        answered = await client.answer()
        assert answered.status == 200, number
    assert answered.connection in ("", "close")
    assert await client.ended()


async def test_the_end_while_a_request_is_served(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(get("/gate"))
    await server.routes.entered.wait()
    client.writer.write_eof()
    client.socket.getpeername()
    await asyncio.sleep(0.01)
    server.routes.gate.set()
    assert (await client.answer()).body == b"passed"
    assert await client.ended()


@pytest.mark.parametrize("begun", [b"", b"GET /hello HT", get()[:-1]])
async def test_the_end_within_a_head(serving: Serving, begun: bytes) -> None:
    server = await serving()
    client = await server.connect()
    client.send(begun)
    client.writer.write_eof()
    assert await client.ended()
    assert server.routes.seen == []


@pytest.mark.parametrize("begun", [post(b"12345")[:-1], CHUNKED + b"5\r\n12345\r\n"])
async def test_the_end_within_a_body(serving: Serving, begun: bytes) -> None:
    server = await serving()
    client = await server.connect()
    client.send(begun)
    client.writer.write_eof()
    assert (await client.answer()).status == 400
    assert await client.ended()
    assert server.routes.seen == []


async def test_tls(serving: Serving, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server", "127.0.0.1")
    server = await serving(
        HttpListen("127.0.0.1", 0, cert=str(pair.cert), key=str(pair.key)), head_s=0.5, linger_s=0.1
    )
    trust = ssl.create_default_context(cafile=str(authority.ca))
    client = await server.connect(ssl=trust)
    client.send(get() * 20 + get("/large"))
    for _ in range(20):
        assert (await client.answer()).body == b"hello"
    assert (await client.answer()).body == LARGE
    client.send(post(LARGE * 2))
    assert (await client.answer()).status == 413
    assert await client.ended()
    plain = await server.connect()  # says nothing: the handshake's time is a head's
    assert await plain.ended()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_ipv6_hosts(serving: Serving) -> None:
    server = await serving(HttpListen("::1", 0))
    for host, status in [("[::1]", 200), (f"[::1]:{server.port}", 200), ("localhost", 200), ("[::2]", 421)]:
        assert (await server.ask(get().replace(b"localhost", host.encode()))).status == status, host


async def test_the_last_of_several_requests_may_come_in_pieces(serving: Serving) -> None:
    server = await serving()
    client = await server.connect()
    client.send(get("/gate"))
    await server.routes.entered.wait()
    client.send(post(b"behind") + get() + post(b"last")[:-2])
    await asyncio.sleep(0.02)
    server.routes.gate.set()
    assert [(await client.answer()).body for _ in range(3)] == [b"passed", b"behind", b"hello"]
    assert (await client.ask(post(b"last")[-2:])).body == b"last"
