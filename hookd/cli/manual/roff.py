r"""Text as roff, for `man`: macros of man(7), everything else escaped.

Must never: let a text's own dots, quotes and backslashes be taken for requests.
"""

import re
import textwrap
from collections.abc import Iterable

WIDTH = 79

_CODE = re.compile(r"`([^`]+)`")
_HEADINGS = (".SH ", ".SS ")


def escaped(text: str) -> str:
    r"""Text that is printed as it is; a hyphen stays one that can be copied into a shell."""
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return rf"\&{safe}" if safe.startswith(".") else safe


def prose(text: str) -> list[str]:
    """A paragraph's lines; what stands between backticks is set in bold."""
    marked = _CODE.sub(lambda found: rf"\fB{found[1]}\fR", escaped(text))
    lines = textwrap.wrap(marked, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [rf"\&{line}" if line.startswith(".") else line for line in lines]


def title(name: str, number: int, source: str) -> str:
    """The first line. Without a date: two runs of one version print the same."""
    return f'.TH {name.upper()} {number} "" "{source}"'


def heading(text: str) -> str:
    """The head of a section."""
    return f".SH {escaped(text)}"


def subheading(text: str) -> str:
    """The head of a part of a section."""
    return f".SS {escaped(text)}"


def paragraph(text: str) -> list[str]:
    """A paragraph of its own."""
    return [".PP", *prose(text)]


def item(term: str, *texts: str) -> list[str]:
    """A term in bold, and below it, indented, its texts, each from a new line on."""
    first, *others = texts
    return [
        ".TP",
        rf"\fB{escaped(term)}\fR",
        *prose(first),
        *(line for text in others for line in (".br", *prose(text))),
    ]


def literal(lines: Iterable[str]) -> list[str]:
    """Lines as they are, indented."""
    return [".PP", ".RS 4", ".nf", *map(escaped, lines), ".fi", ".RE"]


def document(lines: Iterable[str]) -> str:
    """The whole page; a paragraph that a heading has begun is not begun once more."""
    kept: list[str] = []
    for line in lines:
        if line != ".PP" or not kept[-1].startswith(_HEADINGS):
            kept.append(line)
    return "\n".join(kept) + "\n"
