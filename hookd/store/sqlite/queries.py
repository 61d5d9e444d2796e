"""Queries for people: single records and listings, each bounded in time so that writing is not held up.

A listing looks at a few thousand rows in a step; its caller asks for step after step, and for no more than `STEPS`.

Must never: write, or put a value into SQL text. Runs on the writer's thread.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from hookd.domain.deliveries import State
from hookd.domain.events import SpentMark
from hookd.domain.history import DeliveryFilter, DeliveryRecord, EventRecord
from hookd.domain.json_text import compact_json
from hookd.store.paging import Step
from hookd.store.sqlite import generations
from hookd.store.sqlite.event_deliveries import refs_of
from hookd.store.stored_records import attempt_record, delivery_record, event_record
from hookd.store.stored_values import CODES, micros, optional_seconds, seconds

STEP = 1_000
"""How many rows a listing looks at in one step."""

STEPS = 50
"""How many steps one call takes: what a client asks for ends soon, however rare what it looks for."""

FEW = 5_000
"""Of all webhooks, so many deliveries that wait are sorted in each step; of more, the history is walked through."""

EVENTS_STEP = 20
"""How many events one step reads, with their deliveries."""

_COLUMNS = """
    d.seq, d.id, e.id, e.kind, d.rule, d.task, d.webhook, d.state, d.attempt, d.failures, d.created_at,
    d.due_at, d.finished_at, d.detail, d.last_status, d.last_error, e.trace
"""
_DELIVERY = f"SELECT {_COLUMNS} FROM deliveries AS d JOIN events AS e ON e.seq = d.event_seq WHERE d.id = ?"  # noqa: S608  constants
_ATTEMPTS = f"""
    SELECT a.number, started_at, duration_s, status, reason, error, response, insecure, resent, {generations.COLUMNS}
    FROM attempts AS a LEFT JOIN generations AS g ON g.seq = a.generation
    WHERE a.delivery_seq = ? ORDER BY a.number
"""  # noqa: S608  constants
_EVENT_COLUMNS = """
    seq, id, kind, type, event, object, time, data, digest, received_at, first_delivery, deliveries, trace
"""
_EVENT = f"SELECT {_EVENT_COLUMNS} FROM events WHERE id = ?"  # noqa: S608  constants
_LISTED_COLUMNS = _EVENT_COLUMNS.replace("data,", "NULL,")
_EVENTS = f"SELECT {_LISTED_COLUMNS} FROM events WHERE seq < ? ORDER BY seq DESC LIMIT ?"  # noqa: S608  constants
_DELIVERY_IDS = "SELECT id FROM deliveries WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
_EVENT_IDS = "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
_ONE_SHOT_MARKS = "SELECT task, digest, spent_at, delivery_id FROM spent ORDER BY spent_at DESC, task, digest"
_LAST_DIED = "SELECT max(finished_at) FROM deliveries WHERE state = ? AND finished_at IS NOT NULL"
_WAITING = """
    SELECT count(*) FROM (
        SELECT 1 FROM deliveries INDEXED BY deliveries_waiting WHERE due_at IS NOT NULL LIMIT ?)
"""
_OLDEST = """
    SELECT json_group_array(json_array(wanted.value, (
        SELECT created_at FROM deliveries INDEXED BY deliveries_waiting
        WHERE webhook = wanted.value AND due_at IS NOT NULL ORDER BY seq LIMIT 1)))
    FROM json_each(?) AS wanted
"""


class _Way(NamedTuple):
    """The way through the table that a filter allows: an index, a range of keys, or all rows.

    Attributes:
        source: what stands after FROM.
        condition: what the way requires.
        values: the condition's parameters.
    """

    source: str
    condition: str
    values: tuple[Any, ...]


class _Stretch(NamedTuple):
    """The matching deliveries among the next rows along a way.

    Attributes:
        source: what stands after FROM.
        condition: what stands after WHERE.
        values: the condition's parameters.
        before: the key the next stretch lies below, or None at the end.
    """

    source: str
    condition: str
    values: tuple[Any, ...]
    before: int | None


class MatchedDelivery(NamedTuple):
    """A matching delivery: its key, its webhook and the number of its state."""

    seq: int
    webhook: str
    state: int


class MatchedDeliveries(NamedTuple):
    """What one step over matching deliveries found.

    Attributes:
        rows: the deliveries, newest first.
        before: where the next step goes on, or None at the end.
    """

    rows: list[MatchedDelivery]
    before: int | None


def delivery(connection: sqlite3.Connection, delivery_id: str) -> DeliveryRecord | None:
    """One delivery with its body and attempts, or None."""
    row = connection.execute(_DELIVERY, (delivery_id,)).fetchone()
    if row is None:
        return None
    (body,) = connection.execute("SELECT body FROM messages WHERE seq = ?", row[:1]).fetchone()
    attempts = connection.execute(_ATTEMPTS, row[:1]).fetchall()
    return delivery_record(row, body=body, attempts=tuple(attempt_record(attempt) for attempt in attempts))


def event(connection: sqlite3.Connection, event_id: str) -> EventRecord | None:
    """One kept event, or None."""
    row = connection.execute(_EVENT, (event_id,)).fetchone()
    return None if row is None else _event_record(connection, row)


def ids(connection: sqlite3.Connection, beginning: str, limit: int) -> list[str]:
    """The first ids of deliveries and then of events that begin so."""
    between = (beginning, f"{beginning}\U0010ffff", limit)
    found = [connection.execute(query, between).fetchall() for query in (_DELIVERY_IDS, _EVENT_IDS)]
    return [each for rows in found for (each,) in rows][:limit]


def events(connection: sqlite3.Connection, before: int, limit: int) -> list[tuple[int, EventRecord]]:
    """Kept events with their keys, newest first, without their data."""
    rows = connection.execute(_EVENTS, (before, limit)).fetchall()
    return [(row[0], _event_record(connection, row)) for row in rows]


def oldest(connection: sqlite3.Connection, webhooks: Sequence[str]) -> dict[str, int | None]:
    """When the oldest unfinished delivery of each webhook was taken in."""
    (text,) = connection.execute(_OLDEST, (compact_json(webhooks),)).fetchone()
    return dict(json.loads(text))


def deliveries(
    connection: sqlite3.Connection, where: DeliveryFilter, before: int, limit: int, step: int = STEP
) -> Step:
    """Look at the next `step` rows below the key `before` and return at most `limit` that match."""
    stretch = _stretch(connection, where, before, step)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {stretch.source} JOIN events AS e ON e.seq = d.event_seq"  # noqa: S608  constants
        f" WHERE {stretch.condition} ORDER BY d.seq DESC LIMIT ?",
        (*stretch.values, limit),
    ).fetchall()
    return Step([(row[0], delivery_record(row)) for row in rows], stretch.before)


def matching(
    connection: sqlite3.Connection, where: DeliveryFilter, before: int, limit: int, step: int = STEP
) -> MatchedDeliveries:
    """Like `deliveries`, with no more of each than a change needs; a step cut short by `limit` goes on right there."""
    stretch = _stretch(connection, where, before, step)
    (text,) = connection.execute(
        f"SELECT json_group_array(json_array(seq, webhook, state)) FROM (SELECT d.* FROM {stretch.source}"  # noqa: S608  constants
        f" WHERE {stretch.condition} ORDER BY d.seq DESC LIMIT ?)",
        (*stretch.values, limit),
    ).fetchone()
    rows = [MatchedDelivery(*row) for row in json.loads(text)]
    return MatchedDeliveries(rows, rows[-1].seq if len(rows) == limit else stretch.before)


def one_shot_marks(connection: sqlite3.Connection) -> tuple[SpentMark, ...]:
    """Every mark of a one-shot that has run, the latest first."""
    rows = connection.execute(_ONE_SHOT_MARKS).fetchall()
    return tuple(SpentMark(task, digest, seconds(at), delivery_id) for task, digest, at, delivery_id in rows)


def last_died(connection: sqlite3.Connection) -> float | None:
    """When the latest dead delivery died, or None where there is none."""
    (instant,) = connection.execute(_LAST_DIED, (CODES[State.DEAD],)).fetchone()
    return optional_seconds(instant)


def _stretch(connection: sqlite3.Connection, where: DeliveryFilter, before: int, step: int) -> _Stretch:
    way = _way(connection, where)
    floor, count = connection.execute(
        f"SELECT min(seq), count(*) FROM (SELECT d.seq FROM {way.source}"  # noqa: S608  constants
        f" WHERE {way.condition} AND d.seq < ? ORDER BY d.seq DESC LIMIT ?)",
        (*way.values, before, step),
    ).fetchone()
    condition, values = _condition(where)
    return _Stretch(
        source=way.source,
        condition=f"{way.condition} AND d.seq >= ? AND d.seq < ?{condition}",
        values=(*way.values, floor, before, *values),
        before=floor if count == step else None,
    )


def _way(connection: sqlite3.Connection, where: DeliveryFilter) -> _Way:
    if where.event_id is not None:
        row = connection.execute(
            "SELECT seq, first_delivery, first_delivery + deliveries FROM events WHERE id = ?",
            (where.event_id,),
        ).fetchone()
        return _Way("deliveries AS d", "d.event_seq = ? AND d.seq >= ? AND d.seq < ?", row or (0, 0, 0))
    if where.state in (State.PENDING, State.SENDING):
        source = "deliveries AS d INDEXED BY deliveries_waiting"
        if where.webhook is not None:
            return _Way(source, "d.webhook = ? AND d.due_at IS NOT NULL", (where.webhook,))
        if connection.execute(_WAITING, (FEW + 1,)).fetchone()[0] <= FEW:
            return _Way(source, "d.due_at IS NOT NULL", ())
    if where.state is State.DEAD:
        return _Way("deliveries AS d INDEXED BY deliveries_dead", "d.state = 3", ())
    return _Way("deliveries AS d", "true", ())


def _condition(where: DeliveryFilter) -> tuple[str, list[Any]]:
    """What the filter asks for, as SQL and its parameters."""
    tests: list[tuple[str, Any]] = [
        (" AND d.state = ?", None if where.state is None else CODES[where.state]),
        (" AND d.webhook = ?", where.webhook),
        (" AND d.task = ?", where.task),
        (" AND d.created_at >= ?", None if where.since is None else micros(where.since)),
        (" AND d.created_at < ?", None if where.until is None else micros(where.until)),
    ]
    asked = [(test, value) for test, value in tests if value is not None]
    return "".join(test for test, _ in asked), [value for _, value in asked]


def _event_record(connection: sqlite3.Connection, row: Sequence[Any]) -> EventRecord:
    *shown, first, count, trace = row
    return event_record([*shown, trace], refs_of(connection, shown[0], first, count))
