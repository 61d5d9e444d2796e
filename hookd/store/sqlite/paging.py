"""Pages of a listing: a cursor is the key of the last row shown.

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


def page_of(found: list[tuple[int, T]], limit: int) -> Page[T]:
    """A page of at most `limit` records; one more found shows that the listing goes on."""
    shown = found[:limit]
    cursor = str(shown[-1][0]) if shown and len(found) > limit else None
    return Page(tuple(record for _, record in shown), cursor)
