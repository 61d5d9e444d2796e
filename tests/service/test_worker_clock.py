"""Steps of the wall clock and freezes: nothing is attempted twice, nothing is stuck, nothing floods."""

import asyncio
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.deliveries import State
from hookd.domain.errors import StoreUnavailable
from tests.kit.builders import record
from tests.kit.receiver import Received, Receiver, always, held, response
from tests.kit.worker import AheadClock, WorkerStage, at_work

HOUR_S = 3600.0
YEAR_S = 365 * 86_400.0
STEPS = pytest.mark.parametrize("by_s", [HOUR_S, YEAR_S])


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


async def failed_once(stage: WorkerStage) -> None:
    """Take in a delivery whose first attempt fails; it waits for its retry."""
    await stage.take_in(1)
    await stage.until(lambda: stage.attempts("w") == 1 and not stage.lane.in_flight)


@STEPS
@pytest.mark.parametrize("frozen", [False, True])
async def test_an_attempt_under_way_is_not_made_again(
    tmp_path: Path, receiver: Receiver, by_s: float, frozen: bool
) -> None:
    answer = asyncio.Event()

    receiver.reply = held(answer)
    async with at_work(tmp_path, f"{receiver.url}/w", timeout_s=100.0) as stage:
        await stage.take_in(3)
        await stage.until(lambda: len(receiver.requests) == 3)
        for _ in range(3):  # the first look renews, the others must know of it
            (stage.advance if frozen else stage.set_clock)(by_s)
            await stage.take_in(1)  # a delivery that is claimed after the step
            arrived = 1 + len(receiver.requests)
            await stage.until(lambda arrived=arrived: len(receiver.requests) >= arrived)
        answer.set()
        await stage.settled(State.DELIVERED, 6)
        assert len(receiver.requests) == len({request.id for request in receiver.requests}) == 6
        assert [delivery.attempt for delivery in await stage.records()] == [1] * 6


@STEPS
async def test_set_back_between_a_look_at_it_and_a_claim(
    tmp_path: Path, receiver: Receiver, by_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of another attempt notices it, and must not move a lease to where the claim takes it for ended."""
    first, rest = asyncio.Event(), asyncio.Event()

    async def held(_request: Received) -> bytes:
        await (first if len(receiver.requests) == 1 else rest).wait()
        return response(200)

    receiver.reply = held
    clock = AheadClock()
    clock.ahead_s = by_s
    async with at_work(tmp_path, f"{receiver.url}/w", timeout_s=100.0, clock=clock) as stage:
        for count in (1, 2):
            await stage.take_in(1)
            await stage.until(lambda count=count: len(receiver.requests) == count)
        claim = stage.store.claim

        async def set_back_meanwhile(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.undo()
            clock.ahead_s = 0.0
            first.set()
            await asyncio.sleep(0.2)
            return await claim(*args, **kwargs)

        monkeypatch.setattr(stage.store, "claim", set_back_meanwhile)
        await stage.take_in(1)
        await stage.until(lambda: len(receiver.requests) >= 3)
        rest.set()
        await stage.settled(State.DELIVERED, 3)
        assert len(receiver.requests) == 3
        assert [delivery.attempt for delivery in await stage.records()] == [1] * 3


@STEPS
async def test_set_back_what_waits_is_due_as_soon_as_before(
    tmp_path: Path, receiver: Receiver, by_s: float
) -> None:
    async def failing_once(_request: Received) -> bytes:
        receiver.reply = ok
        return response(500)

    async def ok(_request: Received) -> bytes:
        return response(200)

    receiver.reply = failing_once
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(60.0,)) as stage:
        await failed_once(stage)
        (waiting,) = await stage.records()
        before = waiting.due_at or 0
        stage.set_clock(-by_s)

        async def followed() -> bool:
            (now_waiting,) = await stage.records()
            return now_waiting.due_at == pytest.approx(before - by_s, abs=5)

        await stage.until(followed)
        assert len(receiver.requests) == 1
        stage.advance(75)
        await stage.settled(State.DELIVERED, 1)


async def test_set_back_again_while_it_is_followed(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.reply = always(500)
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(60.0,)) as stage:
        await failed_once(stage)
        follow = stage.store.clock_stepped

        async def set_back_meanwhile(*, by_s: float, now: float) -> None:
            monkeypatch.undo()
            await follow(by_s=by_s, now=now)
            stage.set_clock(-HOUR_S)

        monkeypatch.setattr(stage.store, "clock_stepped", set_back_meanwhile)
        stage.set_clock(-HOUR_S)

        async def followed() -> bool:
            stage.set_clock(0)
            (waiting,) = await stage.records()
            return stage.clock.ahead_s == -2 * HOUR_S and (waiting.due_at or 0) < stage.clock.now() + 75

        await stage.until(followed)


class SteppingClock(AheadClock):
    """Is set back by an hour right after it has been read so often."""

    reads_left = 0

    def now(self) -> float:
        seen = super().now()
        self.reads_left -= 1
        if self.reads_left == 0:
            self.ahead_s -= HOUR_S
        return seen


@pytest.mark.parametrize("reads", [1, 2, 3, 4])
async def test_set_back_between_any_two_looks_at_it(tmp_path: Path, receiver: Receiver, reads: int) -> None:
    receiver.reply = always(500)
    clock = SteppingClock()
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(60.0,), clock=clock) as stage:
        await failed_once(stage)
        clock.reads_left = reads

        async def followed() -> bool:
            stage.set_clock(0)
            (waiting,) = await stage.records()
            return clock.reads_left <= 0 and (waiting.due_at or 0) < stage.clock.now() + 75

        await stage.until(followed)


async def test_set_back_while_a_result_cannot_be_recorded(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_request: Received) -> bytes:
        return response(503, "Retry-After: 600")

    receiver.reply = busy
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:

        def refused(*_: Any, **__: Any) -> None:
            monkeypatch.undo()
            stage.set_clock(-HOUR_S)
            raise StoreUnavailable("the disk is full")

        monkeypatch.setattr(stage.store, "begin_settle", refused)
        await stage.take_in(1)

        async def recorded() -> bool:
            (waiting,) = await stage.records()
            return waiting.failures == 1

        await stage.until(recorded)
        (waiting,) = await stage.records()
        now = stage.clock.now()
        assert waiting.due_at == pytest.approx(now + 5, abs=15)
        assert (await stage.store.backlog()).holds["w"] == pytest.approx(now + 600, abs=15)


async def test_set_back_a_hold_ends_as_soon_as_before(tmp_path: Path, receiver: Receiver) -> None:
    async def busy(_request: Received) -> bytes:
        receiver.reply = ok
        return response(503, "Retry-After: 60")

    async def ok(_request: Received) -> bytes:
        return response(200)

    receiver.reply = busy
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        await stage.take_in(1)
        await stage.until(lambda: stage.lane.hold_until is not None)
        stage.set_clock(-YEAR_S)
        await stage.take_in(1)
        await stage.until(lambda: (stage.lane.hold_until or 0) < stage.clock.now() + 65)
        stage.advance(75)
        await stage.settled(State.DELIVERED, 2)


@STEPS
async def test_set_back_while_hookd_was_down(tmp_path: Path, receiver: Receiver, by_s: float) -> None:
    async with at_work(tmp_path, "http://127.0.0.1:9/", enabled=False) as stage:
        await stage.take_in(2)
        ids = stage.ids
    clock = AheadClock()
    clock.ahead_s = -by_s
    async with at_work(tmp_path, f"{receiver.url}/w", clock=clock) as stage:
        await stage.settled(State.DELIVERED, 2)
        assert [(await record(stage.store, one)).attempt for one in ids] == [1, 1]


@STEPS
async def test_set_forward_a_backlog_of_retries_is_no_flood(
    tmp_path: Path, receiver: Receiver, by_s: float
) -> None:
    under_way = most = 0

    async def counting(_request: Received) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return response(200)

    receiver.reply = always(404)
    async with at_work(tmp_path, f"{receiver.url}/w", concurrency=4, backoff_s=(1000.0,)) as stage:
        await stage.take_in(100)
        await stage.until(lambda: len(receiver.requests) == 100)
        await stage.until(lambda: not stage.lane.in_flight)
        receiver.reply = counting
        stage.set_clock(by_s)
        await stage.settled(State.DELIVERED, 100)
        assert most <= 4


async def test_a_clock_that_was_ahead_for_a_while_is_followed_at_the_next_start(
    tmp_path: Path, receiver: Receiver
) -> None:
    """What waits was reckoned by the clock that was ahead; no event came to tell."""
    receiver.reply = always(500)
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(600.0,)) as stage:
        await failed_once(stage)
        stage.set_clock(YEAR_S)
        await stage.until(lambda: len(receiver.requests) == 2 and not stage.lane.in_flight)
        (delivery_id,) = stage.ids
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(600.0,)) as stage:
        await stage.until(lambda: not stage.worker._compensator.is_pending())
        due_at = (await record(stage.store, delivery_id)).due_at
        assert due_at is not None
        assert due_at <= stage.clock.now() + 730


async def test_a_step_back_is_followed_once_however_often_hookd_starts(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.reply = always(500)
    clock = AheadClock()
    clock.ahead_s = HOUR_S
    async with at_work(tmp_path, f"{receiver.url}/w", clock=clock, backoff_s=(1800.0,)) as stage:
        await failed_once(stage)
        (delivery_id,) = stage.ids
    for _ in range(3):
        async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(1800.0,)) as stage:
            await stage.until(lambda: not stage.worker._compensator.is_pending())
            due_at = (await record(stage.store, delivery_id)).due_at
            assert due_at == pytest.approx(stage.clock.now() + 1800, abs=400)
    assert len(receiver.requests) == 1


async def test_a_hold_asked_for_while_the_clock_is_set_back_is_kept(
    tmp_path: Path, receiver: Receiver
) -> None:
    answer = asyncio.Event()

    async def busy(_request: Received) -> bytes:
        await answer.wait()
        return response(503, "Retry-After: 600")

    receiver.reply = busy
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        await stage.take_in(1)
        await stage.until(lambda: len(receiver.requests) == 1)
        stage.clock.ahead_s -= HOUR_S  # nobody wakes the worker
        answer.set()
        await stage.until(lambda: stage.lane.hold_until is not None)
        stage.set_clock(0)
        await stage.until(lambda: not stage.lane.in_flight)
        assert stage.lane.hold_until == pytest.approx(stage.clock.now() + 600, abs=5)
        assert len(receiver.requests) == 1


async def test_where_descriptors_lack_one_delivery_a_second_is_tried(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with at_work(tmp_path, "http://127.0.0.1:9/", concurrency=2) as stage:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            await stage.take_in(50)
            await stage.until(lambda: stage.lane.last_result is not None)
            await asyncio.sleep(0.3)  # less than the pause: none of the others is tried meanwhile
            tried = [each for each in await stage.records() if each.attempt]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert 1 <= len(tried) <= 4
    assert not any(each.failures for each in tried)
