"""Keeping instants right where the wall clock, or hookd itself, did not go on as expected.

Must never: begin or end a transaction, or touch a finished delivery. Runs on the writer's thread.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from hookd.domain.json_text import compact_json
from hookd.store.sqlite.attempts import INSERT_ATTEMPTS, UNANSWERED, UNRECORDED, interrupted_row
from hookd.store.sqlite.backlog_index import BacklogDelta
from hookd.store.sqlite.operations import ClaimOperation, Enqueue, Operation
from hookd.store.stored_values import micros

STEP = 5_000
"""How many deliveries one transaction looks at."""

_RENEW = """
    UPDATE deliveries SET due_at = v.value ->> 2 FROM json_each(?) AS v
    WHERE seq = v.value ->> 0 AND attempt = v.value ->> 1 AND state = 1 RETURNING seq
"""
_RELEASE = """
    UPDATE deliveries SET state = 0, due_at = claimed_at, claimed_at = NULL, last_status = NULL, last_error = ?
    FROM json_each(?) AS v WHERE seq = v.value ->> 0 AND attempt = v.value ->> 1 AND state = 1
    RETURNING seq, attempt, webhook, due_at
"""
_CLAIMED = """
    SELECT seq, attempt FROM deliveries INDEXED BY deliveries_due
    WHERE webhook = ? AND due_at = ? AND state = 1 AND claimed_at = ?
"""
_END_LEASES = """
    UPDATE deliveries SET state = 0, due_at = min(due_at, claimed_at), claimed_at = NULL, last_status = NULL,
        last_error = ?
    WHERE due_at IS NOT NULL AND state = 1 RETURNING seq, attempt, due_at
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
_SET_BACK_HOLDS = """
    UPDATE lanes SET hold_until = max(?, hold_until - ?) WHERE hold_until > ? RETURNING webhook, hold_until
"""
_NOTE_CLOCK = "UPDATE clock SET seen_at = max(seen_at, ?)"


def renew(
    connection: sqlite3.Connection, _: BacklogDelta, *, leases: Sequence[tuple[int, int, int]]
) -> frozenset[int]:
    """Let leases, as key, attempt's number and new end (microseconds), end later; returns the keys that are held."""
    return frozenset(seq for (seq,) in connection.execute(_RENEW, (compact_json(leases),)).fetchall())


def release(
    connection: sqlite3.Connection, change: BacklogDelta, *, leases: Sequence[tuple[int, int]], why: str
) -> None:
    """Give back the deliveries of leases, as key and attempt's number, that are still held."""
    attempts: list[Any] = []
    for seq, number, webhook, due_at in connection.execute(_RELEASE, (why, compact_json(leases))).fetchall():
        change.sending[webhook] -= 1
        change.due(webhook, due_at)
        attempts += interrupted_row(seq, number, started_at=due_at, ended_at=due_at, error=why)
    INSERT_ATTEMPTS.run(connection, attempts)


class ClaimedBy(NamedTuple):
    """What a claim leases of one webhook: at which instant, and until when (microseconds)."""

    webhook: str
    claimed_at: int
    due_at: int


def claimed_by(call: Operation) -> list[ClaimedBy]:
    """What a call leases if it is done."""
    match call:
        case ClaimOperation(now=now):
            return [ClaimedBy(want.webhook, micros(now), micros(now + want.lease_s)) for want in call.wants]
        case Enqueue(lease_ends=ends) if ends:
            deliveries = [each for submission in call.batch for each in submission.deliveries]
            return [
                ClaimedBy(each.webhook, call.now, ends[each.id]) for each in deliveries if each.id in ends
            ]
        case _:
            return []


def give_back(connection: sqlite3.Connection, change: BacklogDelta, *, claims: Sequence[ClaimedBy]) -> None:
    """Give back what was leased by claims that were done and not answered: no request was made."""
    for webhook, claimed_at, due_at in claims:
        leases = connection.execute(_CLAIMED, (webhook, due_at, claimed_at)).fetchall()
        release(connection, change, leases=leases, why=UNANSWERED)


def end_leases(connection: sqlite3.Connection) -> int:
    """Make what was being sent pending again, due at the instant of its claim; its attempt is interrupted.

    It is due at once, and what waits for a lane that is closed can be cancelled as any other delivery.

    Returns:
        How many these are.
    """
    attempts: list[Any] = []
    ended = connection.execute(_END_LEASES, (UNRECORDED,)).fetchall()
    for seq, number, due_at in ended:
        attempts += interrupted_row(seq, number, started_at=due_at, ended_at=due_at)
    INSERT_ATTEMPTS.run(connection, attempts)
    return len(ended)


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
    change.moved_holds.update(connection.execute(_SET_BACK_HOLDS, (now, by, now)).fetchall())
    connection.execute(_SET_BACK_NEWEST, (now, now))
    set_clock(connection, change, now=now)
    return None


def set_clock(connection: sqlite3.Connection, _: BacklogDelta, *, now: int) -> None:
    """Remember what the wall clock shows after it was set, in microseconds: earlier or later than it was."""
    connection.execute("DELETE FROM clock")
    connection.execute("INSERT INTO clock (seen_at) VALUES (?)", (now,))


def note_clock(connection: sqlite3.Connection, _: BacklogDelta, *, now: int) -> None:
    """Remember that the wall clock has come so far, in microseconds.

    Never earlier: a clock that was set back is followed first, or the next start could not tell that it was.
    """
    if not connection.execute(_NOTE_CLOCK, (now,)).rowcount:
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
