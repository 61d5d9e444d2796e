"""What each route takes and answers: one entry a route, in the order of the document.

A new route gets its entry here, its shapes in `schemas`, and parameters that no route had yet in `document`.
What every route may answer (a refusal at the door, a 503) and what every body brings along (413, 415) is added there.

Must never: hold an entry for what is not routed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hookd.api.filters import FILTERS, PAGING
from hookd.api.openapi.shape import Schema, listed, ref
from hookd.observability.metrics import CONTENT_TYPE
from hookd.server.body import CLOUDEVENT, CLOUDEVENTS, JSON, NDJSON

_PLAIN = CONTENT_TYPE.partition(";")[0]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: what it means and its schema, of content type `kind`; `others` has those of other content types."""

    text: str
    schema: Schema
    kind: str = JSON
    others: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Attributes:
        id: the operation's name for those who generate clients.
        summary: one line; `more` goes on where there is more to say.
        answers: those of success, by status.
        problems: the refusals of this route's own, by status.
        query: names of parameters (see `document`).
        headers: names of request headers (see `document`).
        body: schemas by content type; empty: the route reads no body.
        body_needed: whether it may be missing.
    """

    id: str
    summary: str
    answers: Mapping[int, Said]
    more: str = ""
    problems: Mapping[int, str] = field(default_factory=dict)
    query: frozenset[str] = frozenset()
    headers: tuple[str, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    body_needed: bool = False


_NO_DELIVERY = {404: "There is no such delivery"}
_NO_WEBHOOK = {404: "There is no such webhook, and nothing waits for one"}
_NO_TASK = {404: "There is no such task"}
_NOTHING = {JSON: ref("NoFields")}
_EVENTS = {"oneOf": [ref("NewEvent"), listed(ref("NewEvent"), minItems=1)]}
_RECEIPTS = {"oneOf": [ref("Receipt"), ref("BatchReceipt")]}
_TRACE = ("traceparent", "tracestate")
_LINES: Schema = {
    "type": "string",
    "description": "One event a line, each as `NewEvent`; blank lines are skipped",
}

_TAIL: Schema = {
    "type": "string",
    "description": "One object a line",
    "contentMediaType": NDJSON,
    "contentSchema": ref("TailLine"),
}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/v1/events"): Operation(
        "postEvents",
        "Take in an event, or a batch of them",
        more="A batch (an array, or lines) is stored whole or refused whole, and answered by `events` in order. The"
        " answer comes after the commit is on disk. Besides the types listed, any is taken with a CloudEvent in binary"
        " mode: its attributes are in headers that begin with `ce-`, as in `CloudEvent`, and the body is its data.",
        headers=("Idempotency-Key", *_TRACE),
        body={
            JSON: _EVENTS,
            NDJSON: _LINES,
            CLOUDEVENT: ref("CloudEvent"),
            CLOUDEVENTS: listed(ref("CloudEvent")),
        },
        body_needed=True,
        answers={
            200: Said("Every event was here already; nothing new is sent", _RECEIPTS),
            202: Said("Stored, with the deliveries that the rules made", _RECEIPTS),
        },
        problems={409: "An id is taken by an event with other content"},
    ),
    ("POST", "/v1/tasks/{name}/trigger"): Operation(
        "triggerTask",
        "Run a task now",
        headers=_TRACE,
        body={JSON: ref("TriggerRequest")},
        answers={202: Said("Stored, with its delivery", ref("Receipt"))},
        problems={**_NO_TASK, 409: "The task runs once only and is spent"},
    ),
    ("POST", "/v1/tasks/{name}/rearm"): Operation(
        "rearmTask",
        "Let a task that has run once and for all run again",
        body=_NOTHING,
        answers={200: Said("It may run", ref("Rearmed"))},
        problems={**_NO_TASK, 409: "The task does not run once only"},
    ),
    ("GET", "/v1/deliveries"): Operation(
        "listDeliveries",
        "List deliveries, the newest first",
        query=FILTERS | PAGING,
        answers={200: Said("A page of them", ref("DeliveryPage"))},
    ),
    ("GET", "/v1/deliveries/{id}"): Operation(
        "getDelivery",
        "One delivery with its body and every attempt",
        answers={200: Said("The delivery", ref("WholeDelivery"))},
        problems=_NO_DELIVERY,
    ),
    ("POST", "/v1/deliveries/{id}/retry"): Operation(
        "retryDelivery",
        "Make a delivery due now, whatever has become of it",
        body=_NOTHING,
        answers={200: Said("The delivery", ref("WholeDelivery"))},
        problems={**_NO_DELIVERY, 409: "An attempt is under way"},
    ),
    ("POST", "/v1/deliveries/{id}/cancel"): Operation(
        "cancelDelivery",
        "End a delivery that waits",
        body=_NOTHING,
        answers={200: Said("The delivery", ref("WholeDelivery"))},
        problems={**_NO_DELIVERY, 409: "It is finished already, or an attempt is under way"},
    ),
    ("POST", "/v1/deliveries/retry"): Operation(
        "retryDeliveries",
        "Make every delivery due that fits a filter, or count them",
        body={JSON: ref("RetryRequest")},
        answers={200: Said("How many", ref("Retried"))},
    ),
    ("GET", "/v1/events"): Operation(
        "listEvents",
        "List events, the newest first",
        query=PAGING,
        answers={200: Said("A page of them", ref("EventPage"))},
    ),
    ("GET", "/v1/events/{id}"): Operation(
        "getEvent",
        "One event",
        answers={200: Said("The event", ref("Event"))},
        problems={404: "There is no such event"},
    ),
    ("GET", "/v1/webhooks"): Operation(
        "listWebhooks",
        "Every webhook with the state of its lane",
        answers={200: Said("All of them", ref("WebhookList"))},
    ),
    ("POST", "/v1/webhooks/{name}/pause"): Operation(
        "pauseWebhook",
        "Park a webhook's deliveries until it is resumed",
        body=_NOTHING,
        answers={200: Said("The webhook", ref("Webhook"))},
        problems=_NO_WEBHOOK,
    ),
    ("POST", "/v1/webhooks/{name}/resume"): Operation(
        "resumeWebhook",
        "End a pause",
        body=_NOTHING,
        answers={200: Said("The webhook", ref("Webhook"))},
        problems=_NO_WEBHOOK,
    ),
    ("POST", "/v1/webhooks/{name}/send"): Operation(
        "sendMessage",
        "Send a test message to a webhook, through the real path",
        headers=_TRACE,
        body={JSON: ref("SendRequest")},
        answers={202: Said("Stored, with its delivery", ref("Receipt"))},
        problems={404: "There is no such webhook"},
    ),
    ("GET", "/v1/config"): Operation(
        "getConfig",
        "The configuration in force, secrets masked",
        answers={200: Said("The configuration", ref("Config"))},
    ),
    ("GET", "/v1/names"): Operation(
        "getNames",
        "The names in the configuration in force",
        answers={200: Said("The names", ref("Names"))},
    ),
    ("POST", "/v1/config/diff"): Operation(
        "diffConfig",
        "Compare the configuration on disk with the one in force; nothing is changed",
        body=_NOTHING,
        answers={200: Said("What differs", ref("Comparison"))},
    ),
    ("POST", "/v1/reload"): Operation(
        "reload",
        "Load the configuration again and wait for the verdict",
        body=_NOTHING,
        answers={200: Said("What has changed", ref("Reloaded"))},
        problems={
            422: "The configuration is refused, and the one in force unchanged; or the body has fields"
        },
    ),
    ("GET", "/v1/tail"): Operation(
        "tail",
        "What has happened lately; or follow what happens",
        more="Facts are what the log says, of every level. By default the latest are answered, or the next behind"
        " `after`. With `Accept: application/x-ndjson` they come as they happen, from now on or from behind `after`,"
        " until the client goes or hookd stops: first a line `tail.began`, then the facts; `tail.missed` tells how many"
        " were gone before they could be sent, `tail.alive` that nothing happened, `tail.ended` that hookd stops."
        " With `webhook`, `task` or `state` only facts about such deliveries are sent; `state` is the one that a"
        " delivery has after the fact. A cursor of an earlier run goes on with the first fact of this one.",
        query=frozenset({"after", "webhook", "task", "state"}),
        answers={200: Said("Some facts; or lines without end", ref("Tail"), others={NDJSON: _TAIL})},
    ),
    ("GET", "/v1/status"): Operation(
        "getStatus",
        "Whether everything is all right",
        answers={200: Said("Everything an operator asks first", ref("Status"))},
    ),
    ("GET", "/healthz"): Operation(
        "healthz",
        "Whether the process serves requests at all",
        answers={200: Said("It does", ref("Ok"))},
    ),
    ("GET", "/readyz"): Operation(
        "readyz",
        "Whether events would be taken in now; 503 where not",
        answers={200: Said("They would", ref("Ok"))},
    ),
    ("GET", "/metrics"): Operation(
        "metrics",
        "The metrics, in Prometheus' text format 0.0.4",
        answers={200: Said("The metrics", {"type": "string"}, _PLAIN)},
    ),
    ("GET", "/openapi.json"): Operation(
        "openapi",
        "This description",
        answers={200: Said("OpenAPI 3.1", {"type": "object", "required": ["openapi", "info", "paths"]})},
    ),
}
"""Every route, by method and path."""
