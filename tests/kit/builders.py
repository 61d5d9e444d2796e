"""Short ways to say what the store's tests store, claim and settle."""

import dataclasses
import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

from hookd.domain.deliveries import Attempt, ClaimRequest, Lease, Outcome, Reason, Settlement, State
from hookd.domain.events import Event, Kind, NewDelivery, Receipt, Submission
from hookd.domain.history import DeliveryFilter, DeliveryRecord
from hookd.store.contract import Store

T0 = 1_700_000_000.0
LEASE_S = 30.0
LIMIT = 1_000_000
RINGS_S = 2.0
"""The doorbell has rung by then: well before `wait_for_work` returns by itself."""

DELIVERED = Settlement(State.DELIVERED, counted=True)
DEAD = Settlement(State.DEAD, counted=True, detail="retries used up")

_numbers = itertools.count(1)


def retry_at(due_at: float, *, counted: bool = True, hold_until: float | None = None) -> Settlement:
    return Settlement(State.PENDING, counted=counted, due_at=due_at, hold_until=hold_until)


def posted(event_id: str, content: str = "same", **fields: Any) -> Event:
    """An event whose poster gave it an id, so that duplicates are told."""
    digest = hashlib.sha256(content.encode()).digest()
    return Event(event_id, type="vm", event="on", digest=digest, **fields)


def to(*webhooks: str, event: Event | None = None, body: bytes = b"{}") -> Submission:
    """An event with one delivery to each webhook."""
    number = next(_numbers)
    deliveries = tuple(
        NewDelivery(f"d{number}-{index}", "a-task", webhook, body, "events.rule")
        for index, webhook in enumerate(webhooks)
    )
    return Submission(event or Event(f"e{number}", type="vm", event="on"), deliveries)


def once(
    *webhooks: str,
    task: str = "one-shot",
    digest: str = "v1",
    event: Event | None = None,
    body: bytes = b"{}",
) -> Submission:
    """An event with one delivery to each webhook; the first is of a task that runs once."""
    submission = to(*(webhooks or ("w",)), event=event, body=body)
    first, *others = submission.deliveries
    spending = dataclasses.replace(first, task=task, one_shot_digest=digest)
    return Submission(submission.event, (spending, *others))


def triggered(submission: Submission) -> Submission:
    """The same, run on demand."""
    return dataclasses.replace(submission, event=Event(submission.event.id, Kind.TRIGGER))


async def enqueue(
    store: Store, *batch: Submission, now: float = T0, limit: int = LIMIT
) -> tuple[Receipt, ...]:
    return await store.enqueue(batch, now=now, limit=limit)


async def claim(
    store: Store, webhook: str = "w", slots: int = 10, *, now: float = T0, lease_s: float = LEASE_S
) -> tuple[Lease, ...]:
    return (await store.claim([ClaimRequest(webhook, slots, lease_s)], now=now)).leases


async def claim_one(store: Store, webhook: str = "w", *, now: float = T0) -> Lease:
    (lease,) = await claim(store, webhook, 1, now=now)
    return lease


def attempt_of(lease: Lease, outcome: Outcome | None = None) -> Attempt:
    outcome = outcome or Outcome(Reason.OK, status=200, response=b"thanks", duration_s=0.25)
    return Attempt(
        number=lease.attempt,
        started_at=lease.started_at,
        duration_s=outcome.duration_s,
        status=outcome.status,
        reason=outcome.reason,
        error=outcome.error,
        response=outcome.response,
        insecure=outcome.insecure,
        resent=outcome.resent,
    )


async def settle(
    store: Store,
    lease: Lease,
    settlement: Settlement = DELIVERED,
    outcome: Outcome | None = None,
    *,
    now: float = T0,
) -> bool:
    return await store.settle(lease, attempt_of(lease, outcome), settlement, now=now)


async def watch(
    store: Store, *keys: str, now: float = T0, generation: str = "0123456789ab"
) -> Mapping[str, float]:
    """Watch schedules, new ones from now on."""
    return await store.watch_schedules(keys, generation=generation, since=now, now=now)


async def alive(store: Store, now: float, generation: str = "0123456789ab") -> None:
    await store.note_alive(generation=generation, now=now)


def moment(at: float, key: str = "a", *webhooks: str) -> Submission:
    """A moment of a schedule."""
    event = Event(f"{key}@{at}", Kind.SCHEDULE, digest=hashlib.sha256(f"{key}@{at}".encode()).digest())
    return dataclasses.replace(to(*(webhooks or ("w",)), event=event), moment=(key, at))


async def record(store: Store, delivery_id: str) -> DeliveryRecord:
    found = await store.delivery(delivery_id)
    assert found is not None
    return found


async def facts(store: Store) -> list[object]:
    """What a store keeps in memory besides the file, to be compared with what a reopened one reads from it."""
    return [
        await store.totals(),
        (await store.backlog()).pending,
        await store.lanes(),
        (await store.backlog()).holds,
        dict((await store.backlog()).paused),
        await store.one_shot_marks(),
    ]


async def retried(
    store: Store, where: DeliveryFilter, *, now: float, dry_run: bool = False
) -> tuple[int, int]:
    """How many matched and how many were retried, over all parts of a retry by filter."""
    matched = done = 0
    cursor = None
    while True:
        part = await store.retry_matching(where, now=now, dry_run=dry_run, cursor=cursor)
        matched, done, cursor = matched + part.matched, done + part.retried, part.cursor
        if cursor is None:
            return matched, done


async def listed(store: Store, limit: int = 100, **where: Any) -> list[str]:
    """The ids of a listing, all its pages."""
    ids: list[str] = []
    cursor = None
    while True:
        page = await store.deliveries(DeliveryFilter(**where), limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        ids += [item.id for item in page.items]
        cursor = page.cursor
        if cursor is None:
            return ids
