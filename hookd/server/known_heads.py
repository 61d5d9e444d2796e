"""Heads of requests that were judged before, and what they may lead to: a bounded memory, not a judge of its own.

A head is learned when a request that came whole in one read has gone the whole way: parser, access policy, route. A
later one with the same bytes, but for the values of Content-Length and traceparent, has the same verdict, as long as it
comes by the same listener, to the same local address and from the same local user (`HeadScope`): nothing else is looked
at by parser and policy. What came of the request's right to the route is a function that the route gave, and whatever
depends on more than the head (the body, the configuration in force, whether hookd stops) that function looks at.

Verdicts live as long as their listener, whose demands never change while it is open.

Must never: hold a head that the parser read otherwise than line by line, or know what a request asks for.
"""

import re
from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

MOST: Final = 512
"""Heads that one listener remembers; when there are more, all are forgotten."""

LONGEST: Final = 2048
"""Bytes of a head that is remembered."""

_END: Final = b"\r\n\r\n"
_VARYING = re.compile(
    rb"\r\n(?:content-length: ([1-9][0-9]{0,7})|traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}))(?=\r\n)",
    re.IGNORECASE,
)
"""The fields whose values may differ. In the second, upper case is let through here and refused by who reads it."""

HeadScope: TypeAlias = Hashable
"""What a verdict depends on besides the head's bytes."""

HeadKey: TypeAlias = tuple[bytes | bool, ...]
"""A head without what may differ."""

T = TypeVar("T")


class WholeRequest(NamedTuple):
    """A request that came whole.

    Attributes:
        key: the head without what may differ.
        body: its body.
        traceparent: its trace, or None.
    """

    key: HeadKey
    body: bytes
    traceparent: str | None


def whole_request(data: bytes) -> WholeRequest | None:
    """Read what came in one piece; None where it is no whole request, or its head none that is remembered."""
    begin = data.find(_END)
    if not 0 < begin <= LONGEST:
        return None
    pieces = _VARYING.split(data[: begin + 2])
    if len(pieces) == 4:
        before, length, parent, after = pieces
        key: HeadKey = (before, after)
    elif len(pieces) == 7 and (pieces[1] is None) is not (pieces[4] is None):
        key = (pieces[0], pieces[3], pieces[6], pieces[1] is None)
        length, parent = pieces[1] or pieces[4], pieces[2] or pieces[5]
    else:
        return None
    if length is None or len(data) != begin + len(_END) + int(length):
        return None
    return WholeRequest(key, data[begin + len(_END) :], None if parent is None else parent.decode())


def lacking(data: bytes, fields: Sequence[tuple[bytes, bytes]]) -> int:
    """How many bytes a request lacks of which `data` has come so far, all of its head included.

    Args:
        data: its beginning.
        fields: what the parser found in its head; no transfer coding among them.

    Returns:
        -1 where the head is not, line by line, a request line and these fields, or more has come than the request.
    """
    begin = data.find(_END)
    first, *lines = data[:begin].split(b"\r\n")
    if lines != [b"%b: %b" % field for field in fields] or b"\n" in first or b"\r" in first or begin < 0:
        return -1
    lengths = [int(value) for name, value in fields if name.lower() == b"content-length"]
    return max(-1, begin + len(_END) + sum(lengths) - len(data))


class KnownHeads(Generic[T]):
    """What the heads of one listener led to, by scope and head."""

    def __init__(self) -> None:
        self._known: dict[tuple[HeadScope, HeadKey], T] = {}

    def recall(self, scope: HeadScope, key: HeadKey) -> T | None:
        """What a head led to before; None where it is not known."""
        return self._known.get((scope, key))

    def learn(self, scope: HeadScope, key: HeadKey, led_to: T) -> None:
        """Remember what a head led to."""
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[scope, key] = led_to
