"""The scheduler over a real store and intake: what fires when, across restarts, reloads and steps of the clock."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hookd import __version__
from hookd.config.generation import CurrentConfig, Generation
from hookd.domain.clock import Clock, ClockStepDetector
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    Missed,
    ScheduleDef,
    Secret,
    SqliteDef,
    TaskDef,
    Timing,
    WebhookDef,
)
from hookd.domain.errors import StoreUnavailable
from hookd.domain.events import Event, Receipt, Submission
from hookd.domain.message_templates import Template
from hookd.domain.operator_events import OperatorEvent, ScheduleMissed
from hookd.domain.times import date_time
from hookd.intake.pipeline import Intake
from hookd.observability import log
from hookd.observability.metrics import Metrics
from hookd.sources.scheduler import (
    ALIVE_EVERY_S,
    AT_ONCE,
    RETRY_S,
    DueMoments,
    Scheduler,
    Watch,
    keyed_schedules,
    what_passed,
)
from hookd.store.contract import Store
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import watch
from tests.kit.loop_time import LoopClock
from tests.kit.waiting import until

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S

Said = Callable[[str], Awaitable[list[dict[str, Any]]]]


class SetClock(Clock):
    """A clock that stands still until it is set."""

    def __init__(self, now: float) -> None:
        self.wall = now
        self.mono = 0.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono


class NotedIntake(Intake):
    """The intake, with a note of what it was asked and answered; it refuses while `refusal` is set."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics) -> None:
        super().__init__(store, clock, metrics)
        self.receipts: list[Receipt] = []
        self.refusal: Exception | None = None
        self.before_firing: Callable[[ScheduleDef], None] = lambda _: None

    async def fire(
        self, schedule: ScheduleDef, moment: float, generation: Generation, *, key: str
    ) -> Receipt | None:
        self.before_firing(schedule)
        if self.refusal is not None:
            raise self.refusal
        receipt = await super().fire(schedule, moment, generation, key=key)
        if receipt is not None:
            self.receipts.append(receipt)
        return receipt


class Life:
    """One process's life of a scheduler."""

    def __init__(self, store: SqliteStore, clock: Clock, config: Config) -> None:
        metrics = Metrics(__version__)
        self.store, self.clock = store, clock
        self.current_config = CurrentConfig(Generation.of(config, number=1, now=clock.now()))
        self.intake = NotedIntake(store, clock, metrics)
        self.facts: list[OperatorEvent] = []
        steps = ClockStepDetector(now=clock.now(), mono=clock.monotonic())
        self.scheduler = Scheduler(
            store, self.intake, self.current_config, clock, clock_steps=steps, emit=self.facts.append
        )

    async def turn(self) -> float:
        return await self.scheduler._turn()

    def reload(self, config: Config) -> None:
        number = self.current_config.generation.number + 1
        self.current_config.swap(Generation.of(config, number=number, now=self.clock.now()))

    async def stop(self) -> None:
        """A clean stop."""
        running = asyncio.create_task(self.scheduler.run())
        await asyncio.sleep(0)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await self.store.close()

    async def die(self) -> None:
        """As if killed: nothing more is noted."""
        await self.store.close()

    @property
    def sent(self) -> list[str]:
        """The ids of the events that were stored, in order, with a mark where they made no delivery."""
        return [
            receipt.event_id if receipt.deliveries else f"{receipt.event_id} (none)"
            for receipt in self.intake.receipts
            if not receipt.duplicate
        ]

    @property
    def repeated(self) -> list[str]:
        return [receipt.event_id for receipt in self.intake.receipts if receipt.duplicate]


INLINE_MINUTE = "tasks.t~17345498"
"""Who `every: 1m` written on the task `t` is, in the ids of its moments."""


class World:
    """A store's place and a clock, for one life after another."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = SetClock(MIDNIGHT)
        self.lives: list[Life] = []

    async def life(self, *schedules: ScheduleDef, **fields: Any) -> Life:
        """Starts and deals with what is due."""
        life = await self.begin(config(*schedules, **fields))
        await life.turn()
        return life

    async def begin(self, config: Config, clock: Clock | None = None) -> Life:
        store = await SqliteStore.open(self.directory / "hookd.db")
        self.lives.append(Life(store, clock or self.clock, config))
        return self.lives[-1]

    def set(self, moment: float) -> None:
        """Set the clock, seconds after midnight."""
        self.clock.wall = MIDNIGHT + moment


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    for life in world.lives:
        await life.store.close()


@pytest.fixture
def said() -> Iterator[Said]:
    """The lines logged about a fact."""
    stream = io.StringIO()
    log.configure(level="debug", form="json", stream=stream)

    async def lines(fact: str) -> list[dict[str, Any]]:
        await asyncio.sleep(0)  # the lines of one turn of the loop are written at its end
        found = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [line for line in found if line["event"] == fact]

    yield lines
    log.configure(level="warning", form="json")


def every(every_s: float, place: str = "schedules.s", **fields: Any) -> ScheduleDef:
    return ScheduleDef(place, ("t",), Timing.EVERY, f"{every_s:g}s", "UTC", every_s=every_s, **fields)


def cron(expression: str, place: str = "schedules.s", **fields: Any) -> ScheduleDef:
    return ScheduleDef(place, ("t",), Timing.CRON, expression, "UTC", **fields)


def once_at(moment: float, place: str = "schedules.s", **fields: Any) -> ScheduleDef:
    at = MIDNIGHT + moment
    return ScheduleDef(place, ("t",), Timing.AT, date_time(at), "UTC", at=at, **fields)


def task(name: str, *triggers: ScheduleDef, enabled: bool = True) -> TaskDef:
    return TaskDef(name, "w", Template(("{}",)), triggers=triggers, enabled=enabled)


def config(*schedules: ScheduleDef, tasks: tuple[TaskDef, ...] = (task("t"),), pending: int = 1000) -> Config:
    return Config(
        path="/etc/hookd",
        hash="0",
        daemon=DaemonDef(listen=(), store=SqliteDef(""), pending=pending),
        webhooks={"w": WebhookDef("w", Secret("http://127.0.0.1:9/"))},
        tasks={one.name: one for one in tasks},
        schedules={one.place.removeprefix("schedules."): one for one in schedules},
    )


def ids(*moments: float, place: str = "schedules.s") -> list[str]:
    return [f"{place}@{date_time(MIDNIGHT + moment)}" for moment in moments]


class TestFiring:
    async def test_a_spent_task_is_fired_no_more(self, world: World) -> None:
        once = replace(task("t"), delete_after_running=True, digest="d")
        life = await world.begin(config(every(60), tasks=(once,)))
        for moment in (0, 60, 120, 180):
            world.set(moment)
            await life.turn()
        assert life.sent == ids(60)
        assert len((await life.store.events(limit=10)).items) == 1

    async def test_each_moment_once(self, world: World) -> None:
        life = await world.life(every(60))
        for second in range(0, 181, 5):
            world.set(second)
            await life.turn()
        assert life.sent == ids(60, 120, 180)
        assert life.repeated == []

    async def test_the_moments_of_one_wake_up_in_order(self, world: World) -> None:
        life = await world.life(every(1, "schedules.a"), every(2, "schedules.b"))
        world.set(4)
        await life.turn()
        assert [sent for sent in life.sent if ".a@" in sent] == ids(1, 2, 3, 4, place="schedules.a")
        assert [sent for sent in life.sent if ".b@" in sent] == ids(2, 4, place="schedules.b")

    async def test_it_naps_until_the_next_moment_and_at_most_a_second(self, world: World) -> None:
        life = await world.life(every(60))
        assert await life.turn() == 1.0
        world.set(59.75)
        assert await life.turn() == 0.25
        world.set(60)
        assert await life.turn() == 1.0
        assert life.sent == ids(60)

    async def test_several_tasks_of_which_one_is_disabled(self, world: World) -> None:
        schedule = replace(every(60), tasks=("a", "off", "b"))
        tasks = (task("a"), task("off", enabled=False), task("b"))
        life = await world.life(schedule, tasks=tasks)
        world.set(60)
        await life.turn()
        (receipt,) = life.intake.receipts
        assert [delivery.task for delivery in receipt.deliveries] == ["a", "b"]

    async def test_what_is_disabled_does_not_fire(self, world: World) -> None:
        off = every(60, "schedules.off", enabled=False)
        idle = replace(every(60, "schedules.idle"), tasks=("off",))
        life = await world.life(off, idle, tasks=(task("t"), task("off", enabled=False)))
        world.set(60)
        await life.turn()
        assert life.intake.receipts == []
        assert (await life.store.events(limit=10)).items == ()

    async def test_a_schedule_written_on_its_task(self, world: World) -> None:
        place = "tasks.t.triggers[0]"
        life = await world.life(tasks=(task("t", every(60, place)),))
        world.set(60)
        await life.turn()
        assert life.sent == ids(60, place=INLINE_MINUTE)

    async def test_two_alike_on_one_task_are_one(self, world: World) -> None:
        twins = (every(60, "tasks.t.triggers[0]"), every(60, "tasks.t.triggers[1]"))
        life = await world.life(tasks=(task("t", *twins),))
        world.set(60)
        await life.turn()
        assert life.sent == ids(60, place=INLINE_MINUTE)

    async def test_what_it_says(self, world: World, said: Said) -> None:
        life = await world.life(every(60))
        world.set(60)
        await life.turn()
        (line,) = await said("schedule.fired")
        assert (line["level"], line["schedule"], line["moment"], line["deliveries"]) == (
            "info",
            "schedules.s",
            "2026-03-01T00:01:00Z",
            1,
        )

    async def test_more_at_once_than_go_together(self, world: World) -> None:
        many = [every(60, f"schedules.{n}") for n in range(2 * AT_ONCE + 1)]
        life = await world.life(*many)
        world.set(60)
        await life.turn()
        assert len(life.sent) == len(set(life.sent)) == len(many)
        world.set(120)
        await life.turn()
        assert len(life.sent) == len(set(life.sent)) == 2 * len(many)

    async def test_an_event_of_that_id_and_another_content_is_left_alone(
        self, world: World, said: Said
    ) -> None:
        life = await world.life(every(60))
        (taken,) = ids(60)
        await life.store.enqueue(
            [Submission(Event(taken, digest=b"posted"), ())], now=world.clock.now(), limit=10
        )
        world.set(60)
        await life.turn()
        world.set(120)
        await life.turn()
        assert life.sent == ids(120)
        assert [line["event_id"] for line in await said("schedule.conflict")] == [taken]


class TestRestart:
    async def test_a_restart_repeats_nothing(self, world: World) -> None:
        first = await world.life(every(60))
        world.set(60)
        await first.turn()
        await first.stop()
        world.set(90)
        second = await world.life(every(60))
        assert (second.sent, second.repeated) == ([], [])
        world.set(120)
        await second.turn()
        assert second.sent == ids(120)

    async def test_a_crash_repeats_nothing(self, world: World, said: Said) -> None:
        first = await world.life(every(60))
        world.set(60)
        await first.turn()
        await first.die()
        world.set(90)
        second = await world.life(every(60))
        assert (second.sent, second.repeated) == ([], [])
        assert await said("schedule.missed") == []

    async def test_missed_moments_run_once(self, world: World, said: Said) -> None:
        first = await world.life(cron("0 * * * *"))
        await first.stop()
        world.set(5.5 * HOUR_S)
        second = await world.life(cron("0 * * * *"))
        assert second.sent == ids(5 * HOUR_S)
        world.set(6 * HOUR_S)
        await second.turn()
        assert second.sent == ids(5 * HOUR_S, 6 * HOUR_S)
        (line,) = await said("schedule.missed")
        assert (line["last"], line["missed"]) == ("2026-03-01T05:00:00Z", "once")
        assert second.facts == [ScheduleMissed("schedules.s", "2026-03-01T05:00:00Z", Missed.ONCE)]

    @pytest.mark.parametrize("missed", list(Missed))
    async def test_a_moment_that_ran_before_a_crash_is_not_told_as_missed(
        self, world: World, missed: Missed, said: Said
    ) -> None:
        schedule = every(6, missed=missed)
        first = await world.life(schedule)
        world.set(6)
        await first.turn()
        await first.die()
        world.set(8)
        second = await world.life(schedule)
        assert (first.sent, second.sent) == (ids(6), [])
        assert await said("schedule.missed") == []

    async def test_missed_moments_are_skipped(self, world: World, said: Said) -> None:
        hourly = cron("0 * * * *", missed=Missed.SKIP)
        first = await world.life(hourly)
        await first.stop()
        world.set(5.5 * HOUR_S)
        second = await world.life(hourly)
        assert second.sent == []
        world.set(6 * HOUR_S)
        await second.turn()
        assert second.sent == ids(6 * HOUR_S)
        assert [line["missed"] for line in await said("schedule.missed")] == ["skip"]

    async def test_a_moment_just_before_the_start_was_missed_too(self, world: World) -> None:
        schedules = (every(60, "schedules.s", missed=Missed.SKIP), every(60, "schedules.once"))
        await (await world.life(*schedules)).stop()
        world.set(61)
        second = await world.life(*schedules)
        assert second.sent == ids(60, place="schedules.once")

    async def test_a_year_of_seconds_missed_is_one_run(self, world: World) -> None:
        await (await world.life(every(1))).stop()
        world.set(YEAR_S)
        second = await world.life(every(1))
        assert second.sent == ids(YEAR_S)

    async def test_an_at_missed_while_down_runs(self, world: World) -> None:
        await (await world.life(once_at(60))).stop()
        world.set(DAY_S)
        second = await world.life(once_at(60))
        assert second.sent == ids(60)
        await second.stop()
        third = await world.life(once_at(60))
        assert (third.sent, third.repeated) == ([], [])

    async def test_missed_moments_wait_for_a_store_that_refuses(self, world: World) -> None:
        await (await world.life(cron("0 * * * *"))).stop()
        world.set(2.5 * HOUR_S)
        second = await world.begin(config(cron("0 * * * *")))
        second.intake.refusal = StoreUnavailable("no space left")
        await second.turn()
        await second.die()
        world.set(2.6 * HOUR_S)
        third = await world.life(cron("0 * * * *"))
        assert third.sent == ids(2 * HOUR_S)

    async def test_a_stop_at_a_moment_not_yet_fired_leaves_it_to_the_next_life(self, world: World) -> None:
        first = await world.life(every(60))
        first.intake.refusal = StoreUnavailable("no space left")
        world.set(60)
        await first.turn()
        world.set(65)
        await first.stop()
        second = await world.life(every(60))
        assert second.sent == ids(60)

    async def test_what_is_alive_is_noted_now_and_then(self, world: World) -> None:
        life = await world.life(every(HOUR_S))
        (key,) = keyed_schedules([every(HOUR_S)])
        for wall, mono, noted in (
            (1000.0, ALIVE_EVERY_S - 1, 0.0),  # it counts by the monotonic clock
            (1010.0, ALIVE_EVERY_S, 1010.0),
            (1020.0, ALIVE_EVERY_S + 1, 1010.0),
        ):
            world.set(wall)
            world.clock.mono = mono
            await life.turn()
            dealt = await watch(life.store, key, now=world.clock.now(), generation="0")
            assert dealt == {key: MIDNIGHT + noted}

    async def test_without_schedules_nothing_is_noted(self, world: World) -> None:
        first = await world.life()
        assert await first.turn() > 1
        await first.stop()
        second = await world.life()
        await watch(second.store, "x", now=MIDNIGHT - DAY_S)
        assert await watch(second.store, "x", now=MIDNIGHT) == {"x": MIDNIGHT - DAY_S}


class TestReload:
    async def test_a_schedule_keeps_how_far_it_is(self, world: World) -> None:
        life = await world.life(every(60))
        world.set(60)
        life.reload(config(every(60, description="before it fired")))
        await life.turn()
        assert life.sent == ids(60)
        life.reload(config(every(60, description="after it fired")))
        await life.turn()
        assert (life.sent, life.repeated) == (ids(60), [])
        world.set(120)
        await life.turn()
        assert life.sent == ids(60, 120)

    async def test_the_new_definition_counts(self, world: World) -> None:
        life = await world.life(every(60), tasks=(task("t"), task("u")))
        life.reload(config(replace(every(60), tasks=("u",)), tasks=(task("u"),)))
        world.set(60)
        await life.turn()
        (receipt,) = life.intake.receipts
        assert [delivery.task for delivery in receipt.deliveries] == ["u"]

    async def test_a_trigger_before_it_on_its_task_changes_nothing(self, world: World) -> None:
        life = await world.life(tasks=(task("t", every(60, "tasks.t.triggers[0]")),))
        world.set(60)
        await life.turn()
        two = (every(HOUR_S, "tasks.t.triggers[0]"), every(60, "tasks.t.triggers[1]"))
        life.reload(config(tasks=(task("t", *two),)))
        await life.turn()
        assert life.sent == ids(60, place=INLINE_MINUTE)
        world.set(121)
        life.reload(
            config(
                tasks=(
                    task(
                        "t",
                        once_at(0, "tasks.t.triggers[0]"),
                        *(
                            replace(one, place=f"tasks.t.triggers[{number}]")
                            for number, one in enumerate(two, 1)
                        ),
                    ),
                )
            )
        )
        await life.turn()
        assert life.sent[1:] == ids(120, place=INLINE_MINUTE)

    async def test_a_new_or_retimed_one_does_not_fire_the_past(self, world: World) -> None:
        life = await world.life(cron("0 0 * * *"))
        world.set(90)
        life.reload(config(cron("1 0 * * *"), every(60, "schedules.new"), once_at(60, "schedules.at")))
        await life.turn()
        assert life.intake.receipts == []
        world.set(120)
        await life.turn()
        assert life.sent == ids(120, place="schedules.new")

    async def test_a_new_one_begins_when_its_generation_came_into_force(self, world: World) -> None:
        life = await world.life()
        world.set(59)
        life.reload(config(every(60)))
        world.set(61)
        await life.turn()
        assert life.sent == ids(60)

    async def test_what_left_does_not_fire_and_begins_anew(self, world: World) -> None:
        life = await world.life(every(60))
        life.reload(config(every(60, enabled=False)))
        world.set(60)
        await life.turn()
        life.reload(config(every(60)))
        world.set(90)
        await life.turn()
        assert life.intake.receipts == []
        world.set(120)
        await life.turn()
        assert life.sent == ids(120)

    async def test_a_swap_between_firings(self, world: World) -> None:
        many = [every(60, f"schedules.{n:04}") for n in range(AT_ONCE + 50)]
        kept = many[:: len(many) - 1]
        life = await world.life(*many)

        def swap(schedule: ScheduleDef) -> None:
            if schedule is many[0]:
                life.reload(config(*kept))

        life.intake.before_firing = swap
        world.set(60)
        await life.turn()
        assert len(life.sent) == AT_ONCE
        await life.turn()
        assert len(life.sent) == AT_ONCE + 1
        assert life.sent[-1] == ids(60, place=kept[-1].place)[0]

    async def test_at_in_the_past_never_fires_and_in_the_future_once(self, world: World) -> None:
        world.set(100)
        life = await world.life(once_at(99, "schedules.past"), once_at(160))
        for moment in (100, 159, 160, 161, HOUR_S):
            world.set(moment)
            await life.turn()
        assert life.sent == ids(160)


class TestClock:
    @pytest.mark.parametrize("forward_s", [HOUR_S, YEAR_S + HOUR_S])
    async def test_set_forward_is_one_late_run_and_that_of_now(self, world: World, forward_s: float) -> None:
        life = await world.life(every(1), cron("0 0 * * *", "schedules.daily"))
        world.set(forward_s)
        await life.turn()
        recent = [forward_s - 1, forward_s]
        assert [sent for sent in life.sent if ".s@" in sent] == ids(*recent)
        daily = [sent for sent in life.sent if ".daily@" in sent]
        assert daily == (ids(YEAR_S, place="schedules.daily") if forward_s > YEAR_S else [])

    async def test_set_forward_skips_the_late_ones(self, world: World) -> None:
        life = await world.life(every(60, missed=Missed.SKIP))
        world.set(HOUR_S + 11)
        await life.turn()
        assert life.intake.receipts == []
        for moment in (HOUR_S + 20, HOUR_S + 29, HOUR_S + 38, HOUR_S + 47, HOUR_S + 56, HOUR_S + 65):
            world.set(moment)
            await life.turn()
        assert life.sent == ids(HOUR_S + 60)

    @pytest.mark.parametrize("missed", list(Missed))
    async def test_frozen_is_as_good_as_down(self, world: World, missed: Missed) -> None:
        life = await world.life(every(1, missed=missed))
        for moment in (1, 2, 22.5):
            world.set(moment)
            await life.turn()
        late = (21,) if missed is Missed.ONCE else ()
        assert life.sent == ids(1, 2, *late, 22)

    async def test_set_back_what_the_clock_showed_before_it_was_noticed_is_not_lost(
        self, world: World
    ) -> None:
        life = await world.life(every(60))
        world.set(HOUR_S)
        await life.turn()
        world.set(180.4)  # it was set to 179.6, 0.8 s ago
        world.clock.mono += 0.8
        await life.turn()
        assert life.sent[-1:] == ids(180)

    @pytest.mark.parametrize("back_s", [HOUR_S, YEAR_S])
    async def test_set_back_repeats_nothing_and_stops_nothing(
        self, world: World, back_s: float, said: Said
    ) -> None:
        life = await world.life(every(60))
        world.set(back_s)
        await life.turn()
        world.set(60)
        await life.turn()
        before = list(life.sent)
        for moment in (120, 180):
            world.set(moment)
            await life.turn()
        assert life.sent == [*before, *ids(120, 180)]
        assert life.repeated == []
        assert [line["by_s"] for line in await said("clock.set_back")] == [back_s - 60]

    async def test_set_back_is_noted_at_once(self, world: World) -> None:
        life = await world.life(every(60))
        world.set(DAY_S)
        world.clock.mono = ALIVE_EVERY_S
        await life.turn()
        world.set(90)
        await life.turn()
        await life.die()
        world.set(130)
        second = await world.life(every(60))
        assert second.sent == ids(120)

    async def test_set_back_loses_nothing_that_waits(self, world: World) -> None:
        life = await world.life(every(60))
        life.intake.refusal = StoreUnavailable("no space left")
        world.set(69)
        await life.turn()
        world.set(65)
        await life.turn()
        life.intake.refusal = None
        await life.turn()
        assert life.sent == ids(60)

    async def test_moments_that_come_again_are_duplicates(self, world: World) -> None:
        life = await world.life(every(60))
        for moment in (60, 120, 50, 60, 120, 180):
            world.set(moment)
            await life.turn()
        assert life.sent == ids(60, 120, 180)
        assert life.repeated == ids(60, 120)

    async def test_a_slow_drift_back_is_no_step_until_it_adds_up(self, world: World, said: Said) -> None:
        life = await world.life(every(60))
        world.set(60)
        await life.turn()
        for moment in (59.5, 59.2):
            world.set(moment)
            await life.turn()
        assert await said("clock.set_back") == []
        world.set(58.9)
        await life.turn()
        assert len(await said("clock.set_back")) == 1
        world.set(60)
        await life.turn()
        assert life.sent == life.repeated == ids(60)

    async def test_a_store_that_was_in_the_future_holds_nothing_up(self, world: World) -> None:
        world.set(YEAR_S)
        await (await world.life(every(60))).stop()
        world.set(0)
        second = await world.life(every(60))
        assert second.intake.receipts == []
        world.set(60)
        await second.turn()
        assert second.sent == ids(60)

    @pytest.mark.parametrize("missed", Missed)
    async def test_set_back_before_the_first_turn(self, world: World, missed: Missed) -> None:
        world.set(YEAR_S)
        life = await world.begin(config(every(60, missed=missed)))
        world.set(0)
        await life.turn()
        world.set(60)
        await life.turn()
        assert life.sent == ids(60)


class TestRefusal:
    async def test_a_short_one_loses_nothing(self, world: World, said: Said) -> None:
        life = await world.life(every(1))
        life.intake.refusal = StoreUnavailable("no space left")
        for moment in (1, 2, 3):
            world.set(moment)
            assert await life.turn() == RETRY_S
        assert str(life.scheduler.fault()).endswith(": no space left")
        life.intake.refusal = None
        world.set(4)
        await life.turn()
        assert life.scheduler.fault() is None
        assert life.sent == ids(1, 2, 3, 4)
        assert [line["error"] for line in await said("schedule.delayed")] == ["no space left"]
        assert len(await said("schedule.recovered")) == 1

    @pytest.mark.parametrize(("missed", "sent"), [(Missed.ONCE, ids(110, 120)), (Missed.SKIP, ids(120))])
    async def test_a_long_one_makes_moments_late(
        self, world: World, missed: Missed, sent: list[str], said: Said
    ) -> None:
        life = await world.life(every(10, missed=missed))
        life.intake.refusal = StoreUnavailable("no space left")
        for moment in (10, 11, 60, 119):
            world.set(moment)
            await life.turn()
        life.intake.refusal = None
        world.set(120.5)
        await life.turn()
        assert life.sent == sent
        lasts = [line["last"][-9:] for line in await said("schedule.missed")]
        assert lasts == (["00:01:50Z"] if missed is Missed.ONCE else ["00:00:50Z", "00:01:50Z"])

    async def test_of_more_than_go_together(self, world: World) -> None:
        many = [every(60, f"schedules.{n}") for n in range(2 * AT_ONCE + 1)]
        life = await world.life(*many)
        life.intake.refusal = StoreUnavailable("no space left")
        world.set(60)
        await life.turn()
        life.intake.refusal = None
        await life.turn()
        assert len(life.sent) == len(many)

    async def test_in_the_midst_of_a_schedules_moments(self, world: World, said: Said) -> None:
        life = await world.life(every(1))

        def refuse_the_third(_: ScheduleDef) -> None:
            full = len(life.intake.receipts) == 2
            life.intake.refusal = StoreUnavailable("no space left") if full else None

        life.intake.before_firing = refuse_the_third
        world.set(4)
        await life.turn()
        assert life.sent == ids(1, 2)
        life.intake.before_firing = lambda _: None
        life.intake.refusal = None
        world.set(14)
        await life.turn()
        assert life.sent == ids(1, 2, *range(4, 15))
        assert life.repeated == []
        (line,) = await said("schedule.missed")
        assert line["last"] == "2026-03-01T00:00:04Z"

    async def test_the_pending_limit(self, world: World) -> None:
        life = await world.life(every(60, "schedules.a"), every(60, "schedules.b"), pending=1)
        world.set(60)
        assert await life.turn() == RETRY_S
        assert len(life.sent) == 1
        life.reload(config(every(60, "schedules.a"), every(60, "schedules.b"), pending=2))
        world.set(61)
        await life.turn()
        assert sorted(life.sent) == ids(60, place="schedules.a") + ids(60, place="schedules.b")

    async def test_a_store_that_cannot_watch(self, world: World, said: Said) -> None:
        life = await world.begin(config(every(60)))
        await life.store.close()
        assert await life.turn() == RETRY_S
        assert await life.turn() == RETRY_S
        assert len(await said("schedule.delayed")) == 1


class TestRunning:
    async def test_it_fires_as_time_goes_by_and_wakes_on_a_swap(self, world: World) -> None:
        clock = LoopClock()
        life = await world.begin(config(), clock)
        running = asyncio.create_task(life.scheduler.run())
        await until(lambda: life.scheduler._adopted)
        life.reload(config(every(1)))
        for count in (1, 2):
            await until(lambda: life.scheduler._queue)
            clock.advance(1)
            await until(lambda count=count: len(life.sent) >= count)  # type: ignore[misc]  # bound here
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        first, second = (datetime.fromisoformat(sent.partition("@")[2]) for sent in life.sent[:2])
        assert (second - first).total_seconds() == 1

    async def test_a_stop_says_how_far_it_came(self, world: World) -> None:
        life = await world.life(every(HOUR_S))
        world.set(50)
        await life.stop()
        store = await SqliteStore.open(world.directory / "hookd.db")
        (key,) = keyed_schedules([every(HOUR_S)])
        assert await watch(store, key, now=MIDNIGHT + 99) == {key: MIDNIGHT + 50}
        await store.close()


def test_no_moment_is_missed_before_it_came() -> None:
    assert what_passed(Watch(every(1), "s", 0.0, 1.0), 5.0, late_until=100.0) == DueMoments(5.0, (), 6.0)


def test_keys_tell_schedules_by_place_and_timing() -> None:
    base = cron("0 3 * * *")
    others = [
        cron("0 4 * * *"),
        cron("0 3 * * *", "schedules.other"),
        replace(base, timezone="Asia/Tokyo"),
        replace(base, starts_at=0.0),
        replace(base, ends_at=0.0),
        cron("0 3 * * *", "tasks.s.triggers[0]"),
        cron("0 3 * * *", "tasks.s.triggers[0].triggers[0]"),
    ]
    assert len({key for one in (base, *others) for key in keyed_schedules([one])}) == 8
    same = [
        replace(base, description="x", missed=Missed.SKIP, tasks=("u",)),
        replace(base, enabled=True),
    ]
    assert all(keyed_schedules([one]).keys() == keyed_schedules([base]).keys() for one in same)


def test_schedules_of_a_task_that_are_timed_alike_are_counted() -> None:
    twins = [cron("0 3 * * *", f"tasks.t.triggers[{n}]") for n in range(3)]
    keyed = keyed_schedules(twins)
    assert list(keyed.values()) == twins
    assert keyed_schedules([cron("* * * * *", "tasks.t.triggers[0]"), *twins]).keys() > keyed.keys()
