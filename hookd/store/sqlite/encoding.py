"""Statements over many rows at once.

Every step of a statement gives up the interpreter's lock and waits to get it back, so the statements here
carry many rows each, in a few fixed sizes that the connection keeps prepared.

Must never: decide anything about deliveries.
"""

import sqlite3
from typing import Any

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


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
