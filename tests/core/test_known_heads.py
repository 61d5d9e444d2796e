"""Known heads: what may differ in one, what may not, and what is never remembered."""

import pytest

from hookd.server.known_heads import LONGEST, MOST, KnownHeads, lacking, whole_request

BODY = b'{"a": 1}'
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def request(*fields: bytes, body: bytes = BODY, first: bytes = b"POST /v1/events HTTP/1.1") -> bytes:
    return b"\r\n".join([first, *fields, b"", body])


def length(body: bytes = BODY) -> bytes:
    return b"Content-Length: %d" % len(body)


def test_what_differs_is_told_apart_from_the_head() -> None:
    one = whole_request(request(b"Host: a", length()))
    other = whole_request(request(b"Host: a", length(b"{}"), body=b"{}"))
    assert one is not None
    assert other is not None
    assert one.key == other.key
    assert (one.body, other.body, one.traceparent) == (BODY, b"{}", None)


@pytest.mark.parametrize("order", [0, 1])
def test_a_traceparent_is_handed_over(order: int) -> None:
    fields = [b"traceparent: " + PARENT, length()]
    fields = fields if order else fields[::-1]
    found = whole_request(request(b"Host: a", *fields, b"Accept: */*"))
    again = whole_request(
        request(b"Host: a", *(each.replace(b"-01", b"-00") for each in fields), b"Accept: */*")
    )
    assert found is not None
    assert again is not None
    assert found.traceparent == PARENT.decode()
    assert found.key == again.key


def test_heads_that_differ_have_different_keys() -> None:
    heads = [
        request(length()),
        request(b"Host: a", length()),
        request(b"Host: b", length()),
        request(b"host: a", length()),
        request(length(), b"Host: a"),
        request(b"Host: a", length(), b"Authorization: Bearer x"),
        request(b"Host: a", length(), b"Authorization: Bearer y"),
        request(b"Host: a", length(), b"traceparent: " + PARENT),
        request(b"Host: a", b"traceparent: " + PARENT, length()),
        request(b"Host: a", length(), b"Connection: close"),
        request(b"Host: a", length(), first=b"POST /v1/other HTTP/1.1"),
        request(b"Host: a", length(), first=b"POST /v1/events HTTP/1.0"),
    ]
    found = [whole_request(head) for head in heads]
    assert None not in found
    assert len({each.key for each in found if each}) == len(heads)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        request(),
        request(b"Host: a"),
        request(length())[:-1],
        request(length()) + b"x",
        request(b"Content-Length: 08"),
        request(b"Content-Length: +8"),
        request(b"Content-Length:  8"),
        request(b"Content-Length: 8 "),
        request(b"Content-Length: 8, 8"),
        request(b"Content-Length : 8"),
        request(b"X-Content-Length: 8"),
        request(length(), length()),
        request(length(), b"traceparent: " + PARENT, b"traceparent: " + PARENT),
        request(b"traceparent: " + PARENT, b"traceparent: " + PARENT),
        request(b"Content-Length: 99999999999"),
        request(b"X: " + b"x" * LONGEST, length()),
    ],
)
def test_what_is_no_whole_request_of_the_plain_form_is_not_looked_up(data: bytes) -> None:
    assert whole_request(data) is None


def test_a_trace_of_another_form_is_part_of_the_head() -> None:
    found = whole_request(request(length(), b"traceparent: 01-x"))
    assert found is not None
    assert found.traceparent is None
    other = whole_request(request(length(), b"traceparent: 01-y"))
    assert other is not None
    assert other.key != found.key


FIELDS = ((b"Host", b"a"), (b"Content-Length", b"8"))


def test_how_much_of_a_request_is_still_to_come() -> None:
    data = request(b"Host: a", length())
    assert lacking(data, FIELDS) == 0
    assert lacking(data[:-3], FIELDS) == 3
    assert lacking(request(b"Host: a", body=b""), FIELDS[:1]) == 0
    assert lacking(data + b"x", FIELDS) == -1


@pytest.mark.parametrize(
    "data",
    [
        request(b"Host:  a", length()),
        request(b"Host: a ", length()),
        request(b"Host: a", length(), b"More: x"),
        request(b"Host: a\n", length()),
        b"\r\n" + request(b"Host: a", length()),
        request(b"Host: a", length()).replace(b"\r\n", b"\n"),
        request(b"Host: a", length(), first=b"POST / HTTP/1.1\n"),
        request(b"Host: a", length())[:30],
    ],
)
def test_a_head_that_the_parser_read_otherwise_than_line_by_line_is_not_known(data: bytes) -> None:
    assert lacking(data, FIELDS) == -1


def test_heads_are_remembered_by_scope_and_in_bounded_number() -> None:
    known: KnownHeads[int] = KnownHeads()
    known.learn(("", None), (b"a", b""), 1)
    assert known.recall(("", None), (b"a", b"")) == 1
    assert known.recall(("127.0.0.1", None), (b"a", b"")) is None
    for number in range(3 * MOST):
        known.learn(("", None), (b"%d" % number, b""), number)
        assert len(known._known) <= MOST
