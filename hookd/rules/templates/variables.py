"""One string of a message: finding its variables, and saying where it is wrong.

Must never: know JSON.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from hookd.domain.definitions import Escaping, Placeholder
from hookd.domain.text import is_utf8, near, shown
from hookd.rules.templates.renderer import TEXTS


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


@dataclass(frozen=True, slots=True)
class Source:
    """One string of a message and where it stands."""

    text: str
    path: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if not is_utf8(self.text):
            raise TemplateError("the message holds a lone surrogate, which UTF-8 cannot express", self.path)

    def fail(self, message: str, at: int) -> NoReturn:
        """Raise a `TemplateError` for the character at an offset of the text."""
        column = at - (self.text.rfind("\n", 0, at) + 1)
        raise TemplateError(message, self.path, self.text.count("\n", 0, at), column)


_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<spec>[^}]*)(?P<end>\}?)")
_BREAK = re.compile(r"\n|\$\{")
"""What no variable's name holds: its end is missing before it."""


def split(
    source: Source,
    fill_as: Escaping,
    start: int = 0,
    stop: int | None = None,
    decode: Callable[[str], str] = str,
) -> Iterator[str | Placeholder]:
    """Cut a stretch of text into literals and slots; `decode` undoes the escapes between the braces."""
    stop = len(source.text) if stop is None else stop
    for found in _VARIABLE.finditer(source.text, start, stop):
        yield source.text[start : found.start()]
        yield variable(source, found, fill_as, decode)
        start = found.end()
    yield source.text[start:stop]


def wrong_variables(source: Source) -> Iterator[TemplateError]:
    """What is wrong with each of a string's variables, in order."""
    for found in _VARIABLE.finditer(source.text):
        try:
            variable(source, found, Escaping.TEXT)
        except TemplateError as error:
            yield error


def variable(
    source: Source, found: re.Match[str], fill_as: Escaping, decode: Callable[[str], str] = str
) -> str | Placeholder:
    """A match as a part; its group `spec` is between the braces (None: the escape), `end` the last brace."""
    spec = found["spec"]
    if spec is None:
        return "${"
    begun = _BREAK.split(spec)[0]
    if not found["end"] or len(begun) < len(spec.partition(":-")[0]):
        source.fail(
            f"the variable ${{{shown(begun)} does not end: }} is missing ($${{ is a literal ${{)",
            found.start(),
        )
    try:
        return _slot(decode(spec), fill_as)
    except ValueError as problem:
        source.fail(str(problem), found.start())


def _slot(spec: str, fill_as: Escaping) -> Placeholder:
    """What stands between `${` and `}`. Raises ValueError with a sentence for people."""
    variable, separator, default = spec.partition(":-")
    name, *path = variable.split(".")
    if name == "data":
        if not all(path):
            raise ValueError(f"the variable ${{{shown(variable)}}} has an empty step in its path")
        if not is_utf8(default):
            raise ValueError(f"the default of ${{{shown(variable)}}} holds a lone surrogate")
        return Placeholder(name, fill_as, tuple(path), default if separator else None)
    if variable not in TEXTS:
        raise ValueError(_unknown(variable))
    if separator:
        raise ValueError(f"the variable ${{{variable}}} cannot have a default; only ${{data.…}} can")
    return Placeholder(name, fill_as)


def _unknown(variable: str) -> str:
    name, dot, path = variable.strip().partition(".")
    choices = near(name, ["data"] if dot else TEXTS)
    if choices:
        meant = f"data.{shown(path)}" if dot else choices[0]
        return f"unknown variable ${{{shown(variable)}}}; did you mean ${{{meant}}}?"
    return f"unknown variable ${{{shown(variable)}}}; known are {', '.join(TEXTS)} and data.PATH"
