"""What a pattern of `matches` costs: RE2 is linear in the text, but its factor grows with the pattern.

A repetition (`x{50}`) stands for as many copies. Where characters that fit in several places overlap, RE2's automaton
grows with the text, and each byte may cost as much as the whole pattern.

Must never: judge whether a pattern is valid.
"""

import re
from functools import reduce
from typing import NamedTuple

_REPEATED = re.compile(r"\{(\d{1,4})(?:,(\d{0,4}))?\}")
_CLASS = re.compile(
    r"\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]?|\\[pP](?:\{[^}]*\}?|.?)|\\[dDsSwWCX]|\.", re.DOTALL
)

ANY = 10
"""Instructions of a dot or a class of characters."""

UNICODE = 10_000
"""Instructions of a class of Unicode (`\\pL`)."""

LARGEST = 1_000_000
"""Instructions past which no more is told apart; RE2 refuses a pattern long before."""

MOST_COPIES = 1000
"""RE2 refuses a pattern whose repetitions within one another ask for more copies of something."""

_COMPILING = (10_000, 700)
_PER_BYTE = 4
_PER_INSTRUCTION = 25
"""Costs (see `cost`): of compiling a pattern, and each instruction of it; of a byte of text that the automaton knows
what to do with, and of one that it does not, for each instruction."""


class Pattern(NamedTuple):
    """Of a pattern: its instructions, and how many of its characters and operators may overlap with others."""

    instructions: int
    ambiguous: int

    def cost(self, length: int) -> int:
        """Of looking for it in a text of so many bytes: it is compiled anew each time."""
        states = min(length, self.instructions << min(self.ambiguous, 20))
        known = _COMPILING[0] + _COMPILING[1] * self.instructions + _PER_BYTE * length
        return known + states * _PER_INSTRUCTION * self.instructions


class _Part(NamedTuple):
    """Of a part of a pattern: as `Pattern`, and how many copies of something in it its repetitions ask for."""

    instructions: int = 0
    ambiguous: int = 0
    copies: int = 1

    def and_then(self, other: "_Part") -> "_Part":
        return _Part(self[0] + other[0], self[1] + other[1], max(self[2], other[2]))

    def times(self, count: int) -> "_Part":
        return _Part(self[0] * (count + 1), self[1] * (count + 1) + 1, self[2] * max(count, 1))


def weigh(pattern: str) -> Pattern:
    """The size of a pattern that is known; not below what RE2 makes of it."""
    before: list[_Part] = []
    whole, last = _Part(1, 1), _Part()
    at = 0
    while at < len(pattern) and whole.instructions < LARGEST:
        if repeated := _REPEATED.match(pattern, at):
            # The part is counted once already; one more is no matter.
            last, at = last.times(max(int(repeated[1]), int(repeated[2] or 0))), repeated.end()
            if last.copies > MOST_COPIES:
                return Pattern(len(pattern), 0)
            whole = whole.and_then(last)
        elif pattern[at] == "(":
            before.append(whole)
            whole, last, at = _Part(2), _Part(), at + 1
        elif pattern[at] == ")" and before:
            last, at = whole, at + 1
            whole = before.pop().and_then(last)
        else:
            last, at = _atom(pattern, at)
            whole = whole.and_then(last)
    whole = reduce(_Part.and_then, before, whole)  # a bracket in quotes (`\Q(\E`) opens nothing
    # Of one character, all that counts is how many there are in a row.
    ambiguous = whole.ambiguous if len(set(pattern) - set("()*+?|^$")) > 1 else 0
    return Pattern(min(whole.instructions * (4 if "(?" in pattern else 1), LARGEST), ambiguous)


def unknown(length: int) -> Pattern:
    """The size of any pattern of so many bytes."""
    return Pattern(min(1 + length * UNICODE, LARGEST), length * MOST_COPIES)


def _atom(pattern: str, at: int) -> tuple[_Part, int]:
    """The character, class or operator that begins there, and its end."""
    if found := _CLASS.match(pattern, at):
        text = found[0]
        named = text.lower().count("\\p") * UNICODE
        return _Part(ANY + 4 * len(text) + named, 1), found.end()
    if pattern[at] in "*+?|":
        return _Part(1, 1), at + 1
    return _Part(1 if pattern[at].isascii() else 4), at + (2 if pattern[at] == "\\" else 1)
