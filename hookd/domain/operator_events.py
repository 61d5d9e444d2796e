"""What hookd says about itself: its own types of events, and what each fact becomes as an event (spec 10).

Facts are noticed where they happen, told as the values below, and taken in by `sources.operator_events` like any
other event.

Must never: do I/O, read a clock, or put a secret into a report.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, assert_never

from hookd.domain.definitions import Missed, TypeDef
from hookd.domain.reload_result import Changes
from hookd.domain.value_class import value_class

OWN = "hookd."
"""Types that begin so are hookd's own: no catalogue declares them, and nobody posts them (spec 2)."""

OWN_TYPES: Mapping[str, TypeDef] = {
    kind.name: kind
    for kind in (
        TypeDef("hookd.delivery", ("dead",), description="A delivery that will not be attempted again"),
        TypeDef("hookd.webhook", ("parked", "resumed"), description="A webhook whose deliveries wait, or go out again"),
        TypeDef("hookd.config", ("rejected", "applied"), description="A reload"),
        TypeDef("hookd.schedule", ("missed",), description="Moments that passed while hookd could not act on them"),
        TypeDef("hookd.store", ("recovered",), description="The store writes again"),
        TypeDef("hookd.daemon", ("started",), description="hookd is ready"),
    )
}  # fmt: skip
"""Always in the catalogue; their events have an object and no tags."""

ABOUT_WEBHOOKS = frozenset({"hookd.delivery", "hookd.webhook"})
"""Those whose events' object is a webhook."""

MOST_NAMES = 100
"""Names and faults that one report lists; of more, the number is given."""

ID_PREFIX = "hookd_"
"""The prefix of their events' ids: by it a delivery is known to be caused by one."""

_ID = re.compile(ID_PREFIX + "[0-9a-f]{32}")

_PARKED = {
    "gone": "it is not in the configuration",
    "disabled": "it is disabled",
    "paused": "it was paused by hand",
    "breaker": "its receiver is down",
}


def is_own_id(event_id: str) -> bool:
    """Whether an id is of the form that hookd's own events have; nobody may post one."""
    return _ID.fullmatch(event_id) is not None


@value_class
class DeliveryDead:
    """A delivery is dead.

    Attributes:
        reason: how its last attempt ended, a `Reason`.
        detail: why it is dead, one sentence, secrets masked.
        died_at: seconds since the epoch.
    """

    webhook: str
    task: str
    delivery_id: str
    event_id: str
    attempts: int
    reason: str
    status: int | None
    detail: str
    died_at: float


@value_class
class DeliveriesDead:
    """What one report tells of a webhook's dead deliveries.

    Attributes:
        last: the latest of them.
        count: how many there are.
        since: when the first of them died, RFC 3339.
        until: when the last of them died, seconds since the epoch.
        tasks: how many there are by task.
    """

    last: DeliveryDead
    count: int
    since: str
    until: float
    tasks: Mapping[str, int]


@value_class
class WebhookParked:
    """Deliveries wait for a webhook that is parked; `reason` is a `Parked`. Told again when the reason is another."""

    webhook: str
    reason: str


@value_class
class WebhookResumed:
    """A webhook is not parked any more; `reason` is why it was, a `Parked`."""

    webhook: str
    reason: str


@value_class
class ConfigRejected:
    """A reload was refused; each fault with its place."""

    path: str
    faults: Sequence[str]


@value_class
class ConfigApplied:
    """A generation came into force; `changes` by section. Without any: what is on disk was refused, and is no more."""

    path: str
    number: int
    hash: str
    changes: Mapping[str, Changes]
    restart_needed: Sequence[str]


@value_class
class ScheduleMissed:
    """Moments of a schedule passed unnoticed.

    Attributes:
        schedule: its place.
        last: the last of these moments, RFC 3339.
        missed: what became of them, a `Missed`.
    """

    schedule: str
    last: str
    missed: str


@value_class
class StoreRecovered:
    """The store writes again; `lasted_s` is how long it did not."""

    path: str
    error: str
    lasted_s: float


@value_class
class DaemonStarted:
    """The daemon is ready."""

    host: str
    version: str
    path: str
    hash: str


UnmergedEvent: TypeAlias = (
    WebhookParked
    | WebhookResumed
    | ConfigRejected
    | ConfigApplied
    | ScheduleMissed
    | StoreRecovered
    | DaemonStarted
)
"""Facts that are reported one by one."""

OperatorEvent: TypeAlias = DeliveryDead | UnmergedEvent
"""What may be told."""

Emit: TypeAlias = Callable[[OperatorEvent], None]
"""Takes note of a fact; returns at once and never raises."""


def discard(_fact: OperatorEvent) -> None:
    """Tell nobody."""


class EventDraft(NamedTuple):
    """A fact as an event: `object` is the object's name; `dead_letters` as in `Submission`."""

    type: str
    event: str
    object: str
    data: Mapping[str, Any]
    dead_letters: tuple[str, float] | None = None


def event_draft(fact: DeliveriesDead | UnmergedEvent) -> EventDraft:
    """The event that a fact becomes. `data.summary` is always a sentence for people."""
    match fact:
        case DeliveriesDead():
            webhook = fact.last.webhook
            made = EventDraft("hookd.delivery", "dead", webhook, _dead(fact), (webhook, fact.until))
        case WebhookParked():
            made = EventDraft("hookd.webhook", "parked", fact.webhook, _parked(fact))
        case WebhookResumed(webhook, reason):
            summary = f"deliveries to {webhook} go out again"
            made = EventDraft(
                "hookd.webhook", "resumed", webhook, {"summary": summary, "reason": str(reason)}
            )
        case ConfigRejected():
            made = EventDraft("hookd.config", "rejected", fact.path, _rejected(fact))
        case ConfigApplied():
            made = EventDraft("hookd.config", "applied", fact.path, _applied(fact))
        case ScheduleMissed():
            made = EventDraft("hookd.schedule", "missed", fact.schedule, _missed(fact))
        case StoreRecovered():
            made = EventDraft("hookd.store", "recovered", fact.path, _recovered(fact))
        case DaemonStarted():
            made = EventDraft("hookd.daemon", "started", fact.host, _started(fact))
        case _:
            assert_never(fact)
    return made


def _dead(fact: DeliveriesDead) -> dict[str, Any]:
    last = fact.last
    of = f" of task {last.task}" if last.task else ""
    many = f"{fact.count:,} deliveries to {last.webhook} are dead; the last{of}"
    one = f"a delivery{of} to {last.webhook} is dead"
    return {
        "summary": f"{one if fact.count == 1 else many}: {last.detail}",
        "count": fact.count,
        "since": fact.since,
        "tasks": _first(fact.tasks),
        "delivery_id": last.delivery_id,
        "event_id": last.event_id,
        "task": last.task,
        "attempts": last.attempts,
        "reason": str(last.reason),
        "status": last.status,
        "detail": last.detail,
    }


def _parked(fact: WebhookParked) -> dict[str, Any]:
    why = _PARKED.get(fact.reason, fact.reason)
    return {"summary": f"deliveries to {fact.webhook} wait: {why}", "reason": str(fact.reason)}


def _rejected(fact: ConfigRejected) -> dict[str, Any]:
    count = len(fact.faults)
    more = "" if count == 1 else f" (the first of {count:,} faults)"
    return {
        "summary": f"the configuration on disk is refused, the old one is in force: {fact.faults[0]}{more}",
        "faults": list(fact.faults),
    }


def _applied(fact: ConfigApplied) -> dict[str, Any]:
    changed = {section: change for section, change in fact.changes.items() if change}
    told = ", ".join(f"{section} {change.counts}" for section, change in changed.items())
    return {
        "summary": f"configuration {fact.number} is in force: {told or 'no definition has changed'}",
        "number": fact.number,
        "hash": fact.hash,
        "changes": {section: _change(change) for section, change in changed.items()},
        "restart_needed": list(fact.restart_needed),
    }


def _change(change: Changes) -> dict[str, Any]:
    names = {"added": change.added, "changed": change.changed, "removed": change.removed}
    told: dict[str, Any] = {kind: list(found[:MOST_NAMES]) for kind, found in names.items()}
    more = sum(max(0, len(found) - MOST_NAMES) for found in names.values())
    return {**told, "more": more} if more else told


def _missed(fact: ScheduleMissed) -> dict[str, Any]:
    did = "run once for all of them" if fact.missed == Missed.ONCE else "skipped"
    summary = f"moments of {fact.schedule} were missed, the last at {fact.last}: {did}"
    return {"summary": summary, "last": fact.last, "missed": str(fact.missed)}


def _recovered(fact: StoreRecovered) -> dict[str, Any]:
    summary = f"the store writes again, which it did not for {fact.lasted_s:.0f} s: {fact.error}"
    return {"summary": summary, "error": fact.error, "lasted_s": round(fact.lasted_s, 3)}


def _started(fact: DaemonStarted) -> dict[str, Any]:
    summary = f"hookd {fact.version} has started"
    return {"summary": summary, "version": fact.version, "config": fact.path, "hash": fact.hash}


def _first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda entry: -entry[1])[:MOST_NAMES])
