"""The store against a model of a few lines, over random histories: nothing is lost, no lease settled twice."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hookd.domain.deliveries import ClaimRequest, Lease, Settlement, State
from hookd.domain.errors import TaskSpent
from hookd.domain.history import DeliveryFilter
from hookd.store.contract import Store
from tests.kit.builders import (
    DEAD,
    DELIVERED,
    T0,
    enqueue,
    once,
    record,
    retried,
    retry_at,
    settle,
    to,
    triggered,
)
from tests.kit.seats import Seats
from tests.kit.stores import STORES, Engine, engines

T = TypeVar("T")

WEBHOOKS = ("v", "w")
TASKS = ("one", "two")
UNFINISHED = (State.PENDING, State.SENDING)


@dataclass
class Row:
    """A delivery as the model knows it."""

    webhook: str
    due_at: float
    state: State = State.PENDING
    attempt: int = 0
    failures: int = 0
    finished_at: float = 0.0
    claimed_at: float = 0.0


class StoreHistory(RuleBasedStateMachine):
    """Random calls, each made on the store and on the model."""

    engine: ClassVar[Engine]

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.now = T0
        self.rows: dict[str, Row] = {}
        self.leases: list[Lease] = []
        self.spent: dict[str, str] = {}
        self.paused: dict[str, float] = {}
        self.store = self.opened()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
            self.loop.close()
            shutil.rmtree(self.directory)

    def opened(self) -> Store:
        return self.run(self.engine.open(self.directory))

    def run(self, call: Awaitable[T]) -> T:
        return self.loop.run_until_complete(call)

    @rule(webhooks=st.lists(st.sampled_from(WEBHOOKS), max_size=3), times=st.integers(1, 3))
    def enqueue(self, webhooks: list[str], times: int) -> None:
        batch = [to(*webhooks) for _ in range(times)]
        self.run(enqueue(self.store, *batch, now=self.now))
        for submission in batch:
            for delivery in submission.deliveries:
                self.rows[delivery.id] = Row(delivery.webhook, self.now)

    @rule(webhooks=st.lists(st.sampled_from(WEBHOOKS), min_size=1, max_size=3), data=st.data())
    def enqueue_seated(self, webhooks: list[str], data: st.DataObject) -> None:
        batch = [to(*webhooks) for _ in range(2)]
        new = [each for submission in batch for each in submission.deliveries]
        wanted = {each.id for each in new if data.draw(st.booleans())}
        seats = Seats(dict.fromkeys(wanted, 5.0))
        self.run(self.store.enqueue(batch, now=self.now, limit=1000, seats=seats))
        closed = {row.webhook for row in self.rows.values() if self.is_due(row, row.webhook)}
        closed |= self.paused.keys()
        for delivery in new:
            row = self.rows[delivery.id] = Row(delivery.webhook, self.now)
            if not self.engine.gives_seats or delivery.id not in wanted or delivery.webhook in closed:
                closed.add(delivery.webhook)
            else:
                row.state, row.attempt = State.SENDING, 1
                row.due_at, row.claimed_at = self.now + 5.0, self.now
        assert set(seats.used) == {each.id for each in new if self.rows[each.id].state is State.SENDING}
        self.leases += seats.leases or ()

    @rule(task=st.sampled_from(TASKS), times=st.integers(1, 3))
    def fire_once(self, task: str, times: int) -> None:
        batch = [once("w", "v", task=task) for _ in range(times)]
        self.run(enqueue(self.store, *batch, now=self.now))
        for submission in batch:
            first, other = submission.deliveries
            if task not in self.spent:
                self.spent[task] = first.id
                self.rows[first.id] = Row("w", self.now)
            self.rows[other.id] = Row("v", self.now)

    @rule(task=st.sampled_from(TASKS))
    def trigger(self, task: str) -> None:
        submission = triggered(once(task=task))
        try:
            self.run(enqueue(self.store, submission, now=self.now))
        except TaskSpent:
            assert task in self.spent
        else:
            assert task not in self.spent
            self.spent[task] = submission.deliveries[0].id
            self.rows[self.spent[task]] = Row("w", self.now)

    @rule(task=st.sampled_from(TASKS))
    def rearm(self, task: str) -> None:
        assert self.run(self.store.reset_one_shot(task, "v1")) == (task in self.spent)
        self.spent.pop(task, None)

    @rule(webhook=st.sampled_from(WEBHOOKS))
    def pause(self, webhook: str) -> None:
        self.run(self.store.pause(webhook, now=self.now))
        self.paused.setdefault(webhook, self.now)

    @rule(webhook=st.sampled_from(WEBHOOKS))
    def resume(self, webhook: str) -> None:
        assert self.run(self.store.resume(webhook)) == (webhook in self.paused)
        self.paused.pop(webhook, None)

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.rows)))
        assert self.run(self.store.retry(key, now=self.now)) is self.rows[key].state
        self.made_due(self.rows[key])

    @precondition(lambda self: bool(self.rows))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        row = self.rows[key := data.draw(st.sampled_from(sorted(self.rows)))]
        assert self.run(self.store.cancel(key, now=self.now)) is row.state
        if row.state is State.PENDING:
            row.state, row.finished_at = State.CANCELLED, self.now

    @rule(
        state=st.sampled_from([None, *(state for state in State if state is not State.SENDING)]),
        webhook=st.sampled_from([None, *WEBHOOKS]),
        dry_run=st.booleans(),
    )
    def retry_matching(self, state: State | None, webhook: str | None, dry_run: bool) -> None:
        where = DeliveryFilter(state=state, webhook=webhook)
        matching = [
            row for row in self.rows.values() if state in (None, row.state) and webhook in (None, row.webhook)
        ]
        made_due = 0 if dry_run else sum(row.state is not State.SENDING for row in matching)
        counted = self.run(retried(self.store, where, now=self.now, dry_run=dry_run))
        assert counted == (len(matching), made_due)
        for row in matching if not dry_run else []:
            self.made_due(row)

    def made_due(self, row: Row) -> None:
        if row.state is State.PENDING:
            row.due_at = min(row.due_at, self.now)
        elif row.state is not State.SENDING:
            row.state, row.failures, row.due_at = State.PENDING, 0, self.now

    @rule(webhook=st.sampled_from(WEBHOOKS), slots=st.integers(1, 4))
    def claim(self, webhook: str, slots: int) -> None:
        claimed = self.run(self.store.claim([ClaimRequest(webhook, slots, 5.0)], now=self.now))
        if webhook in self.paused:
            assert not claimed.leases
            return
        leases = claimed.leases
        due = sorted(row.due_at for row in self.rows.values() if self.is_due(row, webhook))
        assert [self.rows[lease.delivery_id].due_at for lease in leases] == due[:slots]
        for lease in leases:
            row = self.rows[lease.delivery_id]
            assert self.is_due(row, webhook)
            assert (lease.attempt, lease.failures) == (row.attempt + 1, row.failures)
            row.state, row.attempt, row.due_at = State.SENDING, lease.attempt, lease.expires_at
            row.claimed_at = lease.started_at
        self.leases += leases

    def is_due(self, row: Row, webhook: str) -> bool:
        return row.state in UNFINISHED and row.webhook == webhook and row.due_at <= self.now

    @precondition(lambda self: bool(self.leases))
    @rule(data=st.data(), kind=st.sampled_from(["delivered", "dead", "retry", "release"]))
    def settle(self, data: st.DataObject, kind: str) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        settlement = {
            "delivered": DELIVERED,
            "dead": DEAD,
            "retry": retry_at(self.now + 3),
            "release": retry_at(self.now, counted=False),
        }[kind]
        row = self.rows.get(lease.delivery_id)
        held = row is not None and row.state is State.SENDING and row.attempt == lease.attempt
        assert self.run(settle(self.store, lease, settlement, now=self.now)) == held
        if row is not None and held:
            self.settled(row, settlement)

    def settled(self, row: Row, settlement: Settlement) -> None:
        row.state = settlement.state
        row.failures += settlement.counted
        row.finished_at = self.now
        if settlement.due_at is not None:
            row.due_at = settlement.due_at

    @precondition(lambda self: bool(self.leases))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.run(self.store.release([lease], why="not sent"))
        row = self.rows.get(lease.delivery_id)
        if row is not None and row.state is State.SENDING and row.attempt == lease.attempt:
            row.state, row.due_at = State.PENDING, lease.started_at

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(age=st.sampled_from([0.0, 4.0]))
    def prune(self, age: float) -> None:
        before = self.now - age
        self.run(self.store.prune(delivered_before=before, dead_before=before, limit=1000))
        expired = [
            key for key, row in self.rows.items() if row.state not in UNFINISHED and row.finished_at < before
        ]
        for key in expired:
            del self.rows[key]

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.store = self.opened()
        for row in self.rows.values():
            if row.state is State.SENDING:  # a process that ends, or is gone, holds no lease
                row.state, row.due_at = State.PENDING, min(row.due_at, row.claimed_at)

    @invariant()
    def counts_agree(self) -> None:
        states = Counter(row.state for row in self.rows.values())
        assert self.run(self.store.totals()) == {state: states[state] for state in State}
        unfinished = [row for row in self.rows.values() if row.state in UNFINISHED]
        assert self.run(self.store.backlog()).pending == len(unfinished)
        lanes = self.run(self.store.lanes())
        counted = Counter(row.webhook for row in unfinished)
        assert {webhook: lane.pending for webhook, lane in lanes.items()} == dict(counted)
        earliest = self.run(self.store.backlog()).earliest_due
        assert earliest.keys() == counted.keys()
        assert all(earliest[row.webhook] <= row.due_at for row in unfinished)

    @invariant()
    def marks_and_pauses_agree(self) -> None:
        marks = self.run(self.store.one_shot_marks())
        assert {mark.task: mark.delivery_id for mark in marks} == self.spent
        assert self.run(self.store.backlog()).paused == self.paused

    @invariant()
    def records_agree(self) -> None:
        for key, row in self.rows.items():
            found = self.run(record(self.store, key))
            assert (found.state, found.attempt, found.failures) == (row.state, row.attempt, row.failures)
            assert (found.due_at, found.finished_at) == (
                (row.due_at, None) if row.state in UNFINISHED else (None, row.finished_at)
            )
            done = row.attempt - (row.state is State.SENDING)
            assert [attempt.number for attempt in found.attempts] == list(range(1, done + 1))


@pytest.mark.parametrize("engine", engines())
def test_the_store_agrees_with_the_model(engine: str) -> None:
    run_state_machine_as_test(
        type("History", (StoreHistory,), {"engine": STORES[engine]}),
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
