"""The shapes of requests and answers as JSON Schema; what `views` makes and `decode` reads, in the words of both.

Must never: be stricter or laxer than the routes. Called by: `operations`, `document`.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from hookd.api.filters import RETRYABLE
from hookd.breaker import BreakerState
from hookd.lane import Parked
from hookd.model import Kind, Reason, State

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(fields: Mapping[str, Schema], *, optional: Iterable[str] = (), **more: Any) -> Schema:
    """An object with these fields, which are there unless they are optional. More may come in later versions."""
    required = [name for name in fields if name not in set(optional)]
    return {"type": "object", "required": required, "properties": dict(fields), **more}


def request(fields: Mapping[str, Schema], *, required: Iterable[str] = (), **more: Any) -> Schema:
    """The body of a request: any other field is refused."""
    needs = {"required": list(required)} if required else {}
    return {"type": "object", **needs, "properties": dict(fields), "additionalProperties": False, **more}


def listed(items: Schema, **more: Any) -> Schema:
    """An array."""
    return {"type": "array", "items": items, **more}


def mapping(values: Schema, **more: Any) -> Schema:
    """An object whose keys are names."""
    return {"type": "object", "additionalProperties": values, **more}


def text(description: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": description, **more}


def printable(longest: int, description: str, **more: Any) -> Schema:
    """A string of printable characters: no controls, no line ends, no space but U+0020."""
    return text(description, minLength=1, maxLength=longest, format="printable", **more)


def choice(words: Iterable[StrEnum], description: str, *, nullable: bool = False) -> Schema:
    """One of a closed set."""
    values: list[str | None] = [str(word) for word in words]
    kinds: Schema = {"type": ["string", "null"], "enum": [*values, None]} if nullable else {"enum": values}
    return {"type": "string", **kinds, "description": description}


def nullable(schema: Schema) -> Schema:
    """The schema's value, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def number(description: str) -> Schema:
    """A number that is not negative."""
    return {"type": "number", "minimum": 0, "description": description}


def count(description: str) -> Schema:
    """A whole number that is not negative."""
    return {"type": "integer", "minimum": 0, "description": description}


def instant(description: str) -> Schema:
    """RFC 3339."""
    return text(description, format="date-time")


def flag(description: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description}


_HTTP_STATUS: Schema = {
    "type": ["integer", "null"],
    "minimum": 100,
    "maximum": 999,
    "description": "The receiver's status; null without an answer",
}
_RULE = text("The place of the rule in the configuration; empty for a trigger or send")
_TAGS = listed(printable(128, "A tag"), uniqueItems=True, description="Its tags at that moment")
_DATA: Schema = {"type": "object", "description": "Anything; messages and conditions use it", "default": {}}
_OBJECT_FIELDS = {"id": printable(256, "Its id"), "name": printable(256, "Its name"), "tags": _TAGS}
_POSTED_OBJECT: Schema = {
    "description": "What it happened to: a name, or an object with an id or a name",
    "anyOf": [
        printable(256, "Its name"),
        request(_OBJECT_FIELDS, anyOf=[{"required": ["id"]}, {"required": ["name"]}]),
    ],
}
_MASKED: Schema = {"type": "object", "description": "Secrets are shown by their reference only"}
_DEFINITION = record(
    {"place": nullable(text("PATH:LINE:COLUMN"))},
    additionalProperties=True,
    description="The definition with its defaults filled in, secrets by their reference only",
)

_REQUESTS: Mapping[str, Schema] = {
    "NewEvent": request(
        {
            "type": printable(
                128,
                "What kind of thing it happened to; one that begins with `hookd.` is refused, and so is one outside the"
                " catalogue where there is one. No space at either end",
                **{"not": {"pattern": "^hookd[.]"}},
            ),
            "event": printable(128, "What happened. No space at either end"),
            "object": _POSTED_OBJECT,
            "id": printable(256, "Recognises a repetition; hookd makes one where there is none"),
            "time": instant("When it happened"),
            "data": _DATA,
        },
        required=("type", "event"),
    ),
    "TriggerRequest": request({"object": _POSTED_OBJECT, "data": _DATA}),
    "SendRequest": request(
        {
            "message": {
                "type": ["object", "array", "string"],
                "default": {"text": "Webhook"},
                "description": "As `message` of a task, with the same variables; what cannot become the webhook's"
                " content type is refused",
            }
        }
    ),
    "RetryRequest": request(
        {
            "state": {**choice(RETRYABLE, "Their state"), "default": str(State.DEAD)},
            "webhook": printable(256, "Only of this webhook"),
            "task": printable(256, "Only of this task"),
            "event": printable(256, "Only of the event with this id"),
            "since": instant("Only those made at this moment or later"),
            "until": instant("Only those made at this moment or earlier; not before `since`"),
            "dry_run": {**flag("Only count them"), "default": False},
        }
    ),
    "NoFields": request({}, description="Nothing: an empty object, or no body"),
}

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
            "hash": text("12 hex digits over its content"),
            "daemon": _MASKED,
            "webhooks": mapping(_DEFINITION),
            "tasks": mapping(_DEFINITION),
            "events": mapping(_DEFINITION),
            "schedules": mapping(_DEFINITION),
            "types": nullable(mapping(_DEFINITION, description="The catalogue; null where there is none")),
        }
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
            "number": count("Counts the configurations of this process"),
            "hash": text("12 hex digits over its content"),
            "changes": mapping(
                record({each: listed(text("A name")) for each in ("added", "changed", "removed")}),
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
                    "number": count("Counts the configurations of this process"),
                    "hash": text("12 hex digits over its content"),
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
            "deliveries": record({str(state): count("So many") for state in State}),
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
    "Retried": record({"matched": count("Fit the filter"), "retried": count("Are due now")}),
    "Rearmed": record({"task": text("Its name"), "rearmed": flag("False: it was not spent")}),
    "Ok": record({"status": {"const": "ok"}}),
}

SCHEMAS: Mapping[str, Schema] = {**_REQUESTS, **_ANSWERS}
"""Every named shape."""
