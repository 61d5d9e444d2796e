"""What people do to deliveries and webhooks by hand: retry, cancel, pause, resume, lift a hold, rearm (spec 8, 13).

Each function runs inside the shared transaction, before the enqueues and claims of its batch: what is made due can be
claimed at once, what is cancelled cannot any more.

Must never: begin or end a transaction, or touch a delivery whose attempt is under way. Runs on the writer's thread.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from hookd.domain.deliveries import TRANSITIONS, State
from hookd.domain.history import DeliveryFilter
from hookd.domain.json_text import compact_json
from hookd.store.sqlite import queries
from hookd.store.sqlite.backlog_index import BacklogDelta
from hookd.store.sqlite.queries import MatchedDelivery
from hookd.store.stored_values import CANCELLED, CODES, PENDING, SENDING, STATES, seconds

AT_MOST = 1_000
"""How many deliveries one transaction makes due."""

_BY_ID = "SELECT seq, webhook, state FROM deliveries WHERE id = ?"
_REVIVE = """
    UPDATE deliveries SET state = 0, failures = 0, due_at = ?, finished_at = NULL, detail = ''
    WHERE seq IN (SELECT value FROM json_each(?))
"""
_HASTEN = "UPDATE deliveries SET due_at = min(due_at, ?) WHERE seq IN (SELECT value FROM json_each(?))"
_CANCEL = "UPDATE deliveries SET state = 4, due_at = NULL, finished_at = ? WHERE seq = ?"
_PAUSE = "INSERT INTO paused (webhook, since) VALUES (?, ?) ON CONFLICT (webhook) DO NOTHING"
_LIFT_HOLD = "UPDATE lanes SET hold_until = ? WHERE webhook = ? AND hold_until > ?"

assert (PENDING, CANCELLED) == (CODES[State.PENDING], CODES[State.CANCELLED]) == (0, 4), (
    "as the statements say"
)


class Progress(NamedTuple):
    """What one step over matching deliveries came to.

    Attributes:
        matched: deliveries seen that match.
        retried: of these, the ones that are due now.
        before: the key the next step goes on below, or None at the end.
    """

    matched: int
    retried: int
    before: int | None


def retry(
    connection: sqlite3.Connection, change: BacklogDelta, *, delivery_id: str, now: int
) -> State | None:
    """Make one delivery due at `now` (microseconds); returns the state it was in, or None."""
    found = _named(connection, delivery_id)
    if found is None:
        return None
    _make_due(connection, change, [found], now)
    return STATES[found.state]


def retry_step(
    connection: sqlite3.Connection, change: BacklogDelta, *, where: DeliveryFilter, before: int, now: int
) -> Progress:
    """Make the next matching deliveries below the key `before` due at `now` (microseconds)."""
    step = queries.matching(connection, where, before, AT_MOST)
    return Progress(len(step.rows), _make_due(connection, change, step.rows, now), step.before)


def count_step(connection: sqlite3.Connection, where: DeliveryFilter, before: int) -> Progress:
    """Like `retry_step`, changing nothing."""
    step = queries.matching(connection, where, before, AT_MOST)
    return Progress(len(step.rows), 0, step.before)


def _make_due(
    connection: sqlite3.Connection, change: BacklogDelta, found: Sequence[MatchedDelivery], now: int
) -> int:
    """Make every delivery due that is not being sent; returns how many these are."""
    waiting = [row.seq for row in found if row.state == PENDING]
    finished = [row for row in found if row.state not in (PENDING, SENDING)]
    if waiting:
        connection.execute(_HASTEN, (now, compact_json(waiting)))
    if finished:
        connection.execute(_REVIVE, (now, compact_json([row.seq for row in finished])))
    for row in finished:
        change.finished[row.state] -= 1
        change.unfinished[row.webhook] += 1
    for webhook in {row.webhook for row in found if row.state != SENDING}:
        change.due(webhook, now)
    return len(waiting) + len(finished)


def cancel(
    connection: sqlite3.Connection, change: BacklogDelta, *, delivery_id: str, now: int
) -> State | None:
    """End one pending delivery at `now` (microseconds); returns the state it was in, or None."""
    found = _named(connection, delivery_id)
    if found is None:
        return None
    state = STATES[found.state]
    if State.CANCELLED in TRANSITIONS[state]:
        connection.execute(_CANCEL, (now, found.seq))
        change.unfinished[found.webhook] -= 1
        change.finished[CANCELLED] += 1
    return state


def _named(connection: sqlite3.Connection, delivery_id: str) -> MatchedDelivery | None:
    row = connection.execute(_BY_ID, (delivery_id,)).fetchone()
    return None if row is None else MatchedDelivery(*row)


def pause(connection: sqlite3.Connection, change: BacklogDelta, *, webhook: str, now: int) -> None:
    """Note that a webhook is paused since `now` (microseconds), unless it is already."""
    if connection.execute(_PAUSE, (webhook, now)).rowcount:
        change.paused[webhook] = seconds(now)


def resume(connection: sqlite3.Connection, change: BacklogDelta, *, webhook: str) -> bool:
    """End a pause; returns whether there was one."""
    was_paused = bool(connection.execute("DELETE FROM paused WHERE webhook = ?", (webhook,)).rowcount)
    if was_paused:
        change.paused[webhook] = None
    return was_paused


def lift_hold(connection: sqlite3.Connection, change: BacklogDelta, *, webhook: str, now: int) -> bool:
    """End a webhook's hold at `now` (microseconds); returns whether it was longer."""
    was_held = bool(connection.execute(_LIFT_HOLD, (now, webhook, now)).rowcount)
    if was_held:
        change.moved_holds[webhook] = now
    return was_held


def reset_one_shot(connection: sqlite3.Connection, change: BacklogDelta, *, task: str, digest: str) -> bool:
    """Take the mark off a one-shot; returns whether it had one."""
    statement = "DELETE FROM spent WHERE task = ? AND digest = ?"
    was_spent = bool(connection.execute(statement, (task, digest)).rowcount)
    if was_spent:
        change.spent[task, digest] = False
    return was_spent
