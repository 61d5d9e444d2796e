r"""Takes escapes out of a text, one layer at a time, and knows where what is left stood before.

A receiver that echoes a secret may escape any of its characters in any of many ways: `%41`, `\u0041`, `&#65;`, `\/`.
What was escaped is found once the escapes are gone; the spans that are found are those of the text as it came.

Must never: know what is looked for, or take longer than in proportion to the text.
"""

import html.entities
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

MOST_LAYERS = 3
"""Layers of escapes that are taken away: JSON within JSON within a form."""

_ESCAPE = re.compile(
    rb"""[%&\\](?:
      (?<=\\)([^0-9A-Za-z\r\n])       # \" \\ \/
    | (?:(?<=%)|(?<=\\)x)([0-9A-Fa-f]{2})  # a byte
    | (?<!&)u(?![dD][89a-fA-F])([0-9A-Fa-f]{4})
    | (?<!&)u([dD][89abAB][0-9A-Fa-f]{2}[\\%]u[dD][c-fC-F][0-9A-Fa-f]{2})  # two halves of one character
    | (?<=\\)u\{([0-9A-Fa-f]{1,6})\}
    | (?<=\\)U([0-9A-Fa-f]{8})
    | (?<=\\)([0-3][0-7]{2})  # a byte as printf has it
    | (?<=&)\#[xX]([0-9A-Fa-f]{1,8}+)(?:;|(?!\Z))  # at the end it may be cut off
    | (?<=&)\#([0-9]{1,8}+)(?:;|(?!\Z))
    | (?<=&)([A-Za-z][A-Za-z0-9]{1,31};)
    )""",
    re.VERBOSE,
)
"""What it begins with stands first, so that a text is searched for that at memory's speed."""

CUT_ESCAPE = re.compile(
    rb"(?:%(?:[0-9A-Fa-f]|u[0-9A-Fa-f]{0,3})?|\\(?:[xu][0-9A-Fa-f]{0,3}|[0-7]{0,2})|&[#0-9A-Za-z]{0,32})\Z"
)
"""The beginning of an escape at a text's end."""


class Unescaped:
    """A text without one layer of its escapes.

    Attributes:
        text: what is left.
    """

    def __init__(self, source: bytes) -> None:
        pieces: list[bytes] = []
        self._begins: list[int] = []  # of each piece, in `text`
        self._sources: list[int] = []  # where it begins in the source
        length = at = 0
        for found in _ESCAPE.finditer(source):
            meant = _meaning(found)
            if meant is None:
                continue
            for piece, begin in ((source[at : found.start()], at), (meant, found.start())):
                pieces.append(piece)
                self._begins.append(length)
                self._sources.append(begin)
                length += len(piece)
            at = found.end()
        self._begins.append(length)
        self._sources.append(at)
        self.text = b"".join((*pieces, source[at:]))
        self.is_changed = bool(pieces)

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """Where a span of `text` that is not empty stood in the source; an escape counts as a whole."""
        last = self._piece(end - 1)
        ends_in_escape = last % 2 == 1
        return self._source(begin), self._sources[last + 1] if ends_in_escape else self._source(end - 1) + 1

    def _source(self, at: int) -> int:
        piece = self._piece(at)
        is_escape = piece % 2 == 1  # pieces of the source and escapes take turns
        return self._sources[piece] + (0 if is_escape else at - self._begins[piece])

    def _piece(self, at: int) -> int:
        return bisect_right(self._begins, at) - 1


def _may_hold_escapes(text: bytes) -> bool:
    """Whether there is anything that an escape begins with; takes a fraction of the time of looking for one."""
    return b"\\" in text or b"%" in text or b"&" in text


def without_escapes(text: bytes) -> bytes:
    """The text without any of its layers of escapes."""
    for layer in layers(text):
        text = layer.text
    return text


def layers(text: bytes) -> Iterator[Unescaped]:
    """The text without its outermost escapes, then without the next ones: each is made of the one before."""
    for _ in range(MOST_LAYERS):
        if not _may_hold_escapes(text):
            return
        layer = Unescaped(text)
        if not layer.is_changed:
            return
        yield layer
        text = layer.text


def _meaning(found: re.Match[bytes]) -> bytes | None:
    """The bytes that an escape stands for; None where it is no character."""
    kind = found.lastindex
    assert kind is not None
    return _MEANINGS[kind - 1](found[kind])


def _of_halves(digits: bytes) -> bytes:
    high, low = int(digits[:4], 16), int(digits[-4:], 16)
    return chr(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF)).encode()


def _of_code(code: int) -> bytes | None:
    return chr(code).encode() if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else None


def _of_name(name: bytes) -> bytes | None:
    text = html.entities.html5.get(name.decode())
    return None if text is None else text.encode()


_MEANINGS: tuple[Callable[[bytes], bytes | None], ...] = (
    bytes,
    lambda digits: bytes((int(digits, 16),)),
    lambda digits: _of_code(int(digits, 16)),
    _of_halves,
    lambda digits: _of_code(int(digits, 16)),
    lambda digits: _of_code(int(digits, 16)),
    lambda digits: bytes((int(digits, 8),)),
    lambda digits: _of_code(int(digits, 16)),
    lambda digits: _of_code(int(digits)),
    _of_name,
)
"""For each group of `_ESCAPE`, in its order."""
