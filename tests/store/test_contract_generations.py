"""Which generation of the config made each attempt: recorded with the attempt, unknown where it was cut off."""

import asyncio
import dataclasses

import pytest

from hookd.domain.deliveries import GenerationRef, Lease, Settlement
from hookd.domain.events import Event
from hookd.store.contract import Store
from tests.kit.builders import (
    DELIVERED,
    LEASE_S,
    T0,
    attempt_of,
    claim,
    claim_one,
    enqueue,
    record,
    retry_at,
    settle,
    to,
)
from tests.store.conftest import OpenStore

FIRST = GenerationRef(1, "0123456789ab", "c" * 40, dirty=False)
EDITED = GenerationRef(2, "ba9876543210", "c" * 40, dirty=True)
OUTSIDE = GenerationRef(1, "0123456789ab")


async def settled(
    store: Store,
    lease: Lease,
    generation: GenerationRef | None,
    settlement: Settlement = DELIVERED,
    *,
    now: float = T0,
) -> None:
    attempt = dataclasses.replace(attempt_of(lease), generation=generation)
    assert await store.settle(lease, attempt, settlement, now=now)


async def made_by(store: Store, delivery_id: str) -> list[GenerationRef | None]:
    return [attempt.generation for attempt in (await record(store, delivery_id)).attempts]


@pytest.mark.parametrize("generation", [FIRST, EDITED, OUTSIDE])
async def test_an_attempt_is_recorded_with_its_generation(
    open_store: OpenStore, generation: GenerationRef
) -> None:
    store = await open_store()
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    await settled(store, lease, generation)
    await store.close()
    assert await made_by(await open_store(), lease.delivery_id) == [generation]


async def test_each_attempt_has_its_own(store: Store) -> None:
    await enqueue(store, to("w"))
    await settled(store, await claim_one(store), FIRST, retry_at(T0 + 1))
    await settled(store, await claim_one(store, now=T0 + 1), EDITED, retry_at(T0 + 2))
    lease = await claim_one(store, now=T0 + 2)
    await settled(store, lease, OUTSIDE)
    assert await made_by(store, lease.delivery_id) == [FIRST, EDITED, OUTSIDE]


async def test_an_attempt_cut_off_has_none(open_store: OpenStore) -> None:
    store = await open_store()
    await enqueue(store, to("w"))
    await claim_one(store)
    await store.close()
    store = await open_store()
    later = T0 + LEASE_S
    lease = await claim_one(store, now=later)
    await settled(store, lease, EDITED, now=later)
    assert await made_by(store, lease.delivery_id) == [None, EDITED]


async def test_each_of_those_recorded_together_has_its_own(store: Store) -> None:
    await enqueue(store, *(to("w") for _ in range(4)))
    leases, made = await claim(store), (FIRST, EDITED, None, FIRST)
    await asyncio.gather(
        *(settled(store, lease, generation) for lease, generation in zip(leases, made, strict=True))
    )
    assert [await made_by(store, lease.delivery_id) for lease in leases] == [[one] for one in made]


async def test_an_attempt_without_a_generation_has_none(store: Store) -> None:
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    await settle(store, lease)
    assert await made_by(store, lease.delivery_id) == [None]


async def test_a_lost_lease_names_nothing(store: Store) -> None:
    await enqueue(store, to("w"))
    lost = await claim_one(store)
    later = T0 + LEASE_S
    lease = await claim_one(store, now=later)
    assert not await store.settle(
        lost, dataclasses.replace(attempt_of(lost), generation=EDITED), DELIVERED, now=later
    )
    await settled(store, lease, FIRST, now=later)
    assert await made_by(store, lease.delivery_id) == [None, FIRST]


async def test_what_comes_with_a_call_that_is_refused_is_named_all_the_same(store: Store) -> None:
    """A transaction that is rolled back takes a generation with it that it was the first to name."""
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    await asyncio.gather(
        settled(store, lease, EDITED),
        enqueue(store, to("w", event=Event("bad", type="\ud800"))),
        return_exceptions=True,
    )
    assert await store.event("bad") is None
    assert await made_by(store, lease.delivery_id) == [EDITED]
