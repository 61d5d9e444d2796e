"""What hookd says about itself, taken in over a real store: rates, bounds, a store that refuses, and no loop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from hookd import __version__
from hookd.config.generation import CurrentConfig, Generation
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    Secret,
    SqliteDef,
    TaskDef,
    WebhookDef,
)
from hookd.domain.deliveries import Outcome, Reason
from hookd.domain.errors import PendingLimitReached, StoreUnavailable
from hookd.domain.events import Event, Receipt
from hookd.domain.history import DeliveryFilter, EventRecord
from hookd.domain.ids import new_id
from hookd.domain.message_templates import BodyFormat
from hookd.domain.operator_events import (
    ID_PREFIX,
    DeliveryDead,
    EventDraft,
    ScheduleMissed,
    StoreRecovered,
    WebhookParked,
    WebhookResumed,
)
from hookd.intake.pipeline import Intake
from hookd.observability.metrics import Metrics
from hookd.rules.templates import compile_message
from hookd.sources.operator_event_publisher import EVERY_S, MOST_WAITING, OperatorEventPublisher
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import DEAD, claim_one, settle, to
from tests.kit.worker import AheadClock

OWN_ID = new_id(ID_PREFIX, now_ms=1, entropy=bytes(10))
ALL = ("hookd.delivery dead", "hookd.webhook parked", "hookd.webhook resumed", "hookd.schedule missed")
FAILED = Outcome(Reason.STATUS, status=503)
MISSED = ScheduleMissed("schedules.nightly", "2026-01-02T03:04:05Z", "skip")


def _rule(kind: str, **fields: Any) -> EventDef:
    type_name, _, event = kind.partition(" ")
    return EventDef(f"events.{kind}", type_name, event, ("say",), **fields)


class RefusingIntake(Intake):
    """The intake, which refuses while `refusal` is set; counts how often it was asked."""

    refusal: Exception | None = None
    asked = 0

    def __init__(self, store: SqliteStore, clock: AheadClock, metrics: Metrics) -> None:
        super().__init__(store, clock, metrics)
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def report(self, fact: EventDraft, at: float, generation: Generation) -> Receipt | None:
        self.asked += 1
        await self.goes_on.wait()
        if self.refusal is not None:
            raise self.refusal
        return await super().report(fact, at, generation)


class Desk:
    """A publisher at work; its rules fire the task `say` of the webhook `ops`."""

    def __init__(
        self, store: SqliteStore, kinds: Iterable[str], *, clock: AheadClock | None = None, **rule: Any
    ) -> None:
        self.store, self.clock = store, clock or AheadClock()
        config = Config(
            "c",
            "h",
            DaemonDef((), SqliteDef("s")),
            webhooks={"ops": WebhookDef("ops", Secret("http://127.0.0.1:9/"))},
            tasks={
                "say": TaskDef(
                    "say", "ops", compile_message("${data.summary}", body_format=BodyFormat.UNTYPED)
                )
            },
            events={kind: _rule(kind, **rule) for kind in kinds},
        )
        self.intake = RefusingIntake(store, self.clock, Metrics(__version__))
        current_config = CurrentConfig(Generation.of(config, number=1, now=self.clock.now()))
        self.publisher = OperatorEventPublisher(store, self.intake, current_config, self.clock)
        self._running = asyncio.create_task(self.publisher.run())

    def dies(self, webhook: str, count: int = 1, *, task: str = "t", event_id: str = "evt_1") -> None:
        for number in range(count):
            dead = DeliveryDead(
                webhook, task, f"dlv_{number}", event_id, 3, "status", 503, "all failed", self.clock.now()
            )
            self.publisher.publish(dead)

    async def dies_untold(self, webhook: str, *causes: str) -> list[DeliveryDead]:
        """Let a delivery die for each cause, an event's id, without a word to the publisher."""
        found = []
        for cause in causes:
            event = Event(cause, type="vm", event="on")
            await self.store.enqueue([to(webhook, event=event)], now=self.clock.now(), limit=1_000_000)
            lease = await claim_one(self.store, webhook, now=self.clock.now())
            now = self.clock.now()
            await settle(self.store, lease, DEAD, FAILED, now=now)
            found.append(
                DeliveryDead(
                    webhook, lease.task, lease.delivery_id, cause, lease.attempt, FAILED.reason, 503, "d", now
                )
            )
        return found

    async def really_dies(self, webhook: str, *causes: str) -> None:
        """Let a delivery die for each cause, and tell it."""
        for dead in await self.dies_untold(webhook, *(causes or ("evt_0",))):
            self.publisher.publish(dead)

    async def parks(self, webhook: str, *causes: str) -> None:
        """Let a delivery wait for each cause, an event's id, and the webhook be parked."""
        for cause in causes:
            waiting = to(webhook, event=Event(cause, type="vm", event="on"))
            await self.store.enqueue([waiting], now=self.clock.now(), limit=1_000_000)
        self.publisher.publish(WebhookParked(webhook, "breaker"))

    def advance(self, seconds: float) -> None:
        """Let time go by on both clocks, and wake the publisher."""
        self.clock.ahead_s += seconds
        self.clock.mono_ahead_s += seconds
        self.publisher._wake.set()

    async def told(self) -> list[EventRecord]:
        """The reports stored so far, the oldest first."""
        page = await self.store.events(limit=1000)
        own = [each.event.id for each in reversed(page.items) if each.event.type.startswith("hookd.")]
        found = [await self.store.event(event_id) for event_id in own]
        return [record for record in found if record is not None]

    async def names(self) -> list[str]:
        return [
            f"{record.event.event} {record.event.object.name}"
            for record in await self.told()
            if record.event.object is not None
        ]

    async def counts(self) -> list[int]:
        return [record.event.data["count"] for record in await self.told()]

    async def counts_of(self, event: str) -> list[int]:
        return [record.event.data["count"] for record in await self.told() if record.event.event == event]

    async def rests(self) -> None:
        """Return when it has dealt with everything told so far."""
        async with asyncio.timeout(10):
            while self.publisher._waiting or self.publisher._wake.is_set():
                await asyncio.sleep(0.005)
            await self.store.flush()
            await asyncio.sleep(0)
            await self.store.flush()

    async def until_told(self, count: int) -> list[EventRecord]:
        async with asyncio.timeout(10):
            while len(found := await self.told()) < count:
                await asyncio.sleep(0.005)
        return found

    async def killed(self) -> None:
        """End without another word."""
        self._running.cancel()
        await asyncio.wait([self._running])

    async def stop(self) -> None:
        self.publisher.stop()
        async with asyncio.timeout(10):
            await self._running


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "h.db")
    yield opened
    await opened.close()


async def test_a_fact_is_an_event_like_any_other(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    before = desk.clock.now()
    desk.publisher.publish(MISSED)
    [record] = await desk.until_told(1)
    event = record.event
    assert event.id.startswith(ID_PREFIX)
    assert (event.type, event.event, event.data["missed"]) == ("hookd.schedule", "missed", "skip")
    assert event.time is not None
    assert event.time.endswith("Z")
    assert before <= record.received_at
    [made] = record.deliveries
    delivery = await store.delivery(made.id)
    assert delivery is not None
    assert (delivery.rule, delivery.task, delivery.webhook) == ("events.hookd.schedule missed", "say", "ops")
    assert delivery.body == event.data["summary"].encode()
    await desk.stop()


async def test_what_no_rule_asks_for_is_not_stored(store: SqliteStore) -> None:
    desk = Desk(store, ["hookd.delivery dead"], object="other", where="data.count == 1")
    desk.publisher.publish(MISSED)
    desk.dies("w")
    desk.dies("other")
    [record] = await desk.until_told(1)
    assert record.event.object is not None
    assert record.event.object.name == "other"
    await desk.stop()
    assert len(await desk.told()) == 1
    assert [each.event.id for each in (await store.events(limit=9)).items] == [record.event.id]


async def test_a_thousand_dead_in_a_burst_are_two_reports_whose_numbers_sum_up(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    desk.dies("w")
    await desk.until_told(1)
    desk.dies("w", 600, task="a")
    await asyncio.sleep(0)
    desk.dies("w", 399, task="b")
    desk.dies("other", 5)
    await desk.until_told(2)  # another webhook has a rate of its own
    desk.advance(EVERY_S - 1)
    await desk.rests()
    assert await desk.names() == ["dead w", "dead other"]
    desk.advance(1)
    *_, last = await desk.until_told(3)
    assert await desk.counts() == [1, 5, 999]
    assert last.event.data["tasks"] == {"a": 600, "b": 399}
    assert (last.event.data["task"], last.event.data["delivery_id"]) == ("b", "dlv_398")
    desk.dies("w")  # the time begins anew with each report
    desk.advance(EVERY_S - 1)
    await desk.rests()
    assert await desk.counts() == [1, 5, 999]
    desk.advance(1)
    await desk.until_told(4)
    assert await desk.counts() == [1, 5, 999, 1]
    await desk.stop()


async def test_a_report_that_no_rule_took_begins_no_quiet_time(store: SqliteStore) -> None:
    desk = Desk(store, ["hookd.delivery dead"], where='"b" in data.tasks')
    desk.dies("w", task="a")
    await desk.rests()
    desk.dies("w", task="b")
    await desk.until_told(1)
    await desk.stop()


async def test_a_clean_stop_reports_what_may_be_reported_by_then(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    desk.dies("w")
    await desk.until_told(1)
    desk.dies("w", 7)
    desk.dies("other", 2)
    desk.publisher.publish(MISSED)
    await desk.stop()
    assert sorted(await desk.names()) == ["dead other", "dead w", "missed schedules.nightly"]
    assert await desk.counts_of("dead") == [1, 2]


@pytest.mark.parametrize("killed", [False, True])
async def test_the_next_run_goes_on_with_rate_and_count(store: SqliteStore, killed: bool) -> None:
    desk = Desk(store, ALL)
    await desk.really_dies("w")
    await desk.until_told(1)
    await desk.really_dies("w", "evt_a", "evt_b", OWN_ID)
    await desk.really_dies("other", "evt_c")
    await desk.until_told(2)
    await (desk.killed() if killed else desk.stop())
    await desk.dies_untold("w", "evt_d")  # recorded by the run that was killed, which came no further
    desk.advance(EVERY_S / 2)
    after = Desk(store, ALL, clock=desk.clock)
    await after.really_dies("w", "evt_e")
    await after.really_dies("ops", "evt_f")  # no run before has reported any
    await after.until_told(3)
    after.advance(EVERY_S / 2 - 1)
    await after.rests()
    assert await after.counts_of("dead") == [1, 1, 1]
    after.advance(1)
    *_, last = await after.until_told(4)
    assert await after.names() == ["dead w", "dead other", "dead ops", "dead w"]
    told = {key: last.event.data[key] for key in ("count", "tasks", "event_id", "reason")}
    assert told == {"count": 4, "tasks": {"a-task": 4}, "event_id": "evt_e", "reason": "status"}
    await after.stop()


async def test_what_was_left_is_told_however_long_nothing_ran_and_once(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    await desk.really_dies("w")
    await desk.until_told(1)
    await desk.really_dies("w", "evt_a", "evt_b")
    await desk.killed()
    desk.advance(7 * 86_400)
    for _ in range(2):
        desk = Desk(store, ALL, clock=desk.clock)
        await desk.until_told(2)
        await desk.stop()
        desk.advance(86_400)
    *_, last = await desk.told()
    assert await desk.counts_of("dead") == [1, 2]
    told = {key: last.event.data[key] for key in ("event_id", "reason", "status", "attempts")}
    assert told == {"event_id": "evt_b", "reason": "status", "status": 503, "attempts": 1}


async def test_a_first_run_reports_no_history(store: SqliteStore) -> None:
    desk = Desk(store, [])
    await desk.really_dies("w", "evt_a", "evt_b")
    await desk.stop()
    after = Desk(store, ALL, clock=desk.clock)
    after.publisher.publish(MISSED)
    await after.until_told(1)
    await after.stop()
    assert await after.names() == ["missed schedules.nightly"]


async def test_a_dead_delivery_of_a_report_is_not_reported(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    desk.dies("ops", 50, event_id=OWN_ID)
    desk.dies("ops")
    await desk.until_told(1)
    await desk.stop()
    assert await desk.counts() == [1]


async def test_a_webhook_for_which_nothing_but_reports_waits_is_not_reported(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    await desk.parks("ops", OWN_ID)
    await desk.parks("mixed", OWN_ID[:-1] + "1", "evt_2")
    await desk.until_told(1)
    desk.publisher.publish(WebhookResumed("ops", "breaker"))
    desk.publisher.publish(WebhookResumed("mixed", "breaker"))
    await desk.until_told(2)
    await desk.stop()
    assert await desk.names() == ["parked mixed", "resumed mixed"]


async def test_another_reason_is_reported_and_the_end_once_the_beginning_was(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    await desk.parks("ops", "evt_1")
    await desk.until_told(1)
    page = await store.deliveries(DeliveryFilter(webhook="ops"), limit=9)
    for record in page.items:
        if record.event_id == "evt_1":
            await store.cancel(record.id, now=desk.clock.now())
    desk.publisher.publish(WebhookParked("ops", "disabled"))  # only its own report waits by now
    desk.publisher.publish(WebhookResumed("ops", "disabled"))
    told = await desk.until_told(3)
    assert [record.event.data["reason"] for record in told] == ["breaker", "disabled", "disabled"]
    desk.publisher.publish(WebhookParked("ops", "paused"))  # only reports wait
    desk.publisher.publish(WebhookParked("ops", "disabled"))
    desk.publisher.publish(WebhookResumed("ops", "disabled"))
    desk.publisher.publish(MISSED)
    await desk.until_told(4)
    await desk.stop()
    assert await desk.names() == ["parked ops", "parked ops", "resumed ops", "missed schedules.nightly"]


async def test_a_rule_on_resumed_alone_goes_round_for_ever_no_more(store: SqliteStore) -> None:
    desk = Desk(store, ["hookd.webhook resumed"])
    await desk.parks("ops", OWN_ID)
    desk.publisher.publish(WebhookResumed("ops", "breaker"))
    desk.publisher.publish(WebhookResumed("other", "paused"))
    await desk.until_told(1)
    await desk.stop()
    assert await desk.names() == ["resumed other"]


async def test_what_comes_to_wait_later_is_reported_then(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    await desk.parks("ops", OWN_ID)
    await desk.rests()
    desk.advance(10)
    await desk.rests()
    assert await desk.names() == []
    await store.enqueue([to("ops")], now=desk.clock.now(), limit=1_000_000)
    desk.advance(10)
    await desk.until_told(1)
    assert await desk.names() == ["parked ops"]
    desk.publisher.publish(WebhookResumed("ops", "breaker"))
    await desk.until_told(2)
    await desk.stop()


async def test_among_many_reports_that_wait_another_delivery_is_found(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    ids = [new_id(ID_PREFIX, now_ms=number, entropy=bytes(10)) for number in range(450)]
    await desk.parks("ops", "evt_ordinary", *ids)
    await desk.until_told(1)
    await desk.stop()


@pytest.mark.parametrize("refusal", [StoreUnavailable("no room"), PendingLimitReached("too many")])
async def test_while_the_store_refuses_facts_wait(
    store: SqliteStore, refusal: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.sources.operator_event_publisher.FIRST_RETRY_S", 0.01)
    desk = Desk(store, ALL)
    desk.publisher._pause_s = 0.01
    desk.intake.refusal = refusal
    desk.dies("w", 3)
    desk.publisher.publish(MISSED)
    async with asyncio.timeout(10):
        while desk.intake.asked < 3:
            await asyncio.sleep(0.005)
    desk.dies("w", 4, task="u")
    assert await desk.told() == []
    desk.intake.refusal = None
    found = {record.event.event: record.event.data for record in await desk.until_told(2)}
    assert (found["dead"]["count"], found["dead"]["tasks"]) == (7, {"u": 4, "t": 3})
    await desk.stop()


async def test_what_dies_while_the_store_refuses_is_counted_with_the_rest(store: SqliteStore) -> None:
    desk = Desk(store, ALL)
    desk.intake.refusal = StoreUnavailable("no room")
    desk.intake.goes_on.clear()
    desk.publisher._pause_s = 0.01
    desk.dies("w", 3)
    async with asyncio.timeout(10):
        while not desk.intake.asked:
            await asyncio.sleep(0.005)
    desk.dies("w", 4, task="u")
    desk.intake.goes_on.set()
    async with asyncio.timeout(10):
        while desk.intake.asked < 2:
            await asyncio.sleep(0.005)
    desk.intake.refusal = None
    [record] = await desk.until_told(1)
    assert (record.event.data["count"], record.event.data["tasks"]) == (7, {"u": 4, "t": 3})
    await desk.stop()


async def test_what_does_not_fit_is_told_in_the_log(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: Counter[str] = Counter()
    monkeypatch.setattr(
        "hookd.sources.operator_event_publisher.log.warning",
        lambda fact, **facts: lost.update([f"{fact} {facts['event']}"]),
    )
    desk = Desk(store, ALL)
    desk.intake.refusal = StoreUnavailable("no room")
    for _ in range(MOST_WAITING + 5):
        desk.publisher.publish(MISSED)
    assert lost == {"operator_event.dropped missed": 5}
    desk.dies("w", 3)
    await desk.stop()
    assert lost == {"operator_event.dropped missed": 5 + MOST_WAITING, "operator_event.dropped dead": 1}


async def test_a_store_that_fails_again_and_again_is_one_fact(store: SqliteStore) -> None:
    desk = Desk(store, [*ALL, "hookd.store recovered"])
    for _ in range(100):
        desk.publisher.publish(StoreRecovered("h.db", "disk full", 1.0))
    await desk.until_told(1)
    await desk.stop()
    assert await desk.names() == ["recovered h.db"]
