"""Pages of a listing: a cursor is the key below which it goes on. A page ends at its limit, or where it gets large.

Must never: touch the database.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from hookd.domain.history import DeliveryRecord, EventRecord, Page

T = TypeVar("T")

END = 1 << 62
"""A key above all keys: where a listing begins."""

MOST_BYTES = 1 << 20
"""Bytes of a page, about; a larger record has a page of its own."""

PER_RECORD = 500
"""Bytes of a record as JSON, about, beside its texts of any length."""

PER_REFERENCE = 100
"""Bytes of a delivery's id, task and webhook, about."""


class Step(NamedTuple):
    """What one step of a listing found.

    Attributes:
        rows: the records with their keys, newest first.
        before: where the next step goes on, or None at the end.
    """

    rows: list[tuple[int, DeliveryRecord]]
    before: int | None


def key_of(cursor: str | None) -> int:
    """The key a listing goes on below.

    Raises:
        ValueError: the cursor is not one of ours.
    """
    if cursor is None:
        return END
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise ValueError(f"not a cursor: {cursor!r}")
    return int(cursor)


def cursor_of(before: int | None) -> str | None:
    """The cursor for a key; None at the end."""
    return None if before is None else str(before)


def delivery_bytes(record: DeliveryRecord) -> int:
    """About how many bytes a listed delivery takes."""
    return PER_RECORD + len(record.detail) + len(record.last_error)


def event_bytes(record: EventRecord) -> int:
    """About how many bytes a listed event takes."""
    obj = record.event.object
    named = (
        0 if obj is None else len(obj.id or "") + len(obj.name or "") + sum(len(tag) + 3 for tag in obj.tags)
    )
    return PER_RECORD + named + PER_REFERENCE * len(record.deliveries)


def page_of(
    found: list[tuple[int, T]], limit: int, size: Callable[[T], int], before: int | None = None
) -> Page[T]:
    """A page of at most `limit` records and `MOST_BYTES`, but of one at least.

    Args:
        found: keys and records, in order; one more than is shown tells that the listing goes on.
        limit: the most records.
        size: how many bytes one takes.
        before: where the listing goes on below what was found; None at the end.
    """
    shown, left = 0, MOST_BYTES
    for _, record in found[:limit]:
        left -= size(record)
        if left < 0 and shown:
            break
        shown += 1
    if shown < len(found):
        before = found[shown - 1][0]
    return Page(tuple(record for _, record in found[:shown]), cursor_of(before))
