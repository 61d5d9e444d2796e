"""Strict JSON (RFC 8259 in the bounds of RFC 7493): what two readers could understand differently is refused.

The standard library's parser takes NaN, duplicate keys, lone surrogates and other encodings than UTF-8, and
answers deep nesting and long integers with exceptions of other kinds; all of it is one kind of refusal here.

Must never: raise anything but `EventRejected`.
"""

import gc
import json
import math
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NoReturn, TypeVar

from hookd.domain.errors import EventRejected, Fault
from hookd.domain.text import shown

Text = TypeVar("Text", str, bytes)

MAX_DEPTH = 100
"""Objects and arrays inside one another (spec 2)."""

_SMALL = 4096
"""Characters or bytes of a text too short for the looks for garbage to matter."""

_LOOKED_AT = 10 * MAX_DEPTH
"""Brackets that are counted one by one before any is taken out."""

_PEELED = 6
"""How often the innermost brackets are taken out before they are counted one by one."""

_BOM = b"\xef\xbb\xbf"
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_HALF_ESCAPE = re.compile(r"\\?u?[0-9a-fA-F]{0,4}")
_HALF_TOKEN = re.compile(r"|-|\.|[eE][+-]?|t|tr|tru|f|fa|fal|fals|n|nu|nul")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STEP = {ord("["): 1, ord("]"): -1}


def ndjson_lines(raw: bytes) -> list[tuple[int, bytes]]:
    """The lines that are not blank, each with its number, from 1."""
    return [(number, line) for number, line in enumerate(raw.split(b"\n"), 1) if line.strip()]


class NotJson(EventRejected):
    """A text that is not strict JSON.

    Attributes:
        reason: what is wrong and where, as the end of a sentence.
        line: the line of NDJSON that it is about, from 1; None for a single text.
        cut: whether the text ends before its value does.
    """

    def __init__(self, reason: str, *, line: int | None, cut: bool, faults: tuple[Fault, ...]) -> None:
        super().__init__(400, "Malformed JSON", f"The body is not strict JSON: {reason}.", faults)
        self.reason = reason
        self.line = line
        self.cut = cut


class _NotStrictError(ValueError):
    """Our own objection to what the parser would accept."""


def parse_strictly(raw: bytes, line: int | None = None, pointer: str = "") -> Any:
    """Parse one JSON text.

    Args:
        raw: the text.
        line: the line of NDJSON that it is, from 1; None for a single text.
        pointer: of the line's value, for its fault.

    Raises:
        NotJson: 400; it is not JSON, or not strict JSON.
    """
    where = "" if line is None else f" in line {line}"
    cut = False
    try:
        return _strict(raw)
    except json.JSONDecodeError as problem:
        cut = _is_cut(problem)
        reason = f"{problem.msg.removesuffix(' at')} at line {line or problem.lineno}, column {problem.colno}"
    except UnicodeDecodeError as problem:
        cut = problem.reason == "unexpected end of data"
        reason = f"it is not UTF-8, from byte {problem.start} on{where}"
    except _NotStrictError as problem:
        reason = f"{problem}{where}"
    except ValueError:  # what `int` raises, with advice for programmers
        reason = f"an integer has too many digits{where}"
    faults = () if line is None else (Fault(pointer, reason),)
    raise NotJson(reason, line=line, cut=cut, faults=faults)


def _is_cut(problem: json.JSONDecodeError) -> bool:
    """Whether the text was right up to its end: all that is left from the problem on is the beginning of a token."""
    if problem.msg.startswith("Unterminated string"):
        return True
    beginning = _HALF_ESCAPE if problem.msg.startswith("Invalid \\u") else _HALF_TOKEN
    return beginning.fullmatch(problem.doc[problem.pos :].rstrip()) is not None


def _strict(raw: bytes) -> Any:
    if raw.startswith(_BOM):
        raise _NotStrictError("it begins with a byte-order mark")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth_of(raw) > MAX_DEPTH:
        raise _NotStrictError(f"it is nested deeper than {MAX_DEPTH}")
    value = without_collecting(_parser.decode, raw.decode())
    if _SURROGATE_ESCAPE.search(raw):
        _require_no_surrogates(value)
    return value


def without_collecting(parse: Callable[[Text], Any], text: Text) -> Any:
    """Parse, without looks for garbage in between: a text of many small arrays takes five times as long with them."""
    if len(text) < _SMALL or not gc.isenabled():
        return parse(text)
    gc.disable()
    try:
        return parse(text)
    finally:
        gc.enable()


def depth_of(raw: bytes) -> int:
    """How deep the parser would go at most, up to the first error, or any number above `MAX_DEPTH` where it is deeper.

    In time proportional to the length.

    Without its escapes a text's quotes alternate between opening and closing, so every second stretch between
    them is outside the strings.
    """
    structure = _ESCAPE.sub(b"", raw).translate(_ONE_KIND, _NOT_STRUCTURE)
    brackets = b"".join(structure.split(b'"')[::2])
    if max(accumulate(map(_STEP.__getitem__, brackets[:_LOOKED_AT])), default=0) > MAX_DEPTH:
        return MAX_DEPTH + 1  # told at once of a text that does nothing but open
    for peeled in range(
        _PEELED
    ):  # most texts are wide and not deep, and taking the innermost pairs out is quick
        if len(brackets) + peeled <= MAX_DEPTH:
            return len(brackets) + peeled
        brackets = brackets.replace(b"[]", b"")
    depths = accumulate(map(_STEP.__getitem__, brackets), initial=_PEELED)
    return next((depth for depth in depths if depth > MAX_DEPTH), MAX_DEPTH)


def _require_no_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        escape = ascii(problem.object[problem.start])[1:-1]
        raise _NotStrictError(f"it holds the lone surrogate {escape}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise _NotStrictError(f'the key "{shown(_twice(pairs))}" stands twice in one object')
    return value


def _twice(pairs: list[tuple[str, Any]]) -> str:
    """The first key that had been there before; there is one."""
    keys = [key for key, _ in pairs]
    order = {key: index for index, key in reversed(list(enumerate(keys)))}
    return next(key for index, key in enumerate(keys) if order[key] < index)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NotStrictError(f"the number {shown(text, 20)} is too large")
    return value


def _constant(word: str) -> NoReturn:
    raise _NotStrictError(f"{word} is not a JSON number")


_parser = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
