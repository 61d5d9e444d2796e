"""`hookd status`: one page that answers "is everything all right, and if not, what do I do" (spec 8).

Must never: take more than 40 rows of the terminal, however many webhooks and troubles there are, or let one kind of
trouble hide another; with the verdict at its end too, that is still so.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hookd.cli.client import address
from hookd.cli.options import add_json
from hookd.cli.output.generation_words import generation_words
from hookd.cli.output.health import (
    Concern,
    LaneData,
    Status,
    by_gravity,
    concerns,
    lane_state,
    lane_trouble,
    last_result,
    notes,
    unserved,
)
from hookd.cli.output.terminal import (
    UNBOUNDED,
    Table,
    as_json,
    cut,
    rows_of,
    shortened,
    terminal_height,
    terminal_width,
    to_the_second,
)
from hookd.domain.durations import format_span
from hookd.domain.text import printable

DESCRIPTION = """Show whether everything is all right, and if not, what to do about it.

With --check the exit code is 1 when it is not: the store cannot be written, the config on disk was refused,
a restart is needed, a listener's certificate ends within 14 days or its new one cannot be served, connections
were refused within 10 minutes because too many were open, 80 % of daemon.limits.pending are reached, schedules
are late, a breaker is open, deliveries wait for a webhook that is parked or have waited for 10 minutes, one died
within the last day, hookd is stopping.
Notes (older dead deliveries, warnings of the config, a receiver that asked for a pause or limits its rate) leave it
0."""
EXAMPLE = "hookd status --check >/dev/null || notify-admin"

MOST_ROWS = 40
MOST_LANES = 10
ROWS_FOR_LANES = 7
"""These are kept for the table, however much stands before it."""

ROWS_FOR_NOTES = 4
"""Likewise for what is worth knowing, however much needs attention."""

MOST_REPEATED = 10
"""Rows of the verdict at the end of a page that is longer than the terminal."""

MOST_EACH = 3
"""Cases of one kind, such as webhooks that are paused, that are listed."""

MOST_SPENT = 5
LONGEST_FACT = 400
FACTS_AT = 12
"""The column at which what is known stands behind its name."""

TITLES = ("WEBHOOK", "STATE", "WAITING", "UNDER WAY", "OLDEST", "LAST RESULT")
SHRINKABLE = (0, 5)
DROPPABLE = (3, 4)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the daemon is."""
    parser.add_argument("--check", action="store_true", help="exit code 1 when not everything is all right")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Ask and print."""
    status = address.from_options(options).get("/v1/status")
    if options.json:
        print(as_json(status))
    else:
        print("\n".join(page(status, terminal_width(), terminal_height())))
    return 1 if options.check and concerns(status) else 0


def page(status: Status, width: int, height: int = UNBOUNDED) -> list[str]:
    """The page for a terminal of `width` columns, 40 rows at most: the verdict, the facts, the webhooks.

    Where it is longer than `height` rows, the verdict stands at its end as well, where it is seen.
    """
    whole = _page(status, width, MOST_ROWS)
    if rows_of(whole, width) < height:  # one row is the prompt's
        return whole
    most = max(1, min(height - 2, MOST_REPEATED))
    again = ["", *_verdict(concerns(status), notes(status), most, width)]
    return [*_page(status, width, MOST_ROWS - rows_of(again, width)), *again]


def _page(status: Status, width: int, most: int) -> list[str]:
    facts = ["", *_facts(status, min(width, LONGEST_FACT))]
    room = most - len(facts)
    verdict = _verdict(concerns(status), notes(status), room - ROWS_FOR_LANES, width)
    tables = (_lanes(status["webhooks"], most, width) for most in range(MOST_LANES, 0, -1))
    return [*verdict, *facts, *_fitting(tables, room - rows_of(verdict, width), width)]


def _verdict(found: list[Concern], noted: list[Concern], room: int, width: int) -> list[str]:
    if not found and not noted:
        return ["everything is all right"]
    room_for_found = room - (ROWS_FOR_NOTES if noted else 0)
    shown = _bullets("needs attention:", found, room_for_found, width) if found else []
    title = "worth knowing:" if found else "all right; worth knowing:"
    return [*shown, *(_bullets(title, noted, room - rows_of(shown, width), width) if noted else [])]


def _bullets(title: str, kinds: list[Concern], room: int, width: int) -> list[str]:
    """Every kind, with as many cases of each as there is room for; of all too many kinds the first ones."""
    ways = ([title, *_each_bullet(kinds, most)] for most in range(MOST_EACH, 0, -1))
    shown = _fitting(ways, room, width)
    if rows_of(shown, width) <= room:
        return shown
    shown, rest = [title], "- and more: `hookd status --json` has it all"
    for kind in kinds:
        lines = [*_each_bullet([kind], 1)]
        shown += lines if rows_of([*shown, *lines, rest], width) <= room else []
    return [*shown, rest]


def _fitting(ways: Iterable[list[str]], room: int, width: int) -> list[str]:
    """The first of several ways to say something that takes no more than `room` rows, else the last."""
    shown: list[str] = []
    for shown in ways:
        if rows_of(shown, width) <= room:
            break
    return shown


def _each_bullet(kinds: list[Concern], most: int) -> Iterator[str]:
    for kind in kinds:
        for line in kind.at_most(most):
            yield shortened(printable(line if line.startswith("  ") else f"- {line}"))


def _store(store: Mapping[str, Any]) -> str:
    size, pid = store["size_bytes"], store.get("pid")
    facts = [store["path"]]
    if size is not None:
        facts.append(f"{size / (1 << 20):.1f} MiB")
    if pid is not None:
        facts.append(f"process {pid}")
    return ", ".join(facts)


def _facts(status: Status, width: int) -> list[str]:
    config = status["config"]
    counts = ", ".join(f"{number} {state}" for state, number in status["deliveries"].items())
    facts = (
        ("hookd", f"{status['version']}, pid {status['pid']}, up {format_span(status['uptime_s'])}"),
        ("config", f"{config['path']}, {generation_words(config)}"),
        ("loaded", to_the_second(config["loaded_at"])),
        ("listen", _listen(status)),
        ("connections", unserved(status)),
        ("store", _store(status["store"])),
        ("deliveries", counts),
        ("spool", _spool(status.get("spool"))),
        ("spent", _spent(status.get("spent", ()), width - FACTS_AT)),
    )
    return [cut(f"{name:<{FACTS_AT}}{printable(value)}", width) for name, value in facts if value]


def _listen(status: Status) -> str:
    """The addresses, each with the end of its certificate."""
    ends = {
        listener["listen"]: to_the_second(certificate["ends_at"])
        for listener in status.get("listeners", ())
        if (certificate := listener["certificate"])
    }
    return ", ".join(
        f"{listen} (certificate until {ends[listen]})" if listen in ends else listen
        for listen in status["listen"]
    )


def _spool(spool: Mapping[str, Any] | None) -> str:
    """What lies in the spool, in a line; empty where nothing does."""
    if not spool or not (spool["waiting"] or spool["rejected"]):
        return ""
    return f"{spool['path']}, {spool['waiting']} waiting, {spool['rejected']} rejected"


def _spent(marks: Sequence[Mapping[str, Any]], width: int) -> str:
    """The one-shot tasks that have run, in a line whose end is whole; empty where there are none."""
    if not marks:
        return ""
    named = [
        f"{shortened(mark['task'], 40)} ({to_the_second(mark['spent_at'])})" for mark in marks[:MOST_SPENT]
    ]
    hidden = len(marks) - MOST_SPENT
    rest = f" and {hidden} more" if hidden > 0 else ""
    end = f"{rest}: `hookd rearm TASK` lets one run once more"
    return cut(printable(", ".join(named)), width - len(end)) + end


def _lanes(lanes: list[LaneData], most: int, width: int) -> list[str]:
    if not lanes:
        return []
    worst = by_gravity(lanes)
    rows = [_row(lane) for lane in worst[:most]]
    table = Table(TITLES, rows, shrinkable=SHRINKABLE, width=width, droppable=DROPPABLE)
    return ["", *(cut(line, width) for line in [table.head(), *map(table.row, rows)]), *_summed(worst[most:])]


def _summed(lanes: list[LaneData]) -> list[str]:
    """The webhooks that are not shown one by one, in a line."""
    if not lanes:
        return []
    waiting = sum(lane["pending"] for lane in lanes)
    troubled = sum(1 for lane in lanes if lane_trouble(lane))
    state = f"{troubled} need attention" if troubled else "all right"
    return [f"and {len(lanes)} more webhooks, {state}, {waiting} waiting: `hookd status --json` has them all"]


def _row(lane: LaneData) -> tuple[str, ...]:
    return (
        lane["name"],
        lane_state(lane) + (", insecure" if lane["insecure"] else ""),
        str(lane["pending"]),
        str(lane["in_flight"]),
        "-" if lane["oldest_age_s"] is None else format_span(lane["oldest_age_s"]),
        last_result(lane),
    )
