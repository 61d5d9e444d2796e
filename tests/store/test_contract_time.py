"""The contract, where clocks are concerned: leases that are renewed, instants that are set back."""

import asyncio
import time
from dataclasses import replace

import pytest

from hookd.domain.deliveries import State
from hookd.store.contract import Store
from tests.kit.builders import T0, claim, claim_one, enqueue, record, retry_at, settle, to
from tests.store.conftest import OpenStore

HOUR_S = 3600.0


async def test_a_renewed_lease_is_not_claimed_and_can_be_settled(store: Store) -> None:
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    late = lease.expires_at + HOUR_S
    assert not await store.renew([replace(lease, expires_at=late + 10)])
    assert await claim(store, "w", now=late) == ()
    assert (await record(store, lease.delivery_id)).due_at == late + 10
    assert await settle(store, lease, now=late)
    assert (await record(store, lease.delivery_id)).state is State.DELIVERED


async def test_a_renewed_lease_ends_as_any_other(store: Store) -> None:
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    await store.renew([replace(lease, expires_at=lease.expires_at + 10)])
    (again,) = await claim(store, "w", now=lease.expires_at + 11)
    assert again.attempt == 2


async def test_a_lost_lease_is_not_renewed(store: Store) -> None:
    await enqueue(store, to("w"))
    lost = await claim_one(store)
    (held,) = await claim(store, "w", now=lost.expires_at + 1)
    assert set(await store.renew([replace(lost, expires_at=held.expires_at + HOUR_S)])) == {lost.delivery_id}
    assert (await record(store, held.delivery_id)).due_at == held.expires_at
    assert await settle(store, held, now=held.started_at)
    assert set(await store.renew([replace(held, expires_at=held.expires_at + HOUR_S)])) == {held.delivery_id}
    assert (await record(store, held.delivery_id)).due_at is None


async def test_what_is_due_later_is_set_back(store: Store) -> None:
    for webhook in ("soon", "later", "now"):
        await enqueue(store, to(webhook))
    soon, later = await claim_one(store, "soon"), await claim_one(store, "later")
    await settle(store, soon, retry_at(T0 + 60), now=T0)
    await settle(store, later, retry_at(T0 + 2 * HOUR_S, hold_until=T0 + 2 * HOUR_S), now=T0)
    now = T0 - HOUR_S
    await store.clock_stepped(by_s=HOUR_S, now=now)
    due = (await store.backlog()).earliest_due
    assert due["soon"] <= now + 60
    assert due["later"] <= now + 2 * HOUR_S
    assert due["now"] <= now
    assert await claim(store, "soon", now=now + 59) == ()
    assert len(await claim(store, "soon", now=now + 60)) == 1
    assert await claim(store, "later", now=now + 2 * HOUR_S - 1) == ()
    assert len(await claim(store, "later", now=now + 2 * HOUR_S)) == 1


async def test_a_hold_is_set_back_for_those_who_claim(store: Store) -> None:
    await enqueue(store, to("w"), to("w"))
    await settle(store, await claim_one(store), retry_at(T0, hold_until=T0 + 60), now=T0)
    now = T0 - HOUR_S
    await store.clock_stepped(by_s=HOUR_S, now=now)
    assert (await store.backlog()).holds == {"w": now + 60}
    assert await claim(store, "w", now=now + 59) == ()
    assert len(await claim(store, "w", now=now + 60)) == 2


async def test_nothing_is_set_back_before_now(store: Store) -> None:
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    await settle(store, lease, retry_at(T0 + 60), now=T0)
    await store.clock_stepped(by_s=HOUR_S, now=T0 + 30)
    assert (await record(store, lease.delivery_id)).due_at == T0 + 30


async def test_leases_are_set_back_and_finished_ones_left_alone(store: Store) -> None:
    await enqueue(store, to("w"), to("w"))
    done, under_way = await claim(store, "w", slots=2)
    await settle(store, done, now=T0)
    await store.clock_stepped(by_s=HOUR_S, now=T0 - HOUR_S)
    assert (await record(store, under_way.delivery_id)).due_at == under_way.expires_at - HOUR_S
    assert (await record(store, done.delivery_id)).finished_at == T0
    assert await settle(store, under_way, now=T0 - HOUR_S)


async def test_many_are_set_back_in_steps(store: Store) -> None:
    count = 6_001
    await enqueue(store, *(to("w") for _ in range(count)), now=T0 + HOUR_S)
    await store.clock_stepped(by_s=HOUR_S, now=T0)
    assert len(await claim(store, "w", slots=1000, now=T0)) == 1000
    assert (await store.backlog()).pending == count


async def test_what_came_before_the_clock_was_set_back_is_set_back_with_the_rest(store: Store) -> None:
    """Both may reach the store together."""
    coming = asyncio.ensure_future(enqueue(store, to("w"), now=T0 + HOUR_S))
    await asyncio.sleep(0)
    await store.clock_stepped(by_s=HOUR_S, now=T0)
    await coming
    assert len(await claim(store, now=T0)) == 1


async def test_the_newest_event_is_set_back_too(store: Store) -> None:
    await enqueue(store, to("w"), now=T0 + HOUR_S)
    await store.clock_stepped(by_s=HOUR_S, now=T0)
    (newest,) = (await store.events(limit=1)).items
    assert newest.received_at == T0


async def test_the_first_of_those_that_wait_is_hastened(store: Store) -> None:
    await enqueue(store, to("w"), to("w"), to("other"))
    first, second = await claim(store, "w", slots=2)
    await settle(store, first, retry_at(T0 + 60), now=T0)
    await settle(store, second, retry_at(T0 + 120), now=T0)
    assert await store.make_due("w", now=T0 + 1)
    assert (await store.backlog()).earliest_due["w"] <= T0 + 1
    (lease,) = await claim(store, "w", now=T0 + 1)
    assert lease.delivery_id == first.delivery_id
    assert not await store.make_due("nobody", now=T0 + 1)


async def test_an_attempt_under_way_is_not_hastened(store: Store) -> None:
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    assert not await store.make_due("w", now=T0 + 1)
    assert (await record(store, lease.delivery_id)).due_at == lease.expires_at


async def test_a_new_store_has_seen_no_clock(store: Store) -> None:
    assert await store.clock_seen() is None


async def test_the_clock_is_known_by_its_note_or_the_newest_event(store: Store) -> None:
    await enqueue(store, to("w"), now=T0)
    assert await store.clock_seen() == T0
    await store.clock_stepped(by_s=-60, now=T0 + 60)
    assert await store.clock_seen() == T0 + 60
    await store.clock_stepped(by_s=30, now=T0 + 30)
    assert await store.clock_seen() == T0 + 30


async def test_what_the_clock_showed_at_the_end_is_known_at_the_next_start(open_store: OpenStore) -> None:
    before = time.time()
    for _ in range(2):
        store = await open_store()
        await store.close()
    seen_at = await (await open_store()).clock_seen()
    assert seen_at is not None
    assert before - 1 < seen_at < time.time() + 1


async def test_a_clock_that_was_set_back_unnoticed_is_not_noted(open_store: OpenStore) -> None:
    store, ahead = await open_store(), time.time() + HOUR_S
    await store.clock_stepped(by_s=-HOUR_S, now=ahead)
    await store.close()
    store = await open_store()
    assert await store.clock_seen() == pytest.approx(ahead, abs=1e-3)


async def test_what_the_clock_showed_is_set_back(store: Store) -> None:
    await store.clock_stepped(by_s=-HOUR_S, now=T0 + HOUR_S)
    await store.clock_stepped(by_s=HOUR_S, now=T0)
    assert await store.clock_seen() == T0
