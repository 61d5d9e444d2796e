"""The store's contract for watched schedules, over every store: no moment is lost or dealt with twice."""

from hookd.store.contract import Store
from tests.kit.builders import T0
from tests.store.conftest import OpenStore


class TestWatching:
    async def test_a_new_one_is_dealt_with_up_to_now(self, store: Store) -> None:
        assert await store.watch_schedules([], now=T0) == {}
        assert await store.watch_schedules(["a", "b ☃"], now=T0 + 1) == {"a": T0 + 1, "b ☃": T0 + 1}
        assert await store.watch_schedules(["a", "c"], now=T0 + 2) == {"a": T0 + 1, "c": T0 + 2}

    async def test_a_forgotten_one_is_new_again(self, store: Store) -> None:
        await store.watch_schedules(["a", "b"], now=T0)
        await store.watch_schedules(["b"], now=T0 + 1)
        assert await store.watch_schedules(["a", "b"], now=T0 + 2) == {"a": T0 + 2, "b": T0}

    async def test_being_alive_counts_for_all_that_are_watched(self, store: Store) -> None:
        await store.watch_schedules(["a"], now=T0)
        await store.note_alive(now=T0 + 60)
        assert await store.watch_schedules(["a", "b"], now=T0 + 90) == {"a": T0 + 60, "b": T0 + 90}
        assert await store.watch_schedules(["a", "b"], now=T0 + 91) == {"a": T0 + 60, "b": T0 + 90}
        await store.note_alive(now=T0 + 120)
        assert await store.watch_schedules(["a", "b"], now=T0 + 121) == {"a": T0 + 120, "b": T0 + 120}

    async def test_a_new_one_begins_now_whatever_was_noted(self, store: Store) -> None:
        await store.note_alive(now=T0 + 60)
        assert await store.watch_schedules(["a"], now=T0 + 10) == {"a": T0 + 10}

    async def test_a_clock_that_was_put_back_is_followed(self, store: Store) -> None:
        await store.watch_schedules(["a"], now=T0)
        await store.note_alive(now=T0 + 1e9)
        await store.note_alive(now=T0 + 5)
        assert await store.watch_schedules(["a"], now=T0 + 6) == {"a": T0 + 5}

    async def test_a_name_given_twice_is_watched_once(self, store: Store) -> None:
        assert await store.watch_schedules(["a", "a"], now=T0) == {"a": T0}

    async def test_it_survives_reopening(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.watch_schedules({"a", "b"}, now=T0)
        await store.note_alive(now=T0 + 0.5)
        await store.close()
        store = await open_store()
        assert await store.watch_schedules({"b", "c"}, now=T0 + 2) == {"b": T0 + 0.5, "c": T0 + 2}
        await store.close()
        store = await open_store()
        assert await store.watch_schedules({"a", "b", "c"}, now=T0 + 3) == {
            "a": T0 + 3,
            "b": T0 + 0.5,
            "c": T0 + 2,
        }

    async def test_ten_thousand(self, store: Store) -> None:
        keys = [f"schedules.nightly-{number}" for number in range(10_000)]
        assert await store.watch_schedules(keys, now=T0) == dict.fromkeys(keys, T0)
        kept = keys[5_000:]
        assert await store.watch_schedules(kept, now=T0 + 1) == dict.fromkeys(kept, T0)
        again = await store.watch_schedules(keys, now=T0 + 2)
        assert (again[keys[0]], again[keys[-1]]) == (T0 + 2, T0)
