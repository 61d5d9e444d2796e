"""Which dead letters stand in a report: a webhook's lane remembers how far its last report goes.

Must never: begin or end a transaction, or know what a report says. Runs on the writer's thread.
"""

import sqlite3
from collections.abc import Sequence

from hookd.domain.history import DeadLetter, UnreportedDeadLetters
from hookd.store.stored_values import DEAD, seconds

_REPORT = """
    INSERT INTO lanes (webhook, hold_until, reported_at, reported_until) VALUES (?, 0, ?, ?)
    ON CONFLICT (webhook) DO UPDATE SET
        reported_at = excluded.reported_at, reported_until = max(coalesce(reported_until, 0), excluded.reported_until)
"""
_LAST_DIED = """
    SELECT max(finished_at) FROM deliveries INDEXED BY deliveries_finished
    WHERE state = ? AND finished_at IS NOT NULL AND finished_at < ?
"""
_REPORTED = "SELECT webhook, reported_at, reported_until FROM lanes WHERE reported_at >= ?"
_UNREPORTED = """
    SELECT d.id, e.id, d.webhook, d.task, d.finished_at
    FROM deliveries AS d INDEXED BY deliveries_finished
    JOIN lanes AS l ON l.webhook = d.webhook JOIN events AS e ON e.seq = d.event_seq
    WHERE d.state = ? AND d.finished_at IS NOT NULL AND d.finished_at > ? AND d.finished_at < ?
      AND l.reported_at >= ? AND d.finished_at > l.reported_until
    ORDER BY d.finished_at DESC LIMIT ?
"""


def report(connection: sqlite3.Connection, reports: Sequence[tuple[str, int, int]]) -> None:
    """Note reports: of which webhook, when it is stored, and up to when it counts what died (microseconds)."""
    connection.executemany(_REPORT, reports)


def unreported(
    connection: sqlite3.Connection, *, before: int, within: int, limit: int
) -> UnreportedDeadLetters:
    """What died before an instant and stands in no report; `within` as in the contract. In microseconds."""
    (last_died,) = connection.execute(_LAST_DIED, (DEAD, before)).fetchone()
    lately = (before if last_died is None else last_died) - within
    lanes = connection.execute(_REPORTED, (lately,)).fetchall()
    dead: list[DeadLetter] = []
    if lanes:
        since = min(until for _, _, until in lanes)
        rows = connection.execute(_UNREPORTED, (DEAD, since, before, lately, limit))
        dead = [
            DeadLetter(delivery_id, event_id, webhook, task, seconds(died_at))
            for delivery_id, event_id, webhook, task, died_at in rows
        ]
    return UnreportedDeadLetters({webhook: seconds(at) for webhook, at, _ in lanes}, tuple(dead))
