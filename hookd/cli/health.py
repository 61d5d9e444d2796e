"""Judges the daemon's status: what is not all right, and what to do about each (spec 8, `status`).

Not all right is what loses time, or will, unless somebody looks: those are concerns, and `status --check` fails. What
is meant to be as it is, or mends itself, is worth a note.

Must never: ask the daemon or print; values in, sentences out. Called by: `status`; `retry`, `resume` and
`waiting` for what to do about a parked webhook.
"""

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from hookd.cli.moments import span, to_the_second

Status = Mapping[str, Any]
Lane = Mapping[str, Any]

LATE_S = 600.0
"""From this age on, in seconds, a delivery that is still waiting is worth a word."""

NEAR_LIMIT = 0.8
"""From this share of `daemon.limits.pending` on, it is time to look."""

RECENT_S = 24 * 3600.0
"""A delivery that died longer ago, in seconds, has had its day to be seen."""


def concerns(status: Status) -> list[str]:
    """What needs attention, the gravest first; each says what to do. Empty: everything is all right."""
    return [
        *_daemon_concerns(status),
        *_config_concerns(status["config"]),
        *_spool_concerns(status.get("spool")),
        *_delivery_concerns(status),
    ]


def notes(status: Status) -> list[str]:
    """What is worth knowing, though all is right: it is meant so, or mends itself."""
    return [*_delivery_notes(status), *status["config"]["warnings"]]


def _daemon_concerns(status: Status) -> Iterator[str]:
    if status["stopping"]:
        yield "hookd is stopping: it takes no events until it is started again"
    if error := status["store"]["error"]:
        yield f"the store cannot be written ({error}): no event is taken, nothing is sent"
        yield "  make room on its disk, or mend it; hookd recovers by itself"
    yield from _limit_concerns(_unfinished(status), status["limits"]["pending"])
    if error := status["schedules"]["error"]:
        yield f"schedules are late ({error}): what is due fires as soon as it can"
        yield "  `hookd schedules` lists them; the log names each under schedule.delayed"


def _limit_concerns(unfinished: int, limit: int) -> Iterator[str]:
    if unfinished >= limit:
        yield f"{unfinished} deliveries wait, the limit is {limit}: events are answered 503, schedules wait"
    elif unfinished >= NEAR_LIMIT * limit:
        yield f"{unfinished} deliveries wait, the limit is {limit}: past it, events are answered 503"
    else:
        return
    yield "  cancel what is not needed (`hookd cancel ID`), mend the webhooks they wait for,"
    yield "  or raise daemon.limits.pending in the config"


def _spool_concerns(spool: Mapping[str, Any] | None) -> Iterator[str]:
    if spool is None:
        return
    path, waiting, rejected = spool["path"], spool["waiting"], spool["rejected"]
    if spool["error"]:
        wait = "file waits" if waiting == 1 else "files wait"
        yield f"the spool: {spool['error']}" + (f" ({waiting} {wait})" if waiting else "")
    if rejected:
        were = "file of the spool was" if rejected == 1 else "files of the spool were"
        yield f"{rejected} {were} rejected: `head {shlex.quote(path)}/rejected/*.reason` says why"
        yield f"  mend and move them back into {path}, or remove them"


def _unfinished(status: Status) -> int:
    """The deliveries that count against the limit: those that wait and those whose attempt is under way."""
    deliveries = status["deliveries"]
    return int(deliveries["pending"]) + int(deliveries["sending"])


def _config_concerns(config: Mapping[str, Any]) -> Iterator[str]:
    last = config["last_reload"]
    if last and not last["ok"]:
        yield f"the config on disk was refused at {to_the_second(last['at'])}, the old one is in force"
        yield "  mend these; `hookd check` finds them as well:"
        yield from (f"  {fault}" for fault in last["faults"])
    for name in config["restart_needed"]:
        yield f"{name} changed: it takes effect after `systemctl restart hookd`"


def _delivery_concerns(status: Status) -> Iterator[str]:
    for lane in by_gravity(status["webhooks"]):
        if trouble := lane_trouble(lane):
            yield f"{lane['name']}: {trouble}"
    if _died_recently(status):
        yield f"{_dead(status)}: `hookd deliveries --state dead` lists them, `hookd show ID` says why"
        yield "  `hookd retry --state dead` sends them again; a day after the last, this is but a note"


def _delivery_notes(status: Status) -> Iterator[str]:
    for lane in by_gravity(status["webhooks"]):
        if lane["held_until"] and lane["pending"] and not lane_trouble(lane):
            quiet = f"the receiver asked for quiet until {to_the_second(lane['held_until'])}"
            yield f"{lane['name']}: {_waiting(lane)}, {quiet}"
    if status["deliveries"]["dead"] and not _died_recently(status):
        yield f"{_dead(status)}: `hookd deliveries --state dead` lists them"


def _dead(status: Status) -> str:
    return f"{status['deliveries']['dead']} dead, the latest since {to_the_second(status['last_died_at'])}"


def _died_recently(status: Status) -> bool:
    """Whether the latest dead delivery died within the last day of the daemon's clock."""
    if not status["deliveries"]["dead"] or status["last_died_at"] is None:
        return False
    started_at, died_at = (datetime.fromisoformat(status[name]) for name in ("started_at", "last_died_at"))
    age_s: float = status["uptime_s"] - (died_at - started_at).total_seconds()
    return age_s < RECENT_S


def lane_trouble(lane: Lane) -> str:
    """What keeps a webhook's deliveries waiting and needs attention, and what helps; empty where nothing does."""
    if lane["parked"] and (lane["pending"] or lane["parked"] == "breaker"):
        remedy = parked_remedy(lane["parked"], lane["name"])
        probe = f" (next at {to_the_second(lane['next_probe_at'])})" if lane["next_probe_at"] else ""
        return f"{_waiting(lane)}, {remedy}{probe}"
    if lane["parked"] or lane["held_until"]:
        return ""
    if (lane["oldest_age_s"] or 0) >= LATE_S:
        return (
            f"{_waiting(lane)}, the oldest for {span(lane['oldest_age_s'])}; last result: {last_result(lane)}"
        )
    return ""


def _waiting(lane: Lane) -> str:
    return f"{lane['pending']} wait" + ("s" if lane["pending"] == 1 else "")


def parked_remedy(why: str, webhook: str) -> str:
    """What to do so that a parked webhook sends."""
    match why:
        case "disabled":
            return "`enabled: false` parks what is for it; set it to true to send"
        case "paused":
            return f"it was paused by hand; `hookd resume {shlex.quote(webhook)}` lets it send"
        case "gone":
            return "the webhook is no longer in the config; bring it back to send"
        case "breaker":
            return "its receiver is down; hookd probes it, and sends when it answers"
        case _:
            return why


def last_result(lane: Lane) -> str:
    """How the webhook's last attempt ended, in a few words."""
    last = lane["last_result"]
    if last is None:
        return "none yet"
    return str(last["status"] or last["error"] or last["reason"])


def lane_state(lane: Lane) -> str:
    """One word or two for the table."""
    if lane["parked"]:
        return str(lane["parked"])
    return "held" if lane["held_until"] else "ok"


def by_gravity(lanes: list[Lane]) -> list[Lane]:
    """Webhooks in trouble first, then those with the most waiting, then by name."""
    return sorted(lanes, key=lambda lane: (not lane_trouble(lane), -lane["pending"], lane["name"]))
