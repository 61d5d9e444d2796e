"""Pages of a listing: a cursor is the key below which it goes on.

Must never: touch the database.
"""

from typing import TypeVar

from hookd.domain.history import Page
from hookd.store.sqlite import queries

T = TypeVar("T")


def key_of(cursor: str | None) -> int:
    """The key a listing goes on below.

    Raises:
        ValueError: the cursor is not one of ours.
    """
    if cursor is None:
        return queries.END
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise ValueError(f"not a cursor: {cursor!r}")
    return int(cursor)


def cursor_of(before: int | None) -> str | None:
    """The cursor for a key; None at the end."""
    return None if before is None else str(before)


def page_of(found: list[tuple[int, T]], limit: int, before: int | None = None) -> Page[T]:
    """A page of at most `limit` records; one more found shows that the listing goes on, else it does below `before`."""
    shown = found[:limit]
    if len(found) > limit:
        before = shown[-1][0]
    return Page(tuple(record for _, record in shown), cursor_of(before))
