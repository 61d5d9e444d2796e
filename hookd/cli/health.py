"""Judges the daemon's status: what is not all right, and what to do about each (spec 8, `status`).

Must never: ask the daemon or print; values in, sentences out. Called by: `status`; `retry`, `resume` and
`waiting` for what to do about a parked webhook.
"""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from hookd.cli.moments import span, to_the_second

Status = Mapping[str, Any]
Lane = Mapping[str, Any]

LATE_S = 600.0
"""From this age on, in seconds, a delivery that is still waiting is worth a word."""


def concerns(status: Status) -> list[str]:
    """What needs attention, the gravest first; each says what to do. Empty: everything is all right."""
    return [
        *_daemon_concerns(status),
        *_config_concerns(status["config"]),
        *_spool_concerns(status["spool"]),
        *_delivery_concerns(status),
        *status["config"]["warnings"],
    ]


def _daemon_concerns(status: Status) -> Iterator[str]:
    if status["stopping"]:
        yield "hookd is stopping: it takes no events until it is started again"
    if error := status["store"]["error"]:
        yield f"the store cannot be written ({error}): no event is taken, nothing is sent"
        yield "  make room on its disk, or mend it; hookd recovers by itself"
    unfinished, limit = _unfinished(status), status["limits"]["pending"]
    if unfinished >= limit:
        yield f"{unfinished} deliveries wait, the limit is {limit}: events are answered 503, schedules wait"
        yield "  cancel what is not needed (`hookd cancel ID`), mend the webhooks they wait for,"
        yield "  or raise daemon.limits.pending in the config"


def _spool_concerns(spool: Mapping[str, Any]) -> Iterator[str]:
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
    if dead := status["deliveries"]["dead"]:
        yield f"{dead} dead: `hookd deliveries --state dead` lists them, `hookd show ID` says why"


def lane_trouble(lane: Lane) -> str:
    """What keeps a webhook's deliveries waiting, and what helps; empty where nothing does."""
    waiting = f"{lane['pending']} wait" + ("s" if lane["pending"] == 1 else "")
    if lane["parked"]:
        remedy = parked_remedy(lane["parked"], lane["name"])
        probe = f" (next at {to_the_second(lane['next_probe_at'])})" if lane["next_probe_at"] else ""
        return f"{waiting}, {remedy}{probe}" if lane["pending"] else ""
    if lane["held_until"]:
        return f"{waiting}, the receiver asked for quiet until {to_the_second(lane['held_until'])}"
    if (lane["oldest_age_s"] or 0) >= LATE_S:
        return f"{waiting}, the oldest for {span(lane['oldest_age_s'])}; last result: {last_result(lane)}"
    return ""


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
