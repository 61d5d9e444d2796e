"""Leasing due deliveries.

A claim is the write-ahead record of an attempt: number and lease end are in the row before any connection
is opened. The number rises with every claim and is never given twice, so it is also what fences the
settling.

Must never: begin or end a transaction. Runs on the writer's thread.
"""

import json
import sqlite3
from collections.abc import Container, Mapping, Sequence
from math import inf
from typing import Any

from hookd.domain.deliveries import Claimed, ClaimRequest, Lease
from hookd.domain.json_text import compact_json
from hookd.store.sqlite.attempts import INSERT_ATTEMPTS, interrupted_row, token_of
from hookd.store.sqlite.backlog_index import BacklogDelta
from hookd.store.sqlite.body_cache import BodyCache, CachedDelivery
from hookd.store.sqlite.encoding import ManyRows
from hookd.store.sqlite.operations import ClaimOperation
from hookd.store.stored_values import SENDING, micros, trace_of

_AT_MOST = 1000

NEXT_DUE = """
    SELECT json_group_array(json_array(seq, due_at, state, attempt, failures, claimed_at)) FROM (
        SELECT seq, due_at, state, attempt, failures, claimed_at
        FROM deliveries INDEXED BY deliveries_due
        WHERE webhook = ? AND due_at IS NOT NULL
        ORDER BY due_at LIMIT ?)
"""
"""The deliveries of one webhook that are due first, as one row of JSON."""

_LEASE = ManyRows(
    """UPDATE deliveries SET state = 1, attempt = attempt + 1, due_at = v.column2, claimed_at = v.column3
       FROM ({values}) AS v WHERE seq = v.column1""",
    width=3,
)
_READ_BACK = """
    SELECT d.seq, d.id, e.id, d.task, m.body, e.trace
    FROM json_each(?) AS wanted
    JOIN deliveries AS d ON d.seq = wanted.value
    JOIN events AS e ON e.seq = d.event_seq
    JOIN messages AS m ON m.seq = d.seq
"""


class Leasing:
    """Runs the claims of one transaction.

    Args:
        connection: inside a transaction.
        recent: the bodies that need not be read back.
        change: collects what the transaction changes.
        holds: until when each webhook waits as a whole (seconds since the epoch), after `change` so far.
        paused: the webhooks that are paused, after `change` so far.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        recent: BodyCache,
        change: BacklogDelta,
        *,
        holds: Mapping[str, float],
        paused: Container[str],
    ) -> None:
        self._connection = connection
        self._recent = recent
        self._change = change
        self._holds = holds
        self._paused = paused

    def run(self, calls: list[ClaimOperation]) -> None:
        """Lease what each call wants and fill in the leases."""
        for call in calls:
            waits = self._waits(call.wants, call.now)
            open_lanes = [want for want in call.wants if want.webhook not in waits]
            call.result = Claimed(self._claim(open_lanes, call.now), waits)

    def _waits(self, wants: Sequence[ClaimRequest], now: float) -> dict[str, float]:
        """The webhooks that may not be claimed from, and until when."""
        waits = {}
        for want in wants:
            until = inf if want.webhook in self._paused else self._holds.get(want.webhook, now)
            if until > now:
                waits[want.webhook] = until
        return waits

    def _claim(self, wants: Sequence[ClaimRequest], now: float) -> tuple[Lease, ...]:
        now_us = micros(now)
        taken: list[tuple[ClaimRequest, list[Any]]] = []
        updates: list[Any] = []
        interrupted: list[Any] = []
        for want in wants:
            lease_end = micros(now + want.lease_s)
            for row in self._due(want, min(want.slots, _AT_MOST - len(taken)), now_us, lease_end):
                seq, due_at, state, attempt, _, claimed_at = row
                taken.append((want, row))
                updates += (seq, lease_end, now_us)
                if state == SENDING:
                    interrupted += interrupted_row(seq, attempt, started_at=claimed_at, ended_at=due_at)
        INSERT_ATTEMPTS.run(self._connection, interrupted)
        _LEASE.run(self._connection, updates)
        fresh = self._fresh([row[0] for _, row in taken])
        return tuple(_lease(want, row, fresh[row[0]], now) for want, row in taken)

    def _due(self, want: ClaimRequest, slots: int, now: int, lease_end: int) -> list[list[Any]]:
        """The rows to lease for one want; one row more is looked at, to know when the next is due."""
        if slots <= 0:
            return []
        (text,) = self._connection.execute(NEXT_DUE, (want.webhook, slots + 1)).fetchone()
        rows: list[list[Any]] = json.loads(text)
        due = [row for row in rows[:slots] if row[1] <= now]
        left = [row[1] for row in rows[len(due) :]]
        self._change.earliest[want.webhook] = min(left + [lease_end] * bool(due), default=None)
        self._change.sending[want.webhook] += sum(row[2] != SENDING for row in due)
        return due

    def _fresh(self, seqs: list[int]) -> dict[int, CachedDelivery]:
        known = {seq: fresh for seq in seqs if (fresh := self._recent.take(seq)) is not None}
        missing = [seq for seq in seqs if seq not in known]
        if missing:
            rows = self._connection.execute(_READ_BACK, (compact_json(missing),))
            for seq, delivery_id, event_id, task, message, trace in rows:
                known[seq] = CachedDelivery(delivery_id, event_id, task, message, trace_of(trace))
        return known


def _lease(want: ClaimRequest, row: list[Any], fresh: CachedDelivery, now: float) -> Lease:
    seq, _, _, attempt, failures, _ = row
    return Lease(
        delivery_id=fresh.delivery_id,
        event_id=fresh.event_id,
        task=fresh.task,
        webhook=want.webhook,
        body=fresh.body,
        token=token_of(seq, attempt + 1),
        attempt=attempt + 1,
        failures=failures,
        started_at=now,
        expires_at=now + want.lease_s,
        trace=fresh.trace,
    )
