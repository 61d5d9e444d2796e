"""What commands print: text that is safe for a terminal, JSON, tables.

Everything that came from data (names, answers, bodies, errors) goes through `printable` or `as_json` on
its way out, so that it can neither forge a line nor drive a terminal (spec 12).

Must never: print by itself, or import more than the start of `hookd emit` can bear.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence

from hookd.domain.text import printable

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from typing import Any

UNBOUNDED = 1 << 20
"""The width, in columns, of output that does not go to a terminal; as many rows it has."""

SHOWN_DIGITS = 20
"""Of an id's 32 digits, where a terminal is too narrow for all: its millisecond, and 26 random bits."""

_WHOLE_ID = re.compile(rf"(?:dlv|evt)_([0-9a-f]{{{SHOWN_DIGITS}}})[0-9a-f]{{{32 - SHOWN_DIGITS}}}")


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


def short_id(whole: str) -> str:
    """An id without its kind and with no more digits than tell it from others; commands take it as well.

    An id of another form, as clients choose for events, stays whole.
    """
    found = _WHOLE_ID.fullmatch(whole)
    return whole if found is None else found[1]


def terminal_width(*, wide: bool = False) -> int:
    """Columns of the terminal (`$COLUMNS` goes before); `UNBOUNDED` where standard output is none, or with `wide`."""
    return UNBOUNDED if wide else _terminal_size().columns


def terminal_height() -> int:
    """Rows of the terminal (`$LINES` goes before); `UNBOUNDED` where standard output is none."""
    return _terminal_size().lines


def _terminal_size() -> os.terminal_size:
    """Of none, whatever `$COLUMNS` says: programs that load GNU readline hand it on to all that they start."""
    import shutil

    return shutil.get_terminal_size() if is_terminal() else os.terminal_size((UNBOUNDED, UNBOUNDED))


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


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

    Where the terminal is too narrow, columns are cut, then left out, then cut to less; no line is longer.

    Attributes:
        titles: the heads of the columns.
    """

    GAP = "  "
    COMFORTABLE = 16
    LEAST = 8

    def __init__(
        self,
        titles: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        shrinkable: Sequence[int],
        width: int,
        droppable: Sequence[int] = (),
    ) -> None:
        """Lay the table out.

        Args:
            titles: the heads of the columns.
            rows: what the widths are settled by.
            shrinkable: indices of the columns that may be cut.
            width: columns of the terminal.
            droppable: indices of the columns that may be left out, the least important first.
        """
        self.titles = titles
        self._limit = width
        wanted = [max(map(columns_of, column)) for column in zip(titles, *map(_cells, rows), strict=True)]
        shown = list(range(len(titles)))
        for index in (*droppable, None):
            self._widths = self._shrunk(wanted, shown, shrinkable, self.COMFORTABLE)
            if index is None or self._excess(self._widths) <= 0:
                break
            shown.remove(index)
        self._widths = self._shrunk(wanted, shown, shrinkable, self.LEAST)

    def head(self) -> str:
        """The line of titles."""
        return self.row(self.titles)

    def row(self, cells: Sequence[str]) -> str:
        """One line."""
        shown = _cells(cells)
        padded = (fitted(shown[index], width) for index, width in self._widths.items())
        return cut(self.GAP.join(padded).rstrip(), self._limit)

    def _shrunk(
        self, wanted: Sequence[int], shown: Sequence[int], shrinkable: Sequence[int], least: int
    ) -> dict[int, int]:
        """The widths of the columns that are shown, some of them shrunk as far as is needed and allowed."""
        widths = {index: wanted[index] for index in shown}
        may_shrink = [index for index in shrinkable if index in widths]
        for _ in range(self._excess(widths)):
            widest = max(may_shrink, key=lambda index: widths[index], default=None)
            if widest is None or widths[widest] <= least:
                break
            widths[widest] -= 1
        return widths

    def _excess(self, widths: dict[int, int]) -> int:
        return sum(widths.values()) + len(self.GAP) * (len(widths) - 1) - self._limit


def _cells(row: Sequence[str]) -> list[str]:
    return [printable(cell) for cell in row]
