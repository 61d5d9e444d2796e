"""What commands print: text that is safe for a terminal, JSON, tables.

Everything that came from data (names, answers, bodies, errors) goes through `printable` or `as_json` on
its way out, so that it can neither forge a line nor drive a terminal (spec 12).

Must never: print by itself, or import more than the start of `hookd emit` can bear.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from hookd.domain.text import printable

UNBOUNDED = 1 << 20
"""The width, in columns, of output that does not go to a terminal."""


def visible_block(text: str, margin: str = "  | ") -> list[str]:
    """Text of several lines, each behind a margin, so that none can pass for a line of ours."""
    return [margin + printable(line) for line in text.removesuffix("\n").split("\n")]


def as_json(value: Any) -> str:
    """A value as JSON in ASCII: what could drive a terminal is escaped."""
    import json

    return json.dumps(value, indent=2, ensure_ascii=True)


def as_json_line(value: Any) -> str:
    """A value as one line of JSON in ASCII."""
    import json

    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def pretty_body(body: str) -> str:
    """A message's body for people: indented where it is JSON, else as it is."""
    import json

    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def to_the_second(instant: str | None) -> str:
    """A date-time of the API without its fraction; `-` where there is none."""
    return re.sub(r"\.\d+", "", instant) if instant else "-"


def terminal_width() -> int:
    """Columns of the terminal (or `$COLUMNS`); `UNBOUNDED` where standard output is none."""
    import shutil

    return shutil.get_terminal_size(fallback=(UNBOUNDED, 24)).columns


def columns_of(text: str) -> int:
    """How many columns a terminal gives to printable text: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def rows_of(lines: Iterable[str], width: int) -> int:
    """How many rows lines take in a terminal of `width` columns."""
    return sum(max(1, -(-columns_of(line) // width)) for line in lines)


def shortened(text: str, most: int = 400) -> str:
    """Text of at most `most` characters, the last an ellipsis where some are missing."""
    return text if len(text) <= most else text[: most - 1] + "…"


def cut(text: str, width: int) -> str:
    """Text of at most `width` columns, with an ellipsis where some is missing."""
    if columns_of(text) <= width:
        return text
    while text and columns_of(text) > width - 1:
        text = text[:-1]
    return text + "…"


def fitted(text: str, width: int) -> str:
    """Text padded to `width` columns, or cut there."""
    short = cut(text, width)
    return short + " " * (width - columns_of(short))


class Table:
    """A table whose column widths are settled by the first rows, so that later pages line up with them.

    Attributes:
        titles: the heads of the columns.
        shrinkable: indices of the columns that may be cut where the terminal is too narrow.
    """

    GAP = "  "
    LEAST = 8

    def __init__(
        self, titles: Sequence[str], rows: Iterable[Sequence[str]], *, shrinkable: Sequence[int], width: int
    ) -> None:
        self.titles = titles
        self.shrinkable = shrinkable
        wanted = [max(map(columns_of, column)) for column in zip(titles, *map(_cells, rows), strict=True)]
        self._widths = self._shrunk(wanted, width)

    def head(self) -> str:
        """The line of titles."""
        return self.row(self.titles)

    def row(self, cells: Sequence[str]) -> str:
        """One line."""
        padded = (fitted(cell, width) for cell, width in zip(_cells(cells), self._widths, strict=True))
        return self.GAP.join(padded).rstrip()

    def _shrunk(self, widths: list[int], limit: int) -> list[int]:
        excess = sum(widths) + len(self.GAP) * (len(widths) - 1) - limit
        while excess > 0:
            widest = max(self.shrinkable, key=lambda index: widths[index])
            if widths[widest] <= self.LEAST:
                break
            widths[widest] -= 1
            excess -= 1
        return widths


def _cells(row: Sequence[str]) -> list[str]:
    return [printable(cell) for cell in row]
