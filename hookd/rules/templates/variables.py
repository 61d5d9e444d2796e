"""One string of a message: finding its variables, and saying where it is wrong.

Must never: know more of JSON than how its strings are escaped.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

from hookd.domain.message_templates import Escaping, Placeholder
from hookd.domain.text import is_utf8, shown
from hookd.domain.value_class import value_class
from hookd.rules.templates.grammar import VariableParser
from hookd.rules.templates.pasted import foreign
from hookd.rules.templates.renderer import SECRET, TEXTS


class TemplateError(Exception):
    """A message that cannot be compiled.

    Attributes:
        message: what is wrong, for people.
        path: the steps into a mapping or list to where it is; empty for a text.
        line: line inside the offending string, from 0.
        column: character inside that line, from 0; None where it is not known.
    """

    def __init__(
        self, message: str, path: tuple[str | int, ...] = (), line: int = 0, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column


@value_class
class Source:
    """One string of a message and where it stands."""

    text: str
    path: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if not is_utf8(self.text):
            raise TemplateError("the message holds a lone surrogate, which UTF-8 cannot express", self.path)

    def fail(self, message: str, at: int) -> NoReturn:
        """Raise a `TemplateError` for the character at an offset of the text."""
        raise TemplateError(message, self.path, *self.position(at))

    def position(self, at: int) -> tuple[int, int]:
        """Line and column of an offset of the text, from 0."""
        return self.text.count("\n", 0, at), at - (self.text.rfind("\n", 0, at) + 1)


_OPENING = re.compile(r"\$\$\{|\$\{")
"""A literal `${`, or where a variable begins."""


def split(
    source: Source, fill_as: Escaping, start: int = 0, stop: int | None = None, *, in_json: bool = False
) -> Iterator[str | Placeholder]:
    """Cut a stretch of text into literals and placeholders; `in_json`: it is the inside of a JSON string."""
    stop = len(source.text) if stop is None else stop
    reader: _VariableReader | None = None
    while found := _OPENING.search(source.text, start, stop):
        yield source.text[start : found.start()]
        if found[0] == "$${":
            yield "${"
            start = found.end()
            continue
        if reader is None:
            reader = _VariableReader(source, found.start(), stop, in_json=in_json)
        slot, start = reader.variable(found.start(), fill_as)
        yield slot
    yield source.text[start:stop]


def wrong_variables(source: Source) -> Iterator[TemplateError]:
    """What is wrong with each of a string's variables, in order."""
    reader, start = _VariableReader(source, 0, len(source.text), in_json=False), 0
    while found := _OPENING.search(source.text, start):
        start = found.end()
        if found[0] == "${":
            try:
                _, start = reader.variable(found.start(), Escaping.TEXT)
            except TemplateError as error:
                yield error


def foreign_variables(source: Source) -> Iterator[str]:
    """What looks like a variable of another tool in a string, each as a sentence."""
    for written, meant in foreign(source.text, TEXTS):
        yield f"{shown(written)} is sent as it stands; a variable is written {shown(meant)}"


def named_secrets(source: Source) -> Iterator[tuple[str, int, int]]:
    """The secrets of a string that is right, each with its line and column, from 0."""
    reader, start = _VariableReader(source, 0, len(source.text), in_json=False), 0
    while found := _OPENING.search(source.text, start):
        start = found.end()
        if found[0] == "${":
            with suppress(TemplateError):
                slot, start = reader.variable(found.start(), Escaping.TEXT)
                if slot.name == SECRET:
                    yield slot.path[0], *source.position(found.start())


def variable(source: Source, at: int, fill_as: Escaping) -> tuple[Placeholder, int]:
    """Read the variable that begins at an offset, and where it ends."""
    return _VariableReader(source, 0, len(source.text), in_json=False).variable(at, fill_as)


class _VariableReader:
    """Reads the variables of a stretch of text, with the offsets of what is wrong in the text itself."""

    def __init__(self, source: Source, start: int, stop: int, *, in_json: bool) -> None:
        self._source = source
        self._start = start
        self._offsets: list[int] | None = None
        text = source.text[start:stop]
        if in_json and "\\" in text:
            text, self._offsets = _unescaped(text)
        self._parser = VariableParser(text, self._fail)

    def variable(self, at: int, fill_as: Escaping) -> tuple[Placeholder, int]:
        """The variable that begins at an offset of the source, and where it ends."""
        begin = at - self._start
        if self._offsets is None:
            slot, end = self._parser.variable(begin, fill_as)
            return slot, self._start + end
        slot, end = self._parser.variable(bisect_left(self._offsets, begin), fill_as)
        stop = self._start + self._offsets[end]
        if fault := json_string_fault(self._source.text[at:stop]):
            self._source.fail(fault, at)
        return slot, stop

    def _fail(self, message: str, at: int) -> NoReturn:
        self._source.fail(message, self._start + (at if self._offsets is None else self._offsets[at]))


_JSON_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)


def _unescaped(text: str) -> tuple[str, list[int]]:
    """The inside of a JSON string as text, and where each character, and the end, was; a wrong escape stays."""
    characters: list[str] = []
    offsets: list[int] = []
    for found in _JSON_CHARACTER.finditer(text):
        written = found[0]
        if len(written) > 1 and not json_string_fault(written):
            written = str(json.loads(f'"{written}"'))
        characters.append(written)
        offsets += (
            range(found.start(), found.start() + len(written)) if written == found[0] else [found.start()]
        )
    return "".join(characters), [*offsets, len(text)]


def json_string_fault(text: str) -> str:
    """What is wrong with the inside of a JSON string; empty where it is one."""
    try:
        json.loads(f'"{text}"')
    except json.JSONDecodeError as problem:
        return not_json(problem)
    return ""


def not_json(problem: json.JSONDecodeError) -> str:
    """What to say of a message that is no JSON."""
    return f"the message is not valid JSON: {problem.msg.removesuffix(' at')}"
