"""Leases as the worker holds them: lost ones end their attempts, those not used are given back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.deliveries import Claimed, ClaimRequest, Lease, Reason, State
from tests.kit.builders import LEASE_S, settle
from tests.kit.receiver import Received, Receiver, always, held, response
from tests.kit.worker import WorkerStage, at_work

FAR_S = 3600.0


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


async def stolen(stage: WorkerStage) -> Lease:
    """The one delivery under way, claimed by somebody for whom its lease has ended."""
    later = stage.clock.now() + FAR_S
    (lease,) = (await stage.store.claim([ClaimRequest("w", 1, LEASE_S)], now=later)).leases
    return lease


async def test_an_attempt_whose_lease_is_lost_is_ended_and_records_nothing(
    tmp_path: Path, receiver: Receiver
) -> None:
    async def never(_request: Received) -> bytes:
        await asyncio.sleep(FAR_S)
        return response(200)

    receiver.reply = never
    async with at_work(tmp_path, f"{receiver.url}/w", timeout_s=100.0) as stage:
        await stage.take_in(1)
        await receiver.wait_for(1)
        lease = await stolen(stage)
        stage.advance(111)  # the time to renew it
        await stage.until(lambda: not stage.lane.in_flight)
        assert stage.leases_lost == 1
        assert stage.attempts("w") == 0
        (found,) = await stage.records()
        assert (found.state, found.attempt, found.failures) == (State.SENDING, 2, 0)
        assert [attempt.reason for attempt in found.attempts] == [Reason.INTERRUPTED]
        assert await settle(stage.store, lease)


async def test_an_answer_that_comes_after_the_lease_was_lost_is_not_recorded(
    tmp_path: Path, receiver: Receiver
) -> None:
    answer = asyncio.Event()

    receiver.reply = held(answer)
    async with at_work(tmp_path, f"{receiver.url}/w", timeout_s=100.0) as stage:
        await stage.take_in(1)
        await receiver.wait_for(1)
        lease = await stolen(stage)
        answer.set()
        await stage.until(lambda: stage.leases_lost == 1)
        assert stage.attempts("w") == 0
        (found,) = await stage.records()
        assert (found.state, found.attempt) == (State.SENDING, 2)
        assert await settle(stage.store, lease)


async def test_what_is_claimed_while_a_stop_begins_is_given_back_unsent(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        claim = stage.store.claim

        async def slowly(*args: Any, **kwargs: Any) -> Claimed:
            claimed = await claim(*args, **kwargs)
            stopping.append(asyncio.create_task(stage.worker.drain(1.0)))
            await asyncio.sleep(0)
            return claimed

        stopping: list[asyncio.Task[int]] = []
        monkeypatch.setattr(stage.store, "claim", slowly)
        await stage.take_in(3)
        await stage.until(lambda: bool(stopping))
        assert await stopping[0] == 0
        for found in await stage.records():
            assert (found.state, found.attempt, found.failures) == (State.PENDING, 1, 0)
            assert [attempt.reason for attempt in found.attempts] == [Reason.INTERRUPTED]
        assert receiver.requests == []


async def test_a_lane_that_the_store_refuses_waits_until_it_may_be_asked_again(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node may have held it: this one did not know."""

    receiver.reply = always(503, "Retry-After: 600")
    async with at_work(tmp_path, f"{receiver.url}/w") as stage:
        await stage.take_in(1)
        await stage.until(lambda: stage.lane.hold_until is not None)
        held_until = stage.lane.hold_until
        stage.worker._lanes.of("w").hold_until = 0.0
        claims = 0
        claim = stage.store.claim

        async def counted(*args: Any, **kwargs: Any) -> Claimed:
            nonlocal claims
            claims += 1
            return await claim(*args, **kwargs)

        monkeypatch.setattr(stage.store, "claim", counted)
        await stage.take_in(1)
        await stage.until(lambda: stage.lane.hold_until is not None)
        await asyncio.sleep(0.05)
        assert (claims, len(receiver.requests)) == (1, 1)
        assert stage.lane.hold_until == pytest.approx(held_until, abs=1e-3)
