"""The events of a file: one JSON object a line, one or several arrays, or objects over several lines, as `jq` prints.

Each comes as one line with the number of the line that it begins on. Lines are read as they come; any other file is
read whole, and refused whole where it is not JSON.

Must never: change a value; an event is sent as it is written, but for its line ends and for bytes that are not UTF-8.
"""

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hookd.cli.failure import Failure
from hookd.cli.options import warn_of_replaced
from hookd.domain.text import error_text

NumberedLine = tuple[int, bytes]
"""The number of an event's line, from 1, and its JSON on one line."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_END = re.compile(r"[\r\n][ \t\r\n]*")


def numbered_events(path: str) -> Iterator[NumberedLine]:
    """The events of the file at `path` (`-`: standard input).

    Raises:
        Failure: it cannot be read, or it is not lines and not JSON either.
    """
    is_first = True
    try:
        with _opened(path) as stream:
            for number, line in enumerate(stream, start=1):
                if not (content := line.strip()):
                    continue
                if is_first and _goes_on(content):
                    yield from _of_document(path, number, [line, *stream])
                    return
                is_first = False
                yield number, _sendable(path, number, content)
    except OSError as error:
        raise Failure(f"{path}: {error_text(error)}") from None


def _opened(path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    return contextlib.nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb")


def _goes_on(line: bytes) -> bool:
    """Whether a line is not an event by itself: it begins an array, or an object that ends on a later line."""
    if line.startswith(b"["):
        return True
    bare = _STRING.sub(b"", line)
    opened, closed = (sum(map(bare.count, brackets)) for brackets in ((b"{", b"["), (b"}", b"]")))
    return line.startswith(b"{") and opened > closed


def _sendable(path: str, number: int, line: bytes) -> bytes:
    """The line as UTF-8: hookd refuses a part that is anything else, and an event matters more than one character."""
    try:
        line.decode()
    except UnicodeDecodeError:
        warn_of_replaced(f"{path}, line {number}", line.decode(errors="surrogateescape"))
        return line.decode(errors="replace").encode()
    return line


def _of_document(path: str, first: int, lines: list[bytes]) -> Iterator[NumberedLine]:
    """The events of lines that are JSON together."""
    text = b"".join(_sendable(path, number, line) for number, line in enumerate(lines, start=first)).decode()
    try:
        spans = list(_spans(text))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno + first - 1}, column {error.colno}"
        raise Failure(f"{path}: {place}: {error.msg}; nothing was sent") from None
    except (RecursionError, ValueError):  # ValueError: a number of thousands of digits
        raise Failure(f"{path}: not JSON that hookd takes; nothing was sent") from None
    number, counted_to = first, 0
    for start, end in spans:
        number += text.count("\n", counted_to, start)
        counted_to = start
        yield number, _LINE_END.sub(" ", text[start:end]).encode()


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each value begins and ends, those of an array one by one."""
    at = _after_space(text, 0)
    while at < len(text):
        if text[at] != "[":
            end = _end_of(text, at)
            yield at, end
            at = _after_space(text, end)
            continue
        at = _after_space(text, at + 1)
        while text[at : at + 1] != "]":
            end = _end_of(text, at)
            yield at, end
            at = _after_space(text, end)
            if text[at : at + 1] == ",":
                at = _after_space(text, at + 1)
                if text[at : at + 1] == "]":
                    raise json.JSONDecodeError("Expecting value", text, at)
            elif text[at : at + 1] != "]":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _after_space(text, at + 1)


def _end_of(text: str, at: int) -> int:
    return _decoder.raw_decode(text, at)[1]


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


_decoder = json.JSONDecoder()
