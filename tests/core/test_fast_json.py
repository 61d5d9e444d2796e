"""The fast JSON reader: what it reads is what the strict reader reads, and what is plain it does read."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookd.intake.fast_json import UNREAD, parse_json, read_plain
from hookd.intake.strict_json import NotJson, parse_strictly

STRINGS = st.one_of(
    st.sampled_from(["a", "b", ":", "12:30", '"', "\\", "http://h:80/", "\\u003a", ""]), st.text()
)


def written(text: str, *, ascii_only: bool, colons_escaped: bool) -> str:
    quoted = json.dumps(text, ensure_ascii=ascii_only)
    return quoted.replace(":", "\\u003A") if colons_escaped else quoted


WRITTEN = st.builds(written, STRINGS, ascii_only=st.booleans(), colons_escaped=st.booleans())
TEXTS = st.recursive(
    st.one_of(
        WRITTEN,
        st.sampled_from(["null", "true", "false", "-0", "-0.0", "1E5", "1e400", "NaN", "\ufeff"]),
        st.integers().map(str),
        st.integers(min_value=2**62, max_value=2**65).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    ),
    lambda inner: st.one_of(
        st.lists(inner).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(WRITTEN, inner)).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=12,
)
"""Texts of JSON, many of them with keys that stand twice, and some that are not strict."""


def judged(raw: bytes) -> Any:
    try:
        return parse_strictly(raw)
    except NotJson:
        return UNREAD


@given(TEXTS)
@example('{"a":1,"a":2}')
@example('{"a":1,"\\u0061":"\\u003a"}')
@example('{"x":"\\u003a","a":1,"a":2}')
def test_what_is_read_fast_is_what_the_strict_reader_reads(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    read = read_plain(raw)
    assert read is UNREAD or repr(read) == repr(judged(raw))


@given(st.binary(max_size=40))
def test_of_any_bytes_no_more_is_accepted_than_by_the_strict_reader(raw: bytes) -> None:
    read = read_plain(raw)
    assert read is UNREAD or repr(read) == repr(judged(raw))


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "t", "event": "e", "data": {"at": "12:30", "url": "https://h:80/?a=b", "n": -1.5e3}}',
        '{"name": "M\\u00fcller", "html": "\\u003cb\\u003e", "quote": "\\"", "path": "C:\\\\x"}',
        "[" + "[]," * 500 + "{}]",
        "{}",
        "123456789012345678901234567890",
    ],
)
def test_plain_texts_are_read_fast(text: str) -> None:
    assert repr(read_plain(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": [{"c": 1, "d": ":", "c": 2}]}}',
        b'{"a": 1, "\\u0061": "\\u003a"}',
        b"[" * 101 + b"]" * 101,
        b"[" * 5000,
        b"NaN",
        b"1e400",
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"9" * 4301,
        b"",
    ],
)
def test_what_is_not_strict_json_is_left_to_the_judge(raw: bytes) -> None:
    assert read_plain(raw) is UNREAD
    with pytest.raises(NotJson):
        parse_json(raw)


def test_what_is_good_but_not_plain_is_read_by_the_judge() -> None:
    raw = b'{"a": "\\u003a"}'
    assert read_plain(raw) is UNREAD
    assert parse_json(raw) == {"a": ":"}
