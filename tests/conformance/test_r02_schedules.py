"""R2: a task is also activated by a schedule: when, how often, and whatever clocks and operators do.

What counts is what a receiver got. Each scene has a daemon; all but the first have a wall clock that is set by hand.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from tests.conformance.scenes import Playing, Scene, title
from tests.kit.stage import Stage
from tests.kit.waiting import until
from tests.kit.wall_clock import TimedStage

BERLIN = ZoneInfo("Europe/Berlin")

Run = tuple[str, str, str]
"""What one request is about: the task, the rule that fired it, the moment (RFC 3339, UTC)."""


async def runs(stage: Stage, *, killed: bool = False) -> list[Run]:
    """What the receiver got, each request as a run, in the order of their moments; all that the history knows came.

    Args:
        stage: its daemon runs.
        killed: the daemon was killed: what it had not recorded by then may have come again, under the same id.
    """

    async def all_that_came() -> tuple[list[str], ...]:
        listed = (await stage.daemon.get("/v1/deliveries?limit=500"))["deliveries"]
        ids = [request.id for request in stage.receiver.requests]
        ids = list(dict.fromkeys(ids)) if killed else ids
        return (ids,) if sorted(ids) == sorted(each["id"] for each in listed) else ()

    (ids,) = await until(all_that_came)  # each came, and came once; one may be made while we look
    return sorted([await run(stage, delivery_id) for delivery_id in ids], key=lambda run: (run[2], run))


async def run(stage: Stage, delivery_id: str) -> Run:
    """What history tells of a delivery: its schedule and moment."""
    delivery = await stage.daemon.get(f"/v1/deliveries/{delivery_id}")
    cause = delivery["cause"]
    event = await stage.daemon.get(f"/v1/events/{quote(cause['event_id'], safe='')}")
    assert cause == {"kind": "schedule", "event_id": event["id"], "rule": cause["rule"]}
    assert (event["kind"], event["object"], event["data"]) == ("schedule", None, {})
    return delivery["task"], cause["rule"], event["time"]


async def came(stage: Stage, count: int) -> None:
    """Wait until the requests of so many deliveries have come and their answers are recorded.

    So no step of the clock comes between an answer and its record.
    """
    await stage.receiver.until(lambda: len({r.id for r in stage.receiver.requests}) >= count, within_s=60)
    await stage.daemon.get_when(
        "/v1/deliveries?state=sending", lambda found: not found["deliveries"], within_s=60
    )


async def reload(stage: Stage) -> None:
    ran = await stage.hookd("reload")
    assert ran.code == 0, ran.err


# By the machine's own clock.

EVERY_SECOND = """
webhooks:
  every: {url: RECEIVER/every}
  soon: {url: RECEIVER/soon}
  quiet: {url: RECEIVER/quiet}
tasks:
  tick: {webhook: every, description: NOTE}
  soon: {webhook: soon, message: {"task": "${TASK}", "name": "${NAME}"}}
  quiet: {webhook: quiet}
  resting: {webhook: quiet, enabled: false}
schedules:
  every second: {every: 1s, task: [tick, resting]}
  soon: {at: "SOON", task: soon}
  past: {at: "2020-01-01T00:00:00Z", task: quiet}
  disabled: {every: 1s, task: quiet, enabled: false}
"""


async def every_second_through_reloads_a_crash_and_a_restart(directory: Path) -> None:
    async with Stage(directory) as stage:
        stage.write(EVERY_SECOND, NOTE="one", SOON="2020-01-01T00:00:00Z")
        await stage.start()
        await more(stage, 1)
        # Far enough ahead for a busy machine to have it loaded by then: one that is past when it is loaded never fires.
        soon = (datetime.now(UTC) + timedelta(seconds=8)).isoformat(timespec="milliseconds")
        for note in ("two", "three"):
            stage.write(EVERY_SECOND, NOTE=note, SOON=soon)
            await reload(stage)
            await more(stage, 1)
        await stage.arrivals("/soon", 1)
        await more(stage, 1)
        await stage.kill()
        ends = [datetime.now(UTC)]
        await stage.start()
        await more(stage, 2)
        await stage.stop()
        ends.append(datetime.now(UTC))
        await stage.start()
        await more(stage, 2)
        found = await runs(stage, killed=True)
        assert json.loads(stage.receiver.at("/soon")[0].body) == {"task": "soon", "name": "soon"}

    assert [each for each in found if each[0] != "tick"] == [("soon", "schedules.soon", as_told(soon))]
    ticks = [datetime.fromisoformat(moment) for task, _, moment in found if task == "tick"]
    assert {each[1] for each in found if each[0] == "tick"} == {"schedules.every second"}
    assert ticks == sorted(ticks)
    for start, end in pairwise([datetime.min.replace(tzinfo=UTC), *ends, datetime.now(UTC)]):
        run = [tick for tick in ticks if start < tick <= end]
        assert {later - earlier for earlier, later in pairwise(run)} == {timedelta(seconds=1)}, ticks


def as_told(moment: str) -> str:
    """As history tells a moment: in UTC, without a fraction that is none."""
    text = moment.replace("+00:00", "")
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"


def ticked(stage: Stage) -> int:
    """How many ticks came; what a kill cut off comes again under the same id."""
    return len({request.id for request in stage.receiver.at("/every")})


async def more(stage: Stage, count: int) -> None:
    """Wait for so many further ticks."""
    wanted = ticked(stage) + count
    await until(lambda: ticked(stage) >= wanted)


# By a clock that is set.

HOURLY = """
webhooks: {w: {url: RECEIVER/w}}
tasks: {t: {webhook: w, message: {"text": "NOTE"}}}
schedules: {hourly: {cron: "EXPRESSION", timezone: UTC, task: t}}
"""


def hourly(*moments: str) -> list[Run]:
    return [("t", "schedules.hourly", moment) for moment in moments]


async def a_moment_comes_once_whatever_the_operator_does_in_its_second(directory: Path) -> None:
    async with TimedStage(directory) as stage:
        stage.write(HOURLY, EXPRESSION="0 * * * *", NOTE="first")
        await stage.start()
        stage.clock.set("2026-06-01T12:00:00Z", before_s=0.9)
        await stage.arrivals("/w", 1)
        await stage.kill()
        await stage.start()
        stage.clock.set(
            "2026-06-01T13:00:00Z", before_s=0.8
        )  # comes while a reload waits for its second look
        stage.write(HOURLY, EXPRESSION="0 * * * *", NOTE="other")
        await reload(stage)
        await came(stage, 2)
        stage.clock.set(
            "2026-06-01T13:00:00Z", before_s=-0.1
        )  # still the very second, for a new way to write it
        stage.write(HOURLY, EXPRESSION="0 9-17 * * 1-5", NOTE="third")
        await reload(stage)
        await stage.stop()
        stage.clock.set("2026-06-01T13:00:00Z", before_s=-0.1)
        await stage.start()
        stage.clock.set("2026-06-01T14:00:00Z", before_s=0.9)
        await came(stage, 3)
        found = await runs(stage, killed=True)
        bodies = [json.loads(request.body)["text"] for request in stage.receiver.requests]
    assert found == hourly(*(f"2026-06-01T{hour}:00:00Z" for hour in (12, 13, 14)))
    assert (bodies[0], bodies[-1]) == ("first", "third"), "each by the configuration in force"


async def a_moment_comes_once_though_the_clock_is_set_by_an_hour(directory: Path) -> None:
    twelve, one = "2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z"
    async with TimedStage(directory) as stage:
        stage.write(HOURLY, EXPRESSION="0 * * * *", NOTE="x")
        await stage.start()
        for count, moment in enumerate((twelve, one), start=1):
            stage.clock.set(moment, before_s=0.9)
            await came(stage, count)
        stage.clock.set(twelve, before_s=1.2)  # an hour back: twelve comes again
        await stage.said("clock.set_back", 1)
        await stage.said("schedule.fired", 2, moment=twelve)
        stage.clock.set(
            "2026-06-01T13:30:00Z"
        )  # and forward: one would have been missed, had it not come before
        await stage.said("schedule.fired", 2, moment=one)
        await stage.stop()
        stage.clock.set("2026-06-01T11:30:00Z")  # back while it is down: both come again
        await stage.start()
        stage.clock.set(twelve, before_s=0.9)
        await stage.said("schedule.fired", 3, moment=twelve)
        stage.clock.set("2026-06-01T14:00:00Z", before_s=0.9)
        await came(stage, 3)
        found = await runs(stage)
    assert found == hourly(*(f"2026-06-01T{hour}:00:00Z" for hour in (12, 13, 14)))


async def a_moment_comes_once_though_the_clock_is_set_by_a_year(directory: Path) -> None:
    async with TimedStage(directory) as stage:
        stage.write(HOURLY, EXPRESSION="0 * * * *", NOTE="x")
        await stage.start()
        stage.clock.set("2026-06-01T12:00:00Z", before_s=0.9)
        await came(stage, 1)
        stage.clock.set("2027-06-01T12:30:00Z")  # a year forward: one run for all its moments
        await came(stage, 2)
        stage.clock.set("2026-06-01T13:00:00Z", before_s=1.2)  # and back
        await stage.said("clock.set_back", 1)
        await came(stage, 3)
        stage.clock.set("2025-06-01T13:30:00Z")  # a year back
        await stage.said("clock.set_back", 2)
        stage.clock.set(
            "2026-06-01T14:00:00Z", before_s=0.9
        )  # and forward: the last of that year's has come before
        await came(stage, 4)
        found = await runs(stage)
    here = [f"2026-06-01T{hour}:00:00Z" for hour in (12, 13, 14)]
    assert found == hourly(*here, "2027-06-01T12:00:00Z")


MISSED = """
webhooks: {w: {url: RECEIVER/w}}
tasks:
  first: {webhook: w}
  second: {webhook: w}
  skips: {webhook: w}
  own: {webhook: w, triggers: [{type: vm, event: x}, {every: 10m}]}
  window: {webhook: w}
  date: {webhook: w}
  resting: {webhook: w, enabled: false}
  quiet: {webhook: w}
schedules:
  once: {cron: "*/10 * * * *", task: [first, second]}
  skip: {every: 10m, missed: skip, task: [skips, resting]}
  window: {every: 10m, from: 2026-06-01T12:05:00, until: 2026-06-01T14:15:00, task: window}
  date: {at: 2026-06-01T13:00:00, task: date}
  date, skipped: {at: 2026-06-01T13:00:00, missed: skip, task: quiet}
  past: {at: 2026-06-01T11:00:00, task: quiet}
  over: {every: 1m, until: 2026-05-31, task: quiet}
  later: {every: 1m, from: 2026-06-02, task: quiet}
  not enabled: {every: 1m, enabled: false, task: quiet}
"""
UTC_DAEMON = (
    "daemon: {listen: [{unix: h.sock}], store: h.db, timezone: UTC, log: {format: json, level: debug}}\n"
)


def at(time: str, *, window: str = "") -> list[Run]:
    """The runs of a moment at which all that is due every ten minutes came; `skips` where nothing was missed."""
    moment = f"2026-06-01T{time}:00Z"
    found = [
        ("first", "schedules.once", moment),
        ("own", "tasks.own.triggers[1]", moment),
        ("second", "schedules.once", moment),
        ("skips", "schedules.skip", moment),
    ]
    return found + ([("window", "schedules.window", f"2026-06-01T{window}:00Z")] if window else [])


def missed(time: str, *, window: str = "") -> list[Run]:
    return [each for each in at(time, window=window) if each[0] != "skips"]


async def moments_that_were_missed_and_windows(directory: Path) -> None:
    async with TimedStage(directory) as stage:
        stage.write(MISSED, daemon=UTC_DAEMON)
        await stage.start()
        stage.clock.set("2026-06-01T12:00:00Z", before_s=0.9)
        await came(stage, 4)
        await stage.stop()
        stage.clock.set("2026-06-01T14:06:00Z")  # two hours down
        await stage.start()
        await came(stage, 4 + 5)
        stage.clock.set("2026-06-01T14:10:00Z", before_s=0.9)
        await came(stage, 9 + 4)
        stage.clock.set("2026-06-01T14:15:00Z", before_s=0.9)  # the end of the window is in it
        await came(stage, 13 + 1)
        await stage.kill()
        stage.clock.set("2026-06-01T14:59:00Z")
        await stage.start()
        await came(stage, 14 + 3)
        stage.clock.set("2026-06-01T15:00:00Z", before_s=0.9)
        await came(stage, 17 + 4)
        found = await runs(stage, killed=True)
        told = {line["schedule"]: line for line in stage.log if line["event"] == "schedule.missed"}
    assert found == sorted(
        [
            *at("12:00"),
            *missed("14:00", window="14:05"),
            ("date", "schedules.date", "2026-06-01T13:00:00Z"),
            *at("14:10"),
            ("window", "schedules.window", "2026-06-01T14:15:00Z"),
            *missed("14:50"),
            *at("15:00"),
        ],
        key=lambda run: (run[2], run),
    )
    assert told.keys() == {
        *("schedules.once", "schedules.skip", "tasks.own.triggers[1]"),
        *("schedules.window", "schedules.date", "schedules.date, skipped"),
    }
    assert (told["schedules.skip"]["missed"], told["schedules.once"]["missed"]) == ("skip", "once")


# Daylight saving: the clocks of Berlin go from 02:00 +01:00 to 03:00 +02:00 on 2026-03-29, and back on 2026-10-25.

SAVING = """
webhooks: {w: {url: RECEIVER/w}}
tasks:
  half past two: {webhook: w}
  three: {webhook: w, triggers: [{cron: "0 3 * * *"}]}
  every half past: {webhook: w}
  within two: {webhook: w}
  far away: {webhook: w}
schedules:
  half past two: {cron: "30 2 * * *", task: half past two}
  every half past: {cron: "30 * * * *", task: every half past}
  within two: {cron: "*/30 2 * * *", task: within two}
  far away: {cron: "30 2 * * *", timezone: Asia/Tokyo, task: far away}
"""
BERLIN_DAEMON = UTC_DAEMON.replace("UTC", "Europe/Berlin")


async def follow(stage: TimedStage, until: str) -> list[tuple[str, str]]:
    """Let the clock show every moment that `hookd schedules` foretells up to one; the runs as `(task, moment)`.

    They must be just those foretold. The moments in Berlin's time.
    """
    stage.write(SAVING, daemon=BERLIN_DAEMON)
    await stage.start()
    ran = await stage.hookd("schedules", "--json", "--next", "6")
    foretold = sorted(
        (datetime.fromisoformat(moment), task)
        for schedule in json.loads(ran.out)
        for moment in schedule["next"]
        for task in schedule["tasks"]
        if datetime.fromisoformat(moment) <= datetime.fromisoformat(until)
    )
    for moment in sorted({moment for moment, _ in foretold}):
        stage.clock.set(moment.timestamp(), before_s=0.9)
        await came(stage, sum(each <= moment for each, _ in foretold))
    found = [(datetime.fromisoformat(moment), task) for task, _, moment in await runs(stage)]
    assert sorted(found) == foretold
    return [(task, moment.astimezone(BERLIN).strftime("%d %H:%M%z")) for moment, task in sorted(found)]


async def the_hour_that_is_skipped(directory: Path) -> None:
    async with TimedStage(directory, starts="2026-03-29T01:50:00+01:00") as stage:
        assert await follow(stage, "2026-03-29T04:30:00+02:00") == [
            ("half past two", "29 03:00+0200"),
            ("three", "29 03:00+0200"),
            ("every half past", "29 03:30+0200"),
            ("every half past", "29 04:30+0200"),
        ]


async def the_hour_that_comes_twice(directory: Path) -> None:
    async with TimedStage(directory, starts="2026-10-25T01:50:00+02:00") as stage:
        assert await follow(stage, "2026-10-25T03:30:00+01:00") == [
            ("within two", "25 02:00+0200"),
            ("every half past", "25 02:30+0200"),
            ("half past two", "25 02:30+0200"),
            ("within two", "25 02:30+0200"),
            ("within two", "25 02:00+0100"),
            ("every half past", "25 02:30+0100"),
            ("within two", "25 02:30+0100"),
            ("three", "25 03:00+0100"),
            ("every half past", "25 03:30+0100"),
        ]


SCENES: Sequence[Scene] = (
    every_second_through_reloads_a_crash_and_a_restart,
    a_moment_comes_once_whatever_the_operator_does_in_its_second,
    a_moment_comes_once_though_the_clock_is_set_by_an_hour,
    a_moment_comes_once_though_the_clock_is_set_by_a_year,
    moments_that_were_missed_and_windows,
    the_hour_that_is_skipped,
    the_hour_that_comes_twice,
)


@pytest.mark.tools
@pytest.mark.parametrize("scene", SCENES, ids=title)
async def test_r02(scene: Scene, playing: Playing) -> None:
    await playing[scene]


async def test_r02_the_check_warns_of_schedules_that_never_fire(stage: Stage) -> None:
    found = await stage.findings("""webhooks: {w: {url: RECEIVER/w}}
tasks:
  t: {webhook: w, triggers: [{at: 2020-01-01T00:00:00}]}
schedules:
  past: {at: "2020-01-01T00:00:00+02:00", task: t}
  over: {every: 1h, until: 2020-12-31, task: t}
  never: {cron: "0 0 30 2 *", task: t}
  disabled: {at: 2020-01-01T00:00:00, task: t, enabled: false}
  good: {at: 2999-01-01T00:00:00, task: t}
""")
    assert [(each["severity"], each["line"], each["where"], each["message"]) for each in found] == [
        (
            "warning",
            3,
            "tasks.t.triggers[0].at",
            "never fires: it is in the past; remove it, or correct the date",
        ),
        ("warning", 5, "schedules.past.at", "never fires: it is in the past; remove it, or correct the date"),
        (
            "warning",
            6,
            "schedules.over.until",
            "never fires: its window is over; remove it, or correct the date",
        ),
        (
            "warning",
            7,
            "schedules.never.cron",
            "never fires: no date satisfies it; remove it, or correct the day or the month",
        ),
    ]


async def test_r02_a_schedule_that_makes_no_sense_is_refused(stage: Stage) -> None:
    found: list[dict[str, Any]] = await stage.findings("""webhooks: {w: {url: RECEIVER/w}}
tasks: {t: {webhook: w}}
schedules:
  nothing: {task: t}
  two: {every: 1h, cron: "0 * * * *", task: t}
  fields: {cron: "0 25 * * *", task: t}
  fast: {every: 999ms, task: t}
  zone: {every: 1h, timezone: Europe/Berln, task: t}
  window: {every: 1h, from: 2026-02-01, until: 2026-01-31, task: t}
  nobody: {every: 1h, task: tt}
  date: {at: 2026-02-30T00:00:00, task: t}
""")
    assert [each["severity"] for each in found] == ["error"] * 8
    assert [each["line"] for each in found] == [4, 5, 6, 7, 8, 9, 10, 11]
    text = "\n".join(each["message"] for each in found)
    for remark in (
        "the hour must be 0 to 23, not '25'",
        'did you mean "Europe/Berlin"?',
        'did you mean "t"?',
    ):
        assert remark in text, text
