"""Storing events with their deliveries, many calls in few statements.

Every call is planned against what is kept and against the calls before it in the same transaction; a
refused call leaves nothing behind and does not touch its neighbours. So races are decided here, too: of an
event with one id, and of a task that runs once (spec 13).

Must never: begin or end a transaction. Runs on the writer's thread.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hookd.domain.errors import IdConflict
from hookd.domain.events import DeliveryRef, Event, NewDelivery, Receipt, Submission
from hookd.domain.json_text import compact_json
from hookd.store.admission import unfinished_after, unspent
from hookd.store.sqlite.attempts import token_of
from hookd.store.sqlite.backlog_index import BacklogDelta
from hookd.store.sqlite.body_cache import BodyCache, CachedDelivery
from hookd.store.sqlite.dead_letter_reports import report
from hookd.store.sqlite.encoding import ManyRows
from hookd.store.sqlite.event_deliveries import refs_of
from hookd.store.sqlite.open_lanes import OpenLanes
from hookd.store.sqlite.operations import Enqueue
from hookd.store.sqlite.schedule_cursors import deal_with, dealt_until
from hookd.store.stored_values import OneShotKey, data_text, micros, object_text, trace_text

_INSERT_EVENTS = ManyRows(
    """INSERT INTO events (
           seq, id, kind, type, event, object, time, data, digest, received_at, first_delivery, deliveries,
           trace)
       SELECT * FROM ({values}) WHERE column1 IS NOT NULL""",
    width=13,
)
_INSERT_DELIVERIES = ManyRows(
    """INSERT INTO deliveries (
           seq, id, event_seq, task, webhook, rule, created_at, due_at, claimed_at, state, attempt)
       SELECT *, column9 IS NOT NULL, column9 IS NOT NULL FROM ({values}) WHERE column1 IS NOT NULL""",
    width=9,
)
_INSERT_MESSAGES = ManyRows(
    "INSERT INTO messages (seq, body) SELECT * FROM ({values}) WHERE column1 IS NOT NULL", width=2
)
_INSERT_SPENT = ManyRows(
    """INSERT INTO spent (task, digest, spent_at, delivery_id)
       SELECT * FROM ({values}) WHERE column1 IS NOT NULL""",
    width=4,
)
_LARGE = 1 << 20
"""Bytes of messages in a transaction from which on each is inserted by itself."""

_KEPT = """
    SELECT id, digest, seq, first_delivery, deliveries FROM events
    WHERE id IN (SELECT value FROM json_each(?))
"""


@dataclass(slots=True)
class Keys:
    """The next keys to give out; they only rise, so that a key that was rolled back is never given again."""

    event: int
    delivery: int


@dataclass(slots=True)
class _Kept:
    """An event that is stored already, or will be by this transaction."""

    digest: bytes | None
    deliveries: tuple[DeliveryRef, ...]


_NewEvent = tuple[Event, tuple[NewDelivery, ...], str | None, str | None]
"""An event to be stored with its deliveries, and its object and data as JSON."""


@dataclass(slots=True)
class _Rows:
    """The rows to insert, one after the other."""

    events: list[Any] = field(default_factory=list)
    deliveries: list[Any] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    spent: list[Any] = field(default_factory=list)


class EnqueuePlan:
    """Plans and inserts the enqueues of one transaction.

    Args:
        connection: inside a transaction.
        keys: where new keys come from.
        recent: takes the bodies that a claim will want soon.
        marks: the one-shots that were spent before this transaction.
        unfinished: unfinished deliveries in this transaction before any enqueue.
        change: collects what the transaction changes.
        open_lanes: which of these lanes may be seated in; None where none may.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        keys: Keys,
        recent: BodyCache,
        marks: Collection[OneShotKey],
        *,
        unfinished: int,
        change: BacklogDelta,
        open_lanes: Callable[[Collection[str]], OpenLanes] | None,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._recent = recent
        self._marks = marks
        self._unfinished = unfinished
        self._change = change
        self._find_open_lanes = open_lanes
        self._open_lanes: OpenLanes | None = None
        self._kept: dict[str, _Kept] = {}
        self._dealt_until: dict[str, int] = {}
        self._moments: dict[str, int] = {}
        self._reports: list[tuple[str, int, int]] = []
        self._rows = _Rows()

    def run(self, calls: list[Enqueue], *, check_all: bool) -> None:
        """Store what the calls ask for and fill in their receipts, or the refusal of a call.

        Args:
            calls: in the order they were made.
            check_all: look for duplicates of events without a digest too (their ids are hookd's own and new, unless the
                call is in doubt).
        """
        self._look_up(
            submission.event.id
            for call in calls
            for submission in call.batch
            if check_all or call.in_doubt or submission.event.digest is not None
        )
        if keys := {each.moment[0] for call in calls for each in call.batch if each.moment is not None}:
            self._dealt_until = dealt_until(self._connection, keys)
        if self._find_open_lanes is not None and (wanted := _lanes_with_seats(calls)):
            self._open_lanes = self._find_open_lanes(wanted)
        for call in calls:
            try:
                self._plan(call)
            except Exception as error:  # noqa: BLE001  the failure belongs to this call's caller alone
                call.error = error
        _INSERT_EVENTS.run(self._connection, self._rows.events)
        _INSERT_DELIVERIES.run(self._connection, self._rows.deliveries)
        messages = self._rows.messages
        is_large = sum(map(len, messages[1::2])) > _LARGE
        _INSERT_MESSAGES.run(self._connection, messages, one_by_one=is_large)
        _INSERT_SPENT.run(self._connection, self._rows.spent)
        if self._moments:
            deal_with(self._connection, self._moments)
        if self._reports:
            report(self._connection, self._reports)

    def _look_up(self, ids: Iterable[str]) -> None:
        wanted = list(ids)
        if not wanted:
            return
        found = self._connection.execute(_KEPT, (compact_json(wanted),)).fetchall()
        for event_id, digest, seq, first, count in found:
            self._kept[event_id] = _Kept(digest, refs_of(self._connection, seq, first, count))

    def _plan(self, call: Enqueue) -> None:
        planned: dict[str, _Kept] = {}
        marks: dict[OneShotKey, str] = {}
        moments: dict[str, int] = {}
        reports: list[tuple[str, int, int]] = []
        fresh: list[_NewEvent] = []
        receipts: list[Receipt] = []
        for index, submission in enumerate(call.batch):
            event = submission.event
            kept = planned.get(event.id) or self._kept.get(event.id)
            is_over = submission.moment is not None and self._is_over(submission.moment, moments)
            if kept is None and is_over:
                receipts.append(Receipt(event.id, True, ()))
            elif kept is None:
                deliveries = unspent(submission, marks, self._is_spent)
                refs = tuple([delivery.ref for delivery in deliveries])
                planned[event.id] = _Kept(event.digest, refs)
                fresh.append((event, deliveries, object_text(event.object), data_text(event.data)))
                receipts.append(Receipt(event.id, False, refs))
                if (reported := submission.dead_letters) is not None:
                    reports.append((reported[0], call.now, micros(reported[1])))
            else:
                receipts.append(_receipt_of(submission, kept, index, in_doubt=call.in_doubt))
        more = sum([len(deliveries) for _, deliveries, _, _ in fresh])
        self._unfinished = unfinished_after(self._unfinished, more, call.limit)
        call.tokens = {}
        for submitted in fresh:
            self._add(submitted, call)
        if marks:
            self._spend(marks, call.now)
        self._kept.update(planned)
        self._moments.update(moments)
        self._reports += reports
        call.result = tuple(receipts)

    def _is_over(self, moment: tuple[str, float], moments: dict[str, int]) -> bool:
        """Whether a schedule's moment is dealt with already; adds to `moments` that it is from now on."""
        key, at = moment[0], micros(moment[1])
        dealt = moments.get(key, self._moments.get(key, self._dealt_until.get(key)))
        moments[key] = at if dealt is None else max(at, dealt)
        return dealt is not None and at <= dealt

    def _is_spent(self, mark: OneShotKey) -> bool:
        return self._change.spent.get(mark, mark in self._marks)

    def _spend(self, marks: Mapping[OneShotKey, str], now: int) -> None:
        for mark, delivery_id in marks.items():
            self._rows.spent += (*mark, now, delivery_id)
            self._change.spent[mark] = True

    def _add(self, submitted: _NewEvent, call: Enqueue) -> None:
        event, deliveries, object_text, data_text = submitted
        keys, rows, now = self._keys, self._rows, call.now
        event_seq, seq = keys.event, keys.delivery
        rows.events += (
            event_seq, event.id, event.kind.value, event.type, event.event, object_text, event.time,
            data_text, event.digest, now, seq, len(deliveries), trace_text(event.trace),
        )  # fmt: skip
        for delivery in deliveries:
            webhook, body = delivery.webhook, delivery.body
            lease_end = self._seated(delivery, call)
            due_at, claimed_at = (now, None) if lease_end is None else (lease_end, now)
            rows.deliveries += (
                seq, delivery.id, event_seq, delivery.task, webhook, delivery.rule, now, due_at, claimed_at,
            )  # fmt: skip
            rows.messages += (seq, body)
            if lease_end is None:
                self._recent.put(seq, CachedDelivery(delivery.id, event.id, delivery.task, body, event.trace))
            else:
                call.tokens[delivery.id] = token_of(seq, 1)
                self._change.sending[webhook] += 1
            self._change.unfinished[webhook] += 1
            self._change.due(webhook, due_at)
            seq += 1
        keys.event = event_seq + 1
        keys.delivery = seq

    def _seated(self, delivery: NewDelivery, call: Enqueue) -> int | None:
        """When the lease of a new delivery ends that is claimed at once; None for one that is not."""
        lanes = self._open_lanes
        if lanes is None:
            return None
        lease_end = call.lease_ends.get(delivery.id)
        if lease_end is not None and lanes.admits(delivery.webhook, call.now):
            return lease_end
        lanes.close(delivery.webhook)
        return None


def _receipt_of(submission: Submission, kept: _Kept, index: int, *, in_doubt: bool) -> Receipt:
    """The receipt of an event whose id is kept; raises IdConflict where that is another event's."""
    event = submission.event
    if in_doubt and _is_stored(submission, kept):
        return Receipt(event.id, False, kept.deliveries)
    if event.digest is None or kept.digest != event.digest:
        raise IdConflict(event.id, index)
    return Receipt(event.id, True, kept.deliveries)


def _is_stored(submission: Submission, kept: _Kept) -> bool:
    """Whether what is kept under an event's id is this very submission: nobody else makes these ids."""
    if submission.event.digest is None:
        return True
    return not {ref.id for ref in kept.deliveries}.isdisjoint([each.id for each in submission.deliveries])


def _lanes_with_seats(calls: Iterable[Enqueue]) -> set[str]:
    """The webhooks that any call has seats for."""
    return {
        delivery.webhook
        for call in calls
        if call.lease_ends
        for submission in call.batch
        for delivery in submission.deliveries
        if delivery.id in call.lease_ends
    }
