"""What a configuration's text says as far as it can be understood: also where it is cut off, or is not valid YAML yet.

Where the whole cannot be parsed, block-style text is taken apart by its lines: first its sections, and of a section
that cannot be parsed either, its entries. What is left of a broken entry is its name.

Must never: check anything, or raise for bad input.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hookd.config.yaml.tree import Node, lines_of, parse

LEVELS = 2
"""Sections and their entries."""

_KEY = re.compile(
    r"""(?P<indent>\ *)
    (?P<key> "(?:[^"\\]|\\.)*"[ \t]* | '(?:[^']|'')*'[ \t]* | (?![-?]\s)[^\s"'\#&*!|>%@`{}\[\],:].*?)
    :(?:[ \t]|$)""",
    re.VERBOSE,
)


def outline(content: bytes) -> dict[str, Any]:
    """The top mapping of a YAML file, its values plain."""
    tree = parse(content)
    return _mapping(tree.root) if tree.complete else _by_pieces(lines_of(tree.text), LEVELS)


def _by_pieces(lines: Sequence[str], levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, piece in _pieces(lines):
        if understood := _mapping(parse("\n".join(piece).encode()).root):
            found |= understood
        elif (name := parse(key.encode()).root) is not None and isinstance(name.value, str):
            found[name.value] = _by_pieces(piece[1:], levels - 1) if levels > 1 else None
    return found


def _pieces(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The keys that are indented as the first one is, each with its lines up to the next."""
    indent: int | None = None
    key = ""
    piece: list[str] = []
    for line in lines:
        begins = _KEY.match(line)
        if begins and indent in (None, len(begins["indent"])):
            if key:
                yield key, piece
            indent, key, piece = len(begins["indent"]), begins["key"], []
        piece.append(line)
    if key:
        yield key, piece


def _mapping(root: Node | None) -> dict[str, Any]:
    value = root.plain() if root else None
    return value if isinstance(value, dict) else {}
