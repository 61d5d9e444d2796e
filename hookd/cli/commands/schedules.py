"""`hookd schedules`: the schedules of the config, and when each runs next (spec 8).

Must never: talk to the daemon; what has run, it alone knows.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from hookd.cli.config_option import add_config, read_config
from hookd.cli.failure import REFUSED
from hookd.cli.options import add_json, whole_number
from hookd.cli.output.terminal import Table, as_json, terminal_width, to_the_second
from hookd.domain.text import printable

if TYPE_CHECKING:
    from hookd.domain.definitions import Config, ScheduleDef

DESCRIPTION = """List the schedules of the config, with the tasks they run and the next run of each, in its time zone.

With --next, list the next N runs of each. Read from the config alone; the daemon is not asked."""
EXAMPLE = "hookd schedules --next 5"

MOST = 1000
TITLES = ("NAME", "WHEN", "TIMEZONE", "TASKS", "WINDOW", "MISSED", "NEXT")
SHRINKABLE = (0, 1, 3, 4)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many runs to list, and which config."""
    parser.add_argument(
        "--next",
        metavar="N",
        type=_count,
        help=f"list the next N runs of each, 1 to {MOST} (default: the next)",
    )
    add_config(parser)
    add_json(parser)


def _count(value: str) -> int:
    number = whole_number(value)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 1 to {MOST}")
    return number


def run(options: argparse.Namespace) -> int:
    """List them."""
    from hookd.domain.clock import Clock

    config = read_config(options)
    if config is None:
        return REFUSED
    now = Clock().now()
    if options.json:
        print(as_json([as_object(*named, now, options.next or 1) for named in named_schedules(config)]))
    else:
        print("\n".join(listing_lines(config, now, options.next)))
    return 0


def named_schedules(config: "Config") -> "Iterator[tuple[str, ScheduleDef]]":
    """Every schedule with its name; one written on a task goes by its place."""
    names = {rule.place: name for name, rule in config.schedules.items()}
    for rule in config.schedule_rules():
        yield names.get(rule.place, rule.place), rule


def as_object(name: str, schedule: "ScheduleDef", now: float, count: int) -> dict[str, Any]:
    """A schedule for tools, with at most `count` runs (spec 8)."""
    return {
        "name": name,
        "tasks": list(schedule.tasks),
        "kind": schedule.timing,
        "expression": schedule.expression,
        "timezone": schedule.timezone,
        "enabled": schedule.enabled,
        "next": runs(schedule, now, count),
    }


def runs(schedule: "ScheduleDef", now: float, count: int) -> list[str]:
    """The next runs after `now` (seconds since the epoch), RFC 3339 in the schedule's own time; none if disabled."""
    from hookd.rules.calendar import moments

    if not schedule.enabled:
        return []
    return [_local(moment, schedule) for moment in islice(moments(schedule, now), count)]


def listing_lines(config: "Config", now: float, count: int | None) -> list[str]:
    """The schedules for people: a table, or with a count each with its next runs."""
    found = list(named_schedules(config))
    if not found:
        return ["no schedules: write one under schedules:, or as a task's trigger"]
    if count is None:
        rows = [_row(name, schedule, config, now) for name, schedule in found]
        table = Table(TITLES, rows, shrinkable=SHRINKABLE, width=terminal_width())
        return [table.head(), *map(table.row, rows)]
    return [line for name, schedule in found for line in _block(name, schedule, config, now, count)]


def _row(name: str, schedule: "ScheduleDef", config: "Config", now: float) -> tuple[str, ...]:
    return (
        name,
        f"{schedule.timing} {schedule.expression}",
        schedule.timezone,
        _tasks(schedule, config),
        _window(schedule) or "-",
        schedule.missed,
        _outlook(schedule, now, 1)[0],
    )


def _block(name: str, schedule: "ScheduleDef", config: "Config", now: float, count: int) -> list[str]:
    facts = (
        f"{schedule.timing} {schedule.expression}",
        schedule.timezone,
        f"tasks {_tasks(schedule, config)}",
        _window(schedule),
        f"missed {schedule.missed}",
    )
    head = f"{name}: {', '.join(filter(None, facts))}"
    return [printable(head), *(f"  {line}" for line in _outlook(schedule, now, count))]


def _outlook(schedule: "ScheduleDef", now: float, count: int) -> list[str]:
    """The next runs, or the word for why there is none."""
    if not schedule.enabled:
        return ["not enabled"]
    return runs(schedule, now, count) or ["never"]


def _tasks(schedule: "ScheduleDef", config: "Config") -> str:
    return ", ".join(
        name if config.tasks[name].enabled else f"{name} (not enabled)" for name in schedule.tasks
    )


def _window(schedule: "ScheduleDef") -> str:
    ends = (("from", schedule.starts_at), ("until", schedule.ends_at))
    return " ".join(
        f"{word} {to_the_second(_local(moment, schedule))}" for word, moment in ends if moment is not None
    )


def _local(moment: float, schedule: "ScheduleDef") -> str:
    """An instant (seconds since the epoch) as RFC 3339 with the offset of the schedule's time zone then."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(moment, ZoneInfo(schedule.timezone)).isoformat()
