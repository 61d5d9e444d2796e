"""A way to walk the YAML tree that knows its place, so that who reads a value can say what is wrong with it.

Must never: raise for what is in the files; a value with a diagnostic is simply not there any more.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from hookd.config.yaml.diagnostics import Diagnostic, Severity, Steps, dotted, shown_path
from hookd.config.yaml.files import (
    MAX_SOURCE_BYTES,
    Unreadable,
    identity,
    read_regular,
    refuse_replaceable,
    work_tree_of,
)
from hookd.config.yaml.owners import Doubts
from hookd.config.yaml.tree import Node, Tree, lines_of
from hookd.domain.text import did_you_mean

_MAX_COMPARED = 100_000
"""Names that the words of one load are compared with: a second's work."""


class Location(NamedTuple):
    """A value to be checked, the way to it, and the line and column of the key that holds it."""

    node: Node
    steps: Steps
    key_location: tuple[int, int]


@dataclass(frozen=True)
class Document:
    """One YAML file that was read."""

    path: Path
    tree: Tree

    @cached_property
    def shown(self) -> str:
        """The path as diagnostics show it."""
        return shown_path(self.path)

    @cached_property
    def absolute(self) -> Path:
        """The file's absolute path; symlinks stay as they are."""
        return self.path.absolute()

    @property
    def directory(self) -> Path:
        """The directory to which relative paths in the file are relative (spec 1)."""
        return self.absolute.parent

    @cached_property
    def in_work_tree(self) -> bool:
        """Whether the file stands in a git work tree, where a plain secret would be published with it."""
        return work_tree_of(self.path) is not None

    @cached_property
    def lines(self) -> list[str]:
        """The file's lines."""
        return lines_of(self.tree.text)


class Scope:
    """What one load knows and collects: the environment, diagnostics, and the files it was referred to.

    Attributes:
        portable: nothing of this machine is looked at: secret references stand for themselves.
        doubts: who else could change or read the files; nobody is asked about in a portable load.
        relative: the paths that were written as relative ones.
    """

    def __init__(self, env: Mapping[str, str], *, portable: bool = False) -> None:
        self.env = env
        self.portable = portable
        self.doubts = None if portable else Doubts()
        self.diagnostics: list[Diagnostic] = []
        self.sources: dict[str, bytes] = {}
        self.relative: set[str] = set()
        self.proven: dict[Any, str | None] = {}
        self._contents: dict[Path, bytes | Unreadable] = {}
        self._compared = 0

    def read(self, path: Path) -> bytes:
        """The content of a file the configuration refers to; each is read once a load.

        Raises:
            Unreadable: it is not a regular file that can be read, or anybody could replace it.
        """
        if path not in self._contents:
            self.sources[str(path)] = identity(path)
            try:
                refuse_replaceable(path)
                self._contents[path] = read_regular(path, MAX_SOURCE_BYTES)
            except Unreadable as error:
                self._contents[path] = error
        content = self._contents[path]
        if isinstance(content, Unreadable):
            raise content
        return content

    def meant(self, word: str, choices: Iterable[str]) -> str:
        """`; did you mean "x"?`, for as many words as can be compared in time; nothing for the rest."""
        names = tuple(choices)
        self._compared += len(names)
        return meant(word, names) if self._compared <= _MAX_COMPARED else ""


class Cursor:
    """One value of one document, with its place.

    Attributes:
        key_location: line and column of the key that holds it (of itself in a list).
    """

    __slots__ = ("document", "key_location", "node", "scope", "steps")

    def __init__(self, scope: Scope, document: Document, location: Location) -> None:
        self.scope = scope
        self.document = document
        self.node, self.steps, self.key_location = location

    @property
    def value(self) -> Any:
        """The value itself; a mapping or list is one of nodes."""
        return self.node.value

    @property
    def location(self) -> Location:
        """What the schema's validators take."""
        return Location(self.node, self.steps, self.key_location)

    def get(self, key: str) -> "Cursor | None":
        """The value of a key, or None where it is missing or has a diagnostic."""
        child: Node | None = self.node.value.get(key)
        if child is None or child.broken:
            return None
        return self._child(key, child, self.node.keys[key])

    def plain(self, key: str, default: Any) -> Any:
        """The value of a scalar, or the default where it is missing or has a diagnostic."""
        child = self.get(key)
        return default if child is None else child.value

    def entries(self) -> Iterator[tuple[str, "Cursor"]]:
        """The mapping's keys and values that have no diagnostic."""
        for key, child in self.node.value.items():
            if not child.broken:
                yield key, self._child(key, child, self.node.keys[key])

    def items(self) -> Iterator["Cursor"]:
        """The list's items that have no diagnostic."""
        for index, child in enumerate(self.node.value):
            if not child.broken:
                yield self._child(index, child, (child.line, child.column))

    def below(self, steps: Steps) -> "Cursor":
        """The value at this way below, diagnostics or not."""
        cursor = self
        for step in steps:
            child = cursor.node.value[step]
            key_location = cursor.node.keys[step] if isinstance(step, str) else (child.line, child.column)
            cursor = cursor._child(step, child, key_location)
        return cursor

    def error(self, message: str) -> None:
        """Reports what is wrong with the value."""
        self.report(self.node.line, self.node.column, self.steps, message)

    def error_at_key(self, message: str) -> None:
        """Reports what is wrong with the key, or with the definition as a whole."""
        self.report(*self.key_location, self.steps, message)

    def error_in_text(
        self, index: int, message: str, column: int | None = None, severity: Severity = Severity.ERROR
    ) -> None:
        """Reports what is wrong with a line (from 0) of a text, and where in it.

        Exact in a `|` block, and in a text that stands in one line as it is.
        """
        written = self.value.split("\n")
        if (
            0 < index == len(written) - 1 and not written[index]
        ):  # behind the last line end: where the last line ends
            index, column = index - 1, len(written[index - 1])
        number = self.node.line + 1 + index
        if self.node.style != "|" or number > len(self.document.lines):
            self.report(self.node.line, self._column_in_line(column or 0), self.steps, message, severity)
            return
        line = self.document.lines[number - 1]
        indent = len(line) - len(line.lstrip() if column is None else written[index])
        self.report(number, indent + (column or 0) + 1, self.steps, message, severity)

    def _column_in_line(self, column: int) -> int:
        """Where a column of a text is that stands in one line without escapes; of any other, where that begins."""
        begin = self.node.column - 1
        line = self.document.lines[self.node.line - 1] if self.node.line <= len(self.document.lines) else ""
        for quote in (0, 1):
            if "\n" not in self.value and line.startswith(self.value, begin + quote):
                return begin + quote + column + 1 if column else self.node.column
        return self.node.column

    def warn(self, message: str) -> None:
        """Reports what the author should know, but what stops nothing."""
        self.report(self.node.line, self.node.column, self.steps, message, Severity.WARNING)

    def warn_of_others(self, path: Path, *, secret: bool) -> None:
        """Reports who else could change the file that the value names; or, where it is `secret`, read it."""
        if self.scope.doubts is not None:
            for doubt in self.scope.doubts.of_source(path, secret=secret):
                self.warn(f"the file {self.value} {doubt}")

    def report(
        self, line: int, column: int, steps: Steps, message: str, severity: Severity = Severity.ERROR
    ) -> None:
        """Adds a diagnostic about this document."""
        diagnostic = Diagnostic(self.document.shown, line, column, dotted(steps), severity, message)
        self.scope.diagnostics.append(diagnostic)

    def file_of(self, text: str) -> Path:
        """The absolute path that a path in this file means."""
        path = Path(os.path.normpath(self.document.directory / text))
        if not text.startswith("/"):
            self.scope.relative.add(str(path))
        return path

    def _child(self, step: str | int, node: Node, key_location: tuple[int, int]) -> "Cursor":
        return Cursor(self.scope, self.document, Location(node, (*self.steps, step), key_location))


def meant(word: str, choices: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing where no choice is near."""
    return _meant(word, tuple(choices))


@lru_cache(maxsize=256)
def _meant(word: str, choices: tuple[str, ...]) -> str:
    return did_you_mean(word, choices)
