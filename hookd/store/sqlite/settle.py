"""Recording attempts and what follows from them.

A settle changes its delivery only while the lease's token is the row's: the state is sending and the
attempt's number is still the lease's. Otherwise the lease was lost, and nothing at all is changed.

Must never: begin or end a transaction. Runs on the writer's thread.
"""

import json
import sqlite3
from typing import Any

from hookd.domain.json_text import compact_json
from hookd.store.sqlite.attempts import INSERT_ATTEMPTS, UNANSWERED, UNRECORDED, attempt_row, seq_of
from hookd.store.sqlite.backlog_index import BacklogDelta
from hookd.store.sqlite.encoding import ManyRows
from hookd.store.sqlite.generations import GenerationKeys
from hookd.store.sqlite.operations import Settle
from hookd.store.stored_values import CODES, micros

_UPDATE = ManyRows(
    """UPDATE deliveries SET claimed_at = NULL, state = v.column2, failures = v.column3, due_at = v.column4,
              finished_at = v.column5, last_status = v.column6, last_error = v.column7, detail = v.column8
       FROM ({values}) AS v WHERE seq = v.column1""",
    width=8,
)
_HELD = """
    SELECT json_group_array(json_array(seq, attempt)) FROM deliveries
    WHERE seq IN (SELECT value FROM json_each(?)) AND state = 1
"""
_RECORDED = """
    SELECT EXISTS (SELECT 1 FROM attempts WHERE delivery_seq = ? AND number = ? AND error NOT IN (?, ?))
"""
_HOLD = """
    INSERT INTO lanes (webhook, hold_until) VALUES (?, ?)
    ON CONFLICT (webhook) DO UPDATE SET hold_until = max(hold_until, excluded.hold_until)
"""


class Settling:
    """Runs the settles of one transaction.

    Args:
        connection: inside a transaction.
        change: collects what the transaction changes.
        generations: the keys of what made the attempts.
    """

    def __init__(
        self, connection: sqlite3.Connection, change: BacklogDelta, generations: GenerationKeys
    ) -> None:
        self._connection = connection
        self._change = change
        self._generations = generations

    def run(self, calls: list[Settle]) -> None:
        """Record what is still leased and fill in whether each lease was held."""
        held = self._held(calls)
        attempts: list[Any] = []
        updates: list[Any] = []
        for call in calls:
            seq = seq_of(call.lease.token)
            call.result = held.get(seq) == call.lease.attempt
            if not call.result and call.in_doubt:
                call.result = self._is_recorded(seq, call.lease.attempt)
            elif call.result:
                del held[seq]
                generation = self._generations.key_of(self._connection, call.attempt.generation)
                attempts += attempt_row(seq, call.lease.attempt, call.attempt, generation)
                updates += self._update_row(seq, call)
        INSERT_ATTEMPTS.run(self._connection, attempts)
        _UPDATE.run(self._connection, updates)
        if self._change.holds:
            self._connection.executemany(_HOLD, self._change.holds.items())

    def _is_recorded(self, seq: int, number: int) -> bool:
        """Whether an attempt was recorded by whoever made it, and not given up by another."""
        row = self._connection.execute(_RECORDED, (seq, number, UNRECORDED, UNANSWERED)).fetchone()
        return bool(row[0])

    def _held(self, calls: list[Settle]) -> dict[int, int]:
        """The keys that are being sent, with the numbers of their attempts."""
        keys = compact_json([seq_of(call.lease.token) for call in calls])
        (text,) = self._connection.execute(_HELD, (keys,)).fetchone()
        return dict(json.loads(text))

    def _update_row(self, seq: int, call: Settle) -> tuple[Any, ...]:
        webhook, settlement = call.lease.webhook, call.settlement
        code = CODES[settlement.state]
        due_at = finished_at = None
        self._change.sending[webhook] -= 1
        if settlement.due_at is not None:
            due_at = micros(settlement.due_at)
            self._change.due(webhook, due_at)
        else:
            finished_at = call.now
            self._change.unfinished[webhook] -= 1
            self._change.finished[code] += 1
        if settlement.hold_until is not None:
            self._change.hold(webhook, micros(settlement.hold_until))
        failures = call.lease.failures + settlement.counted
        attempt = call.attempt
        return (
            seq, code, failures, due_at, finished_at, attempt.status, attempt.error, settlement.detail,
        )  # fmt: skip
