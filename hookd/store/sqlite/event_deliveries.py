"""The deliveries of an event: they have neighbouring keys, so the event's row leads to them without an index.

Must never: write.
"""

import sqlite3

from hookd.domain.events import DeliveryRef

_REFS = "SELECT id, task, webhook FROM deliveries WHERE seq >= ? AND seq < ? AND event_seq = ? ORDER BY seq"


def refs_of(
    connection: sqlite3.Connection, event_seq: int, first: int, count: int
) -> tuple[DeliveryRef, ...]:
    """The deliveries of an event that are still kept, in the order they were made."""
    rows = connection.execute(_REFS, (first, first + count, event_seq)).fetchall()
    return tuple(DeliveryRef(*row) for row in rows)
