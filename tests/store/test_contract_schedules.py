"""The store's contract for watched schedules, over every store: no moment is lost or dealt with twice."""

import asyncio

import pytest

from hookd.domain.errors import PendingLimitReached
from hookd.store.contract import Store
from tests.kit.builders import T0, alive, claim, enqueue, moment, settle, to, watch
from tests.store.conftest import OpenStore


class TestWatching:
    async def test_a_new_one_is_dealt_with_up_to_now(self, store: Store) -> None:
        assert await watch(store, now=T0) == {}
        assert await watch(store, "a", "b ☃", now=T0 + 1) == {"a": T0 + 1, "b ☃": T0 + 1}
        assert await watch(store, "a", "c", now=T0 + 2) == {"a": T0 + 1, "c": T0 + 2}

    async def test_a_forgotten_one_is_new_again(self, store: Store) -> None:
        await watch(store, "a", "b", now=T0)
        await watch(store, "b", now=T0 + 1)
        assert await watch(store, "a", "b", now=T0 + 2) == {"a": T0 + 2, "b": T0}

    async def test_being_alive_counts_for_all_that_are_watched(self, store: Store) -> None:
        await watch(store, "a", now=T0)
        await alive(store, T0 + 60)
        assert await watch(store, "a", "b", now=T0 + 90) == {"a": T0 + 60, "b": T0 + 90}
        assert await watch(store, "a", "b", now=T0 + 91) == {"a": T0 + 60, "b": T0 + 90}
        await alive(store, T0 + 120)
        assert await watch(store, "a", "b", now=T0 + 121) == {"a": T0 + 120, "b": T0 + 120}

    async def test_a_new_one_begins_now_whatever_was_noted(self, store: Store) -> None:
        await alive(store, T0 + 60)
        assert await watch(store, "a", now=T0 + 10) == {"a": T0 + 10}

    async def test_a_clock_that_was_put_back_is_followed(self, store: Store) -> None:
        await watch(store, "a", now=T0)
        await alive(store, T0 + 1e9)
        await alive(store, T0 + 5)
        assert await watch(store, "a", now=T0 + 6) == {"a": T0 + 5}

    async def test_a_name_given_twice_is_watched_once(self, store: Store) -> None:
        assert await watch(store, "a", "a", now=T0) == {"a": T0}

    async def test_it_survives_reopening(self, open_store: OpenStore) -> None:
        store = await open_store()
        await watch(store, "a", "b", now=T0)
        await alive(store, T0 + 0.5)
        await store.close()
        store = await open_store()
        assert await watch(store, "b", "c", now=T0 + 2) == {"b": T0 + 0.5, "c": T0 + 2}
        await store.close()
        store = await open_store()
        assert await watch(store, "a", "b", "c", now=T0 + 3) == {
            "a": T0 + 3,
            "b": T0 + 0.5,
            "c": T0 + 2,
        }

    async def test_ten_thousand(self, store: Store) -> None:
        keys = [f"schedules.nightly-{number}" for number in range(10_000)]
        assert await watch(store, *keys, now=T0) == dict.fromkeys(keys, T0)
        kept = keys[5_000:]
        assert await watch(store, *kept, now=T0 + 1) == dict.fromkeys(kept, T0)
        again = await watch(store, *keys, now=T0 + 2)
        assert (again[keys[0]], again[keys[-1]]) == (T0 + 2, T0)

    async def test_what_is_in_the_future_comes_back_to_now(self, store: Store) -> None:
        await watch(store, "a", "b", now=T0 + 60)
        await alive(store, T0 + 90)
        assert await watch(store, "a", "b", now=T0) == {"a": T0, "b": T0}
        assert await watch(store, "a", "b", now=T0 + 5) == {"a": T0, "b": T0}

    async def test_one_that_is_new_begins_when_it_is_said_to(self, store: Store) -> None:
        first = await store.watch_schedules(["a"], generation="g", since=T0 - 5, now=T0)
        again = await store.watch_schedules(["a"], generation="g", since=T0 + 1, now=T0 + 2)
        assert first == again == {"a": T0 - 5}

    async def test_a_generation_speaks_for_what_it_was_the_last_to_watch(self, store: Store) -> None:
        await watch(store, "a", now=T0, generation="old")
        await watch(store, "a", now=T0 + 1, generation="new")
        await alive(store, T0 + 60, generation="old")
        assert await watch(store, "a", now=T0 + 61, generation="new") == {"a": T0}
        await alive(store, T0 + 62, generation="new")
        assert await watch(store, "a", now=T0 + 63, generation="third") == {"a": T0 + 62}


class TestMoments:
    async def test_a_moment_is_stored_once_however_short_its_event_is_kept(
        self, open_store: OpenStore
    ) -> None:
        store = await open_store()
        await watch(store, "a")
        (first,) = await enqueue(store, moment(T0 + 60))
        (again,) = await enqueue(store, moment(T0 + 60))
        assert (first.duplicate, again.duplicate) == (False, True)
        assert again.deliveries == first.deliveries
        for lease in await claim(store):
            await settle(store, lease)
        assert await store.prune(delivered_before=T0 + 100, dead_before=T0, limit=9) == 1
        for _ in range(2):
            for at in (T0 + 60, T0 + 59):
                (late,) = await enqueue(store, moment(at))
                assert (late.duplicate, late.deliveries) == (True, ())
            await store.close()
            store = await open_store()
        assert (await store.events(limit=9)).items == ()
        (later,) = await enqueue(store, moment(T0 + 61))
        assert not later.duplicate

    async def test_storing_a_moment_deals_with_it(self, open_store: OpenStore) -> None:
        store = await open_store()
        await watch(store, "a", "b")
        await enqueue(store, moment(T0 + 60), moment(T0 + 120))
        await enqueue(store, moment(T0 + 60))
        await store.close()
        store = await open_store()
        assert await watch(store, "a", "b", now=T0 + 130) == {"a": T0 + 120, "b": T0}

    async def test_of_fifty_racing_one_is_stored(self, store: Store) -> None:
        await watch(store, "a")
        racing = await asyncio.gather(*(enqueue(store, moment(T0 + 60)) for _ in range(50)))
        assert [receipt.duplicate for (receipt,) in racing].count(False) == 1
        assert (await store.backlog()).pending == 1

    async def test_what_is_refused_is_not_dealt_with(self, store: Store) -> None:
        await watch(store, "a")
        await enqueue(store, to("w"))
        with pytest.raises(PendingLimitReached):
            await enqueue(store, moment(T0 + 60), limit=1)
        assert await watch(store, "a", now=T0 + 61) == {"a": T0}
        (receipt,) = await enqueue(store, moment(T0 + 60))
        assert not receipt.duplicate

    async def test_being_alive_deals_with_moments_too(self, store: Store) -> None:
        await watch(store, "a")
        await alive(store, T0 + 60)
        (receipt,) = await enqueue(store, moment(T0 + 60))
        assert receipt.duplicate
        assert await store.event(receipt.event_id) is None

    async def test_a_moment_may_come_again_after_the_clock_was_set_back(self, store: Store) -> None:
        await watch(store, "a")
        await enqueue(store, moment(T0 + 3600))
        await watch(store, "a", now=T0 + 10)
        (between,) = await enqueue(store, moment(T0 + 60))
        (again,) = await enqueue(store, moment(T0 + 3600))
        assert (between.duplicate, again.duplicate) == (False, True)

    async def test_that_of_a_schedule_that_nobody_watches_is_an_event_like_any_other(
        self, store: Store
    ) -> None:
        (receipt,) = await enqueue(store, moment(T0 + 60, "unknown"))
        assert not receipt.duplicate
        assert len(receipt.deliveries) == 1
