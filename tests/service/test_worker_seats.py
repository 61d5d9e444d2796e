"""Seats at work: what is taken in goes out after one commit, and nothing goes out that would not by a claim."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from hookd.delivery.seating import STOPPED, BatchSeats
from hookd.domain.deliveries import Reason, State
from hookd.domain.errors import PendingLimitReached
from hookd.domain.events import Submission
from tests.kit.builders import LIMIT, to
from tests.kit.receiver import Receiver, held
from tests.kit.worker import WorkerStage, at_work


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


async def planned(stage: WorkerStage) -> None:
    """Return when the worker has seen what waits."""
    await stage.until(lambda: stage.worker.seating._rule is not None)


def take(stage: WorkerStage, batch: Sequence[Submission]) -> BatchSeats:
    seats = stage.worker.seating.take(batch, now=stage.clock.now())
    assert seats is not None
    return seats


def is_free(stage: WorkerStage) -> bool:
    """Whether there is a seat in the lane."""
    seats = take(stage, [to("w")])
    seats.end(())
    return bool(seats.lease_s)


async def enqueue(stage: WorkerStage, *batch: Submission, limit: int = LIMIT) -> BatchSeats:
    """Take in what seats are asked for."""
    now = stage.clock.now()
    seats = stage.worker.seating.take(batch, now=now)
    assert seats is not None
    stage.ids += [each.id for submission in batch for each in submission.deliveries]
    await stage.store.enqueue(batch, now=now, limit=limit, seats=seats)
    return seats


async def test_what_is_taken_in_goes_out_after_one_commit(tmp_path: Path, receiver: Receiver) -> None:
    answer = asyncio.Event()
    receiver.reply = held(answer)
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        await planned(stage)
        await enqueue(stage, to("w"))
        await receiver.wait_for(1)
        assert len(stage.commits) == 1
        assert stage.lane.in_flight == 1
        answer.set()
        await stage.settled(State.DELIVERED, 1)
        (found,) = await stage.records()
        assert [(attempt.number, attempt.reason) for attempt in found.attempts] == [(1, Reason.OK)]
        assert stage.lane.in_flight == 0


async def test_nothing_is_asked_for_before_the_first_plan_and_when_stopping(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        assert stage.worker.seating.take([to("w")], now=stage.clock.now()) is None
        await planned(stage)
        assert stage.worker.seating.take([to("w")], now=stage.clock.now() - 2) is None
        await stage.worker.drain(1.0)
        assert stage.worker.seating.take([to("w")], now=stage.clock.now()) is None


async def test_a_lane_goes_in_order_whatever_has_a_seat(tmp_path: Path, receiver: Receiver) -> None:
    async with at_work(tmp_path, f"{receiver.url}/w", concurrency=1) as stage:
        await planned(stage)
        numbers = [str(number).encode() for number in range(120)]
        batches = [[to("w", body=body) for body in numbers[at : at + 3]] for at in range(0, 120, 3)]
        asked = []
        for batch in batches:
            now = stage.clock.now()
            seats = stage.worker.seating.take(batch, now=now)
            asked.append(asyncio.ensure_future(stage.store.enqueue(batch, now=now, limit=LIMIT, seats=seats)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*asked)
        await stage.settled(State.DELIVERED, 120)
        assert [request.body for request in receiver.requests] == numbers
        assert stage.lane.in_flight == 0


async def test_a_batch_gets_as_many_seats_as_its_lane_has(tmp_path: Path, receiver: Receiver) -> None:
    answer = asyncio.Event()
    receiver.reply = held(answer)
    async with at_work(tmp_path, f"{receiver.url}/w", concurrency=3) as stage:
        await planned(stage)
        seats = await enqueue(stage, *(to("w") for _ in range(5)))
        assert len(seats.lease_s) == 3
        await receiver.wait_for(3)
        assert not is_free(stage)
        assert len(receiver.requests) == 3
        answer.set()
        await stage.settled(State.DELIVERED, 5)
        await stage.until(lambda: is_free(stage))


async def test_what_is_refused_gives_its_slots_back(tmp_path: Path, receiver: Receiver) -> None:
    async with at_work(tmp_path, f"{receiver.url}/w", concurrency=2) as stage:
        await planned(stage)
        with pytest.raises(PendingLimitReached):
            await enqueue(stage, to("w"), to("w"), limit=1)
        assert stage.lane.in_flight == 0
        await stage.until(lambda: is_free(stage))
        assert not receiver.requests


async def test_what_was_not_seated_by_the_store_is_claimed(tmp_path: Path, receiver: Receiver) -> None:
    async with at_work(tmp_path, f"{receiver.url}/w", concurrency=2) as stage:
        await planned(stage)
        batch = [to("w")]
        seats = take(stage, batch)
        stage.ids.append(batch[0].deliveries[0].id)
        await asyncio.gather(
            stage.store.enqueue(batch, now=stage.clock.now(), limit=LIMIT, seats=seats),
            stage.store.resume("w"),
        )
        assert list(seats.lease_s) == stage.ids
        await stage.settled(State.DELIVERED, 1)
        (found,) = await stage.records()
        assert found.attempt == 1


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
async def test_where_the_clock_was_set_before_the_attempt_it_is_claimed_when_its_lease_ends(
    tmp_path: Path, receiver: Receiver, by_s: float
) -> None:
    """As where hookd was frozen: its lease may be another's by then."""
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        await planned(stage)
        batch = [to("w")]
        now, seats = stage.clock.now(), take(stage, batch)
        stage.ids.append(batch[0].deliveries[0].id)
        asked = asyncio.ensure_future(stage.store.enqueue(batch, now=now, limit=LIMIT, seats=seats))
        await asyncio.sleep(0)
        stage.clock.ahead_s += by_s
        await asked
        if by_s < 0:
            (lease_s,) = seats.lease_s.values()

            async def compensated() -> bool:
                (found,) = await stage.records()
                return found.due_at is not None and found.due_at <= stage.clock.now() + lease_s

            await stage.until(compensated)
            await stage.until(lambda: not stage.lane.in_flight)
            stage.advance(lease_s)
        await stage.settled(State.DELIVERED, 1)
        (found,) = await stage.records()
        assert [attempt.reason for attempt in found.attempts] == [Reason.INTERRUPTED, Reason.OK]
        assert len(receiver.requests) == 1


async def test_what_a_stop_overtakes_is_given_back(tmp_path: Path, receiver: Receiver) -> None:
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        await planned(stage)
        batch = [to("w")]
        now, seats = stage.clock.now(), take(stage, batch)
        stage.ids.append(batch[0].deliveries[0].id)
        asked = asyncio.ensure_future(stage.store.enqueue(batch, now=now, limit=LIMIT, seats=seats))
        await asyncio.sleep(0)
        assert await stage.worker.drain(1.0) == 0
        await asked
        await stage.settled(State.PENDING, 1)
        (found,) = await stage.records()
        assert [attempt.error for attempt in found.attempts] == [STOPPED]
        assert not receiver.requests
