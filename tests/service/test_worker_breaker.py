"""The breaker over a real store, sender and receiver: parks, probes, recovers; nothing is lost, no retry spent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hookd.delivery import retry_policy
from hookd.delivery.circuit_breaker import FIRST_PAUSE_S, OPENS_AFTER, BreakerState
from hookd.delivery.parking import Parked
from hookd.domain.deliveries import Claimed, ClaimRequest, Reason, State
from hookd.observability import log
from tests.kit.receiver import OK, Received, Receiver, always, response
from tests.kit.worker import WorkerStage, at_work

DELIVERIES = 60
CONCURRENCY = 3


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


@pytest.fixture
async def stage(tmp_path: Path, receiver: Receiver) -> AsyncIterator[WorkerStage]:
    url = f"{receiver.url}/w"
    async with at_work(tmp_path, url, retries=5, backoff_s=(0.001,), concurrency=CONCURRENCY) as made:
        yield made


async def test_a_receiver_that_is_down_is_left_alone(stage: WorkerStage, receiver: Receiver) -> None:
    receiver.reply = always(503)
    await stage.take_in(DELIVERIES)
    await stage.opened()
    called = len(receiver.requests)
    assert OPENS_AFTER <= called < OPENS_AFTER + CONCURRENCY
    assert stage.lane.parked is Parked.BREAKER
    assert stage.lane.probe_in_s == pytest.approx(FIRST_PAUSE_S, abs=5)
    stage.advance(FIRST_PAUSE_S - 10)
    await stage.take_in(1)
    await asyncio.sleep(0)
    assert stage.lane.in_flight == 0
    assert len(receiver.requests) == called


async def test_probes_are_one_at_a_time_and_cost_no_retries(stage: WorkerStage, receiver: Receiver) -> None:
    receiver.reply = always(503)
    await stage.take_in(DELIVERIES)
    await stage.opened()
    spent = sum(delivery.failures for delivery in await stage.records())
    called = len(receiver.requests)
    pause_s = FIRST_PAUSE_S
    for probes in range(1, 12):
        stage.advance(pause_s + 1)
        await stage.until(lambda probes=probes: len(receiver.requests) == called + probes)
        await stage.opened()
        pause_s = min(2 * pause_s, 600)
    records = await stage.records()
    assert sum(delivery.failures for delivery in records) == spent
    assert {delivery.state for delivery in records} == {State.PENDING}
    assert sum(delivery.attempt for delivery in records) == called + 11


async def test_the_first_answer_opens_the_lane_and_everything_arrives_once(
    stage: WorkerStage, receiver: Receiver
) -> None:
    receiver.reply = always(503)
    await stage.take_in(DELIVERIES)
    await stage.opened()
    arrived: list[str] = []
    under_way: set[str] = set()
    most = 0

    async def counting(request: Received) -> bytes:
        nonlocal most
        under_way.add(request.id)
        most = max(most, len(under_way))
        await asyncio.sleep(0.002)
        under_way.discard(request.id)
        arrived.append(request.id)
        return response(200)

    receiver.reply = counting
    stage.advance(FIRST_PAUSE_S + 1)
    await stage.settled(State.DELIVERED, DELIVERIES)
    assert sorted(arrived) == sorted(stage.ids)
    assert most <= CONCURRENCY, "no herd"
    assert stage.lane.breaker is BreakerState.CLOSED
    assert stage.lane.parked is None


async def test_a_receiver_that_answers_404_is_not_down(stage: WorkerStage, receiver: Receiver) -> None:
    receiver.reply = always(404)
    await stage.take_in(5)
    await stage.settled(State.DEAD, 5)
    assert stage.lane.breaker is BreakerState.CLOSED
    assert len(receiver.requests) == 5 * 6


async def test_gone_is_final_for_a_probe_too(stage: WorkerStage, receiver: Receiver) -> None:
    receiver.reply = always(503)
    await stage.take_in(DELIVERIES)
    await stage.opened()

    async def gone(_request: Received) -> bytes:
        receiver.reply = OK
        return response(410)

    receiver.reply = gone
    stage.advance(FIRST_PAUSE_S + 1)

    async def done() -> bool:
        totals = await stage.store.totals()
        return totals[State.DELIVERED] == DELIVERIES - 1 and totals[State.DEAD] == 1

    await stage.until(done)


async def test_a_probe_does_not_wait_for_a_delivery_to_be_due(tmp_path: Path, receiver: Receiver) -> None:
    receiver.reply = always(503)
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(36_000.0,)) as stage:
        await stage.take_in(OPENS_AFTER)
        await stage.opened()
        for probes in (1, 2, 3):
            stage.advance(FIRST_PAUSE_S * 2**probes)
            await stage.until(lambda probes=probes: len(receiver.requests) == OPENS_AFTER + probes)
            await stage.opened()
        receiver.reply = OK
        stage.advance(600)
        await stage.settled(State.DELIVERED, 1)
        assert stage.lane.breaker is BreakerState.CLOSED


async def test_a_hold_is_longer_than_a_pause(tmp_path: Path, receiver: Receiver) -> None:
    receiver.reply = always(503, "Retry-After: 3600")
    async with at_work(tmp_path, f"{receiver.url}/w", concurrency=OPENS_AFTER) as stage:
        await stage.take_in(OPENS_AFTER)
        await stage.opened()
        assert stage.lane.probe_in_s == pytest.approx(3600, abs=10)
        stage.advance(FIRST_PAUSE_S + 1)
        await stage.take_in(1)
        assert len(receiver.requests) == OPENS_AFTER


async def test_a_corrected_webhook_is_held_no_more(tmp_path: Path, receiver: Receiver) -> None:
    receiver.reply = always(503, "Retry-After: 86400")
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(0.001,)) as stage:
        await stage.take_in(1)
        await stage.until(lambda: stage.lane.hold_until is not None)
        await stage.take_in(3)
        await asyncio.sleep(0.05)
        assert len(receiver.requests) == 1
        receiver.reply = OK
        stage.configure(f"{receiver.url}/corrected")
        await stage.settled(State.DELIVERED, 4)
        assert stage.lane.hold_until is None


async def test_a_hold_of_an_earlier_run_is_lifted_by_a_correction_too(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.reply = always(503, "Retry-After: 3600")
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(0.001,)) as stage:
        await stage.take_in(1)
        await stage.until(lambda: stage.lane.hold_until is not None)
        await stage.settled(State.SENDING, 0)
    receiver.reply = OK
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(0.001,)) as stage:
        await stage.take_in(1)
        await asyncio.sleep(0.05)
        assert len(receiver.requests) == 1
        stage.configure(f"{receiver.url}/corrected")
        await stage.settled(State.DELIVERED, 2)


async def test_a_hold_that_is_lifted_by_hand_ends_at_once(tmp_path: Path, receiver: Receiver) -> None:
    receiver.reply = always(503, "Retry-After: 3600")
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(0.001,)) as stage:
        await stage.take_in(1)
        await stage.until(lambda: stage.lane.hold_until is not None)
        await stage.settled(State.SENDING, 0)
        receiver.reply = OK
        await stage.take_in(1)
        await stage.store.lift_hold("w", now=stage.clock.now())
        stage.worker.try_again("w", probe=False)
        await stage.settled(State.DELIVERED, 2)


async def test_what_is_down_is_probed_at_once_by_hand(tmp_path: Path, receiver: Receiver) -> None:
    receiver.reply = always(500)
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(36_000.0,)) as stage:
        await stage.take_in(OPENS_AFTER)
        await stage.opened()
        receiver.reply = OK
        stage.worker.try_again("w", probe=True)
        await stage.settled(State.DELIVERED, 1)


async def test_a_corrected_webhook_is_probed_at_once(tmp_path: Path, receiver: Receiver) -> None:
    async with at_work(tmp_path, "http://127.0.0.1:9/", backoff_s=(36_000.0,)) as stage:
        await stage.take_in(OPENS_AFTER)
        await stage.opened()
        stage.configure(f"{receiver.url}/w")
        await stage.settled(State.DELIVERED, 1)
        assert stage.lane.breaker is BreakerState.CLOSED


async def test_what_was_claimed_while_the_breaker_opened_is_not_sent(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asyncio.Event()

    async def down(_request: Received) -> bytes:
        await answer.wait()
        return response(503)

    receiver.reply = down
    url = f"{receiver.url}/w"
    async with at_work(tmp_path, url, retries=0, concurrency=2 * OPENS_AFTER) as stage:
        await stage.take_in(OPENS_AFTER)
        await receiver.wait_for(OPENS_AFTER)
        claim = stage.store.claim

        async def slowly(wants: Sequence[ClaimRequest], *, now: float) -> Claimed:
            claimed = await claim(wants, now=now)
            answer.set()
            await stage.until(lambda: stage.lane.breaker is BreakerState.OPEN)
            return claimed

        monkeypatch.setattr(stage.store, "claim", slowly)
        await stage.take_in(3)
        await stage.opened()
        await stage.settled(State.DEAD, OPENS_AFTER)
        await stage.settled(State.PENDING, 3)
        assert stage.lane.last_result is not None
        assert stage.lane.last_result.outcome.status == 503
        late = (await stage.records())[OPENS_AFTER:]
        assert [(each.attempt, each.failures) for each in late] == [(1, 0)] * 3
        assert len(receiver.requests) == OPENS_AFTER


async def test_probes_that_are_due_together_cost_one_commit(tmp_path: Path) -> None:
    names = [f"w{n}" for n in range(50)]
    async with at_work(tmp_path, "http://127.0.0.1:9/", others=names, backoff_s=(36_000.0,)) as stage:
        await stage.take_in_for(names * OPENS_AFTER)
        await stage.until(lambda: all(stage.lane_of(name).breaker is BreakerState.OPEN for name in names))
        await stage.settled(State.SENDING, 0)
        before = len(stage.commits)
        stage.advance(FIRST_PAUSE_S + 1)
        attempts = len(names) * (OPENS_AFTER + 1)
        await stage.until(lambda: sum(stage.attempts(name) for name in names) == attempts)
        assert len(stage.commits) - before < len(names)


async def test_nothing_to_probe_with_is_no_reason_to_hurry(tmp_path: Path, receiver: Receiver) -> None:
    answer = asyncio.Event()

    async def one_hangs(request: Received) -> bytes:
        if request.id == receiver.requests[0].id:
            await answer.wait()
        return response(503)

    receiver.reply = one_hangs
    url = f"{receiver.url}/w"
    async with at_work(tmp_path, url, retries=0, concurrency=2, timeout_s=100.0) as stage:
        await stage.take_in(OPENS_AFTER + 1)
        await stage.settled(State.DEAD, OPENS_AFTER)
        stage.advance(FIRST_PAUSE_S + 1)
        before = len(stage.commits)
        for _ in range(20):
            await stage.store.flush()
            await asyncio.sleep(0.01)
        assert len(stage.commits) - before < 10
        answer.set()


def _break(patch: pytest.MonkeyPatch, stage: WorkerStage, where: str) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise ValueError("a text that may hold a secret")

    def decide(*_: object, **__: object) -> NoReturn:
        raise IndexError("a text that may hold a secret")

    if where == "sender":
        patch.setattr(stage.sender, "begin", fail)
    else:
        patch.setattr(retry_policy, "decide", decide)


async def test_where_the_record_itself_fails_it_is_logged_and_the_lease_ends(
    stage: WorkerStage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(log, "error", lambda fact, **facts: logged.append((fact, facts)))
    raised = [ValueError("a text that may hold a secret"), KeyError("a text that may hold a secret")]
    begin_settle = stage.store.begin_settle

    def failing(*args: Any, **facts: Any) -> None:
        if raised:
            raise raised.pop(0)
        begin_settle(*args, **facts)

    monkeypatch.setattr(stage.store, "begin_settle", failing)
    await stage.take_in(1)
    await stage.until(lambda: len(logged) == 2 and not stage.lane.in_flight)
    assert [(fact, facts["exception"]) for fact, facts in logged] == [
        ("attempt.broke", "ValueError"),
        ("attempt.broke", "KeyError"),
    ]
    assert "secret" not in str(logged)
    [waiting] = await stage.records()
    assert (waiting.state, waiting.attempts) == (State.SENDING, ())
    stage.advance((waiting.due_at or 0.0) - stage.clock.now() + 1)
    await stage.settled(State.DELIVERED, 1)
    [done] = await stage.records()
    assert [each.reason for each in done.attempts] == [Reason.INTERRUPTED, Reason.OK]
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(("where", "kind"), [("sender", "ValueError"), ("decision", "IndexError")])
async def test_an_exception_in_an_attempt_is_recorded_and_ends_the_probe(
    stage: WorkerStage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, where: str, kind: str
) -> None:
    logged: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(log, "error", lambda fact, **facts: logged.append((fact, facts)))
    receiver.reply = always(503)
    await stage.take_in(OPENS_AFTER)
    await stage.opened()
    before = {each.id: len(each.attempts) for each in await stage.records()}

    async def recorded() -> bool:
        return sum(len(each.attempts) for each in await stage.records()) > sum(before.values())

    with monkeypatch.context() as patch:
        _break(patch, stage, where)
        stage.advance(FIRST_PAUSE_S + 1)
        await stage.until(recorded)
        await stage.opened()
    [broken] = [each for each in await stage.records() if len(each.attempts) > before[each.id]]
    last = broken.attempts[-1]
    assert (broken.state, last.reason, last.status) == (State.PENDING, Reason.LOCAL, None)
    assert last.error == f"hookd itself failed at this attempt ({kind}); its log says where"
    [(_, facts)] = [line for line in logged if line[0] == "attempt.broke"]
    assert facts["exception"] == kind
    assert "secret" not in str(facts)
    receiver.reply = OK
    stage.advance(2 * FIRST_PAUSE_S + 60)
    await stage.settled(State.DELIVERED, OPENS_AFTER)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_that_limits_its_rate_is_not_down(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    deliveries, per_s, burst = 40, 40.0, 2
    excess, last = -1.0, 0.0

    async def limiting(_request: Received) -> bytes:
        nonlocal excess, last
        now = asyncio.get_running_loop().time()
        after = max(0.0, excess - per_s * (now - last) + 1)
        if after > burst:
            return response(status)
        excess, last = after, now
        await asyncio.sleep(0.01)  # what is refused is answered first
        return response(200)

    receiver.reply = limiting
    async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(0.2,), concurrency=20) as stage:
        await stage.take_in(deliveries)
        await stage.until(lambda: stage.lane.slowed_to_per_s is not None)
        await stage.settled(State.DELIVERED, deliveries)
        assert not stage.said
        assert len(receiver.requests) < 2.5 * deliveries


async def test_429_alone_never_opens_the_breaker(tmp_path: Path, receiver: Receiver) -> None:
    receiver.reply = always(429)
    async with at_work(tmp_path, f"{receiver.url}/w", concurrency=2 * OPENS_AFTER) as stage:
        await stage.take_in(2 * OPENS_AFTER)
        await stage.until(lambda: stage.attempts("w") == 2 * OPENS_AFTER)
        assert stage.lane.breaker is BreakerState.CLOSED
        assert stage.lane.slowed_to_per_s == 1
        assert stage.lane.hold_until is None
