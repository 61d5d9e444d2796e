"""Which schedules are watched, and up to when the moments of each are dealt with (spec 1, `missed`).

One process alone has the file, so what it does not watch nobody does.

Must never: begin or end a transaction, or know what a schedule is beyond its key. Runs on the writer's thread.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping

from hookd.domain.json_text import compact_json
from hookd.store.sqlite.backlog_index import BacklogDelta

_CURSORS = "SELECT json_group_object(key, json_array(dealt_until, generation)) FROM schedule_cursors"
_SET = """
    INSERT INTO schedule_cursors (key, dealt_until, generation) SELECT key, value, ? FROM json_each(?) WHERE true
    ON CONFLICT (key) DO UPDATE SET dealt_until = excluded.dealt_until, generation = excluded.generation
"""
_FORGET = "DELETE FROM schedule_cursors WHERE key IN (SELECT value FROM json_each(?))"
_NOTE = "UPDATE schedule_cursors SET dealt_until = ? WHERE generation = ?"
_DEALT_UNTIL = """
    SELECT key, dealt_until FROM schedule_cursors WHERE key IN (SELECT value FROM json_each(?))
"""
_DEAL_WITH = """
    UPDATE schedule_cursors SET dealt_until = max(dealt_until, v.value) FROM json_each(?) AS v
    WHERE schedule_cursors.key = v.key
"""


def watch_schedules(
    connection: sqlite3.Connection,
    _: BacklogDelta,
    *,
    keys: Collection[str],
    generation: str,
    since: int,
    now: int,
) -> dict[str, int]:
    """Watch exactly these schedules; returns up to when each is dealt with. Instants in microseconds."""
    (text,) = connection.execute(_CURSORS).fetchone()
    before: dict[str, list[int | str]] = json.loads(text)
    until = {key: min(int(before[key][0]) if key in before else since, now) for key in keys}
    changed = {key: dealt for key, dealt in until.items() if before.get(key) != [dealt, generation]}
    if changed:
        connection.execute(_SET, (generation, compact_json(changed)))
    if gone := before.keys() - until.keys():
        connection.execute(_FORGET, (compact_json(list(gone)),))
    return until


def note_alive(connection: sqlite3.Connection, _: BacklogDelta, *, generation: str, now: int) -> None:
    """Note that the moments up to `now` (microseconds) of what a generation watches are dealt with."""
    connection.execute(_NOTE, (now, generation))


def dealt_until(connection: sqlite3.Connection, keys: Collection[str]) -> dict[str, int]:
    """Up to when the moments of these schedules are dealt with; those that are not watched are missing."""
    return dict(connection.execute(_DEALT_UNTIL, (compact_json(list(keys)),)).fetchall())


def deal_with(connection: sqlite3.Connection, moments: Mapping[str, int]) -> None:
    """Note that a moment of each of these schedules is dealt with."""
    connection.execute(_DEAL_WITH, (compact_json(dict(moments)),))
