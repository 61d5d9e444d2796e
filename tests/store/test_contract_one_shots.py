"""The store's contract for tasks that run once, over every store: whoever races, one delivery and one mark."""

import asyncio
import dataclasses

import pytest

from hookd.domain.errors import IdConflict, PendingLimitReached, TaskSpent
from hookd.domain.events import Event, Kind, SpentMark, Submission
from hookd.domain.history import DeliveryFilter
from hookd.store.contract import Store
from tests.kit.builders import (
    T0,
    claim,
    claim_one,
    enqueue,
    facts,
    listed,
    once,
    posted,
    settle,
    to,
    triggered,
)
from tests.store.conftest import OpenStore


def kinds() -> list[Event]:
    return [
        Event("by-event", type="vm", event="on"),
        Event("by-moment", Kind.SCHEDULE, time="2026-01-01T00:00:00Z"),
    ]


class TestSpending:
    async def test_the_first_delivery_leaves_a_mark(self, store: Store) -> None:
        first = once()
        (receipt,) = await enqueue(store, first, now=T0 + 5)
        assert [ref.id for ref in receipt.deliveries] == [first.deliveries[0].id]
        assert await store.one_shot_marks() == (SpentMark("one-shot", "v1", T0 + 5, first.deliveries[0].id),)

    @pytest.mark.parametrize("event", kinds(), ids=lambda event: event.kind.value)
    async def test_a_later_event_loses_that_delivery_only(self, store: Store, event: Event) -> None:
        await enqueue(store, once())
        late = once("w", "v", "u", event=event)
        (receipt,) = await enqueue(store, late)

        assert [ref.id for ref in receipt.deliveries] == [new.id for new in late.deliveries[1:]]
        assert not receipt.duplicate
        assert await store.delivery(late.deliveries[0].id) is None
        kept = await store.event(event.id)
        assert kept is not None
        assert kept.deliveries == receipt.deliveries
        assert (await store.backlog()).pending == 3
        assert await listed(store, event_id=event.id) == [late.deliveries[2].id, late.deliveries[1].id]
        assert len(await store.one_shot_marks()) == 1

    async def test_what_stands_around_it_keeps_its_order(self, store: Store) -> None:
        await enqueue(store, once())
        before, between, after = to("a"), once("w", "b", "c"), to("d")
        first, second, third = (
            to("x").deliveries[0],
            dataclasses.replace(to("w").deliveries[0], task="one-shot", one_shot_digest="v1"),
            to("z").deliveries[0],
        )
        middle = Submission(Event("middle"), (first, second, third))
        receipts = await enqueue(store, before, between, middle, after)
        assert [[ref.webhook for ref in receipt.deliveries] for receipt in receipts] == [
            ["a"], ["b", "c"], ["x", "z"], ["d"],
        ]  # fmt: skip
        for receipt in receipts:
            kept = await store.event(receipt.event_id)
            assert kept is not None
            assert kept.deliveries == receipt.deliveries

    async def test_an_event_with_nothing_left_is_kept(self, store: Store) -> None:
        await enqueue(store, once())
        (receipt,) = await enqueue(store, once(event=posted("late")))
        assert receipt.deliveries == ()
        assert await store.event("late") is not None
        (again,) = await enqueue(store, once(event=posted("late")))
        assert (again.duplicate, again.deliveries) == (True, ())
        assert await store.prune(delivered_before=T0 + 1, dead_before=T0 + 1, limit=10) == 1

    async def test_the_same_event_again_names_its_delivery(self, store: Store) -> None:
        (first,) = await enqueue(store, once(event=posted("x")))
        (again,) = await enqueue(store, once(event=posted("x")))
        assert again == dataclasses.replace(first, duplicate=True)

    async def test_another_definition_or_another_task_fires(self, store: Store) -> None:
        await enqueue(store, once(digest="v1"))
        for other in (once(digest="v2"), once(task="another")):
            (receipt,) = await enqueue(store, other)
            assert len(receipt.deliveries) == 1
        (back,) = await enqueue(store, once(digest="v1"))
        assert back.deliveries == ()
        assert len(await store.one_shot_marks()) == 3

    async def test_the_marks_come_the_latest_first(self, store: Store) -> None:
        for late, task in ((2, "b"), (3, "c"), (1, "a")):
            await enqueue(store, once(task=task), now=T0 + late)
        assert [mark.task for mark in await store.one_shot_marks()] == ["c", "b", "a"]

    async def test_of_a_hundred_racing_events_one_fires(self, store: Store) -> None:
        racing = await asyncio.gather(*(enqueue(store, once()) for _ in range(100)))
        fired = [ref for (receipt,) in racing for ref in receipt.deliveries]
        assert len(fired) == 1
        assert [mark.delivery_id for mark in await store.one_shot_marks()] == [fired[0].id]
        assert (await store.backlog()).pending == 1
        assert len((await store.events(limit=1000)).items) == 100

    async def test_of_many_in_one_batch_one_fires(self, store: Store) -> None:
        receipts = await enqueue(store, *(once() for _ in range(20)))
        assert [len(receipt.deliveries) for receipt in receipts] == [1] + [0] * 19

    async def test_racing_triggers_and_events_share_one_firing(self, store: Store) -> None:
        racing = [enqueue(store, triggered(once()) if number % 2 else once()) for number in range(40)]
        outcomes = await asyncio.gather(*racing, return_exceptions=True)
        fired = [
            ref
            for outcome in outcomes
            if not isinstance(outcome, BaseException)
            for receipt in outcome
            for ref in receipt.deliveries
        ]
        assert len(fired) == 1
        assert {type(outcome) for outcome in outcomes} == {tuple, TaskSpent}
        assert len(await store.one_shot_marks()) == 1

    async def test_dropped_deliveries_take_no_room(self, store: Store) -> None:
        await enqueue(store, once("w", "v"), limit=2)
        (receipt,) = await enqueue(store, once(), limit=2)
        assert receipt.deliveries == ()
        with pytest.raises(PendingLimitReached):
            await enqueue(store, once("w", "v"), limit=2)
        (receipt,) = await enqueue(store, once("w", "v"), limit=3)
        assert len(receipt.deliveries) == 1


class TestTrigger:
    async def test_a_trigger_is_a_run(self, store: Store) -> None:
        (receipt,) = await enqueue(store, triggered(once()))
        assert len(receipt.deliveries) == 1
        (late,) = await enqueue(store, once())
        assert late.deliveries == ()

    async def test_a_trigger_of_a_spent_task_is_refused(self, store: Store) -> None:
        await enqueue(store, once())
        before = await facts(store)
        refused = triggered(once())
        with pytest.raises(TaskSpent) as caught:
            await enqueue(store, refused)
        assert caught.value.task == "one-shot"
        assert await store.event(refused.event.id) is None
        assert await facts(store) == before

    async def test_nothing_of_its_call_is_left(self, store: Store) -> None:
        await enqueue(store, once())
        with pytest.raises(TaskSpent):
            await enqueue(store, to("w"), once(task="another"), triggered(once()))
        assert len(await store.one_shot_marks()) == 1
        (receipt,) = await enqueue(store, once(task="another"))
        assert len(receipt.deliveries) == 1


class TestRefused:
    """A mark is as durable as its delivery: where that is not stored, the task has not run."""

    async def fires_still(self, store: Store) -> None:
        assert await store.one_shot_marks() == ()
        (receipt,) = await enqueue(store, once())
        assert len(receipt.deliveries) == 1

    async def test_a_conflict_later_in_the_batch(self, store: Store) -> None:
        await enqueue(store, to("w", event=posted("x", "one")))
        with pytest.raises(IdConflict):
            await enqueue(store, once(), to("w", event=posted("x", "two")))
        await self.fires_still(store)

    async def test_a_conflict_beside_another_call(self, store: Store) -> None:
        await enqueue(store, to("w", event=posted("x", "one")))
        refused, fired = await asyncio.gather(
            enqueue(store, once(), to("w", event=posted("x", "two"))),
            enqueue(store, once()),
            return_exceptions=True,
        )
        assert isinstance(refused, IdConflict)
        assert isinstance(fired, tuple)
        assert [len(receipt.deliveries) for receipt in fired] == [1]
        assert [mark.delivery_id for mark in await store.one_shot_marks()] == [fired[0].deliveries[0].id]

    async def test_the_pending_limit(self, store: Store) -> None:
        with pytest.raises(PendingLimitReached):
            await enqueue(store, once(), to("w"), limit=1)
        await self.fires_still(store)

    async def test_a_value_that_cannot_be_stored(self, store: Store) -> None:
        with pytest.raises(ValueError, match="surrogate"):
            await enqueue(store, once(event=Event("bad", type="\ud800")))
        await self.fires_still(store)

    async def test_a_value_that_cannot_be_stored_beside_others(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            enqueue(store, once(event=Event("bad", type="\ud800"))),
            enqueue(store, once()),
            enqueue(store, once()),
            enqueue(store, triggered(once())),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [UnicodeEncodeError, tuple, tuple, TaskSpent]
        fired = [
            ref
            for outcome in outcomes
            if not isinstance(outcome, BaseException)
            for receipt in outcome
            for ref in receipt.deliveries
        ]
        assert [mark.delivery_id for mark in await store.one_shot_marks()] == [ref.id for ref in fired]
        assert (await store.backlog()).pending == len(fired) == 1


class TestRearm:
    async def test_a_rearmed_task_fires_once_more(self, store: Store) -> None:
        await enqueue(store, once())
        assert await store.reset_one_shot("one-shot", "v1")
        assert await store.one_shot_marks() == ()
        receipts = [(await enqueue(store, once()))[0] for _ in range(3)]
        assert [len(receipt.deliveries) for receipt in receipts] == [1, 0, 0]

    async def test_only_that_definition(self, store: Store) -> None:
        await enqueue(store, once(digest="v1"), once(digest="v2"), once(task="another"))
        assert not await store.reset_one_shot("one-shot", "v3")
        assert not await store.reset_one_shot("unknown", "v1")
        assert await store.reset_one_shot("one-shot", "v2")
        assert not await store.reset_one_shot("one-shot", "v2")
        assert [(mark.task, mark.digest) for mark in await store.one_shot_marks()] == [
            ("another", "v1"), ("one-shot", "v1"),
        ]  # fmt: skip

    async def test_rearming_beside_racing_events_fires_at_most_once(self, store: Store) -> None:
        await enqueue(store, once())
        await asyncio.gather(
            enqueue(store, once()),
            store.reset_one_shot("one-shot", "v1"),
            *(enqueue(store, once()) for _ in range(20)),
        )
        fired = (await store.backlog()).pending - 1
        assert fired == len(await store.one_shot_marks())
        assert fired in (0, 1)
        assert await store.reset_one_shot("one-shot", "v1") == bool(fired)
        (receipt,) = await enqueue(store, once())
        assert len(receipt.deliveries) == 1


class TestKept:
    async def test_marks_outlive_their_deliveries(self, open_store: OpenStore) -> None:
        store = await open_store()
        (receipt,) = await enqueue(store, once())
        assert await settle(store, await claim_one(store))
        assert await store.prune(delivered_before=T0 + 1, dead_before=T0 + 1, limit=10) == 1
        assert await store.delivery(receipt.deliveries[0].id) is None
        assert [mark.delivery_id for mark in await store.one_shot_marks()] == [receipt.deliveries[0].id]
        for _ in range(2):
            (late,) = await enqueue(store, once())
            assert late.deliveries == ()
            await store.close()
            store = await open_store()

    async def test_marks_survive_reopening_and_so_does_rearming(self, open_store: OpenStore) -> None:
        store = await open_store()
        await enqueue(store, once(), once(task="ärm ☃", digest="v2"))
        await store.reset_one_shot("one-shot", "v1")
        before = await facts(store)
        await store.close()

        store = await open_store()

        assert await facts(store) == before
        with pytest.raises(TaskSpent):
            await enqueue(store, triggered(once(task="ärm ☃", digest="v2")))
        (receipt,) = await enqueue(store, once())
        assert len(receipt.deliveries) == 1

    async def test_its_delivery_is_like_any_other(self, store: Store) -> None:
        await enqueue(store, once())
        (lease,) = await claim(store)
        assert lease.task == "one-shot"
        assert await settle(store, lease)
        (item,) = (await store.deliveries(DeliveryFilter(task="one-shot"), limit=5)).items
        assert await store.retry(item.id, now=T0 + 1) is item.state
        assert len(await claim(store, now=T0 + 1)) == 1
        assert len(await store.one_shot_marks()) == 1
