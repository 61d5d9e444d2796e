"""Keeping instants right where the wall clock, or hookd itself, did not go on as expected.

Must never: begin or end a transaction, or touch a finished delivery. Runs on the writer's thread.
"""

import sqlite3
from collections.abc import Sequence

from hookd.store.sqlite.backlog import BacklogDelta
from hookd.store.sqlite.encoding import to_json

STEP = 5_000
"""How many deliveries one transaction looks at."""

_RENEW = """
    UPDATE deliveries SET due_at = v.value ->> 2 FROM json_each(?) AS v
    WHERE seq = v.value ->> 0 AND attempt = v.value ->> 1 AND state = 1
"""
_NEXT = "SELECT max(seq), count(*) FROM (SELECT seq FROM deliveries WHERE seq > ? ORDER BY seq LIMIT ?)"
_SET_BACK = """
    UPDATE deliveries SET due_at = max(?, due_at - ?) WHERE seq > ? AND seq <= ? AND due_at > ?
    RETURNING webhook, due_at
"""
_SET_BACK_NEWEST = """
    UPDATE events SET received_at = ? WHERE seq = (SELECT max(seq) FROM events) AND received_at > ?
"""
"""What came last tells the next start whether the clock was set back meanwhile: not a second time for this step."""

_SET_BACK_CLOCK = "UPDATE clock SET seen_at = min(seen_at, ?)"
_CLOCK_SEEN = """
    SELECT max(at) FROM (
        SELECT received_at AS at FROM events WHERE seq = (SELECT max(seq) FROM events)
        UNION ALL SELECT seen_at FROM clock)
"""

_HASTEN = """
    UPDATE deliveries SET due_at = ? WHERE seq = (
        SELECT seq FROM deliveries INDEXED BY deliveries_due
        WHERE webhook = ? AND due_at IS NOT NULL AND state = 0 ORDER BY due_at LIMIT 1)
      AND due_at > ?
"""
_SET_BACK_HOLDS = "UPDATE lanes SET hold_until = max(?, hold_until - ?) WHERE hold_until > ?"


def renew(connection: sqlite3.Connection, _: BacklogDelta, *, leases: Sequence[tuple[int, int, int]]) -> None:
    """Let leases, as key, attempt's number and new end (microseconds), end later; lost ones are left alone."""
    connection.execute(_RENEW, (to_json(leases),))


def set_back_step(
    connection: sqlite3.Connection, change: BacklogDelta, *, by: int, now: int, after: int
) -> int | None:
    """Bring the instants of the next deliveries above the key `after` back by `by` microseconds, but not before `now`.

    Returns:
        The key the next step goes on above, or None at the end.
    """
    last, count = connection.execute(_NEXT, (after, STEP)).fetchone()
    if count:
        for webhook, due_at in connection.execute(_SET_BACK, (now, by, after, last, now)).fetchall():
            change.due(webhook, due_at)
    if count == STEP:
        return int(last)
    connection.execute(_SET_BACK_HOLDS, (now, by, now))
    connection.execute(_SET_BACK_NEWEST, (now, now))
    connection.execute(_SET_BACK_CLOCK, (now,))
    return None


def note_clock(connection: sqlite3.Connection, _: BacklogDelta, *, now: int) -> None:
    """Remember what the wall clock shows, in microseconds."""
    if not connection.execute("UPDATE clock SET seen_at = ?", (now,)).rowcount:
        connection.execute("INSERT INTO clock (seen_at) VALUES (?)", (now,))


def clock_seen(connection: sqlite3.Connection) -> int | None:
    """The latest instant that the wall clock is known to have shown, in microseconds; None in a new store."""
    (seen_at,) = connection.execute(_CLOCK_SEEN).fetchone()
    return None if seen_at is None else int(seen_at)


def make_due(connection: sqlite3.Connection, change: BacklogDelta, *, webhook: str, now: int) -> bool:
    """Make the pending delivery of a webhook that is due first due at `now` (microseconds); whether one was later."""
    was_later = bool(connection.execute(_HASTEN, (now, webhook, now)).rowcount)
    if was_later:
        change.due(webhook, now)
    return was_later
