"""Everything that is named in the description, as JSON Schema: what `views` makes, and what is taken.

Must never: be stricter or laxer than the routes.
"""

from collections.abc import Mapping

from hookd.api.openapi.shape import (
    Schema,
    choice,
    count,
    flag,
    instant,
    listed,
    mapping,
    nullable,
    number,
    record,
    ref,
    text,
    trace_id,
)
from hookd.api.openapi.taken import TAKEN
from hookd.config.yaml.findings import Severity
from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.lane import Parked
from hookd.domain.deliveries import Reason, State
from hookd.domain.events import Kind

_HTTP_STATUS: Schema = {
    "type": ["integer", "null"],
    "minimum": 100,
    "maximum": 999,
    "description": "The receiver's status; null without an answer",
}
_RULE = text("The place of the rule in the configuration; empty for a trigger or send")
_MASKED: Schema = {"type": "object", "description": "Secrets are shown by their reference only"}
_DEFINITION = record(
    {"place": nullable(text("PATH:LINE:COLUMN"))},
    additionalProperties=True,
    description="The definition with its defaults filled in, secrets by their reference only",
)

_SECTIONS = ("webhooks", "tasks", "events", "schedules", "types", "daemon")
_CHANGES = ("added", "changed", "removed")
_COMMIT_FIELDS = {
    "hash": text("12 hex digits over its content"),
    "commit": nullable(text("The git commit that was checked out; null outside of a work tree")),
    "dirty": nullable(flag("The files are not what that commit holds; null without a commit")),
}
_GENERATION_FIELDS = {"number": count("Counts the configurations of this process"), **_COMMIT_FIELDS}
_DELIVERY_FIELDS = {
    "id": text("Sent as `webhook-id` with every attempt"),
    "event_id": text("The event that made it"),
    "task": text("Empty for a send"),
    "webhook": text("Its destination"),
    "state": choice(State, "A parked one is pending"),
    "parked": choice(Parked, "Why it waits for its webhook; null where it does not", nullable=True),
    "cause": record({"kind": choice(Kind, "What made it"), "event_id": text("The event"), "rule": _RULE}),
    "attempt": count("The last attempt begun; 0 before the first"),
    "failures": count("Attempts that counted against `retries`"),
    "created_at": instant("When it was taken in"),
    "due_at": nullable(instant("When it is attempted next, or its lease ends; null once it is finished")),
    "finished_at": nullable(instant("When it was delivered, dead or cancelled")),
    "detail": text("Why it is dead"),
    "last_status": _HTTP_STATUS,
    "last_error": text("Why the last attempt failed, secrets masked"),
    "trace_id": trace_id(),
}
_RESULT_FIELDS = {
    "status": _HTTP_STATUS,
    "reason": choice(Reason, "How it ended"),
    "error": text("A sentence, secrets masked; empty on success"),
    "duration_s": number("From opening to the end of the answer"),
}

_ANSWERS: Mapping[str, Schema] = {
    "Problem": record(
        {
            "title": text("The same for every refusal of this kind"),
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": text("What is wrong this time, and what to do"),
            "errors": listed(
                record(
                    {"pointer": text("A JSON pointer into the body (RFC 6901)"), "message": text("The fault")}
                ),
                description="Every fault of the request, at most 1,000",
            ),
            "near": listed(text("A name"), description="Names that may have been meant"),
        },
        optional=("near",),
        description="RFC 9457",
    ),
    "DeliveryRef": record(
        {
            "id": text("The delivery's id"),
            "task": text("Empty for a send"),
            "webhook": text("Its destination"),
        }
    ),
    "Receipt": record(
        {
            "id": text("The event's id"),
            "duplicate": flag("It was here already: nothing new is sent"),
            "deliveries": listed(
                ref("DeliveryRef"), description="What the rules made of it; of a duplicate, then"
            ),
        }
    ),
    "BatchReceipt": record({"events": listed(ref("Receipt"), description="One for each event, in order")}),
    "Delivery": record(_DELIVERY_FIELDS),
    "DeliveryPage": record(
        {
            "deliveries": listed(ref("Delivery"), description="The newest first"),
            "cursor": nullable(text("Continues the listing; null at its end")),
        }
    ),
    "Attempt": record(
        {
            "number": count("From 1"),
            "started_at": instant("When it was claimed"),
            **_RESULT_FIELDS,
            "response": text("The beginning of the answer's body, at most 4 KiB, secrets masked"),
            "insecure": flag("The receiver's certificate was not checked"),
            "generation": nullable(ref("Generation")),
        }
    ),
    "WholeDelivery": record(
        {
            **_DELIVERY_FIELDS,
            "task_description": text("The task's description"),
            "body": text("What is sent, undecodable bytes replaced"),
            "attempts": listed(ref("Attempt"), description="In order"),
        }
    ),
    "Event": record(
        {
            "id": text("Chosen by the client, or made by hookd"),
            "kind": choice(Kind, "`event` where it was posted"),
            "type": text("Empty where it was not posted"),
            "event": text("Empty where it was not posted"),
            "object": nullable(
                record(
                    {
                        "id": nullable(text("Its id")),
                        "name": nullable(text("Its name")),
                        "tags": listed(text("A tag"), description="Its tags at that moment"),
                    }
                )
            ),
            "time": nullable(text("When it happened, as posted; of a schedule, the moment")),
            "data": {"type": "object", "description": "As posted"},
            "received_at": instant("When it was stored"),
            "trace_id": trace_id(),
            "deliveries": listed(ref("DeliveryRef"), description="What the rules made of it"),
        }
    ),
    "EventPage": record(
        {
            "events": listed(ref("Event"), description="The newest first"),
            "cursor": nullable(text("Continues the listing; null at its end")),
        }
    ),
    "Webhook": record(
        {
            "name": text("Its name"),
            "description": text("Its description"),
            "parked": choice(Parked, "Why its deliveries wait; null where they do not", nullable=True),
            "breaker": choice(BreakerState, "Open: its receiver is taken to be down"),
            "next_probe_at": nullable(instant("When an open breaker lets the next attempt out")),
            "paused_at": nullable(instant("When it was paused by hand")),
            "pending": count("Deliveries not finished"),
            "in_flight": count("Attempts under way"),
            "oldest_age_s": nullable(number("Age of the oldest delivery not finished")),
            "held_until": nullable(instant("The receiver asked to wait until then")),
            "insecure": flag("The receiver's certificate is not checked"),
            "last_result": nullable(record({"at": instant("When it ended"), **_RESULT_FIELDS})),
        }
    ),
    "WebhookList": record({"webhooks": listed(ref("Webhook"))}),
    "Config": record(
        {
            "path": text("What was loaded"),
            **_GENERATION_FIELDS,
            "daemon": _MASKED,
            "webhooks": mapping(_DEFINITION),
            "tasks": mapping(_DEFINITION),
            "events": mapping(_DEFINITION),
            "schedules": mapping(_DEFINITION),
            "types": nullable(mapping(_DEFINITION, description="The catalogue; null where there is none")),
        }
    ),
    "Names": record(
        {
            "webhooks": listed(text("A name")),
            "tasks": listed(text("A name")),
            "types": mapping(
                listed(text("An event")), description="The events of each type; empty without a catalogue"
            ),
        }
    ),
    "Generation": record(_GENERATION_FIELDS, description="A configuration that was in force"),
    "Comparison": record(
        {
            "valid": flag("It could be put into force"),
            "differs": flag("There are changes"),
            "in_force": ref("Generation"),
            "on_disk": record(_COMMIT_FIELDS),
            "findings": listed(ref("Finding"), description="What `hookd check` would print"),
            "changes": listed(ref("Difference"), description="None where it is invalid"),
            "restart_needed": listed(text("A key that only a restart puts into force")),
        }
    ),
    "Finding": record(
        {
            "path": text("The file"),
            "line": count("From 1"),
            "column": count("From 1"),
            "where": text("The dotted place"),
            "severity": choice(Severity, "An error stops the load"),
            "message": text("What is wrong and what is allowed"),
        }
    ),
    "Difference": record(
        {
            "section": {"enum": list(_SECTIONS)},
            "name": text("Of `daemon`, always `daemon`"),
            "change": {"enum": list(_CHANGES)},
            "fields": listed(
                record(
                    {
                        "field": text("Its place in the definition, as it is written"),
                        "old": {"description": "JSON; secrets by their reference only; null: not there"},
                        "new": {"description": "Likewise"},
                    }
                ),
                description="What changed; empty where it was added or removed",
            ),
            "waiting": count("Deliveries that wait for it; with webhooks only"),
        },
        optional=("waiting",),
    ),
    "Verdict": record(
        {
            "ok": flag("The configuration on disk is the one in force"),
            "at": instant("When the reload ended"),
            "faults": listed(text("PATH:LINE:COLUMN: WHERE: what is wrong")),
        }
    ),
    "Reloaded": record(
        {
            **_GENERATION_FIELDS,
            "changes": mapping(
                record({each: listed(text("A name")) for each in _CHANGES}),
                description="By section",
            ),
            "restart_needed": listed(text("A key that only a restart puts into force")),
        }
    ),
    "Status": record(
        {
            "version": text("The program's"),
            "pid": count("The process"),
            "started_at": instant("When it started"),
            "uptime_s": {"type": "number", "description": "Since then, by the wall clock"},
            "stopping": flag("It is going down"),
            "config": record(
                {
                    "path": text("What was loaded"),
                    **_GENERATION_FIELDS,
                    "loaded_at": instant("When it came into force"),
                    "last_reload": ref("Verdict"),
                    "warnings": listed(text("As `hookd check` prints it")),
                    "restart_needed": listed(text("A key that only a restart puts into force")),
                }
            ),
            "listen": listed(text("An address")),
            "store": record(
                {
                    "path": text("Its file"),
                    "size_bytes": nullable(count("Of its file")),
                    "error": nullable(text("Why the last write failed")),
                }
            ),
            "spool": record(
                {
                    "path": text("Its directory"),
                    "waiting": count("Files still to be taken in"),
                    "rejected": count("Files that could not be taken in"),
                    "error": nullable(text("Why what waits does")),
                }
            ),
            "deliveries": record({str(state): count("So many") for state in State}),
            "last_died_at": nullable(instant("When a delivery died last")),
            "schedules": record({"error": nullable(text("Why moments that are due cannot be fired"))}),
            "limits": record({"pending": count("Deliveries that may wait at once")}),
            "webhooks": listed(ref("Webhook")),
            "spent": listed(
                record(
                    {
                        "task": text("A task that has run once and for all"),
                        "spent_at": instant("When"),
                        "delivery_id": text("Its one delivery, which may be gone from the history"),
                    }
                )
            ),
        }
    ),
    "TailLine": record(
        {
            "timestamp": instant("When it happened"),
            "level": {"enum": ["debug", "info", "warning", "error"]},
            "event": text("The fact's name; one that begins with `tail.` is about the stream itself"),
            "cursor": text("For `after`", pattern="^[0-9a-f]{12}-[0-9]{1,18}$"),
        },
        additionalProperties=True,
        description="A fact, with the keys that it has in the log",
    ),
    "Tail": record(
        {
            "facts": {"type": "array", "items": ref("TailLine")},
            "cursor": text(
                "For `after`: of the last fact that was looked at", pattern="^[0-9a-f]{12}-[0-9]{1,18}$"
            ),
            "missed": count("Facts behind `after` that are remembered no more"),
        }
    ),
    "Retried": record({"matched": count("Fit the filter"), "retried": count("Are due now")}),
    "Rearmed": record({"task": text("Its name"), "rearmed": flag("False: it was not spent")}),
    "Ok": record({"status": {"const": "ok"}}),
}

SCHEMAS: Mapping[str, Schema] = {**TAKEN, **_ANSWERS}
"""Every named shape."""
