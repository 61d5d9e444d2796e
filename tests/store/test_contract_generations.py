"""Which generation of the config made each attempt: recorded by the claim, kept across crashes, gone with the last."""

import dataclasses
import sqlite3
from pathlib import Path

import pytest

from hookd.domain.deliveries import ClaimRequest, GenerationRef, Lease, Settlement
from hookd.store.contract import Store
from hookd.store.sqlite import SqliteStore
from tests.kit.builders import (
    DEAD,
    DELIVERED,
    LEASE_S,
    T0,
    attempt_of,
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


async def claimed(store: Store, generation: GenerationRef | None, *, now: float = T0) -> Lease:
    claimed = await store.claim([ClaimRequest("w", 1, LEASE_S)], now=now, generation=generation)
    (lease,) = claimed.leases
    return lease


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
    lease = await claimed(store, generation)
    assert lease.generation == generation
    await settled(store, lease, generation)
    await store.close()
    assert await made_by(await open_store(), lease.delivery_id) == [generation]


async def test_each_attempt_has_its_own(store: Store) -> None:
    await enqueue(store, to("w"))
    await settled(store, await claimed(store, FIRST), FIRST, retry_at(T0 + 1))
    await settled(store, await claimed(store, EDITED, now=T0 + 1), EDITED, retry_at(T0 + 2))
    lease = await claimed(store, OUTSIDE, now=T0 + 2)
    await settled(store, lease, OUTSIDE)
    assert await made_by(store, lease.delivery_id) == [FIRST, EDITED, OUTSIDE]


async def test_an_attempt_cut_off_keeps_the_generation_of_its_claim(open_store: OpenStore) -> None:
    store = await open_store()
    await enqueue(store, to("w"))
    await claimed(store, FIRST)
    await store.close()
    store = await open_store()
    later = T0 + LEASE_S
    lease = await claimed(store, EDITED, now=later)
    await settled(store, lease, EDITED, now=later)
    assert await made_by(store, lease.delivery_id) == [FIRST, EDITED]


async def test_a_generation_swapped_in_between_claim_and_attempt_counts(store: Store) -> None:
    await enqueue(store, to("w"))
    lease = await claimed(store, FIRST)
    await settled(store, lease, EDITED)
    assert await made_by(store, lease.delivery_id) == [EDITED]


async def test_a_claim_without_a_generation_leaves_none(store: Store) -> None:
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    assert lease.generation is None
    await settle(store, lease)
    assert await made_by(store, lease.delivery_id) == [None]


async def test_a_lost_lease_corrects_nothing(store: Store) -> None:
    await enqueue(store, to("w"))
    lost = await claimed(store, FIRST)
    later = T0 + LEASE_S
    lease = await claimed(store, FIRST, now=later)
    assert not await store.settle(
        lost, dataclasses.replace(attempt_of(lost), generation=EDITED), DELIVERED, now=later
    )
    await settled(store, lease, FIRST, now=later)
    assert await made_by(store, lease.delivery_id) == [FIRST, FIRST]


def rows(path: Path) -> tuple[list[tuple[int, str, int]], int]:
    """The counted generations, and how many attempts name one; of a closed store."""
    connection = sqlite3.connect(path)
    try:
        counted = connection.execute("SELECT number, hash, attempts FROM generations ORDER BY number, hash")
        (made,) = connection.execute("SELECT count(*) FROM made_by").fetchone()
        return counted.fetchall(), made
    finally:
        connection.close()


async def test_a_generation_is_kept_as_long_as_an_attempt_names_it(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    store = await SqliteStore.open(path)
    await enqueue(store, *(to("w") for _ in range(5)))
    for number in range(3):
        lease = await claimed(store, FIRST, now=T0 + number)
        await settled(store, lease, FIRST, DEAD if number == 2 else DELIVERED, now=T0 + number)
    swapped = await claimed(store, FIRST, now=T0 + 3)
    await settled(store, swapped, EDITED, now=T0 + 3)
    await store.close()
    assert rows(path) == ([(1, FIRST.hash, 3), (2, EDITED.hash, 1)], 4)

    store = await SqliteStore.open(path)
    assert await store.prune(delivered_before=T0 + 100, dead_before=T0, limit=2) == 2
    assert await store.prune(delivered_before=T0 + 100, dead_before=T0, limit=2) == 1
    await store.close()
    assert rows(path) == ([(1, FIRST.hash, 1)], 1)

    store = await SqliteStore.open(path)
    assert await store.prune(delivered_before=T0 + 100, dead_before=T0 + 100, limit=9) == 1
    await claimed(store, FIRST, now=T0 + 5)  # in force again after its row went
    await store.close()
    assert rows(path) == ([(1, FIRST.hash, 1)], 1)
