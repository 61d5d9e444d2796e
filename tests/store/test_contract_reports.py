"""The store's contract for what died and stands in no report yet, over every store."""

import dataclasses

import pytest

from hookd.domain.deliveries import Outcome, Reason
from hookd.domain.errors import PendingLimitReached
from hookd.domain.events import Event, Submission
from hookd.domain.history import UnreportedDeadLetters
from hookd.store.contract import Store
from tests.kit.builders import DEAD, DELIVERED, T0, claim_one, enqueue, settle, to
from tests.store.conftest import OpenStore

WITHIN_S = 600.0
NEVER = UnreportedDeadLetters({}, ())


def report(webhook: str, until: float) -> Submission:
    """A report of what died of a webhook up to an instant."""
    return dataclasses.replace(to("ops"), dead_letters=(webhook, until))


async def dies(store: Store, webhook: str, *instants: float) -> list[str]:
    """Let a delivery die at each instant; their ids."""
    found = []
    for at in instants:
        await enqueue(store, to(webhook, event=Event(f"of {webhook} at {at}")))
        lease = await claim_one(store, webhook)
        assert await settle(store, lease, DEAD, Outcome(Reason.STATUS, 503), now=at)
        found.append(lease.delivery_id)
    return found


async def unreported(
    store: Store, *, before: float = T0 + 1e6, within_s: float = WITHIN_S, limit: int = 99
) -> UnreportedDeadLetters:
    return await store.unreported_dead_letters(before=before, within_s=within_s, limit=limit)


async def instants(store: Store, before: float = T0 + 1e6, limit: int = 99) -> list[tuple[str, float]]:
    """What is unreported, as webhook and seconds after T0."""
    found = await unreported(store, before=before, limit=limit)
    return [(dead.webhook, dead.died_at - T0) for dead in found.dead]


async def test_of_what_was_never_reported_nothing_is_told(store: Store) -> None:
    assert await unreported(store) == NEVER
    await dies(store, "w", T0 + 1)
    assert await unreported(store) == NEVER


async def test_what_died_after_the_last_that_a_report_counts_is_told_the_latest_first(
    open_store: OpenStore,
) -> None:
    store = await open_store()
    _, _, third, fourth = await dies(store, "w", T0 + 1, T0 + 2, T0 + 3, T0 + 4)
    await enqueue(store, report("w", T0 + 2), now=T0 + 5)
    for _ in range(2):
        found = await unreported(store)
        assert found.reported_at == {"w": T0 + 5}
        assert [dead.delivery_id for dead in found.dead] == [fourth, third]
        latest = found.dead[0]
        assert (latest.event_id, latest.webhook, latest.task, latest.died_at) == (
            f"of w at {T0 + 4}", "w", "a-task", T0 + 4,
        )  # fmt: skip
        assert (await store.backlog()).holds == {}
        await store.close()
        store = await open_store()
    await enqueue(store, report("w", T0 + 4), now=T0 + 65)
    assert await unreported(store) == UnreportedDeadLetters({"w": T0 + 65}, ())


async def test_each_webhook_has_its_own_report(store: Store) -> None:
    for webhook in ("v", "w", "x"):
        await dies(store, webhook, T0 + 1, T0 + 2)
    await enqueue(store, report("v", T0 + 1), report("w", T0 + 2), now=T0 + 2)
    await dies(store, "w", T0 + 3)
    assert await instants(store) == [("w", 3), ("v", 2)]


async def test_what_is_refused_reports_nothing(store: Store) -> None:
    await dies(store, "w", T0 + 1)
    await enqueue(store, to("w"))
    with pytest.raises(PendingLimitReached):
        await enqueue(store, report("w", T0 + 1), limit=1)
    assert await unreported(store) == NEVER


async def test_a_report_that_counts_less_takes_nothing_back(store: Store) -> None:
    await dies(store, "w", T0 + 1, T0 + 2, T0 + 3)
    await enqueue(store, report("w", T0 + 2), report("w", T0 + 1))
    assert await instants(store) == [("w", 3)]


async def test_only_what_is_dead_now_and_died_before_and_at_most_so_many(store: Store) -> None:
    await dies(store, "w", T0 + 1)
    await enqueue(store, report("w", T0 + 1), now=T0 + 1)
    revived, *_ = await dies(store, "w", T0 + 2, T0 + 3, T0 + 4, T0 + 5)
    await store.retry(revived, now=T0 + 6)
    assert await settle(store, await claim_one(store, now=T0 + 6), DELIVERED, now=T0 + 6)
    assert await instants(store) == [("w", 5), ("w", 4), ("w", 3)]
    assert await instants(store, before=T0 + 5) == [("w", 4), ("w", 3)]
    assert await instants(store, limit=1) == [("w", 5)]


async def test_a_webhook_that_was_reported_on_long_before_the_last_death_is_left_out(store: Store) -> None:
    await dies(store, "old", T0 + 1)
    await dies(store, "new", T0 + 1)
    await enqueue(store, report("old", T0 + 1), now=T0 + 1)
    await enqueue(store, report("new", T0 + 1), now=T0 + 2)
    await dies(store, "old", T0 + 1.5)
    await dies(store, "new", T0 + 1 + WITHIN_S + 0.5)
    found = await unreported(store)
    assert found.reported_at == {"new": T0 + 2}
    assert await instants(store) == [("new", WITHIN_S + 1.5)]
