"""A message written as JSON text: variables inside its strings, and variables in place of whole values.

Must never: change a byte of the author's text between the variables.
"""

import json
import re
from collections.abc import Iterator

from hookd.domain.message_templates import Escaping, Placeholder
from hookd.domain.text import shown
from hookd.rules.templates.variables import (
    Source,
    TemplateError,
    json_string_fault,
    not_json,
    split,
    variable,
)

MAX_DEPTH = 100
"""Objects and arrays inside one another in a message; the same bound as for posted JSON (spec 2)."""


_TOKEN = re.compile(
    r"""
    (?P<string>"[^"\\]*(?:\\.[^"\\]*)*(?P<close>"?))
    | (?P<variable>\$\{)
    | (?P<bracket>[\[\]{}])
    | (?P<constant>NaN|Infinity)
    """,
    re.VERBOSE | re.DOTALL,
)
_COLON = re.compile(r"[ \t\n\r]*:")


def json_text(source: Source) -> list[str | Placeholder]:
    """Compile one JSON template.

    Raises:
        TemplateError: a variable is wrong, or the text is not valid JSON with any value in its place.
    """
    parts = list(_JsonText(source).parts())
    try:
        json.loads("".join(map(_stand_in, parts)), parse_int=str, parse_float=str)
    except json.JSONDecodeError as problem:
        line = problem.lineno - 1
        raise TemplateError(not_json(problem), source.path, line, _column(source, problem)) from None
    return parts


def json_lines(source: Source) -> Iterator[str | Placeholder]:
    """Compile a sequence of JSON templates, one a line; a line may be blank, and may begin with a record separator.

    Raises:
        TemplateError: as `json_text`, for the line.
    """
    for number, line in enumerate(source.text.split("\n")):
        yield "\n" if number else ""
        record = line.lstrip("\x1e")
        begin = len(line) - len(record)
        yield line[:begin]
        if not record.strip():
            yield record
            continue
        try:
            yield from json_text(Source(record, source.path))
        except TemplateError as error:
            column = None if error.column is None else begin + error.column
            raise TemplateError(error.message, error.path, number, column) from None


def _column(source: Source, problem: json.JSONDecodeError) -> int | None:
    """Where in its line the problem is, from 0; what stands in for a variable has another length, so none after one."""
    before = source.text.split("\n")[problem.lineno - 1][: problem.colno - 1]
    return None if "${" in before else len(before)


class _JsonText:
    """Walks over one JSON template; that it is valid is checked afterwards, on what this walk yields."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._open: list[set[str]] = []  # for each open bracket, the keys seen in it

    def parts(self) -> Iterator[str | Placeholder]:
        """Literals and slots in order."""
        source, done = self._source, 0
        while token := _TOKEN.search(source.text, done):
            yield source.text[done : token.start()]
            done = token.end()
            match token.lastgroup:
                case "string":
                    yield from self._string(token)
                case "variable":
                    slot, done = variable(source, token.start(), Escaping.VALUE)
                    yield slot
                case "bracket":
                    self._nest(token)
                    yield token[0]
                case _:
                    source.fail(
                        f"the message is not valid JSON: {token[0]} is not a JSON number", token.start()
                    )
        yield source.text[done:]

    def _string(self, token: re.Match[str]) -> Iterator[str | Placeholder]:
        source = self._source
        if not token["close"]:
            source.fail("the message is not valid JSON: a string does not end", token.start())
        if _COLON.match(source.text, token.end()):
            self._add_key(token)
            yield token[0]
            return
        yield '"'
        yield from split(source, Escaping.IN_STRING, token.start() + 1, token.end() - 1, in_json=True)
        yield '"'

    def _add_key(self, token: re.Match[str]) -> None:
        if fault := json_string_fault(token[0][1:-1]):
            self._source.fail(fault, token.start())
        key = str(json.loads(token[0]))
        if not self._open:
            return
        if key in self._open[-1]:
            self._source.fail(f'the message has the key "{shown(key)}" twice in one object', token.start())
        self._open[-1].add(key)

    def _nest(self, token: re.Match[str]) -> None:
        if token[0] in "[{":
            self._open.append(set())
        elif self._open:
            self._open.pop()
        if len(self._open) > MAX_DEPTH:
            self._source.fail(f"the message is nested deeper than {MAX_DEPTH}", token.start())


def _stand_in(part: str | Placeholder) -> str:
    r"""What takes a slot's place while the text around it is checked.

    `null` next to a letter or digit, and `_` after a backslash or inside a `\u` escape, are never valid: so
    what is valid with them is valid with any value. Line ends inside a variable are kept for the parser's
    line numbers.
    """
    if isinstance(part, str):
        return part
    if part.fill is Escaping.IN_STRING:
        return "_"
    return "null" + "\n" * part.written.count("\n")
