"""The bodies of requests, as JSON Schema; what `intake` and `filters` read, in their words.

Must never: be stricter or laxer than they are.
"""

from collections.abc import Mapping

from hookd.api.filters import RETRYABLE
from hookd.api.openapi.shape import (
    NO_CONTROL,
    NO_SPACE,
    TRIMMED,
    TRIMMED_WITHOUT_DOT,
    Schema,
    choice,
    flag,
    instant,
    listed,
    nullable,
    printable,
    request,
    text,
)
from hookd.domain.deliveries import State
from hookd.intake.cloudevents import VERSION

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

_ATTRIBUTE: Schema = {
    "type": ["string", "integer", "boolean", "null"],
    "minimum": -(2**31),
    "maximum": 2**31 - 1,
    "description": "Any other attribute is taken and left out; one that is null is not there",
}
_LONG: Schema = {"minLength": 1, "pattern": f"^{NO_CONTROL}*$", "format": "printable"}
"""As `printable`. That 65,536 characters are the most is not described: generators would make texts so long."""

_CLOUDEVENT: Schema = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": VERSION},
        "id": text("With `source`, recognises a repetition", **_LONG),
        "source": text("A URI reference", **{**_LONG, "pattern": f"^{NO_SPACE}*$"}),
        "type": text(
            "hookd's type, a dot and its event: it is parted at its last dot. As `type` and `event` of `NewEvent`",
            minLength=3,
            maxLength=257,
            pattern=f"^{TRIMMED}[.]{TRIMMED_WITHOUT_DOT}$",
            format="cloudevent-type",
            **{"not": {"pattern": "^hookd[.]"}},
        ),
        "subject": nullable(printable(256, "The object's name")),
        "tags": nullable(text("The object's tags, with commas between them", format="tag-list")),
        "time": nullable(instant("When it happened")),
        "datacontenttype": nullable(text("Of `data`", format="media-type")),
        "dataschema": nullable(text("Of `data`; it is left out", format="uri")),
        "data": {"description": "An object is the data as it is; any other value becomes its `value`"},
        "data_base64": nullable(text("Becomes the data's `base64`", format="byte", contentEncoding="base64")),
        "traceparent": {**_ATTRIBUTE, "description": "The trace it belongs to; an invalid one is ignored"},
        "tracestate": {**_ATTRIBUTE, "description": "Goes with `traceparent`"},
    },
    "propertyNames": {"pattern": "^([a-z0-9]+|data_base64)$"},
    "additionalProperties": _ATTRIBUTE,
    "anyOf": [
        {"properties": {"data": {"type": "null"}}},
        {"properties": {"data_base64": {"type": "null"}}},
    ],
    "description": "CloudEvents 1.0, JSON event format",
}

TAKEN: Mapping[str, Schema] = {
    "NewEvent": request(
        {
            "type": printable(
                128,
                "What kind of thing it happened to; one that begins with `hookd.` is refused, and so is one outside the"
                " catalogue where there is one. No space at either end",
                pattern=TRIMMED,
                **{"not": {"pattern": "^hookd[.]"}},
            ),
            "event": printable(128, "What happened. No space at either end", pattern=TRIMMED),
            "object": _POSTED_OBJECT,
            "id": printable(256, "Recognises a repetition; hookd makes one where there is none"),
            "time": instant("When it happened"),
            "data": _DATA,
        },
        required=("type", "event"),
    ),
    "CloudEvent": _CLOUDEVENT,
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
"""Every named shape of a request."""
