"""The configuration's first Unix socket, its spool and its names, found without loading the rest.

For `hookd emit` and the shells' completion, which are quick (spec 8).

Must never: import the validator, read secrets, or fail; where anything is odd, nothing is found.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hookd.config.yaml.files import MAX_CONFIG_BYTES, Unreadable, list_tree, read_regular
from hookd.config.yaml.tree import parse

_BLOCK = re.compile(rb"^daemon:.*(?:\n(?:[ \t#-].*|\r?)?$)*", re.MULTILINE)
_MAX_EXCERPT = 64 << 10
"""As much is parsed: the lines of `daemon:`, or the whole file where it does not begin a line."""

_MOST_FOR_NAMES = 64 << 10
"""As much of the files is read for their names: what takes a tenth of a second."""


def first_unix_socket(path: Path) -> str | None:
    """The absolute path of the first `unix` entry of `daemon.listen`, or None where none can be found."""
    for file in list_tree(path).files:
        for found in _sockets(file):
            return os.path.normpath(file.absolute().parent / found)
    return None


def spool_directory(path: Path) -> str | None:
    """The absolute path of `daemon.spool`, or None where none can be found."""
    for file in list_tree(path).files:
        with suppress(Unreadable, AttributeError, TypeError):
            found = _daemon(read_regular(file, MAX_CONFIG_BYTES)).get("spool")
            if isinstance(found, str) and found:
                return os.path.normpath(file.absolute().parent / found)
    return None


def why_unread(path: Path) -> str | None:
    """The first file of the configuration that is there and cannot be read, and why; None where there is none."""
    tree = list_tree(path)
    for file, error in tree.refused:
        return f"{file} {error}"
    for file in filter(os.path.lexists, tree.files):
        try:
            read_regular(file, MAX_CONFIG_BYTES)
        except Unreadable as error:
            return f"{file} {error}"
    return None


def names_at(path: Path) -> dict[str, Any]:
    """The names of `webhooks` and `tasks`, and the events of each of `types`, as far as they are quickly found.

    Nothing is checked, and a file that is not valid YAML is left out; `_MOST_FOR_NAMES` bytes are read, no more.
    """
    found: dict[str, Any] = {"webhooks": [], "tasks": [], "types": {}}
    left = _MOST_FOR_NAMES
    for file in list_tree(path).files:
        if not left:
            break
        with suppress(Unreadable, AttributeError, TypeError):
            content = read_regular(file, left, whole=False)
            left -= len(content)
            sections = _plain(content if left else content[: content.rfind(b"\n") + 1])
            for section in ("webhooks", "tasks"):
                found[section] += sections.get(section) or {}
            for name, each in (sections.get("types") or {}).items():
                found["types"][name] = [str(event) for event in (each or {}).get("events") or ()]
    return found


def _sockets(file: Path) -> Iterator[str]:
    with suppress(Unreadable, AttributeError, TypeError):
        for listener in _daemon(read_regular(file, MAX_CONFIG_BYTES)).get("listen") or []:
            unix = listener.get("unix")
            if isinstance(unix, str) and unix:
                yield unix


def _daemon(content: bytes) -> dict[str, Any]:
    if b"daemon" not in content:
        return {}
    block = _BLOCK.search(content)
    excerpt = block[0] if block else content
    daemon: dict[str, Any] = _plain(excerpt if len(excerpt) <= _MAX_EXCERPT else b"").get("daemon") or {}
    return daemon


def _plain(content: bytes) -> Any:
    """The top value without places, which should be a mapping; an empty one where it is not valid YAML."""
    root = parse(content).root
    return root.plain() if root else {}
