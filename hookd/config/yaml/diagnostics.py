"""What a load has to say: diagnostics with their places, and the result of a load.

Must never: hold the value of a secret, or text that could forge a line or drive a terminal.
"""

import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hookd.domain.text import json_escape, printable, quoted
from hookd.domain.value_class import value_class

if TYPE_CHECKING:  # spares `emit` the import
    from hookd.domain.definitions import Config

Steps = tuple[str | int, ...]
"""The way from the top of the configuration to a value: keys and list indexes."""

_BARE = re.compile(r"[\w-]+")
_LONGEST_BARE = 256
"""A longer step is quoted, and so cut."""


OUT_OF_MEMORY = 77
"""The exit code of the child of `load_aside` when it meets its bound on memory."""


PORTABLE = "portable"
"""The word by which `load_aside` asks its child for a portable load."""


class Severity(StrEnum):
    """Whether a diagnostic stops the load."""

    ERROR = "error"
    WARNING = "warning"


@value_class
class Diagnostic:
    """One thing the configuration's author should know.

    Attributes:
        path: the file, as shown to people.
        line: from 1.
        column: from 1, in characters.
        where: the dotted place, such as `webhooks.ops-slack.timeout`; `file` or `yaml` where there is none.
        message: one sentence: what is wrong and what is allowed.
    """

    path: str
    line: int
    column: int
    where: str
    severity: Severity
    message: str

    def __str__(self) -> str:
        """The line `hookd check` prints (spec 1 and 8)."""
        mark = "warning: " if self.severity is Severity.WARNING else ""
        return f"{self.path}:{self.line}:{self.column}: {mark}{self.where}: {self.message}"


@value_class
class Loaded:
    """The result of a load.

    Attributes:
        config: the configuration, or None where there is an error among the diagnostics.
        diagnostics: every problem of every file, sorted by file and line.
        sources: absolute paths of the files read besides the YAML (secrets, certificates).
        hash: `tree_hash(path, sources)` at the moment of the load, 12 hex digits: while it stays the same,
            loading again gives the same result (the environment apart). `Config.hash` is the same value.
        yaml_hash: of the YAML files alone, as they were read: `tree_hash(path)`.
        relative: absolute paths that are written as relative ones.
    """

    config: "Config | None"
    diagnostics: tuple[Diagnostic, ...]
    sources: tuple[str, ...] = ()
    hash: str = ""
    yaml_hash: str = ""
    relative: frozenset[str] = frozenset()


def dotted(steps: Steps) -> str:
    """The place as people write it: `events.e.task[0]`, `webhooks."my hook".url` (spec 1, WHERE)."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            bare = len(step) <= _LONGEST_BARE and _BARE.fullmatch(step)
            text += ("." if text else "") + (step if bare else quoted(step))
    return text


def shown_path(path: str | os.PathLike[str]) -> str:
    """The path relative to the current directory where it lies inside it, else as given."""
    given = os.fspath(path)
    relative = _inside_cwd(given)
    return printable(given if relative is None else relative, json_escape)


def listed(choices: Sequence[str], *, most: int = 20) -> str:
    """`a, b, c`; a long list is cut and counted."""
    shown = ", ".join(printable(choice, json_escape) for choice in choices[:most])
    return shown if len(choices) <= most else f"{shown}, … ({len(choices)} in all)"


def _inside_cwd(given: str) -> str | None:
    if Path.cwd() == Path(os.sep):  # a service's directory: everything is inside
        return None
    relative = os.path.relpath(given)
    outside = relative == os.curdir or relative.split(os.sep, 1)[0] == os.pardir
    return None if outside else relative
