"""JSON read fast where it is plainly good; the strict reader stays the judge of everything else.

msgspec refuses all that `strict_json` refuses but for two things, which are looked for here: a key that stands twice
in one object, and nesting that is too deep. What msgspec does not take, and what may have one of those two, goes to the
strict reader with the same bytes, which accepts or refuses it in its own words.

A key that stands twice shows in the number of colons: written again, the value has one for each key and those inside
its texts. A key that was dropped took its own with it, so the text has more than the value.

Must never: accept what the strict reader refuses, or return anything but what it would.
"""

from typing import Any, Final

import msgspec

from hookd.intake.strict_json import MAX_DEPTH, depth_of, ndjson_lines, parse_strictly, without_collecting

UNREAD: Final = object()
"""Stands for the value of a text that the strict reader must judge."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

FAILURES = (msgspec.MsgspecError, RecursionError, ValueError)
"""What msgspec raises for a text that it does not take, or cannot write again, as integers of hundreds of digits."""


def parse_json(raw: bytes) -> Any:
    """Parse one JSON text.

    Raises:
        NotJson: 400; it is not JSON, or not strict JSON.
    """
    value = read_plain(raw)
    return parse_strictly(raw) if value is UNREAD else value


def parse_ndjson(raw: bytes) -> list[Any]:
    """Parse one JSON text per line; blank lines are skipped.

    Raises:
        NotJson: 400; a line, which is named, is not strict JSON.
    """
    values = []
    for index, (number, line) in enumerate(ndjson_lines(raw)):
        value = read_plain(line)
        values.append(parse_strictly(line, number, f"/{index}") if value is UNREAD else value)
    return values


def read_plain(raw: bytes) -> Any:
    """The value of a text that is plainly good, or `UNREAD`."""
    if is_deep(raw):
        return UNREAD
    try:
        value = without_collecting(_decode, raw)
        return value if has_every_key(raw, value) else UNREAD
    except FAILURES:
        return UNREAD


def is_deep(raw: bytes) -> bool:
    """Whether a text may be nested deeper than is allowed."""
    return raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth_of(raw) > MAX_DEPTH


def has_every_key(raw: bytes, value: Any) -> bool:
    r"""Whether a value holds every key of the text that it was read from. Raises `MsgspecError` where it is not known.

    Colons that are written as an escape would be missing in the text, and could stand for those of a key.
    """
    if b"\\u003" in raw and b"\\u003a" in raw.lower():
        return False
    return raw.count(b":") == _encode(value).count(b":")
