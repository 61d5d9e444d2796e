"""The store's contract on seats: what is claimed in the transaction that stores it, and what is not."""

import asyncio
import dataclasses

import pytest

from hookd.domain.deliveries import Reason, State
from hookd.domain.errors import IdConflict, PendingLimitReached, StoreUnavailable, TaskSpent
from hookd.domain.events import Event, NewDelivery, Submission
from hookd.domain.tracing import Trace
from hookd.store.contract import Store
from tests.kit.builders import (
    LEASE_S,
    LIMIT,
    T0,
    claim,
    claim_one,
    enqueue,
    facts,
    moment,
    once,
    posted,
    record,
    retry_at,
    settle,
    to,
    triggered,
    watch,
)
from tests.kit.seats import Seats, seats_for
from tests.kit.stores import engines
from tests.store.conftest import OpenStore

pytestmark = pytest.mark.parametrize("open_store", engines(gives_seats=True), indirect=True)


async def seated(store: Store, *batch: Submission, now: float = T0, limit: int = LIMIT) -> Seats:
    """Store a batch with a seat for each delivery."""
    seats = seats_for(*batch)
    await store.enqueue(batch, now=now, limit=limit, seats=seats)
    return seats


def ids(*batch: Submission) -> list[str]:
    return [each.id for submission in batch for each in submission.deliveries]


class TestLease:
    async def test_it_is_that_of_a_claim(self, store: Store) -> None:
        trace = Trace("0af7651916cd43dd8448eb211c80319c", "01")
        new = NewDelivery("d", "a-task", "w", b"{}", "events.rule")
        submission = Submission(Event("e", type="vm", event="on", trace=trace), (new,))
        (born,) = (await seated(store, submission)).leases or ()
        await enqueue(store, dataclasses.replace(submission, event=Event("f"), deliveries=(
            dataclasses.replace(new, id="d2"),
        )))  # fmt: skip
        (claimed,) = await claim(store)
        assert claimed == dataclasses.replace(
            born, delivery_id="d2", event_id="f", token=claimed.token, trace=None
        )
        assert (born.attempt, born.failures, born.expires_at) == (1, 0, T0 + LEASE_S)

    async def test_it_is_settled_like_any(self, store: Store) -> None:
        submission = to("w")
        (lease,) = (await seated(store, submission)).leases or ()
        assert await settle(store, lease, retry_at(T0 + 5))
        assert not await settle(store, lease)
        again = await claim_one(store, now=T0 + 5)
        assert (again.attempt, again.failures) == (2, 1)
        assert await settle(store, again, now=T0 + 6)
        found = await record(store, lease.delivery_id)
        assert (found.state, found.attempt) == (State.DELIVERED, 2)
        assert [(attempt.number, attempt.reason) for attempt in found.attempts] == [
            (1, Reason.OK),
            (2, Reason.OK),
        ]

    async def test_while_it_is_held_the_record_says_so(self, store: Store) -> None:
        (lease,) = (await seated(store, to("w"))).leases or ()
        found = await record(store, lease.delivery_id)
        assert (found.state, found.attempt, found.attempts) == (State.SENDING, 1, ())
        assert (found.created_at, found.due_at) == (T0, T0 + LEASE_S)

    async def test_where_it_ends_the_attempt_is_interrupted_and_due(self, store: Store) -> None:
        (lease,) = (await seated(store, to("w"))).leases or ()
        assert await claim(store, now=T0 + LEASE_S - 1) == ()
        second = await claim_one(store, now=T0 + LEASE_S)
        assert (second.attempt, second.failures, second.body) == (2, 0, lease.body)
        assert not await settle(store, lease)
        (first,) = (await record(store, lease.delivery_id)).attempts
        assert (first.number, first.reason, first.started_at) == (1, Reason.INTERRUPTED, T0)

    async def test_it_can_be_renewed(self, store: Store) -> None:
        (lease,) = (await seated(store, to("w"))).leases or ()
        longer = dataclasses.replace(lease, expires_at=T0 + 100)
        assert list(await store.renew([longer])) == []
        assert await claim(store, now=T0 + 99) == ()

    async def test_it_can_be_released(self, store: Store) -> None:
        (lease,) = (await seated(store, to("w"))).leases or ()
        await store.release([lease], why="not sent")
        again = await claim_one(store)
        assert (again.attempt, again.body) == (2, lease.body)
        (first,) = (await record(store, lease.delivery_id)).attempts
        assert (first.reason, first.error) == (Reason.INTERRUPTED, "not sent")

    async def test_a_store_opened_anew_makes_it_due(self, open_store: OpenStore) -> None:
        """As after a crash between the commit and the attempt."""
        store = await open_store()
        (lease,) = (await seated(store, to("w"))).leases or ()
        await store.close()
        again = await open_store()
        (first, second) = (await claim_one(again)).attempt, (await record(again, lease.delivery_id)).attempts
        assert first == 2
        assert [attempt.reason for attempt in second] == [Reason.INTERRUPTED]


class TestCounts:
    async def test_they_are_as_after_a_claim(self, store: Store) -> None:
        batch = [to("w", "v") for _ in range(5)]
        lease_s = dict.fromkeys(ids(*batch[:3]), LEASE_S)
        await store.enqueue(batch, now=T0, limit=LIMIT, seats=Seats(lease_s))
        totals = await store.totals()
        assert (totals[State.PENDING], totals[State.SENDING]) == (4, 6)
        backlog = await store.backlog()
        assert backlog.pending == 10
        assert backlog.earliest_due == {"w": T0, "v": T0}
        lanes = await store.lanes()
        assert {(lane.pending, lane.sending) for lane in lanes.values()} == {(5, 3)}

    async def test_what_is_seated_alone_is_due_when_its_lease_ends(self, store: Store) -> None:
        await seated(store, to("w"))
        assert (await store.backlog()).earliest_due == {"w": T0 + LEASE_S}

    async def test_they_are_the_same_when_read_anew(self, open_store: OpenStore) -> None:
        store = await open_store()
        leases = (await seated(store, to("w", "v"), to("w"))).leases or ()
        for lease in leases:
            await settle(store, lease)
        await enqueue(store, to("w"))
        before = await facts(store)
        await store.close()
        assert await facts(await open_store()) == before


class TestOrder:
    async def test_each_seat_of_a_batch_is_used_in_order(self, store: Store) -> None:
        batch = [to("w", "v") for _ in range(3)]
        assert (await seated(store, *batch)).used == ids(*batch)

    async def test_nothing_overtakes_what_is_due(self, store: Store) -> None:
        waiting, later = to("w"), to("w", "v")
        await enqueue(store, waiting)
        assert (await seated(store, later, now=T0 + 1)).used == ids(later)[1:]
        claimed = await claim(store, now=T0 + 1)
        assert [lease.delivery_id for lease in claimed] == [*ids(waiting), ids(later)[0]]

    async def test_a_retry_that_is_due_later_hinders_nobody(self, store: Store) -> None:
        await enqueue(store, to("w"))
        await settle(store, await claim_one(store), retry_at(T0 + 9))
        assert (await seated(store, first := to("w"), now=T0 + 8)).used == ids(first)
        assert (await seated(store, to("w"), now=T0 + 9)).used == []

    async def test_nor_does_an_attempt_under_way(self, store: Store) -> None:
        await enqueue(store, to("w"))
        await claim_one(store)
        assert (await seated(store, later := to("w"), now=T0 + 1)).used == ids(later)

    async def test_but_one_whose_lease_has_ended(self, store: Store) -> None:
        await seated(store, to("w"))
        assert (await seated(store, to("w"), now=T0 + LEASE_S)).used == []

    async def test_a_batch_keeps_its_own_order(self, store: Store) -> None:
        batch = [to("w") for _ in range(3)]
        lease_s = {ids(*batch)[index]: LEASE_S for index in (0, 2)}
        await store.enqueue(batch, now=T0, limit=LIMIT, seats=(seats := Seats(lease_s)))
        assert seats.used == ids(batch[0])

    async def test_so_do_calls_that_share_a_commit(self, store: Store) -> None:
        batches = [(to("w"), to("v")) for _ in range(4)]
        seats = [seats_for(*batch) for batch in batches]
        given = [seats[0], None, seats[2], seats[3]]
        await asyncio.gather(
            *(
                store.enqueue(batch, now=T0, limit=LIMIT, seats=each)
                for batch, each in zip(batches, given, strict=True)
            )
        )
        assert (seats[0].used, seats[2].used, seats[3].used) == (ids(*batches[0]), [], [])


class TestClosedLanes:
    async def test_a_pause(self, store: Store) -> None:
        await store.pause("w", now=T0)
        batch = to("w", "v")
        assert (await seated(store, batch)).used == ids(batch)[1:]
        await store.resume("w")
        assert (await seated(store, to("w"))).used == []
        assert len(await claim(store)) == 2
        assert (await seated(store, after := to("w"))).used == ids(after)

    async def test_a_pause_that_shares_the_commit(self, store: Store) -> None:
        seats = seats_for(batch := to("w"))
        await asyncio.gather(
            store.enqueue([batch], now=T0, limit=LIMIT, seats=seats), store.pause("w", now=T0)
        )
        assert seats.used == []
        assert await claim(store) == ()

    async def test_a_hold(self, store: Store) -> None:
        (lease,) = (await seated(store, to("w"))).leases or ()
        await settle(store, lease, retry_at(T0 + 20, hold_until=T0 + 10))
        assert (await seated(store, to("w"), now=T0 + 9)).used == []
        (waiting,) = await claim(store, now=T0 + 10)
        assert (await seated(store, after := to("w"), now=T0 + 10)).used == ids(after)
        assert waiting.attempt == 1

    async def test_a_hold_that_shares_the_commit(self, store: Store) -> None:
        (lease,) = (await seated(store, to("w"))).leases or ()
        seats = seats_for(batch := to("w"))
        await asyncio.gather(
            store.enqueue([batch], now=T0, limit=LIMIT, seats=seats),
            settle(store, lease, retry_at(T0 + 20, hold_until=T0 + 10)),
        )
        assert seats.used == []

    async def test_a_hold_that_is_lifted(self, store: Store) -> None:
        (lease,) = (await seated(store, to("w"))).leases or ()
        await settle(store, lease, retry_at(T0 + 20, hold_until=T0 + 10))
        await store.lift_hold("w", now=T0 + 1)
        assert (await seated(store, after := to("w"), now=T0 + 1)).used == ids(after)


class TestNothingToSeat:
    async def test_a_duplicate(self, store: Store) -> None:
        first, again = to("w", event=posted("x")), to("w", event=posted("x"))
        assert (await seated(store, first)).used == ids(first)
        assert (await seated(store, again)).used == []

    async def test_a_duplicate_in_the_batch(self, store: Store) -> None:
        first, again, other = to("w", event=posted("x")), to("w", event=posted("x")), to("w")
        assert (await seated(store, first, again, other)).used == ids(first, other)

    async def test_a_task_that_is_spent(self, store: Store) -> None:
        assert (await seated(store, first := once("w"))).used == ids(first)
        second = once("w", "v")
        assert (await seated(store, second)).used == ids(second)[1:]
        with pytest.raises(TaskSpent):
            await store.enqueue(
                [third := triggered(once("w"))], now=T0, limit=LIMIT, seats=(seats := seats_for(third))
            )
        assert seats.used == []

    async def test_a_moment_that_is_dealt_with(self, store: Store) -> None:
        await watch(store, "a")
        first, again = moment(T0 + 5), moment(T0 + 5)
        assert (await seated(store, first, now=T0 + 5)).used == ids(first)
        assert (await seated(store, again, now=T0 + 6)).used == []

    async def test_an_event_without_deliveries(self, store: Store) -> None:
        assert (await seated(store, Submission(Event("lone"), ()))).used == []


class TestRefusal:
    async def test_a_limit_gives_the_seats_back(self, store: Store) -> None:
        await seated(store, to("w"), limit=2)
        seats = seats_for(*(batch := [to("w"), to("w")]))
        with pytest.raises(PendingLimitReached):
            await store.enqueue(batch, now=T0, limit=2, seats=seats)
        assert seats.used == []
        assert (await store.totals())[State.SENDING] == 1

    async def test_a_conflict_gives_the_seats_back_and_no_neighbours(self, store: Store) -> None:
        await enqueue(store, to("w", event=posted("x", "one")))
        await settle(store, await claim_one(store))
        refused, taken = [to("w"), to("w", event=posted("x", "two"))], [to("w")]
        seats = [seats_for(*refused), seats_for(*taken)]
        results = await asyncio.gather(
            store.enqueue(refused, now=T0, limit=LIMIT, seats=seats[0]),
            store.enqueue(taken, now=T0, limit=LIMIT, seats=seats[1]),
            return_exceptions=True,
        )
        assert isinstance(results[0], IdConflict)
        assert (seats[0].used, seats[1].used) == ([], ids(*taken))

    async def test_a_closed_store_gives_them_back(self, store: Store) -> None:
        await store.close()
        seats = seats_for(batch := to("w"))
        with pytest.raises(StoreUnavailable):
            await store.enqueue([batch], now=T0, limit=LIMIT, seats=seats)
        assert seats.used == []

    async def test_a_caller_who_has_gone_does_not_keep_them(self, store: Store) -> None:
        seats = seats_for(batch := to("w"))
        gone = asyncio.ensure_future(store.enqueue([batch], now=T0, limit=LIMIT, seats=seats))
        await asyncio.sleep(0)
        gone.cancel()
        await store.flush()
        assert gone.cancelled()
        assert seats.used == ids(batch)

    async def test_they_have_ended_when_the_caller_goes_on(self, store: Store) -> None:
        assert (await seated(store, batch := to("w"), to("x"))).used[:1] == ids(batch)
