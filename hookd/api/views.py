"""How records look in JSON (spec 9). Instants are RFC 3339 in UTC.

Must never: decide anything, or show a secret.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from hookd.config.diff import Comparison, DefinitionChange
from hookd.config.generation import Generation
from hookd.delivery.lane import LaneState
from hookd.domain.definitions import Config, EventDef, ScheduleDef, TaskDef, masked
from hookd.domain.deliveries import Attempt, State
from hookd.domain.events import DeliveryRef, EventObject, Receipt, SpentMark
from hookd.domain.history import DeliveryRecord, EventRecord, LaneStats
from hookd.domain.json_text import json_string
from hookd.domain.reload_result import Changes, ReloadResult
from hookd.domain.times import date_time
from hookd.rules.templates import shown_body
from hookd.server.long_json import LongObject
from hookd.server.sockets import ListenerState

JsonObject = dict[str, Any]


def instant(at: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 with milliseconds; None stays None."""
    if at is None:
        return None
    try:
        return date_time(at, "milliseconds")
    except (OverflowError, ValueError):
        return None


def receipt(given: Receipt) -> JsonObject:
    """The answer to one posted event (spec 2)."""
    return {
        "id": given.event_id,
        "duplicate": given.duplicate,
        "deliveries": [reference(delivery) for delivery in given.deliveries],
    }


def receipt_json(given: Receipt) -> bytes:
    """The same as JSON, made in the fewest steps: it is written for every event."""
    deliveries = [
        f'{{"id":{json_string(each.id)},"task":{json_string(each.task)},"webhook":{json_string(each.webhook)}}}'
        for each in given.deliveries
    ]
    duplicate = "true" if given.duplicate else "false"
    head = f'{{"id":{json_string(given.event_id)},"duplicate":{duplicate},"deliveries":['
    return f"{head}{','.join(deliveries)}]}}".encode()


def reference(given: DeliveryRef) -> JsonObject:
    """A delivery as an event's answer names it."""
    return {"id": given.id, "task": given.task, "webhook": given.webhook}


def delivery(record: DeliveryRecord, lane: LaneState) -> JsonObject:
    """A delivery as a listing shows it; `lane`: its webhook's."""
    finished = record.finished_at is not None
    return {
        "id": record.id,
        "event_id": record.event_id,
        "task": record.task,
        "webhook": record.webhook,
        "state": record.state,
        "parked": None if finished else lane.parked,
        "held_until": None if finished else instant(lane.hold_until),
        "cause": {"kind": record.kind, "event_id": record.event_id, "rule": record.rule},
        "attempt": record.attempt,
        "failures": record.failures,
        "created_at": instant(record.created_at),
        "due_at": None if finished else instant(_due_at(record, lane)),
        "finished_at": instant(record.finished_at),
        "detail": record.detail,
        "last_status": record.last_status,
        "last_error": record.last_error,
        "trace_id": record.trace_id,
    }


def _due_at(record: DeliveryRecord, lane: LaneState) -> float | None:
    """When a delivery is attempted next: not before its webhook's hold ends."""
    if record.state is State.PENDING and record.due_at is not None:
        return max(record.due_at, lane.hold_until or 0.0)
    return record.due_at


def whole_delivery(record: DeliveryRecord, config: Config, lane: LaneState) -> JsonObject:
    """A delivery with its body and attempts."""
    body = shown_body(record.body or b"")
    task = config.tasks.get(record.task)
    return {
        **delivery(record, lane),
        "task_description": task.description if task else "",
        "body": body,
        "attempts": [attempt(a) for a in record.attempts],
    }


def attempt(given: Attempt) -> JsonObject:
    """One attempt; `response` is the beginning of the answer's body, undecodable bytes replaced."""
    return {
        "number": given.number,
        "started_at": instant(given.started_at),
        "duration_s": round(given.duration_s, 6),
        "status": given.status,
        "reason": given.reason,
        "error": given.error,
        "response": given.response.decode("utf-8", "replace"),
        "insecure": given.insecure,
        "resent": given.resent,
        "generation": asdict(given.generation) if given.generation else None,
    }


def event(record: EventRecord) -> JsonObject:
    """A kept event."""
    return {**listed_event(record), "data": dict(record.event.data)}


def listed_event(record: EventRecord) -> JsonObject:
    """A kept event as a listing shows it: without its data."""
    given = record.event
    return {
        "id": given.id,
        "kind": given.kind,
        "type": given.type,
        "event": given.event,
        "object": _object(given.object),
        "time": given.time,
        "received_at": instant(record.received_at),
        "trace_id": given.trace and given.trace.trace_id,
        "deliveries": [reference(d) for d in record.deliveries],
    }


def _object(given: EventObject | None) -> JsonObject | None:
    if given is None:
        return None
    return {"id": given.id, "name": given.name, "tags": list(given.tags)}


def lane(
    state: LaneState, stats: LaneStats | None, paused_at: float | None, config: Config, now: float
) -> JsonObject:
    """A webhook with what waits for it; a paused one may be parked for a graver reason."""
    webhook = config.webhooks.get(state.webhook)
    oldest_at = stats.oldest_at if stats else None
    last = state.last_result
    return {
        "name": state.webhook,
        "description": webhook.description if webhook else "",
        "parked": state.parked,
        "breaker": state.breaker,
        "next_probe_at": None if state.probe_in_s is None else instant(now + state.probe_in_s),
        "paused_at": instant(paused_at),
        "pending": stats.pending if stats else 0,
        "in_flight": state.in_flight,
        "oldest_age_s": None if oldest_at is None else round(max(0.0, now - oldest_at), 3),
        "held_until": instant(state.hold_until),
        "slowed_to_per_s": None if state.slowed_to_per_s is None else float(f"{state.slowed_to_per_s:.4g}"),
        "insecure": bool(webhook and webhook.tls.insecure),
        "last_result": None
        if last is None
        else {
            "at": instant(last.at),
            "status": last.outcome.status,
            "reason": last.outcome.reason,
            "error": last.outcome.error,
            "duration_s": round(last.outcome.duration_s, 6),
        },
    }


def listener(given: ListenerState) -> JsonObject:
    """A listener with its connections, and with its certificate where it has one."""
    certificate = given.certificate
    return {
        "listen": given.address,
        "certificate": certificate
        and {
            "path": certificate.path,
            "ends_at": instant(certificate.ends_at),
            "error": certificate.error,
        },
        "connections": {
            "open": given.open,
            "most": given.most,
            "unserved": {
                kind: {"count": each.count, "last_at": instant(each.last_at)}
                for kind, each in given.unserved.items()
            },
        },
    }


def spent(marks: Iterable[SpentMark], config: Config) -> list[JsonObject]:
    """The one-shot tasks in force that have run, the latest first (spec 13)."""
    return [
        {"task": mark.task, "spent_at": instant(mark.spent_at), "delivery_id": mark.delivery_id}
        for mark in marks
        if (task := config.tasks.get(mark.task)) and task.delete_after_running and task.digest == mark.digest
    ]


def reload_result(given: ReloadResult) -> JsonObject:
    """How the last reload ended."""
    return {"ok": given.ok, "at": instant(given.at), "faults": list(given.faults)}


def changes(given: Mapping[str, Changes]) -> JsonObject:
    """What a reload changed, by section."""
    return {
        section: {"added": list(c.added), "changed": list(c.changed), "removed": list(c.removed)}
        for section, c in given.items()
    }


def configuration(generation: Generation) -> JsonObject:
    """The configuration in force, secrets masked, each definition with its place (`GET /v1/config`).

    Its sections are for `long_json_response`; `types` is None where there is no catalogue.
    """
    config = generation.config
    sections: Mapping[str, Mapping[str, Any] | None] = {
        "webhooks": config.webhooks,
        "tasks": config.tasks,
        "events": config.events,
        "schedules": config.schedules,
        "types": config.types,
    }
    return {
        "path": config.path,
        **asdict(generation.ref),
        "daemon": {**masked(config.daemon), "store": config.daemon.store.target},
        **{
            section: None if named is None else LongObject(_definitions(section, named, config))
            for section, named in sections.items()
        },
    }


def _definitions(section: str, named: Mapping[str, Any], config: Config) -> Iterator[tuple[str, JsonObject]]:
    for name, each in named.items():
        yield name, _definition(each, f"{section}.{name}", config)


def _definition(given: Any, where: str, config: Config) -> JsonObject:
    """A definition with its place in the files; a rule also by the name that history knows it by."""
    shown: JsonObject = masked(given)
    if isinstance(given, EventDef | ScheduleDef):
        shown = {"rule": shown.pop("place"), **shown}
    if isinstance(given, ScheduleDef):
        shown |= {name: instant(getattr(given, name)) for name in ("at", "starts_at", "ends_at")}
    if isinstance(given, TaskDef):
        shown["triggers"] = [_definition(rule, rule.place, config) for rule in given.triggers]
    return {**shown, "place": _place(config, where)}


def _place(config: Config, where: str) -> str | None:
    place = config.places.get(where)
    return f"{place.path}:{place.line}:{place.column}" if place else None


def comparison(given: Comparison, waiting: Mapping[str, LaneStats]) -> JsonObject:
    """The configuration on disk beside the one in force; webhooks with how many deliveries wait for them."""
    return {
        "valid": given.valid,
        "differs": bool(given.differences),
        "in_force": asdict(given.in_force),
        "on_disk": {"hash": given.hash, "commit": given.commit, "dirty": given.dirty},
        "findings": [asdict(diagnostic) for diagnostic in given.diagnostics],
        "changes": [_difference(each, waiting) for each in given.differences],
        "restart_needed": list(given.restart_needed),
    }


def _difference(given: DefinitionChange, waiting: Mapping[str, LaneStats]) -> JsonObject:
    shown = asdict(given)
    if given.section == "webhooks":
        stats = waiting.get(given.name)
        shown["waiting"] = stats.pending if stats else 0
    return shown
