"""The store's contract, over every store: these tests know the Protocol alone."""

import asyncio
import dataclasses
import time
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from typing import Any

import pytest

from hookd.domain.backlog import Backlog
from hookd.domain.deliveries import ClaimRequest, Lease, Outcome, Reason, Settlement, State
from hookd.domain.errors import IdConflict, PendingLimitReached, PendingLimitTooSmall, StoreUnavailable
from hookd.domain.events import DeliveryRef, Event, EventObject, Kind, NewDelivery, Submission
from hookd.domain.history import DeliveryFilter, LaneStats
from hookd.domain.tracing import Trace
from hookd.store.contract import Store
from tests.kit.builders import (
    DEAD,
    DELIVERED,
    LEASE_S,
    RINGS_S,
    T0,
    attempt_of,
    claim,
    claim_one,
    enqueue,
    listed,
    posted,
    record,
    retry_at,
    settle,
    to,
)
from tests.kit.seats import seats_for
from tests.store.conftest import OpenStore


def ids(leases: Iterable[Lease]) -> list[str]:
    return [lease.delivery_id for lease in leases]


class TestBeginEnqueue:
    async def test_the_function_is_called_with_what_enqueue_would_return(self, store: Store) -> None:
        answered: asyncio.Queue[Any] = asyncio.Queue()
        batches = [to("w", event=posted("a")), to("w", event=posted("a", "two")), to("w", event=posted("a"))]
        for batch in batches:
            store.begin_enqueue([batch], now=T0, limit=100, then=answered.put_nowait)
            assert answered.empty()
        (first,), refused, (again,) = [await asyncio.wait_for(answered.get(), 5) for _ in batches]
        assert not first.duplicate
        assert isinstance(refused, IdConflict)
        assert again.duplicate
        assert again.deliveries == first.deliveries
        assert [lease.delivery_id for lease in await claim(store)] == [first.deliveries[0].id]

    async def test_what_cannot_be_stored_is_said_later_too(self, store: Store) -> None:
        answered: asyncio.Queue[Any] = asyncio.Queue()
        store.begin_enqueue([to("w"), to("w")], now=T0, limit=1, then=answered.put_nowait)
        assert answered.empty()
        assert isinstance(await asyncio.wait_for(answered.get(), 5), PendingLimitTooSmall)
        await store.close()
        store.begin_enqueue([to("w")], now=T0, limit=1, then=answered.put_nowait)
        assert answered.empty()
        assert isinstance(await asyncio.wait_for(answered.get(), 5), StoreUnavailable)


class TestEnqueue:
    async def test_receipt_and_record_hold_what_was_given(self, store: Store) -> None:
        event = Event(
            "ev-1",
            Kind.EVENT,
            "vm",
            "on",
            object=EventObject(id="7", name="wéb-01 ☃", tags=("a", "b")),
            time="2026-01-02T03:04:05Z",
            data={"n": 10**20, "list": [1.5, None, True, {"k": "\u0000\n"}]},
            digest=b"\x01" * 32,
        )
        new = NewDelivery("del-1", "task ☃", "wéb", b"\x00\xff{}", "events.rule")

        (receipt,) = await enqueue(store, Submission(event, (new,)), now=T0 + 0.123456)

        assert receipt.event_id == "ev-1"
        assert not receipt.duplicate
        assert receipt.deliveries == (DeliveryRef("del-1", "task ☃", "wéb"),)
        kept = await store.event("ev-1")
        assert kept is not None
        assert (kept.event, kept.received_at, kept.deliveries) == (event, T0 + 0.123456, receipt.deliveries)
        found = await record(store, "del-1")
        assert (found.event_id, found.kind, found.rule, found.task, found.webhook, found.body) == (
            "ev-1", Kind.EVENT, "events.rule", "task ☃", "wéb", b"\x00\xff{}",
        )  # fmt: skip
        assert (found.state, found.attempt, found.failures, found.attempts) == (State.PENDING, 0, 0, ())
        assert (found.created_at, found.due_at, found.finished_at) == (T0 + 0.123456, T0 + 0.123456, None)

    @pytest.mark.parametrize("again", [False, True])
    async def test_a_trace_is_kept_with_its_event(self, open_store: OpenStore, again: bool) -> None:
        store, trace = (
            await open_store(),
            Trace("0af7651916cd43dd8448eb211c80319c", "01", "rojo=1, congo=a b"),
        )
        traced, plain = to("w", event=Event("ev-1", trace=trace)), to("w")
        await enqueue(store, traced, plain)
        if again:
            await store.close()
            store = await open_store()
        kept = await store.event("ev-1")
        assert kept is not None
        assert kept.event.trace == trace
        assert [lease.trace for lease in await claim(store)] == [trace, None]
        found = [await record(store, each.deliveries[0].id) for each in (traced, plain)]
        assert [each.trace_id for each in found] == [trace.trace_id, None]

    async def test_an_event_without_deliveries_is_kept(self, store: Store) -> None:
        (receipt,) = await enqueue(store, Submission(Event("lone", Kind.TRIGGER), ()))
        kept = await store.event("lone")
        assert receipt.deliveries == ()
        assert kept is not None
        assert kept.event == Event("lone", Kind.TRIGGER)

    async def test_ids_are_found_by_their_beginnings(self, store: Store) -> None:
        new = tuple(NewDelivery(f"d-{name}", "t", "w", b"", "r") for name in ("ab2", "ab1", "a", "b"))
        await enqueue(store, Submission(Event("d-abx", type="vm", event="on"), new))
        assert await store.ids("d-ab", limit=9) == ["d-ab1", "d-ab2", "d-abx"]
        assert await store.ids("d-ab", limit=1) == ["d-ab1"]
        assert await store.ids("d-c", limit=9) == []

    async def test_what_is_not_kept_is_none(self, store: Store) -> None:
        assert await store.event("no") is None
        assert await store.delivery("no") is None

    async def test_a_batch_is_answered_in_order(self, store: Store) -> None:
        batch = [to("w", "v") for _ in range(300)]
        receipts = await enqueue(store, *batch)
        assert [receipt.event_id for receipt in receipts] == [item.event.id for item in batch]
        assert (await store.backlog()).pending == 600

    async def test_an_empty_batch_is_nothing(self, store: Store) -> None:
        assert await enqueue(store) == ()

    async def test_the_same_event_again_is_a_duplicate(self, store: Store) -> None:
        (first,) = await enqueue(store, to("w", "v", event=posted("x")))
        (second,) = await enqueue(store, to("w", "v", event=posted("x")))
        assert second == dataclasses.replace(first, duplicate=True)
        assert (await store.backlog()).pending == 2

    async def test_the_same_event_twice_in_a_batch_is_stored_once(self, store: Store) -> None:
        first, second = await enqueue(store, to("w", event=posted("x")), to("w", event=posted("x")))
        assert (first.duplicate, second.duplicate) == (False, True)
        assert second.deliveries == first.deliveries
        assert (await store.backlog()).pending == 1

    async def test_a_conflict_refuses_the_whole_batch(self, store: Store) -> None:
        await enqueue(store, to("w", event=posted("x", "one")))
        with pytest.raises(IdConflict) as caught:
            await enqueue(store, to("w", event=posted("new")), to("w", event=posted("x", "two")))
        assert (caught.value.event_id, caught.value.index) == ("x", 1)
        assert await store.event("new") is None
        assert (await store.backlog()).pending == 1

    async def test_a_conflict_within_a_batch_refuses_it(self, store: Store) -> None:
        with pytest.raises(IdConflict) as caught:
            await enqueue(store, to("w", event=posted("x", "one")), to("w", event=posted("x", "two")))
        assert caught.value.index == 1
        assert await store.event("x") is None

    @pytest.mark.parametrize("kept_digest", [None, b"d" * 32])
    async def test_an_id_of_hookds_own_that_is_taken_is_a_conflict(
        self, store: Store, kept_digest: bytes | None
    ) -> None:
        await enqueue(store, to("w", event=Event("x", digest=kept_digest)))
        neighbour = asyncio.ensure_future(enqueue(store, to("w")))
        with pytest.raises(IdConflict):
            await enqueue(store, to("w", event=Event("x")))
        assert not (await neighbour)[0].duplicate
        assert (await store.backlog()).pending == 2

    async def test_a_refused_call_leaves_its_neighbours_alone(self, store: Store) -> None:
        await enqueue(store, to("w", event=posted("x", "one")))
        outcomes = await asyncio.gather(
            enqueue(store, to("w", event=posted("a"))),
            enqueue(store, to("w", event=posted("b")), to("w", event=posted("x", "two"))),
            enqueue(store, to("w", event=posted("b"))),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], IdConflict)
        assert isinstance(outcomes[2], tuple)
        assert not outcomes[2][0].duplicate
        assert (await store.backlog()).pending == 3

    async def test_of_fifty_racing_one_is_stored(self, store: Store) -> None:
        racing = await asyncio.gather(*(enqueue(store, to("w", event=posted("x"))) for _ in range(50)))
        receipts = [receipt for (receipt,) in racing]
        assert [receipt.duplicate for receipt in receipts].count(False) == 1
        assert len({receipt.deliveries for receipt in receipts}) == 1
        assert (await store.backlog()).pending == 1

    async def test_a_value_that_cannot_be_stored_fails_its_own_call_only(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            enqueue(store, to("w")),
            enqueue(store, to("w", event=Event("bad", type="\ud800"))),
            enqueue(store, to("w")),
            return_exceptions=True,
        )
        assert [isinstance(outcome, ValueError) for outcome in outcomes] == [False, True, False]
        assert await store.event("bad") is None
        assert (await store.backlog()).pending == 2
        assert (await store.backlog()).fault is None

    async def test_a_delivery_id_given_twice_fails_its_own_call_only(self, store: Store) -> None:
        twice = to("w")
        await enqueue(store, twice)
        with pytest.raises(ValueError, match="cannot be stored"):
            await enqueue(store, Submission(Event("other"), twice.deliveries))
        assert await store.event("other") is None
        assert (await listed(store)) == [twice.deliveries[0].id]


class TestLimit:
    async def test_the_limit_can_be_reached_but_not_passed(self, store: Store) -> None:
        await enqueue(store, to("w", "w", "w"), limit=3)
        with pytest.raises(PendingLimitReached, match="would be waiting"):
            await enqueue(store, to("w", event=posted("x")), limit=3)
        with pytest.raises(PendingLimitTooSmall):
            await enqueue(store, to("w", "w", "w", "w", event=posted("x")), limit=3)
        assert await store.event("x") is None
        assert (await store.backlog()).pending == 3

    async def test_calls_together_do_not_pass_it(self, store: Store) -> None:
        outcomes = await asyncio.gather(
            *(enqueue(store, to("w", "w"), limit=5) for _ in range(4)), return_exceptions=True
        )
        assert [isinstance(outcome, PendingLimitReached) for outcome in outcomes] == [
            False,
            False,
            True,
            True,
        ]
        assert (await store.backlog()).pending == 4

    async def test_what_is_being_sent_counts_and_what_is_finished_does_not(self, store: Store) -> None:
        await enqueue(store, to("w"), limit=1)
        lease = await claim_one(store)
        with pytest.raises(PendingLimitReached):
            await enqueue(store, to("w"), limit=1)
        await settle(store, lease)
        await enqueue(store, to("w"), limit=1)

    async def test_seats_that_are_not_used_are_given_back(self, store: Store) -> None:
        batches = [[to("w", event=posted("x"))], [to("w", event=posted("x", "other"))]]
        for batch in batches:
            seats = seats_for(*batch)
            with suppress(IdConflict):
                await store.enqueue(batch, now=T0, limit=9, seats=seats)
            assert len(seats.used) <= 1
        await store.close()
        late = to("w")
        seats = seats_for(late)
        with pytest.raises(StoreUnavailable):
            await store.enqueue([late], now=T0, limit=9, seats=seats)
        assert seats.used == []

    async def test_duplicates_and_lone_events_are_taken_at_the_limit(self, store: Store) -> None:
        await enqueue(store, to("w", event=posted("x")), limit=1)
        (again,) = await enqueue(store, to("w", event=posted("x")), limit=1)
        (lone,) = await enqueue(store, to(), limit=0)
        assert (again.duplicate, lone.duplicate) == (True, False)


class TestClaim:
    async def test_a_lease_carries_what_an_attempt_needs(self, store: Store) -> None:
        submission = to("w", body=b"hello")
        await enqueue(store, submission)
        lease = await claim_one(store, now=T0 + 1)
        delivery = submission.deliveries[0]
        assert (lease.delivery_id, lease.event_id, lease.task, lease.webhook, lease.body) == (
            delivery.id, submission.event.id, delivery.task, "w", b"hello",
        )  # fmt: skip
        assert (lease.attempt, lease.failures) == (1, 0)
        assert (lease.started_at, lease.expires_at) == (T0 + 1, T0 + 1 + LEASE_S)
        found = await record(store, delivery.id)
        assert (found.state, found.attempt, found.due_at) == (State.SENDING, 1, T0 + 1 + LEASE_S)

    async def test_oldest_due_first_and_no_more_than_seats(self, store: Store) -> None:
        late, early, middle = to("w"), to("w"), to("w")
        await enqueue(store, late, now=T0 + 3)
        await enqueue(store, early, now=T0 + 1)
        await enqueue(store, middle, now=T0 + 2)
        leases = await claim(store, slots=2, now=T0 + 9)
        assert ids(leases) == [early.deliveries[0].id, middle.deliveries[0].id]
        assert ids(await claim(store, slots=2, now=T0 + 9)) == [late.deliveries[0].id]

    async def test_what_came_together_leaves_in_order(self, store: Store) -> None:
        batch = [to("w") for _ in range(20)]
        await enqueue(store, *batch)
        assert ids(await claim(store, slots=20)) == [item.deliveries[0].id for item in batch]

    async def test_nothing_is_claimed_before_it_is_due(self, store: Store) -> None:
        await enqueue(store, to("w"), now=T0)
        assert await claim(store, now=T0 - 0.001) == ()
        assert len(await claim(store, now=T0)) == 1

    async def test_nothing_is_claimed_twice(self, store: Store) -> None:
        await enqueue(store, *(to("w") for _ in range(30)))
        claimed = await asyncio.gather(*(claim(store, slots=10) for _ in range(5)))
        found = [delivery_id for leases in claimed for delivery_id in ids(leases)]
        assert len(found) == len(set(found)) == 30

    async def test_each_webhook_gets_what_it_wants(self, store: Store) -> None:
        await enqueue(store, *(to("v", "w") for _ in range(5)))
        wants = [
            ClaimRequest("v", 1, 10.0),
            ClaimRequest("w", 3, 20.0),
            ClaimRequest("none", 3, 20.0),
            ClaimRequest("x", 0, 1.0),
        ]
        leases = (await store.claim(wants, now=T0)).leases
        assert [lease.webhook for lease in leases] == ["v", "w", "w", "w"]
        assert {lease.webhook: lease.expires_at for lease in leases} == {"v": T0 + 10, "w": T0 + 20}

    async def test_two_wants_for_one_webhook_are_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="two wants"):
            await store.claim([ClaimRequest("w", 1, 1.0), ClaimRequest("w", 2, 1.0)], now=T0)

    async def test_at_most_a_thousand_in_one_call(self, store: Store) -> None:
        await enqueue(store, *(to("v", "w") for _ in range(700)))
        wants = [ClaimRequest("v", 800, LEASE_S), ClaimRequest("w", 800, LEASE_S)]
        leases = (await store.claim(wants, now=T0)).leases
        assert [lease.webhook for lease in leases] == ["v"] * 700 + ["w"] * 300

    async def test_bodies_that_no_memory_keeps_are_read_back(self, store: Store) -> None:
        bodies = [bytes([number]) * 1_000_000 for number in range(12)]
        for body in bodies:
            await enqueue(store, to("w", body=body))
        assert [lease.body for lease in await claim(store, slots=20)] == bodies


class TestClosedLanes:
    async def test_a_lane_that_is_held_is_refused_until_its_hold_ends(self, store: Store) -> None:
        await enqueue(store, to("w"), to("w"), to("v"))
        await settle(store, await claim_one(store), retry_at(T0 + 1, hold_until=T0 + 30))
        wants = [ClaimRequest("w", 5, LEASE_S), ClaimRequest("v", 5, LEASE_S)]
        claimed = await store.claim(wants, now=T0 + 29)
        assert [lease.webhook for lease in claimed.leases] == ["v"]
        assert claimed.waits == {"w": T0 + 30}
        claimed = await store.claim(wants, now=T0 + 30)
        assert (len(claimed.leases), claimed.waits) == (2, {})

    async def test_a_hold_that_is_lifted_is_over_at_once_and_stays_so(self, open_store: OpenStore) -> None:
        store = await open_store()
        await enqueue(store, to("w"))
        await settle(store, await claim_one(store), retry_at(T0 + 1, hold_until=T0 + 90))
        assert not await store.lift_hold("v", now=T0 + 2)
        assert await store.lift_hold("w", now=T0 + 2)
        assert not await store.lift_hold("w", now=T0 + 2)
        assert (await store.backlog()).holds.get("w", 0.0) <= T0 + 2
        await store.close()
        store = await open_store()
        [lease] = (await store.claim([ClaimRequest("w", 5, LEASE_S)], now=T0 + 2)).leases
        await settle(store, lease, retry_at(T0 + 3, hold_until=T0 + 50))
        assert (await store.claim([ClaimRequest("w", 5, LEASE_S)], now=T0 + 3)).waits == {"w": T0 + 50}

    async def test_a_lane_that_is_paused_is_refused_until_it_is_resumed(self, open_store: OpenStore) -> None:
        store = await open_store()
        await enqueue(store, to("w"))
        await store.pause("w", now=T0)
        for _ in range(2):
            claimed = await store.claim([ClaimRequest("w", 5, LEASE_S)], now=T0 + 1e6)
            assert (claimed.leases, claimed.waits) == ((), {"w": inf})
            await store.close()
            store = await open_store()
        await store.resume("w")
        assert len(await claim(store)) == 1

    async def test_nothing_is_claimed_by_a_call_that_comes_with_a_pause_or_a_hold(self, store: Store) -> None:
        await enqueue(store, to("w"), to("w"), to("v"))
        lease = await claim_one(store, "w")
        wants = [ClaimRequest("w", 5, LEASE_S), ClaimRequest("v", 5, LEASE_S)]
        _, _, claimed = await asyncio.gather(
            store.pause("v", now=T0),
            settle(store, lease, retry_at(T0, hold_until=T0 + 30)),
            store.claim(wants, now=T0),
        )
        assert (claimed.leases, claimed.waits) == ((), {"w": T0 + 30, "v": inf})


class TestRelease:
    async def test_what_was_not_sent_is_due_at_once_and_its_attempt_does_not_count(
        self, open_store: OpenStore
    ) -> None:
        store = await open_store()
        await enqueue(store, *(to("w") for _ in range(3)))
        leases = await claim(store, now=T0 + 5)
        await store.release(leases[1:], why="not sent")
        for lease in leases[1:]:
            found = await record(store, lease.delivery_id)
            assert (found.state, found.attempt, found.failures) == (State.PENDING, 1, 0)
            assert (found.due_at, found.last_error) == (T0 + 5, "not sent")
            (given_back,) = found.attempts
            assert (given_back.number, given_back.reason, given_back.error) == (
                1, Reason.INTERRUPTED, "not sent",
            )  # fmt: skip
            assert (given_back.started_at, given_back.duration_s) == (T0 + 5, 0)
        await settle(store, leases[0])
        before = (await store.totals(), await store.lanes())
        await store.close()
        store = await open_store()
        assert (await store.totals(), await store.lanes()) == before
        again = await claim(store, now=T0 + 5)
        assert [(lease.delivery_id, lease.attempt) for lease in again] == [
            (lease.delivery_id, 2) for lease in leases[1:]
        ]

    async def test_a_released_lease_is_lost_and_a_lost_one_is_not_released(self, store: Store) -> None:
        await enqueue(store, to("w"), to("w"))
        released, lost = await claim(store)
        (held,) = await claim(store, slots=1, now=lost.expires_at)
        lost, released = (lost, released) if held.delivery_id == lost.delivery_id else (released, lost)
        await store.release([released, lost], why="not sent")
        assert not await settle(store, released)
        assert (await record(store, lost.delivery_id)).state is State.SENDING
        assert await settle(store, held)

    async def test_the_doorbell_rings_for_it(self, store: Store) -> None:
        await enqueue(store, to("w"))
        leases = await claim(store)
        await asyncio.wait_for(store.wait_for_work(), RINGS_S)
        waiting = asyncio.ensure_future(store.wait_for_work())
        await store.release(leases, why="not sent")
        assert (await asyncio.wait_for(waiting, RINGS_S)).earliest_due == {"w": T0}


class TestLostLease:
    async def test_an_expired_lease_is_claimed_again_and_the_attempt_recorded(self, store: Store) -> None:
        await enqueue(store, to("w"))
        first = await claim_one(store)
        assert await claim(store, now=first.expires_at - 0.001) == ()

        second = await claim_one(store, now=first.expires_at + 100)

        assert (second.delivery_id, second.body) == (first.delivery_id, first.body)
        assert (second.attempt, second.failures) == (2, 0)
        (lost,) = (await record(store, first.delivery_id)).attempts
        assert (lost.number, lost.reason, lost.status) == (1, Reason.INTERRUPTED, None)
        assert (lost.started_at, lost.duration_s) == (first.started_at, LEASE_S)

    async def test_a_stale_settle_changes_nothing(self, store: Store) -> None:
        await enqueue(store, to("w"))
        stale = await claim_one(store)
        fresh = await claim_one(store, now=stale.expires_at)
        before = await record(store, stale.delivery_id)
        totals, lanes = await store.totals(), await store.lanes()

        for settlement in (DELIVERED, DEAD, retry_at(T0 + 1, hold_until=T0 + 5)):
            assert not await settle(store, stale, settlement)

        assert await record(store, stale.delivery_id) == before
        assert (await store.totals(), await store.lanes()) == (totals, lanes)
        assert (await store.backlog()).holds == {}
        assert await settle(store, fresh)
        assert (await record(store, stale.delivery_id)).state is State.DELIVERED

    async def test_a_lease_is_settled_once(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        outcomes = await asyncio.gather(settle(store, lease), settle(store, lease, DEAD))
        assert list(outcomes) == [True, False]
        assert not await settle(store, lease, DEAD)
        found = await record(store, lease.delivery_id)
        assert (found.state, len(found.attempts)) == (State.DELIVERED, 1)

    async def test_an_expired_lease_that_nobody_took_can_still_be_settled(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        assert await settle(store, lease, now=lease.expires_at + 60)

    async def test_a_lease_of_a_retry_does_not_fit_the_next(self, store: Store) -> None:
        await enqueue(store, to("w"))
        first = await claim_one(store)
        await settle(store, first, retry_at(T0 + 1))
        assert not await settle(store, first)
        second = await claim_one(store, now=T0 + 1)
        assert not await settle(store, first)
        assert await settle(store, second)


FAILED = Outcome(
    Reason.STATUS, status=503, error="503 Service Unavailable", response=b"busy", duration_s=0.5, resent=True
)


class TestSettle:
    async def test_delivered(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        assert await settle(store, lease, now=T0 + 2)
        found = await record(store, lease.delivery_id)
        assert (found.state, found.due_at, found.finished_at) == (State.DELIVERED, None, T0 + 2)
        assert (found.last_status, found.last_error, found.detail) == (200, "", "")
        assert found.attempts == (attempt_of(lease),)

    async def test_dead(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        assert await settle(store, lease, DEAD, FAILED, now=T0 + 2)
        found = await record(store, lease.delivery_id)
        assert (found.state, found.due_at, found.finished_at) == (State.DEAD, None, T0 + 2)
        assert (found.last_status, found.last_error) == (503, "503 Service Unavailable")
        assert (found.detail, found.failures) == ("retries used up", 1)
        assert found.attempts == (attempt_of(lease, FAILED),)
        assert await claim(store, now=T0 + 1e6) == ()

    async def test_pending_again(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        assert await settle(store, lease, retry_at(T0 + 60), FAILED)
        found = await record(store, lease.delivery_id)
        assert (found.state, found.due_at, found.finished_at) == (State.PENDING, T0 + 60, None)
        assert await claim(store, now=T0 + 59.9) == ()
        assert (await claim_one(store, now=T0 + 60)).attempt == 2

    async def test_numbers_rise_and_only_counted_failures_count(self, store: Store) -> None:
        await enqueue(store, to("w"))
        seen = []
        for number, counted in enumerate([True, False, True, False], start=1):
            lease = await claim_one(store, now=T0 + number)
            seen.append((lease.attempt, lease.failures))
            await settle(store, lease, retry_at(T0 + number, counted=counted), FAILED)
        assert seen == [(1, 0), (2, 1), (3, 1), (4, 2)]
        found = await record(store, lease.delivery_id)
        assert (found.attempt, found.failures) == (4, 2)
        assert [attempt.number for attempt in found.attempts] == [1, 2, 3, 4]

    async def test_a_released_lease_is_due_at_once(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        interrupted = Outcome(Reason.INTERRUPTED, error="stopping")
        assert await settle(store, lease, retry_at(T0, counted=False), interrupted)
        again = await claim_one(store)
        assert (again.attempt, again.failures) == (2, 0)

    @pytest.mark.parametrize(
        "settlement",
        [
            Settlement(State.SENDING, counted=False),
            Settlement(State.CANCELLED, counted=False),
            Settlement(State.PENDING, counted=False),
            Settlement(State.DELIVERED, counted=False, due_at=T0),
        ],
    )
    async def test_what_no_attempt_can_lead_to_is_refused(self, store: Store, settlement: Settlement) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        with pytest.raises(ValueError, match=r"attempt|due_at"):
            await settle(store, lease, settlement)
        assert await settle(store, lease)

    async def test_many_together(self, store: Store) -> None:
        await enqueue(store, *(to("w") for _ in range(300)))
        leases = await claim(store, slots=300)
        settlements = [DELIVERED, DEAD, retry_at(T0 + 5)] * 100
        held = await asyncio.gather(
            *(settle(store, lease, what) for lease, what in zip(leases, settlements, strict=True))
        )
        assert all(held)
        for lease, what in list(zip(leases, settlements, strict=True))[:9]:
            assert (await record(store, lease.delivery_id)).state is what.state
        assert await store.totals() == {
            State.PENDING: 100, State.SENDING: 0, State.DELIVERED: 100, State.DEAD: 100, State.CANCELLED: 0,
        }  # fmt: skip


class TestHolds:
    async def test_the_latest_instant_wins(self, store: Store) -> None:
        await enqueue(store, to("v"), *(to("w") for _ in range(3)))
        for lease, until in zip(await claim(store), (T0 + 10, T0 + 30, T0 + 20), strict=True):
            await settle(store, lease, retry_at(T0 + 40, hold_until=until))
        assert (await store.backlog()).holds == {"w": T0 + 30}


class TestWaiting:
    async def test_nothing_waits_at_first(self, store: Store) -> None:
        assert (await store.backlog(), await store.lanes()) == (Backlog(), {})

    async def test_the_earliest_due_follows(self, store: Store) -> None:
        await enqueue(store, to("w"), now=T0 + 2)
        await enqueue(store, to("w", "v"), now=T0 + 1)
        assert (await store.backlog()).earliest_due == {"w": T0 + 1, "v": T0 + 1}
        first = await claim_one(store, now=T0 + 5)
        assert (await store.backlog()).earliest_due["w"] == T0 + 2
        await claim_one(store, now=T0 + 5)
        assert (await store.backlog()).earliest_due["w"] == T0 + 5 + LEASE_S
        await settle(store, first, retry_at(T0 + 7))
        assert (await store.backlog()).earliest_due["w"] == T0 + 7

    async def test_a_webhook_without_anything_waiting_is_missing(self, store: Store) -> None:
        await enqueue(store, to("w"))
        await settle(store, await claim_one(store))
        assert (await store.backlog(), await store.lanes()) == (Backlog(), {})

    async def test_lanes_count_and_tell_the_oldest(self, store: Store) -> None:
        await enqueue(store, to("w"), now=T0 + 1)
        await enqueue(store, to("w", "v"), now=T0 + 2)
        lease = await claim_one(store, now=T0 + 3)
        assert await store.lanes() == {"w": LaneStats(2, 1, T0 + 1), "v": LaneStats(1, 0, T0 + 2)}
        await settle(store, lease)
        assert await store.lanes() == {"w": LaneStats(1, 0, T0 + 2), "v": LaneStats(1, 0, T0 + 2)}

    async def test_lanes_can_be_asked_of_a_few(self, store: Store) -> None:
        await enqueue(store, to("w", "v"), now=T0 + 1)
        assert await store.lanes(("v", "x")) == {"v": LaneStats(1, 0, T0 + 1)}
        assert await store.lanes(()) == {}

    async def test_totals(self, store: Store) -> None:
        await enqueue(store, *(to("w") for _ in range(4)))
        delivered, dead, _ = await claim(store, slots=3)
        await settle(store, delivered)
        await settle(store, dead, DEAD)
        assert await store.totals() == {
            State.PENDING: 1, State.SENDING: 1, State.DELIVERED: 1, State.DEAD: 1, State.CANCELLED: 0,
        }  # fmt: skip

    async def test_the_doorbell_rings_for_what_can_be_claimed_sooner(self, store: Store) -> None:
        await enqueue(store, to("w"))
        await asyncio.wait_for(store.wait_for_work(), RINGS_S)
        waiting = asyncio.ensure_future(store.wait_for_work())
        lease = await claim_one(store)
        await store.flush()
        assert not waiting.done()
        await settle(store, lease, retry_at(T0 + 1))
        assert await asyncio.wait_for(waiting, RINGS_S) == await store.backlog()

    async def test_what_waits_is_one_value_that_never_changes(self, store: Store) -> None:
        await enqueue(store, to("w", "v"))
        seen = await store.backlog()
        await settle(store, await claim_one(store), retry_at(T0 + 5, hold_until=T0 + 5))
        await store.pause("v", now=T0 + 1)
        assert seen == Backlog(earliest_due={"w": T0, "v": T0}, pending=2)
        assert await store.backlog() == Backlog(
            earliest_due={"w": T0 + 5, "v": T0}, holds={"w": T0 + 5}, paused={"v": T0 + 1}, pending=2
        )

    async def test_a_flush_comes_after_everything_that_was_asked_before(self, store: Store) -> None:
        asked = [asyncio.ensure_future(enqueue(store, to("w"))) for _ in range(20)]
        await asyncio.sleep(0)
        await store.flush()
        assert (await store.backlog()).pending == 20
        await asyncio.gather(*asked)
        await store.heartbeat()


class TestListings:
    async def test_newest_first_in_pages(self, store: Store) -> None:
        batch = [to("w") for _ in range(25)]
        await enqueue(store, *batch)
        newest_first = [item.deliveries[0].id for item in reversed(batch)]
        assert await listed(store, limit=7) == newest_first
        assert await listed(store, limit=25) == newest_first

    async def test_what_arrives_meanwhile_disturbs_no_page(self, store: Store) -> None:
        batch = [to("w") for _ in range(6)]
        await enqueue(store, *batch)
        first = await store.events(limit=4)
        await enqueue(store, to("w"))
        second = await store.events(limit=4, cursor=first.cursor)
        found = [item.event.id for page in (first, second) for item in page.items]
        assert found == [item.event.id for item in reversed(batch)]
        assert second.cursor is None

    async def test_an_item_of_a_listing_is_the_record_without_body_and_attempts(self, store: Store) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        await settle(store, lease, DEAD, FAILED)
        (item,) = (await store.deliveries(DeliveryFilter(), limit=5)).items
        assert item == dataclasses.replace(await record(store, lease.delivery_id), body=None, attempts=())

    async def test_events_show_their_deliveries(self, store: Store) -> None:
        (receipt,) = await enqueue(store, to("w", "v"))
        (item,) = (await store.events(limit=5)).items
        assert item.deliveries == receipt.deliveries

    async def test_filters(self, store: Store) -> None:
        one, two, three, four = to("w"), to("v", "w", event=posted("x")), to("v"), to("u")
        for now, item in enumerate((one, two, three, four)):
            await enqueue(store, item, now=T0 + now)
        await settle(store, await claim_one(store, "v", now=T0 + 9), DEAD)
        sending = await claim_one(store, "u", now=T0 + 9)
        in_w, dead, also_w, waiting_v, in_u = (
            delivery.id for item in (one, two, three, four) for delivery in item.deliveries
        )
        assert sending.delivery_id == in_u
        expected: list[tuple[dict[str, Any], list[str]]] = [
            ({"webhook": "w"}, [also_w, in_w]),
            ({"state": State.DEAD}, [dead]),
            ({"state": State.DEAD, "webhook": "w"}, []),
            ({"state": State.PENDING}, [waiting_v, also_w, in_w]),
            ({"state": State.PENDING, "webhook": "v"}, [waiting_v]),
            ({"state": State.SENDING, "webhook": "u"}, [in_u]),
            ({"state": State.SENDING}, [in_u]),
            ({"event_id": "x"}, [also_w, dead]),
            ({"event_id": "x", "state": State.DEAD}, [dead]),
            ({"event_id": "unknown"}, []),
            ({"since": T0 + 2}, [in_u, waiting_v]),
            ({"until": T0 + 1}, [in_w]),
            ({"since": T0 + 1, "until": T0 + 2}, [also_w, dead]),
            ({"task": "a-task", "webhook": "u"}, [in_u]),
            ({"task": "another"}, []),
        ]
        assert [(where, await listed(store, limit=1, **where)) for where, _ in expected] == expected

    async def test_a_listing_reaches_past_many_that_do_not_match(self, store: Store) -> None:
        first = to("rare")
        await enqueue(store, first)
        for _ in range(6):
            await enqueue(store, Submission(Event(f"many-{_}"), to(*["w"] * 1000).deliveries))
        assert await listed(store, webhook="rare") == [first.deliveries[0].id]

    async def test_a_call_looks_at_a_bounded_number_and_the_cursor_leads_on(self, store: Store) -> None:
        first = to("rare")
        await enqueue(store, first)
        for _ in range(60):
            await enqueue(store, Submission(Event(f"many-{_}"), to(*["w"] * 1000).deliveries))
        page = await store.deliveries(DeliveryFilter(webhook="rare"), limit=1)
        assert (page.items, page.cursor is None) == ((), False)
        assert await listed(store, webhook="rare") == [first.deliveries[0].id]
        assert await listed(store, webhook="none") == []

    async def test_a_listed_event_is_the_record_without_its_data(self, store: Store) -> None:
        await enqueue(store, Submission(posted("full", data={"k": "v"}), to("w").deliveries))
        (item,) = (await store.events(limit=5)).items
        kept = await store.event("full")
        assert kept is not None
        assert kept.event.data == {"k": "v"}
        assert item == dataclasses.replace(kept, event=dataclasses.replace(kept.event, data={}))

    async def test_a_page_ends_where_it_gets_large(self, store: Store) -> None:
        """Whatever makes a record large: its deliveries, its object's tags, what went wrong."""
        tags = tuple(f"{number:08d}" * 16 for number in range(3000))
        for number in range(6):
            event = posted(f"large-{number}", object=EventObject(name="o", tags=tags))
            await enqueue(store, Submission(event, to(*["w"] * 300).deliveries))
        pages, cursor = [], None
        while True:
            page = await store.events(limit=500, cursor=cursor)
            pages.append([item.event.id for item in page.items])
            cursor = page.cursor
            if cursor is None:
                break
        assert [each for page in pages for each in page] == [f"large-{number}" for number in range(5, -1, -1)]
        assert [len(page) for page in pages] == [2, 2, 2]

    async def test_a_full_page_ends_where_the_next_begins(self, store: Store) -> None:
        batch = [to("w") for _ in range(45)]
        await enqueue(store, *batch)
        found: list[str] = []
        cursor = None
        while True:
            page = await store.events(limit=22, cursor=cursor)
            found += [item.event.id for item in page.items]
            cursor = page.cursor
            if cursor is None:
                break
            assert len(page.items) == 22
        assert found == [item.event.id for item in reversed(batch)]

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "٣", "9" * 40])
    async def test_a_foreign_cursor_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match="cursor"):
            await store.events(limit=1, cursor=cursor)
        with pytest.raises(ValueError, match="cursor"):
            await store.deliveries(DeliveryFilter(), limit=1, cursor=cursor)


class TestPrune:
    async def finished(self, store: Store, settlement: Settlement, at: float) -> Submission:
        submission = to("w")
        await enqueue(store, submission)
        assert await settle(store, await claim_one(store), settlement, now=at)
        return submission

    async def test_each_kind_goes_by_its_own_time(self, store: Store) -> None:
        old = await self.finished(store, DELIVERED, T0 + 1)
        young = await self.finished(store, DELIVERED, T0 + 2)
        old_dead = await self.finished(store, DEAD, T0 + 3)
        young_dead = await self.finished(store, DEAD, T0 + 4)

        gone = await store.prune(delivered_before=T0 + 2, dead_before=T0 + 4, limit=100)

        assert gone == 2
        for submission, kept in ((old, False), (young, True), (old_dead, False), (young_dead, True)):
            assert (await store.delivery(submission.deliveries[0].id) is not None) == kept
            assert (await store.event(submission.event.id) is not None) == kept
        assert (await store.totals())[State.DELIVERED] == 1
        assert (await store.totals())[State.DEAD] == 1
        assert await store.prune(delivered_before=T0 + 2, dead_before=T0 + 4, limit=100) == 0

    async def test_what_is_unfinished_stays_whatever_its_age(self, store: Store) -> None:
        await enqueue(store, to("w"), to("v"))
        await claim_one(store)
        assert await store.prune(delivered_before=T0 + 1e6, dead_before=T0 + 1e6, limit=100) == 0
        assert (await store.backlog()).pending == 2

    async def test_an_event_stays_as_long_as_one_of_its_deliveries(self, store: Store) -> None:
        submission = to("w", "v", event=posted("x"))
        await enqueue(store, submission)
        await settle(store, await claim_one(store, "w"))
        assert await store.prune(delivered_before=T0 + 1, dead_before=T0, limit=100) == 1
        kept = await store.event("x")
        assert kept is not None
        assert [ref.webhook for ref in kept.deliveries] == ["v"]
        (again,) = await enqueue(store, to("w", "v", event=posted("x")))
        assert again.duplicate
        await settle(store, await claim_one(store, "v"))
        assert await store.prune(delivered_before=T0 + 1, dead_before=T0, limit=100) == 1
        assert await store.event("x") is None
        (anew,) = await enqueue(store, to("w", event=posted("x", "other")))
        assert not anew.duplicate

    async def test_lone_events_go_by_when_they_came(self, store: Store) -> None:
        old, young = to(), to()
        await enqueue(store, old, now=T0 + 1)
        await enqueue(store, young, now=T0 + 2)
        assert await store.prune(delivered_before=T0 + 2, dead_before=T0, limit=100) == 1
        assert await store.event(old.event.id) is None
        assert await store.event(young.event.id) is not None

    async def test_at_most_the_limit_goes_in_one_call(self, store: Store) -> None:
        for settlement in (DELIVERED, DELIVERED, DEAD):
            await self.finished(store, settlement, T0)
        await enqueue(store, to())
        gone = [await store.prune(delivered_before=T0 + 1, dead_before=T0 + 1, limit=3) for _ in range(3)]
        assert gone == [3, 1, 0]


class TestReopen:
    async def test_everything_survives(self, open_store: OpenStore) -> None:
        store = await open_store()
        await enqueue(store, to("w", "v", event=posted("x")), to("w"), to())
        delivered, dead = await claim(store)
        await settle(store, delivered)
        await settle(store, dead, Settlement(State.DEAD, counted=True, hold_until=T0 + 99))
        (lease,) = await claim(store, "v")
        await settle(store, lease, retry_at(T0 + 5))
        await enqueue(store, to("w"))
        before = await self.everything(store)
        await store.close()

        store = await open_store()

        assert await self.everything(store) == before
        (again,) = await enqueue(store, to("w", "v", event=posted("x")))
        assert again.duplicate
        (retried,) = await claim(store, "v", now=T0 + 5)
        assert (retried.delivery_id, retried.attempt, retried.failures) == (lease.delivery_id, 2, 1)

    async def test_a_lease_of_a_process_that_is_gone_ends_with_its_time_at_the_latest(
        self, open_store: OpenStore
    ) -> None:
        store = await open_store()
        await enqueue(store, to("w"))
        (lease,) = await claim(store)
        await store.close()

        store = await open_store()

        (again,) = await claim(store, now=lease.expires_at)
        assert (again.delivery_id, again.attempt, again.failures) == (lease.delivery_id, 2, 0)
        assert not await settle(store, lease)
        (cut_off,) = (await record(store, lease.delivery_id)).attempts
        assert (cut_off.number, cut_off.reason) == (1, Reason.INTERRUPTED)

    async def everything(self, store: Store) -> list[object]:
        known = await listed(store)
        return [
            [await record(store, delivery_id) for delivery_id in known],
            await store.events(limit=100),
            await store.totals(),
            await store.lanes(),
            await store.backlog(),
        ]

    async def test_a_closed_store_does_what_was_asked_and_nothing_more(self, open_store: OpenStore) -> None:
        store = await open_store()
        asked = [asyncio.ensure_future(enqueue(store, to("w"))) for _ in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert len(await asyncio.gather(*asked)) == 20
        for call in (enqueue(store, to("w")), store.probe(), store.totals(), store.flush(), store.event("x")):
            with pytest.raises(StoreUnavailable):
                await call
        await store.close()
        assert (await (await open_store()).backlog()).pending == 20

    async def test_a_store_tells_what_it_is(self, store: Store) -> None:
        described = await store.describe()
        assert described.engine
        assert described.target
        assert described.size_bytes
        assert abs(store.clock.now() - time.time()) < 60
        assert store.prune_step > 0
        assert store.renew_ahead_s > 0

    async def test_a_probe_of_a_healthy_store_finds_no_fault(self, store: Store) -> None:
        await store.probe()
        assert (await store.backlog()).fault is None
