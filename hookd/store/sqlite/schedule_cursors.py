"""Which schedules are watched, and up to when their moments are dealt with (spec 1, `missed`).

Must never: begin or end a transaction, or know what a schedule is beyond its key. Runs on the writer's thread.
"""

import json
import sqlite3
from collections.abc import Collection

from hookd.domain.json_text import compact_json
from hookd.store.sqlite.backlog_index import BacklogDelta

_WATCHED = "SELECT json_group_object(key, first_seen) FROM schedules"
_WATCH = "INSERT INTO schedules (key, first_seen) SELECT value, ? FROM json_each(?)"
_FORGET = "DELETE FROM schedules WHERE key IN (SELECT value FROM json_each(?))"


def watch_schedules(
    connection: sqlite3.Connection, _: BacklogDelta, *, keys: Collection[str], now: int
) -> dict[str, int]:
    """Watch exactly these schedules; returns up to when each is dealt with. Instants in microseconds."""
    wanted = set(keys)
    (text,) = connection.execute(_WATCHED).fetchone()
    watched: dict[str, int] = json.loads(text)
    gone, new = watched.keys() - wanted, wanted - watched.keys()
    if gone:
        connection.execute(_FORGET, (compact_json(list(gone)),))
    if new:
        connection.execute(_WATCH, (now, compact_json(list(new))))
    (alive_at,) = connection.execute("SELECT at FROM alive").fetchone()
    return {key: max(watched[key], alive_at) if key in watched else now for key in keys}


def note_alive(connection: sqlite3.Connection, _: BacklogDelta, *, now: int) -> None:
    """Note that every moment up to `now` (microseconds) is dealt with; after a step of the clock an earlier one too."""
    connection.execute("UPDATE alive SET at = ?", (now,))
