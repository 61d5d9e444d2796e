"""Judges the daemon's status: what is not all right, and what to do about each (spec 8, `status`).

What loses time, or will unless it is looked at, is a concern, and `status --check` fails. What is meant to be as it is,
or recovers by itself, is worth a note.

Must never: ask the daemon or print; values in, sentences out.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from hookd.cli.output.shell_words import shell_word
from hookd.cli.output.terminal import shortened, to_the_second
from hookd.domain.durations import format_span
from hookd.domain.text import counted, listed
from hookd.domain.value_class import value_class

Status = Mapping[str, Any]
LaneData = Mapping[str, Any]

LATE_S = 600.0
"""From this age on, in seconds, a delivery that is still waiting is worth mentioning."""

ENDS_SOON_S = 14 * 86400.0
"""So long before its end, in seconds, a certificate should have been renewed: those of 90 days are after 60."""

REFUSED_LATELY_S = 600.0
"""A connection that was refused longer ago, in seconds, shows no lack of places now."""

NEAR_LIMIT = 0.8
"""From this share of `daemon.limits.pending` on, it is time to look."""

RECENT_S = 24 * 3600.0
"""A delivery that died longer ago, in seconds, has had its day to be seen."""

_PERIODS = (("s", 1), ("m", 60), ("h", 3600))

UNSERVED = {
    "past_limit": "past the limit",
    "evicted": "slow ones for others",
    "tls_failed": "without a TLS handshake",
    "plain_http": "of plain HTTP to HTTPS",
    "no_request": "without a request",
}
"""What a connection was that was not served."""

LONGEST_RESULT = 80
"""Characters of a last result that stand between what waits and what to do."""


@value_class
class Concern:
    """One kind of finding. A line that begins with two spaces goes on with the one before.

    Attributes:
        lines: shown in any case.
        each: its cases, the gravest first; some of them are enough.
        more: the line that stands for the other cases, `{}` for how many they are.
    """

    lines: Sequence[str] = ()
    each: Sequence[str] = ()
    more: str = ""

    def at_most(self, most: int) -> list[str]:
        """Its lines, with at most `most` of its cases."""
        hidden = len(self.each) - most
        return [*self.lines, *self.each[:most], *([self.more.format(hidden)] if hidden > 0 else [])]


def concerns(status: Status) -> list[Concern]:
    """What needs attention, the gravest first; each says what to do. Empty: everything is all right."""
    return [
        *_daemon_concerns(status),
        *_config_concerns(status["config"]),
        *_certificate_concerns(status),
        *_connection_concerns(status),
        *_spool_concerns(status.get("spool")),
        *_delivery_concerns(status),
    ]


def notes(status: Status) -> list[Concern]:
    """What is worth knowing, though all is right: it is meant so, or recovers by itself."""
    return [*_delivery_notes(status), *_config_notes(status["config"]["warnings"])]


def _daemon_concerns(status: Status) -> Iterator[Concern]:
    if status["stopping"]:
        yield Concern(["hookd is stopping: it takes no events until it is started again"])
    if error := status["store"]["error"]:
        yield Concern(
            [
                f"the store cannot be written ({error}): no event is taken, nothing is sent",
                "  make room on its disk, or fix it; hookd recovers by itself",
            ]
        )
    yield from _limit_concerns(_unfinished(status), status["limits"]["pending"])
    if error := status["schedules"]["error"]:
        yield Concern(
            [
                f"schedules are late ({error}): what is due fires as soon as it can",
                "  `hookd schedules` lists them; the log names each under schedule.delayed",
            ]
        )


def _limit_concerns(unfinished: int, limit: int) -> Iterator[Concern]:
    if unfinished < NEAR_LIMIT * limit:
        return
    reached = "events are answered 503, schedules wait"
    yield Concern(
        [
            f"{unfinished} deliveries wait, the limit is {limit}: "
            + (reached if unfinished >= limit else "past it, events are answered 503"),
            "  cancel what is not needed (`hookd cancel ID`), fix the webhooks they wait for,",
            "  or raise daemon.limits.pending in the config",
        ]
    )


def _certificate_concerns(status: Status) -> Iterator[Concern]:
    for listener in status.get("listeners", ()):
        certificate, listen = listener["certificate"], listener["listen"]
        if certificate is None:
            continue
        path, end = certificate["path"], to_the_second(certificate["ends_at"])
        if certificate["error"]:
            yield Concern(
                [
                    f"the new certificate of {listen} is not served: {certificate['error']}",
                    f"  fix {path}; it is looked at every second. Until then the one before is served, to {end}",
                ]
            )
        if certificate["ends_at"] is None:
            continue
        left_s = -_age_s(status, certificate["ends_at"])
        if left_s < ENDS_SOON_S:
            soon = f"ends at {end}, in {format_span(left_s)}"
            yield Concern(
                [
                    f"the certificate of {listen} "
                    + (soon if left_s > 0 else f"has ended at {end}: clients refuse it"),
                    f"  renew {path}; hookd serves what is put there by itself",
                ]
            )


def _connection_concerns(status: Status) -> Iterator[Concern]:
    for listener in status.get("listeners", ()):
        connections = listener["connections"]
        refused = connections["unserved"]["past_limit"]
        if refused["last_at"] and _age_s(status, refused["last_at"]) < REFUSED_LATELY_S:
            number, most = counted(refused["count"], "connection"), connections["most"]
            refusals = f"{number} to {listener['listen']} refused"
            yield Concern(
                [
                    f"{refusals}, the latest at {to_the_second(refused['last_at'])}: {most} were open, the limit",
                    "  let clients close connections that they do not need, or use fewer at once",
                ]
            )


def unserved(status: Status) -> str:
    """The connections that were not served since the start, in a line; empty where there are none."""
    totals: dict[str, int] = {}
    for listener in status.get("listeners", ()):
        for kind, each in listener["connections"]["unserved"].items():
            totals[kind] = totals.get(kind, 0) + each["count"]
    told = [f"{totals[kind]} {words}" for kind, words in UNSERVED.items() if totals.get(kind)]
    return f"not served since the start: {', '.join(told)}" if told else ""


def _spool_concerns(spool: Mapping[str, Any] | None) -> Iterator[Concern]:
    if spool is None:
        return
    path, waiting, rejected = spool["path"], spool["waiting"], spool["rejected"]
    if spool["error"]:
        wait = "file waits" if waiting == 1 else "files wait"
        yield Concern([f"the spool: {spool['error']}" + (f" ({waiting} {wait})" if waiting else "")])
    if skipped := spool.get("skipped"):
        yield Concern(
            [
                f"left alone in the spool, since they are no regular files: {listed(skipped, 3)}",
                f"  look at them (`ls -lA {shell_word(path)}`), and move or remove them",
            ]
        )
    if rejected:
        were = "file of the spool was" if rejected == 1 else "files of the spool were"
        yield Concern(
            [
                f"{rejected} {were} rejected: `head {shell_word(path)}/rejected/*.reason` says why",
                f"  fix and move them back into {path}, or remove them",
            ]
        )


def _unfinished(status: Status) -> int:
    """The deliveries that count against the limit: those that wait and those whose attempt is under way."""
    deliveries = status["deliveries"]
    return int(deliveries["pending"]) + int(deliveries["sending"])


def _config_concerns(config: Mapping[str, Any]) -> Iterator[Concern]:
    last = config["last_reload"]
    if last and not last["ok"]:
        faults = last["faults"]
        number = (
            "" if faults[-1].startswith("and ") else "{} "
        )  # the daemon itself lists only the first hundred
        yield Concern(
            [
                f"the config on disk was refused at {to_the_second(last['at'])}, the old one is in force",
                "  fix these; `hookd check` finds them as well:",
            ],
            [f"  {fault}" for fault in faults],
            f"  and {number}more: `hookd check` lists them",
        )
    if names := config["restart_needed"]:
        takes = "it takes" if len(names) == 1 else "they take"
        yield Concern([f"{', '.join(names)} changed: {takes} effect after `systemctl restart hookd`"])


def _config_notes(warnings: Sequence[str]) -> Iterator[Concern]:
    if warnings:
        yield Concern(each=warnings, more="and {} more: `hookd check` lists them")


def _delivery_concerns(status: Status) -> Iterator[Concern]:
    kinds: dict[str, list[str]] = {}
    for lane in by_gravity(status["webhooks"]):
        if trouble := lane_trouble(lane):
            kinds.setdefault(lane["parked"] or "late", []).append(f"{lane['name']}: {trouble}")
    yield from map(_of_webhooks, kinds.values())
    if _died_recently(status):
        yield Concern(
            [
                f"{_dead(status)}: `hookd deliveries --state dead` lists them, `hookd show ID` says why",
                "  `hookd retry --state dead` sends them again; after a day without another, this is only a note",
            ]
        )


def _delivery_notes(status: Status) -> Iterator[Concern]:
    quiet = "the receiver asked for a pause until"
    held = [
        f"{lane['name']}: {_waiting(lane)}, {quiet} {to_the_second(lane['held_until'])}"
        for lane in by_gravity(status["webhooks"])
        if lane["held_until"] and lane["pending"] and not lane_trouble(lane)
    ]
    if held:
        yield _of_webhooks(held)
    limited = [
        f"{lane['name']}: {_waiting(lane)}, {rate_limit(lane)}"
        for lane in by_gravity(status["webhooks"])
        if lane.get("slowed_to_per_s")
        and lane["pending"]
        and not lane["held_until"]
        and not lane_trouble(lane)
    ]
    if limited:
        yield _of_webhooks(limited)
    if status["deliveries"]["dead"] and not _died_recently(status):
        yield Concern([f"{_dead(status)}: `hookd deliveries --state dead` lists them"])


def _of_webhooks(lines: Sequence[str]) -> Concern:
    return Concern(each=lines, more="and {} more of these webhooks")


def _dead(status: Status) -> str:
    return f"{status['deliveries']['dead']} dead, the latest since {to_the_second(status['last_died_at'])}"


def _died_recently(status: Status) -> bool:
    """Whether the latest dead delivery died within the last day of the daemon's clock."""
    if not status["deliveries"]["dead"] or status["last_died_at"] is None:
        return False
    return _age_s(status, status["last_died_at"]) < RECENT_S


def _age_s(status: Status, instant: str) -> float:
    """How long ago an instant was when the daemon answered, by its clock; negative where it is still to come."""
    started_at, then = datetime.fromisoformat(status["started_at"]), datetime.fromisoformat(instant)
    uptime_s: float = status["uptime_s"]
    return uptime_s - (then - started_at).total_seconds()


def lane_trouble(lane: LaneData) -> str:
    """What keeps a webhook's deliveries waiting and needs attention, and what helps; empty where nothing does."""
    if lane["parked"] and (lane["pending"] or lane["parked"] == "breaker"):
        remedy = parked_remedy(lane["parked"], lane["name"])
        probe = f" (next at {to_the_second(lane['next_probe_at'])})" if lane["next_probe_at"] else ""
        return f"{_waiting(lane)}, {remedy}{probe}"
    if lane["parked"] or lane["held_until"]:
        return ""
    if (lane["oldest_age_s"] or 0) >= LATE_S:
        last = shortened(last_result(lane), LONGEST_RESULT)
        listed = f"`hookd deliveries --state pending --webhook {shell_word(lane['name'])}`"
        limit = f"{rate_limit(lane)}; " if lane.get("slowed_to_per_s") else ""
        return (
            f"{_waiting(lane)}, the oldest for {format_span(lane['oldest_age_s'])}; {limit}last result: {last};"
            f" {listed} lists them, `hookd show ID` says why"
        )
    return ""


def _waiting(lane: LaneData) -> str:
    return f"{lane['pending']} wait" + ("s" if lane["pending"] == 1 else "")


def parked_remedy(why: str, webhook: str) -> str:
    """What to do so that a parked webhook sends."""
    match why:
        case "disabled":
            return "`enabled: false` parks what is for it; set it to true to send"
        case "paused":
            return f"it was paused by hand; `hookd resume {shell_word(webhook)}` lets it send"
        case "gone":
            return "the webhook is no longer in the config; bring it back to send"
        case "breaker":
            return "its receiver is down; hookd probes it, and sends when it answers"
        case _:
            return why


def what_holds(delivery: Mapping[str, Any]) -> str:
    """What keeps a delivery that is due from being sent, and what helps; empty where nothing does."""
    if delivery["parked"]:
        return parked_remedy(delivery["parked"], delivery["webhook"])
    until = delivery.get("held_until")
    return hold_remedy(until, delivery["webhook"]) if until else ""


def hold_remedy(until: str, webhook: str) -> str:
    """Until when a receiver has asked for a pause, and what ends that."""
    return f"held until {to_the_second(until)}, as the receiver asked; `hookd resume {shell_word(webhook)}` lifts it"


def rate_limit(lane: LaneData) -> str:
    """How fast a receiver that limits its rate lets the webhook go, in the notation of `rate_limit`."""
    per_s: float = lane["slowed_to_per_s"]
    unit, period_s = next((each for each in _PERIODS if per_s * each[1] >= 1), _PERIODS[-1])
    return f"its receiver limits its rate (about {per_s * period_s:.0f}/{unit})"


def last_result(lane: LaneData) -> str:
    """How the webhook's last attempt ended, in a few words."""
    last = lane["last_result"]
    if last is None:
        return "none yet"
    return str(last["status"] or last["error"] or last["reason"])


def lane_state(lane: LaneData) -> str:
    """One word or two for the table."""
    if lane["parked"]:
        return str(lane["parked"])
    if lane["held_until"]:
        return "held"
    return "limited" if lane.get("slowed_to_per_s") else "ok"


def by_gravity(lanes: list[LaneData]) -> list[LaneData]:
    """Webhooks in trouble first, then those with the most waiting, then by name."""
    return sorted(lanes, key=lambda lane: (not lane_trouble(lane), -lane["pending"], lane["name"]))
