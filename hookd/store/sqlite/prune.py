"""Deleting what retention no longer keeps, in small steps, and giving the space back.

Must never: delete an unfinished delivery, or an event that has deliveries left. Runs on the writer's thread.
"""

import json
import sqlite3

from hookd.domain.json_text import compact_json
from hookd.store.sqlite.backlog_index import BacklogDelta
from hookd.store.sqlite.operations import Prune
from hookd.store.stored_values import CANCELLED, DEAD, DELIVERED

_EXPIRED = """
    SELECT json_group_array(json_array(seq, event_seq)) FROM (
        SELECT seq, event_seq FROM deliveries INDEXED BY deliveries_finished
        WHERE state = ? AND finished_at < ? ORDER BY finished_at LIMIT ?)
"""
_LONE = """
    DELETE FROM events WHERE seq IN (
        SELECT seq FROM events INDEXED BY events_lone
        WHERE deliveries = 0 AND received_at < ? ORDER BY received_at LIMIT ?)
"""
_DELETE = (
    "DELETE FROM attempts WHERE delivery_seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM messages WHERE seq IN (SELECT value FROM json_each(?))",
    "DELETE FROM deliveries WHERE seq IN (SELECT value FROM json_each(?))",
)
_DELETE_EVENTS = """
    DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?)) AND NOT EXISTS (
        SELECT 1 FROM deliveries AS d
        WHERE d.seq >= events.first_delivery AND d.seq < events.first_delivery + events.deliveries
          AND d.event_seq = events.seq)
"""


def prune(connection: sqlite3.Connection, call: Prune, change: BacklogDelta) -> None:
    """Delete at most `call.limit` rows past their time and fill in how many went."""
    gone = 0
    for state, before in (
        (DELIVERED, call.delivered_before),
        (CANCELLED, call.delivered_before),
        (DEAD, call.dead_before),
    ):
        count = _delete_finished(connection, state, before, call.limit - gone)
        change.finished[state] -= count
        gone += count
    gone += connection.execute(_LONE, (call.delivered_before, call.limit - gone)).rowcount
    call.result = gone


def _delete_finished(connection: sqlite3.Connection, state: int, before: int, limit: int) -> int:
    (text,) = connection.execute(_EXPIRED, (state, before, limit)).fetchone()
    pairs = json.loads(text)
    if pairs:
        seqs = compact_json([seq for seq, _ in pairs])
        for statement in _DELETE:
            connection.execute(statement, (seqs,))
        connection.execute(_DELETE_EVENTS, (compact_json(list({event for _, event in pairs})),))
    return len(pairs)


def vacuum(connection: sqlite3.Connection, pages: int) -> int:
    """Give at most `pages` free pages back to the file system; returns how many are left."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    # One at a time: SQLite answers each page with a row that has no columns, and Python's module ends there.
    for _ in range(min(pages, free)):
        connection.execute("PRAGMA incremental_vacuum(1)")
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(left)
