"""`hookd status`: one page that answers "is everything all right, and if not, what do I do" (spec 8).

Must never: be longer than 40 lines, however many webhooks and troubles there are. Called by: `hookd.cli`.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from hookd.cli import address
from hookd.cli.generations import generation_words
from hookd.cli.health import Lane, Status, by_gravity, concerns, lane_state, lane_trouble, last_result, notes
from hookd.cli.moments import span, to_the_second
from hookd.cli.options import add_json
from hookd.cli.screen import Table, as_json, shortened, terminal_width, visible

DESCRIPTION = """Tell how the daemon is: whether everything is all right, and if not, what to do about it.

With --check the exit code is 1 when it is not: the store cannot be written, the config on disk was refused,
a restart is needed, 80 % of daemon.limits.pending are reached, schedules are late, a breaker is open, deliveries
wait for a webhook that is parked or have waited for 10 minutes, one died within the last day, hookd is stopping.
Notes (older dead deliveries, warnings of the config, a receiver that asked for quiet) leave it 0."""
EXAMPLE = "hookd status --check >/dev/null || notify-admin"

MOST_LANES = 10
MOST_LINES = 13
"""Of what needs attention and what is worth knowing, together."""

MOST_SPENT = 5
TITLES = ("WEBHOOK", "STATE", "WAITING", "UNDER WAY", "OLDEST", "LAST RESULT")
SHRINKABLE = (0, 5)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the daemon is."""
    parser.add_argument("--check", action="store_true", help="exit code 1 when not everything is all right")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Ask and tell."""
    status = address.from_options(options).get("/v1/status")
    print(as_json(status) if options.json else "\n".join(page(status, terminal_width())))
    return 1 if options.check and concerns(status) else 0


def page(status: Status, width: int) -> list[str]:
    """The page, 40 lines at most: the verdict, the facts, the webhooks."""
    lines = [*_verdict(concerns(status), notes(status)), "", *_facts(status)]
    return [*(shortened(line) for line in lines), *_lanes(status["webhooks"], width)]


def _verdict(found: list[str], noted: list[str]) -> list[str]:
    if not found and not noted:
        return ["everything is all right"]
    room = max(1, MOST_LINES - len(found))
    return [
        *(_bullets("needs attention:", found, MOST_LINES) if found else []),
        *(_bullets("worth knowing:" if found else "all right; worth knowing:", noted, room) if noted else []),
    ]


def _bullets(title: str, told: list[str], most: int) -> list[str]:
    hidden = len(told) - most
    rest = [f"- and {hidden} more: `hookd status --json` has them all"] if hidden > 0 else []
    return [title, *(_bullet(line) for line in told[:most]), *rest]


def _bullet(concern: str) -> str:
    return visible(concern if concern.startswith("  ") else f"- {concern}")


def _facts(status: Status) -> list[str]:
    config, store = status["config"], status["store"]
    size = store["size_bytes"]
    counts = ", ".join(f"{number} {state}" for state, number in status["deliveries"].items())
    facts = (
        ("hookd", f"{status['version']}, pid {status['pid']}, up {span(status['uptime_s'])}"),
        ("config", f"{config['path']}, {generation_words(config)}"),
        ("loaded", to_the_second(config["loaded_at"])),
        ("listen", ", ".join(status["listen"])),
        ("store", store["path"] + (f", {size / (1 << 20):.1f} MiB" if size is not None else "")),
        ("deliveries", counts),
        ("spool", _spool(status.get("spool"))),
        ("spent", _spent(status.get("spent", ()))),
    )
    return [f"{name:<12}{visible(value)}" for name, value in facts if value]


def _spool(spool: Mapping[str, Any] | None) -> str:
    """What lies in the spool, in a line; empty where nothing does."""
    if not spool or not (spool["waiting"] or spool["rejected"]):
        return ""
    return f"{spool['path']}, {spool['waiting']} waiting, {spool['rejected']} rejected"


def _spent(marks: Sequence[Mapping[str, Any]]) -> str:
    """The tasks that have run once and for all, in a line; empty where there are none."""
    if not marks:
        return ""
    named = [
        f"{shortened(mark['task'], 40)} ({to_the_second(mark['spent_at'])})" for mark in marks[:MOST_SPENT]
    ]
    hidden = len(marks) - MOST_SPENT
    rest = f" and {hidden} more" if hidden > 0 else ""
    return f"{', '.join(named)}{rest}: `hookd rearm TASK` lets one run once more"


def _lanes(lanes: list[Lane], width: int) -> list[str]:
    if not lanes:
        return []
    worst = by_gravity(lanes)
    rows = [_row(lane) for lane in worst[:MOST_LANES]]
    table = Table(TITLES, rows, shrinkable=SHRINKABLE, width=width)
    return ["", table.head(), *map(table.row, rows), *_summed(worst[MOST_LANES:])]


def _summed(lanes: list[Lane]) -> list[str]:
    """The webhooks that are not shown one by one, in a line."""
    if not lanes:
        return []
    waiting = sum(lane["pending"] for lane in lanes)
    troubled = sum(1 for lane in lanes if lane_trouble(lane))
    state = f"{troubled} need attention" if troubled else "all right"
    return [f"and {len(lanes)} more webhooks, {state}, {waiting} waiting: `hookd status --json` has them all"]


def _row(lane: Lane) -> tuple[str, ...]:
    return (
        lane["name"],
        lane_state(lane) + (", insecure" if lane["insecure"] else ""),
        str(lane["pending"]),
        str(lane["in_flight"]),
        "-" if lane["oldest_age_s"] is None else span(lane["oldest_age_s"]),
        last_result(lane),
    )
