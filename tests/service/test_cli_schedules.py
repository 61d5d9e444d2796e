"""`hookd schedules`: the table, the next runs, and the list for tools."""

import argparse
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hookd.cli.commands import schedules as command
from hookd.cli.commands.schedules import as_object, listing_lines, named_schedules
from hookd.cli.options import Parser
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    Missed,
    ScheduleDef,
    SqliteDef,
    TaskDef,
    Timing,
)
from hookd.domain.message_templates import Template

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC).timestamp()
"""The day before Berlin's clocks go forward."""


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def task(name: str, *triggers: ScheduleDef, enabled: bool = True) -> TaskDef:
    return TaskDef(name, "w", Template(("{}",)), enabled=enabled, triggers=triggers)


NIGHTLY = ScheduleDef(
    "schedules.nightly",
    ("report", "tidy"),
    Timing.CRON,
    "30 3 * * *",
    "Europe/Berlin",
    starts_at=instant("2026-01-01T00:00:00+01:00"),
    ends_at=instant("2026-03-30T23:59:59.999999+02:00"),
    missed=Missed.SKIP,
)
QUARTERS = ScheduleDef("tasks.report.triggers[0]", ("report",), Timing.EVERY, "15m", "UTC", every_s=900.0)
PAST = ScheduleDef(
    "schedules.past", ("report",), Timing.AT, "2026-01-01T00:00:00", "UTC", at=instant("2026-01-01T00:00:00Z")
)
OFF = ScheduleDef("schedules.o f\x1bf", ("report",), Timing.EVERY, "1h", "UTC", every_s=3600.0, enabled=False)

CONFIG = Config(
    path="/c",
    hash="",
    daemon=DaemonDef(listen=(), store=SqliteDef("/s")),
    tasks={"report": task("report", QUARTERS), "tidy": task("tidy", enabled=False)},
    schedules={"nightly": NIGHTLY, "past": PAST, "o f\x1bf": OFF},
)
EMPTY = Config(path="/c", hash="", daemon=DaemonDef(listen=(), store=SqliteDef("/s")))


def test_the_list_for_tools() -> None:
    found = [as_object(*named, NOW, 3) for named in named_schedules(CONFIG)]
    assert found[0] == {
        "name": "nightly",
        "tasks": ["report", "tidy"],
        "kind": "cron",
        "expression": "30 3 * * *",
        "timezone": "Europe/Berlin",
        "enabled": True,
        "next": ["2026-03-29T03:30:00+02:00", "2026-03-30T03:30:00+02:00"],
    }
    assert [one["name"] for one in found] == ["nightly", "past", "o f\x1bf", "tasks.report.triggers[0]"]
    assert [one["kind"] for one in found] == ["cron", "at", "every", "every"]
    assert [one["enabled"] for one in found] == [True, True, False, True]
    assert [len(one["next"]) for one in found] == [2, 0, 0, 3]
    assert found[3]["next"][0] == "2026-03-28T12:15:00+00:00"


def test_the_table() -> None:
    head, nightly, past, off, quarters = listing_lines(CONFIG, NOW, None)
    assert head.split() == ["NAME", "WHEN", "TIMEZONE", "TASKS", "WINDOW", "MISSED", "NEXT"]
    assert re.split(r"\s{2,}", nightly) == [
        "nightly",
        "cron 30 3 * * *",
        "Europe/Berlin",
        "report, tidy (not enabled)",
        "from 2026-01-01T00:00:00+01:00 until 2026-03-30T23:59:59+02:00",
        "skip",
        "2026-03-29T03:30:00+02:00",
    ]
    assert past.endswith("  once    never")
    assert off.startswith(r"o f\x1bf")
    assert off.endswith("  once    not enabled")
    assert re.split(r"\s{2,}", quarters) == [
        "tasks.report.triggers[0]", "every 15m", "UTC", "report", "-", "once", "2026-03-28T12:15:00+00:00",
    ]  # fmt: skip


def test_the_next_runs_of_each() -> None:
    assert listing_lines(CONFIG, NOW, 3) == [
        (
            "nightly: cron 30 3 * * *, Europe/Berlin, tasks report, tidy (not enabled), "
            "from 2026-01-01T00:00:00+01:00 until 2026-03-30T23:59:59+02:00, missed skip"
        ),
        "  2026-03-29T03:30:00+02:00",
        "  2026-03-30T03:30:00+02:00",
        "past: at 2026-01-01T00:00:00, UTC, tasks report, missed once",
        "  never",
        r"o f\x1bf: every 1h, UTC, tasks report, missed once",
        "  not enabled",
        "tasks.report.triggers[0]: every 15m, UTC, tasks report, missed once",
        "  2026-03-28T12:15:00+00:00",
        "  2026-03-28T12:30:00+00:00",
        "  2026-03-28T12:45:00+00:00",
    ]


def test_that_there_are_none_is_said() -> None:
    assert listing_lines(EMPTY, NOW, None) == [
        "no schedules: write one under schedules:, or as a task's trigger"
    ]
    assert listing_lines(EMPTY, NOW, 5) == listing_lines(EMPTY, NOW, None)


# The command.

YAML = """
daemon: {timezone: Asia/Kathmandu}
webhooks: {w: {url: "http://127.0.0.1:9/"}}
tasks:
  report: {webhook: w, triggers: [{every: 1m}]}
schedules:
  nightly: {cron: "0 3 * * *", task: report}
"""


def options(*words: str) -> argparse.Namespace:
    parser = Parser()
    command.arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hookd.yaml"
    path.write_text(YAML)
    return path


@pytest.mark.parametrize(("words", "count"), [((), 1), (("--next", "1"), 1), (("--next", "1000"), 1000)])
def test_runs_are_told_for_tools(
    words: tuple[str, ...], count: int, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.now(UTC)
    assert command.run(options("-c", str(config), "--json", *words)) == 0
    nightly, minutely = json.loads(capsys.readouterr().out)
    assert (nightly["name"], minutely["name"]) == ("nightly", "tasks.report.triggers[0]")
    assert (nightly["timezone"], nightly["tasks"]) == ("Asia/Kathmandu", ["report"])
    assert len(nightly["next"]) == len(minutely["next"]) == count
    assert all(moment.endswith("T03:00:00+05:45") for moment in nightly["next"])
    first, *others = map(datetime.fromisoformat, minutely["next"])
    assert before < first <= datetime.now(UTC) + timedelta(minutes=1)
    assert others == [first + timedelta(minutes=number) for number in range(1, count)]


def test_the_table_is_printed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(options("-c", str(config))) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "NAME",
        "nightly",
        "tasks.report.triggers[0]",
    ]


@pytest.mark.parametrize("number", ["0", "1001", "-1", "1.5", "x", ""])
def test_a_number_that_is_none_is_wrong_usage(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options("--next", number)
    assert ended.value.code == 2
    assert "--next" in capsys.readouterr().err


def test_an_invalid_config_is_told_as_check_tells_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(YAML.replace("0 3 * * *", "0 3 * *"))
    assert command.run(options("-c", str(config))) == 1
    assert "schedules.nightly.cron: " in capsys.readouterr().out
    assert command.run(options("-c", str(config), "--json")) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "schedules.nightly.cron: " in said.err
