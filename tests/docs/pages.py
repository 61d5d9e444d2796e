"""The README and the pages of `docs/`, and the fenced blocks in them, so that tests run what readers copy.

A block's info string is its language, then words: `file=NAME` (a file of that name), `name=NAME` (a test asks for it
by this name), or a flag such as `terminal`; `blocks` has the rules.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (TOP / "docs").glob("*.md")))

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        page: as in `PAGES`.
        line: of its opening fence, from 1.
        language: the info string's first word.
        words: the others; a flag stands for itself.
        text: what is between the fences.
    """

    page: str
    line: int
    language: str
    words: Mapping[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def text_of(page: str) -> str:
    return (TOP / page).read_text(encoding="utf-8")


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """The blocks of a page, in order."""
    return tuple(_blocks(page, text_of(page)))


def _blocks(page: str, text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        language, *words = found[2].split() or [""]
        pairs = (word.partition("=") for word in words)
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, language, {key: value or key for key, _, value in pairs}, found[3])


def all_blocks() -> Iterator[Block]:
    for page in PAGES:
        yield from blocks(page)


def files(page: str) -> dict[str, str]:
    """The files of a page by name; each name stands once."""
    found = [(block.words["file"], block.text) for block in blocks(page) if "file" in block.words]
    assert len(dict(found)) == len(found) > 0
    return dict(found)


def named(name: str) -> str:
    """The one block with `name=NAME`."""
    [block] = [block for block in all_blocks() if block.words.get("name") == name]
    return block.text


def section(page: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    return text_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
