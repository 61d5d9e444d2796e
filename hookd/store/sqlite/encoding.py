"""How values stand in the database's rows, and statements over many rows at once.

Every step of a statement gives up the interpreter's lock and waits to get it back, so the statements here
carry many rows each, in a few fixed sizes that the connection keeps prepared.

Must never: decide anything about deliveries.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from hookd.domain.deliveries import State
from hookd.domain.tracing import Trace

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

STATES = (State.PENDING, State.SENDING, State.DELIVERED, State.DEAD, State.CANCELLED)
"""The states in the order of their numbers in the database."""

CODES: Mapping[State, int] = {state: code for code, state in enumerate(STATES)}
"""The number of each state in the database."""

PENDING, SENDING, DELIVERED, DEAD, CANCELLED = range(5)


def micros(instant: float) -> int:
    """Seconds since the epoch as the whole microseconds that are stored."""
    return round(instant * 1_000_000)


def seconds(instant: int) -> float:
    """Stored microseconds as seconds since the epoch."""
    return instant / 1_000_000


def optional_seconds(instant: int | None) -> float | None:
    """Like `seconds`, for a column that may be null."""
    return None if instant is None else instant / 1_000_000


def trace_text(trace: Trace | None) -> str | None:
    """A trace as the text that is stored."""
    return None if trace is None else trace.as_text()


def trace_of(text: str | None) -> Trace | None:
    """A stored text as the trace."""
    return None if text is None else Trace.from_text(text)


class ManyRows:
    """A statement with a `{values}` place for rows of bound values.

    The last statement of a series is filled up with rows of nulls; the statement must ignore rows whose
    `column1` is null.

    Args:
        sql: the statement, with `{values}` where `VALUES (…), (…)` belongs.
        width: values in a row.
    """

    def __init__(self, sql: str, width: int) -> None:
        self._width = width
        row = f"({','.join('?' * width)})"
        self._by_size = tuple(
            (size * width, sql.format(values=f"VALUES {','.join([row] * size)}")) for size in _SIZES
        )

    def run(self, connection: sqlite3.Connection, values: list[Any], *, one_by_one: bool = False) -> None:
        """Run the statement.

        Args:
            connection: inside a transaction.
            values: the rows' values, one after the other.
            one_by_one: a row at a time, where rows are large: SQLite copies what is bound, and keeps it for a while.
        """
        largest = self._by_size[0 if one_by_one else -1][0]
        for start in range(0, len(values), largest):
            part = values[start : start + largest]
            capacity, sql = next(sized for sized in self._by_size if sized[0] >= len(part))
            part.extend([None] * (capacity - len(part)))
            connection.execute(sql, part)
