"""The store's contract for what people do by hand, over every store: retry, cancel, pause, resume."""

import asyncio
import dataclasses
from typing import Any

import pytest

from hookd.domain.backlog import Backlog
from hookd.domain.deliveries import Lease, Settlement, State
from hookd.domain.errors import StoreUnavailable
from hookd.domain.events import NewDelivery, Submission
from hookd.domain.history import DeliveryFilter, LaneStats
from hookd.store.contract import Store
from tests.kit.builders import (
    DEAD,
    DELIVERED,
    LEASE_S,
    RINGS_S,
    T0,
    alive,
    claim,
    claim_one,
    enqueue,
    facts,
    listed,
    posted,
    record,
    retried,
    retry_at,
    settle,
    to,
    watch,
)
from tests.store.conftest import OpenStore

FINISHED = (State.DELIVERED, State.DEAD, State.CANCELLED)


async def in_state(store: Store, state: State, webhook: str = "w") -> str:
    """A delivery that has got into this state at T0, by way of one attempt that failed; returns its id."""
    submission = to(webhook)
    delivery_id = submission.deliveries[0].id
    await enqueue(store, submission)
    await settle(store, await claim_one(store, webhook), retry_at(T0))
    if state is State.CANCELLED:
        assert await store.cancel(delivery_id, now=T0) is State.PENDING
    elif state is not State.PENDING:
        lease = await claim_one(store, webhook)
        if state is not State.SENDING:
            assert await settle(store, lease, DELIVERED if state is State.DELIVERED else DEAD)
    assert (await record(store, delivery_id)).state is state
    return delivery_id


async def many(
    store: Store, count: int, settlement: Settlement | None = None, webhook: str = "w"
) -> list[str]:
    """So many deliveries, settled like this (None: pending), the oldest first."""
    batch = [to(webhook) for _ in range(count)]
    await enqueue(store, *batch)
    if settlement is not None:
        for _ in range(0, count, 1000):
            leases = await claim(store, webhook, 1000)
            await asyncio.gather(*(settle(store, lease, settlement) for lease in leases))
    return [submission.deliveries[0].id for submission in batch]


class TestLastDied:
    async def test_it_is_the_latest_that_is_dead_now(self, store: Store) -> None:
        assert await store.last_died() is None
        await many(store, 2, DELIVERED)
        await many(store, 1)
        assert await store.last_died() is None

        await enqueue(store, to("v"), to("v"))
        for died_at in (T0 + 2, T0 + 1):
            assert await settle(store, await claim_one(store, "v"), DEAD, now=died_at)
        assert await store.last_died() == T0 + 2

        for delivery_id in await listed(store, state=State.DEAD):
            await store.retry(delivery_id, now=T0 + 9)
        assert await store.last_died() is None


class TestRetry:
    @pytest.mark.parametrize("state", FINISHED)
    async def test_a_finished_one_begins_again(self, store: Store, state: State) -> None:
        delivery_id = await in_state(store, state)
        before = await record(store, delivery_id)

        assert await store.retry(delivery_id, now=T0 + 9) is state

        assert await record(store, delivery_id) == dataclasses.replace(
            before, state=State.PENDING, failures=0, due_at=T0 + 9, finished_at=None, detail=""
        )
        assert await store.totals() == {**dict.fromkeys(State, 0), State.PENDING: 1}
        assert await store.lanes() == {"w": LaneStats(1, 0, T0)}
        assert (await store.backlog()).pending == 1
        assert (await store.backlog()).earliest_due == {"w": T0 + 9}

    @pytest.mark.parametrize("state", FINISHED)
    async def test_its_attempts_go_on_counting(self, store: Store, state: State) -> None:
        delivery_id = await in_state(store, state)
        made = (await record(store, delivery_id)).attempt
        await store.retry(delivery_id, now=T0 + 9)
        assert await claim(store, now=T0 + 8.9) == ()
        lease = await claim_one(store, now=T0 + 9)
        assert (lease.delivery_id, lease.attempt, lease.failures) == (delivery_id, made + 1, 0)
        assert lease.body == b"{}"
        assert await settle(store, lease, retry_at(T0 + 20))
        found = await record(store, delivery_id)
        assert (found.failures, [attempt.number for attempt in found.attempts]) == (
            1,
            list(range(1, made + 2)),
        )

    async def test_a_pending_one_is_due_now(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        await settle(store, lease, retry_at(T0 + 3600))
        assert await store.retry(lease.delivery_id, now=T0 + 5) is State.PENDING
        found = await record(store, lease.delivery_id)
        assert (found.due_at, found.failures, found.last_status) == (T0 + 5, 1, 200)
        assert (await claim_one(store, now=T0 + 5)).failures == 1

    async def test_one_that_is_due_already_keeps_its_place(self, store: Store) -> None:
        await enqueue(store, to("w"))
        (delivery_id,) = await listed(store)
        assert await store.retry(delivery_id, now=T0 + 5) is State.PENDING
        assert (await record(store, delivery_id)).due_at == T0

    @pytest.mark.parametrize("later", [1.0, LEASE_S + 60])
    async def test_one_that_is_being_sent_is_left_alone(self, store: Store, later: float) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        before = await record(store, lease.delivery_id)
        assert await store.retry(lease.delivery_id, now=T0 + later) is State.SENDING
        assert await record(store, lease.delivery_id) == before
        assert await settle(store, lease)

    async def test_an_unknown_one_is_none(self, store: Store) -> None:
        assert await store.retry("no", now=T0) is None
        assert await store.cancel("no", now=T0) is None

    async def test_a_lease_from_before_is_lost(self, store: Store) -> None:
        await enqueue(store, to("w"))
        stale = await claim_one(store)
        fresh = await claim_one(store, now=stale.expires_at)
        await settle(store, fresh, DEAD)
        await store.retry(stale.delivery_id, now=T0 + 99)
        assert not await settle(store, stale)
        assert not await settle(store, fresh)
        again = await claim_one(store, now=T0 + 99)
        assert not await settle(store, fresh)
        assert await settle(store, again)

    async def test_the_doorbell_rings(self, store: Store) -> None:
        delivery_id = await in_state(store, State.DEAD)
        await asyncio.wait_for(store.wait_for_work(), RINGS_S)
        waiting = asyncio.ensure_future(store.wait_for_work())
        await store.flush()
        assert not waiting.done()
        await store.retry(delivery_id, now=T0 + 1)
        await asyncio.wait_for(waiting, RINGS_S)

    async def test_beside_a_claim_it_is_not_forgotten(self, store: Store) -> None:
        dead = await in_state(store, State.DEAD)
        await enqueue(store, to("w"))
        claimed, _ = await asyncio.gather(claim(store), store.retry(dead, now=T0))
        rest = await claim(store)
        assert len(claimed) + len(rest) == 2
        assert dead in {lease.delivery_id for lease in (*claimed, *rest)}

    async def test_beside_the_settle_that_finishes_it(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        held, was = await asyncio.gather(settle(store, lease, DEAD), store.retry(lease.delivery_id, now=T0))
        assert held
        assert (was, (await record(store, lease.delivery_id)).state) in (
            (State.DEAD, State.PENDING), (State.SENDING, State.DEAD),
        )  # fmt: skip

    async def test_a_retried_one_is_not_pruned(self, store: Store) -> None:
        delivery_id = await in_state(store, State.DELIVERED)
        await store.retry(delivery_id, now=T0)
        assert await store.prune(delivered_before=T0 + 99, dead_before=T0 + 99, limit=10) == 0
        lease = await claim_one(store)
        await settle(store, lease, now=T0 + 5)
        assert await store.prune(delivered_before=T0 + 5, dead_before=T0 + 5, limit=10) == 0
        assert await store.prune(delivered_before=T0 + 6, dead_before=T0, limit=10) == 1


class TestCancel:
    async def test_a_pending_one_ends(self, store: Store) -> None:
        delivery_id = await in_state(store, State.PENDING)
        before = await record(store, delivery_id)

        assert await store.cancel(delivery_id, now=T0 + 9) is State.PENDING

        assert await record(store, delivery_id) == dataclasses.replace(
            before, state=State.CANCELLED, due_at=None, finished_at=T0 + 9
        )
        assert await store.totals() == {**dict.fromkeys(State, 0), State.CANCELLED: 1}
        assert (await store.backlog(), await store.lanes()) == (Backlog(), {})
        assert await claim(store, now=T0 + 1e6) == ()

    @pytest.mark.parametrize("state", [State.SENDING, *FINISHED])
    async def test_any_other_is_left_alone(self, store: Store, state: State) -> None:
        delivery_id = await in_state(store, state)
        before, known = await record(store, delivery_id), await facts(store)
        assert await store.cancel(delivery_id, now=T0 + LEASE_S + 60) is state
        assert await record(store, delivery_id) == before
        assert await facts(store) == known

    async def test_it_makes_room(self, store: Store) -> None:
        await enqueue(store, to("w"), limit=1)
        (delivery_id,) = await listed(store)
        await store.cancel(delivery_id, now=T0)
        await enqueue(store, to("w"), limit=1)

    async def test_the_others_of_its_webhook_go_on(self, store: Store) -> None:
        first, second, third = await many(store, 3)
        await store.cancel(second, now=T0)
        assert await store.lanes() == {"w": LaneStats(2, 0, T0)}
        assert [lease.delivery_id for lease in await claim(store)] == [first, third]

    @pytest.mark.parametrize("cancels_first", [True, False])
    async def test_a_cancel_and_a_claim_never_both_win(self, store: Store, cancels_first: bool) -> None:
        for webhook in map(str, range(20)):
            (delivery_id,) = await many(store, 1, webhook=webhook)
            calls: list[Any] = [store.cancel(delivery_id, now=T0), claim(store, webhook)]
            outcomes = await asyncio.gather(*(calls if cancels_first else reversed(calls)))
            was, leases = outcomes if cancels_first else reversed(outcomes)
            taken = [lease.delivery_id for lease in leases]
            assert was is (State.SENDING if delivery_id in taken else State.PENDING)
            await asyncio.gather(*(settle(store, lease) for lease in leases))
        assert (await store.backlog()).pending == 0

    async def test_cancelled_twice_at_once_it_ends_once(self, store: Store) -> None:
        (delivery_id,) = await many(store, 1)
        was = await asyncio.gather(*(store.cancel(delivery_id, now=T0) for _ in range(3)))
        assert was == [State.PENDING, State.CANCELLED, State.CANCELLED]
        assert (await store.totals())[State.CANCELLED] == 1

    async def test_cancelled_ones_go_with_the_delivered(self, store: Store) -> None:
        delivery_id = await in_state(store, State.CANCELLED)
        assert await store.prune(delivered_before=T0, dead_before=T0 + 99, limit=10) == 0
        assert await store.prune(delivered_before=T0 + 1, dead_before=T0, limit=10) == 1
        assert await store.delivery(delivery_id) is None


class TestRetryMatching:
    async def retried(self, store: Store, *, dry_run: bool = False, **where: Any) -> tuple[int, int]:
        return await retried(store, DeliveryFilter(**where), now=T0 + 50, dry_run=dry_run)

    async def test_every_dead_one(self, store: Store) -> None:
        dead = [await in_state(store, State.DEAD) for _ in range(3)]
        others = [await in_state(store, state) for state in (State.DELIVERED, State.CANCELLED, State.SENDING)]
        before = [await record(store, other) for other in others]
        assert await self.retried(store, state=State.DEAD) == (3, 3)
        for delivery_id in dead:
            found = await record(store, delivery_id)
            assert (found.state, found.failures, found.due_at) == (State.PENDING, 0, T0 + 50)
        assert [await record(store, other) for other in others] == before
        assert await self.retried(store, state=State.DEAD) == (0, 0)

    async def test_filters(self, store: Store) -> None:
        two = to("v", "w", event=posted("x"))
        other = Submission(posted("y"), (NewDelivery("d-other", "other-task", "v", b"{}"),))
        for now, item in enumerate((to("w"), two, to("v"), other)):
            await enqueue(store, item, now=T0 + now)
        for webhook in ("v", "w"):
            for lease in await claim(store, webhook, now=T0 + 9):
                await settle(store, lease, DEAD)
        dead = {"state": State.DEAD}
        expected: list[tuple[dict[str, Any], int]] = [
            ({"state": State.DELIVERED}, 0),
            ({"webhook": "w"}, 2),
            ({"webhook": "none"}, 0),
            ({"task": "a-task"}, 4),
            ({"task": "other-task"}, 1),
            ({"event_id": "x"}, 2),
            ({"event_id": "x", "webhook": "v"}, 1),
            ({"event_id": "unknown"}, 0),
            ({"since": T0 + 1}, 4),
            ({"until": T0 + 1}, 1),
            ({"since": T0 + 1, "until": T0 + 2}, 2),
            ({"since": T0 + 1, "task": "other-task", "webhook": "v"}, 1),
            ({}, 5),
        ]
        for where, count in expected:
            assert (where, await self.retried(store, dry_run=True, **{**dead, **where})) == (
                where,
                (count, 0),
            )
        for where, count in expected:
            matching = await listed(store, **{**dead, **where})
            assert (where, await self.retried(store, **{**dead, **where})) == (where, (count, count))
            assert set(await listed(store, state=State.PENDING)) == set(matching)
            for webhook in ("v", "w"):
                for lease in await claim(store, webhook, now=T0 + 99):
                    await settle(store, lease, DEAD)

    async def test_pending_ones_are_due_now(self, store: Store) -> None:
        first, second, third = await many(store, 3)
        for lease in await claim(store, slots=2):
            await settle(store, lease, retry_at(T0 + 3600))
        await claim_one(store)
        assert await self.retried(store, state=State.PENDING, webhook="w") == (2, 2)
        assert [(await record(store, key)).due_at for key in (first, second)] == [T0 + 50, T0 + 50]
        assert [(await record(store, key)).failures for key in (first, second)] == [1, 1]
        assert (await record(store, third)).state is State.SENDING
        assert len(await claim(store, now=T0 + 50)) == 3 - bool(LEASE_S > 50)

    async def test_any_state_leaves_out_what_is_being_sent(self, store: Store) -> None:
        for state in State:
            await in_state(store, state, webhook=state.value)
        assert await self.retried(store, dry_run=True) == (5, 0)
        assert await self.retried(store) == (5, 4)
        assert await store.totals() == {**dict.fromkeys(State, 0), State.PENDING: 4, State.SENDING: 1}

    async def test_what_is_being_sent_cannot_be_asked_for(self, store: Store) -> None:
        for dry_run in (True, False):
            with pytest.raises(ValueError, match="choose pending, delivered, dead or cancelled"):
                await self.retried(store, dry_run=dry_run, state=State.SENDING)

    async def test_a_dry_run_changes_nothing(self, store: Store) -> None:
        await many(store, 30, DEAD)
        records = [await record(store, key) for key in await listed(store)]
        before = [await facts(store), (await store.backlog()).earliest_due]
        assert await self.retried(store, dry_run=True, state=State.DEAD) == (30, 0)
        assert [await facts(store), (await store.backlog()).earliest_due] == before
        assert [await record(store, key) for key in await listed(store)] == records

    @pytest.mark.parametrize("state", [State.DEAD, State.DELIVERED, None])
    async def test_more_than_one_step_holds(self, open_store: OpenStore, state: State | None) -> None:
        store = await open_store()
        await many(store, 2600, DEAD if state is State.DEAD else DELIVERED)
        assert await self.retried(store, dry_run=True, state=state) == (2600, 0)
        assert await self.retried(store, state=state) == (2600, 2600)
        assert (await store.backlog()).pending == 2600
        before = await facts(store)
        await store.close()
        store = await open_store()
        assert await facts(store) == before

    async def test_it_reaches_past_many_that_do_not_match(self, store: Store) -> None:
        (first,) = await many(store, 1, DEAD, "rare")
        for _ in range(6):
            await enqueue(store, Submission(to().event, to(*["w"] * 1000).deliveries))
        assert await self.retried(store, webhook="rare") == (1, 1)
        assert (await record(store, first)).state is State.PENDING

    async def test_others_go_on_meanwhile_and_nothing_is_done_twice(self, store: Store) -> None:
        dead = set(await many(store, 5000, DEAD))
        ended = asyncio.Event()
        taken: list[Lease] = []
        posted_meanwhile = 0

        async def post() -> None:
            nonlocal posted_meanwhile
            while not ended.is_set():
                await enqueue(store, to("v"))
                posted_meanwhile += 1

        async def deliver() -> None:
            while not ended.is_set():
                leases = await claim(store, "w", 50, now=T0 + 60)
                taken.extend(leases)
                await asyncio.gather(*(settle(store, lease, DEAD, now=T0 + 60) for lease in leases))
                await asyncio.sleep(0)

        async def retry() -> None:
            assert await self.retried(store, state=State.DEAD) == (5000, 5000)
            ended.set()

        await asyncio.gather(retry(), post(), deliver())
        assert posted_meanwhile > 2
        assert taken
        assert {lease.delivery_id for lease in taken} <= dead
        assert {lease.attempt for lease in taken} <= {2}
        assert len({lease.delivery_id for lease in taken}) == len(taken)
        totals = await store.totals()
        assert totals[State.DEAD] == len(taken)
        assert totals[State.PENDING] == 5000 - len(taken) + posted_meanwhile

    async def test_each_call_does_a_bounded_part(self, store: Store) -> None:
        for _ in range(60):
            await enqueue(store, Submission(posted(f"many-{_}"), to(*["w"] * 1000).deliveries))
        where = DeliveryFilter(state=State.PENDING)
        first = await store.retry_matching(where, now=T0 + 50, dry_run=False)
        assert 0 < first.retried < 60_000
        second = await store.retry_matching(where, now=T0 + 50, dry_run=False, cursor=first.cursor)
        assert (second.cursor, first.matched + second.matched) == (None, 60_000)

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "9" * 40])
    async def test_a_foreign_cursor_is_refused(self, store: Store, cursor: str) -> None:
        for dry_run in (True, False):
            with pytest.raises(ValueError, match="cursor"):
                await store.retry_matching(DeliveryFilter(), now=T0, dry_run=dry_run, cursor=cursor)

    async def test_it_goes_on_when_nobody_waits_any_more(self, store: Store) -> None:
        await many(store, 2500, DEAD)
        asked = asyncio.ensure_future(self.retried(store, state=State.DEAD))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        async with asyncio.timeout(8):
            while (await store.totals())[State.PENDING] < 2500:
                await asyncio.sleep(0)


class TestPause:
    async def test_a_pause_is_seen_at_once_and_its_first_instant_stays(self, store: Store) -> None:
        assert (await store.backlog()).paused == {}
        await store.pause("w", now=T0 + 0.5)
        await store.pause("wéb ☃", now=T0 + 1)
        await store.pause("w", now=T0 + 2)
        assert (await store.backlog()).paused == {"w": T0 + 0.5, "wéb ☃": T0 + 1}

    async def test_resume_tells_whether_it_was_paused(self, store: Store) -> None:
        await store.pause("w", now=T0)
        assert [await store.resume("w"), await store.resume("w"), await store.resume("v")] == [
            True,
            False,
            False,
        ]
        assert (await store.backlog()).paused == {}
        await store.pause("w", now=T0 + 7)
        assert (await store.backlog()).paused == {"w": T0 + 7}

    async def test_what_changes_the_paused_webhooks_rings_the_doorbell(self, store: Store) -> None:
        await store.pause("w", now=T0)
        await asyncio.wait_for(store.wait_for_work(), RINGS_S)
        waiting = asyncio.ensure_future(store.wait_for_work())
        await store.pause("w", now=T0 + 1)
        await store.resume("u")
        assert not waiting.done()
        await store.resume("w")
        await asyncio.wait_for(waiting, RINGS_S)

    async def test_what_was_handed_out_does_not_change(self, store: Store) -> None:
        await store.pause("w", now=T0)
        seen = (await store.backlog()).paused
        await asyncio.gather(store.pause("v", now=T0), store.resume("w"))
        assert seen == {"w": T0}
        assert (await store.backlog()).paused == {"v": T0}

    async def test_calls_together_are_done_in_order(self, store: Store) -> None:
        await asyncio.gather(store.pause("w", now=T0), store.resume("w"), store.pause("w", now=T0 + 1))
        assert (await store.backlog()).paused == {"w": T0 + 1}
        await asyncio.gather(store.pause("v", now=T0), store.resume("v"))
        assert (await store.backlog()).paused == {"w": T0 + 1}

    async def test_it_survives_reopening(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.pause("w", now=T0 + 0.25)
        await store.pause("v", now=T0)
        await store.resume("v")
        await store.close()
        store = await open_store()
        assert (await store.backlog()).paused == {"w": T0 + 0.25}
        assert await store.resume("w")
        await store.close()
        assert (await (await open_store()).backlog()).paused == {}


class TestReopen:
    async def test_what_is_known_is_what_the_file_holds(self, open_store: OpenStore) -> None:
        store = await open_store()
        delivered, dead, cancelled = [await in_state(store, state) for state in FINISHED]
        await many(store, 4)

        async def hold() -> None:
            nonlocal store
            before = await facts(store)
            earliest = (await store.backlog()).earliest_due
            await store.close()
            store = await open_store()
            assert await facts(store) == before
            assert earliest.keys() == (await store.backlog()).earliest_due.keys()
            assert all(
                earliest[name] <= due_at for name, due_at in (await store.backlog()).earliest_due.items()
            )

        await hold()
        for delivery_id in (delivered, dead, cancelled):
            await store.retry(delivery_id, now=T0 + 1)
            await hold()
        await store.cancel(dead, now=T0 + 2)
        await hold()
        await store.retry_matching(DeliveryFilter(), now=T0 + 3, dry_run=False)
        await hold()
        await claim(store, slots=3, now=T0 + 3)
        await store.close()
        store = await open_store()  # what was under way is pending again
        await store.pause("w", now=T0 + 3)
        await hold()
        await asyncio.gather(
            *(store.cancel(key, now=T0 + 4) for key in await listed(store)),
            store.resume("w"),
            enqueue(store, to("w")),
        )
        await hold()
        assert await store.totals() == {
            State.PENDING: 1, State.SENDING: 0, State.DELIVERED: 0, State.DEAD: 0, State.CANCELLED: 7,
        }  # fmt: skip

    async def test_a_closed_store_refuses(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.close()
        where = DeliveryFilter(state=State.DEAD)
        calls = (
            store.retry("x", now=T0), store.cancel("x", now=T0), store.pause("w", now=T0), store.resume("w"),
            store.reset_one_shot("t", "d"), store.one_shot_marks(), watch(store, "a"), alive(store, T0),
            store.retry_matching(where, now=T0, dry_run=False), store.retry_matching(where, now=T0, dry_run=True),
        )  # fmt: skip
        for call in calls:
            with pytest.raises(StoreUnavailable):
                await call
