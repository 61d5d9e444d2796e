"""A head that is recognized means what the parser would have made of it; whatever is odd is not recognized."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from hookd.delivery.http.answer_reader import AnswerReader
from hookd.delivery.http.known_heads import LONGEST, MOST, JudgedHead, KnownHeads
from hookd.delivery.http.receiver_response import ReceiverResponse

VARYING = ("Date", "x-request-id", "ETag", "Server-Timing", "Set-Cookie", "CF-Ray", "X-Amzn-RequestId")
DECIDING = ("Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Retry-After", "Upgrade")
OTHERS = ("Server", "Content-Type", "X-Date", "Dated", "Via", "Location")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def judged_by_parser(loop: asyncio.AbstractEventLoop, head: bytes, known: KnownHeads) -> bool:
    """Have a head judged as one that was never seen; returns whether it was remembered."""
    before = len(known._exact)
    reader = AnswerReader(loop, known, ReceiverResponse(), 100)
    try:
        reader.feed(head)
    except Exception:  # noqa: BLE001  not valid
        return False
    return len(known._exact) > before


def head_of(status: int, fields: list[tuple[str, str]]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1")


plain = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
odd = st.sampled_from(["a\tb", "a\r\n b", "a\x00b", "\xe9", "a\nb: c", "a\rb"])
lengths = st.sampled_from(["0", "2", "07", "2, 2", "-1", "99999", "x"])
connections = st.sampled_from(["keep-alive", "close", "upgrade", "Keep-Alive, x"])
fields = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(VARYING + OTHERS), st.one_of(plain, odd)),
        st.tuples(st.just("Content-Length"), lengths),
        st.tuples(st.just("Connection"), connections),
        st.tuples(st.sampled_from(DECIDING[3:]), plain),
        st.just(("Transfer-Encoding", "chunked")),
    ),
    max_size=6,
)


@given(st.sampled_from([200, 204, 304, 429, 503, 101]), fields, st.lists(st.one_of(plain, odd), max_size=6))
def test_what_is_recognized_is_what_the_parser_would_say(
    loop: asyncio.AbstractEventLoop, status: int, first: list[tuple[str, str]], values: list[str]
) -> None:
    known = KnownHeads()
    judged_by_parser(loop, head_of(status, first), known)
    left = iter(values)
    later = [(name, next(left, value) if name in VARYING + OTHERS else value) for name, value in first]
    head = head_of(status, later)
    found = known.find(head)
    if found is not None:
        anew = KnownHeads()
        assert judged_by_parser(loop, head, anew)
        again = anew.find(head)
        assert again is not None
        assert (found.status, found.length) == (again.status, again.length)
        assert list(found.fields.items()) == list(again.fields.items())


HEAD = b"HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: 1\r\nServer: s\r\nContent-Length: 2\r\n\r\n"


@pytest.fixture
def known(loop: asyncio.AbstractEventLoop) -> KnownHeads:
    made = KnownHeads()
    assert judged_by_parser(loop, HEAD, made)
    return made


def test_a_head_is_recognized_whatever_date_and_id_it_carries(known: KnownHeads) -> None:
    for old, new in ((b"now", b"later"), (b"Id: 1", b"Id: 2"), (b"now", b"")):
        found = known.find(HEAD.replace(old, new))
        assert found is not None
        assert (found.status, found.length) == (200, 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b": 2", b": 3"),
        (b"Server: s", b"Server: t"),
        (b"Server: s", b"Connection: close"),
        (b"Server: s\r\n", b""),
        (b"Server", b"Transfer-Encoding: chunked\r\nServer"),
        (b"200", b"201"),
        (b"now", b"a\tb"),
        (b"now", b"a\r\n b"),
        (b"now", b"a\nContent-Length: 5"),
        (b"now", b"\xff"),
        (b"Date", b"X-Date"),
        (b"Date: now", b"-"),
    ],
)
def test_any_other_difference_is_the_parsers_to_judge(known: KnownHeads, old: bytes, new: bytes) -> None:
    assert known.find(HEAD.replace(old, new)) is None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n",
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + bytes(LONGEST).replace(b"\0", b"x") + b"\r\n\r\n",
    ],
    ids=["close", "HTTP/1.0", "chunks", "to the end", "large", "upgrade", "long"],
)
def test_some_heads_are_not_remembered(loop: asyncio.AbstractEventLoop, head: bytes) -> None:
    known = KnownHeads()
    assert not judged_by_parser(loop, head, known)
    assert known.find(head) is None


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_follows_where_there_is_none_by_its_status(
    loop: asyncio.AbstractEventLoop, status: int
) -> None:
    known = KnownHeads()
    head = head_of(status, [("Content-Length", "2")])
    assert judged_by_parser(loop, head, known)
    assert known.find(head) == JudgedHead(status, 0, CIMultiDictProxy(CIMultiDict()))


def test_no_more_are_remembered_than_that(known: KnownHeads) -> None:
    judged = known.find(HEAD)
    assert isinstance(judged, JudgedHead)
    for number in range(3 * MOST):
        known.learn(HEAD.replace(b"Server: s", f"Server: {number}".encode()), judged)
        known.find(HEAD.replace(b"Server: s", f"Server: {number}".encode()).replace(b"now", b"later"))
        assert len(known._exact) <= MOST
        assert len(known._plain) <= MOST
