"""What `hookd/api/openapi.yaml` repeats of the code (enums, content types, limits, lengths) is what the code has."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from hookd import intake
from hookd.api import delivery_filters, tail
from hookd.api.event_routes import TAKEN
from hookd.api.openapi import document
from hookd.config.yaml.diagnostics import Severity
from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.parking import Parked
from hookd.domain.deliveries import Reason, State
from hookd.domain.errors import EventRejected
from hookd.domain.events import Kind
from hookd.intake.cloudevents import VERSION
from hookd.observability.log import LEVELS
from hookd.observability.metrics import CONTENT_TYPE
from hookd.server.limits import Limits
from hookd.server.problems import PROBLEM_TYPE, RETRY_AFTER_S

EVENT = {"type": "vm", "event": "on"}
CLOUD = {"specversion": VERSION, "id": "1", "source": "/s", "type": "vm.on"}

found = cache(document)


def schema(name: str) -> Any:
    return found()["components"]["schemas"][name]["properties"]


def query(path: str, name: str) -> Any:
    given = found()["paths"][path]["get"]["parameters"]
    return next(each["schema"] for each in given if (each["in"], each["name"]) == ("query", name))


def content_types(value: Any) -> Iterator[str]:
    """Of every answer that is a refusal."""
    for answer in value["components"]["responses"].values():
        yield from answer["content"]
    for methods in value["paths"].values():
        for operation in methods.values():
            answers = operation["responses"] if "summary" in operation else {}
            for status, answer in answers.items():
                yield from answer.get("content", ()) if status >= "400" else ()


def pairs() -> dict[str, tuple[Any, Any]]:
    """What is described, and what the code has, by a name for both."""
    post = found()["paths"]["/v1/events"]["post"]
    limit, retry = query("/v1/deliveries", "limit"), schema("RetryRequest")["state"]
    limits, text = Limits(), found()["info"]["description"]
    return {
        "a delivery's state": (schema("Delivery")["state"]["enum"], [*State]),
        "a listing's state": (query("/v1/deliveries", "state")["enum"], [*State]),
        "the tail's state": (query("/v1/tail", "state")["enum"], [*State]),
        "the status' counts": (schema("Status")["deliveries"]["required"], [*State]),
        "each has a count": ([*schema("Status")["deliveries"]["properties"]], [*State]),
        "a retry's state": (retry["enum"], [*delivery_filters.RETRYABLE]),
        "a retry's state by default": (retry["default"], delivery_filters.decode_retry({}).where.state),
        "why a delivery is parked": (schema("Delivery")["parked"]["enum"], [*Parked, None]),
        "why a webhook is parked": (schema("Webhook")["parked"]["enum"], [*Parked, None]),
        "a cause": (schema("Delivery")["cause"]["properties"]["kind"]["enum"], [*Kind]),
        "an event's kind": (schema("ListedEvent")["kind"]["enum"], [*Kind]),
        "how an attempt ended": (schema("Attempt")["reason"]["enum"], [*Reason]),
        "the last result": (schema("Webhook")["last_result"]["properties"]["reason"]["enum"], [*Reason]),
        "a breaker": (schema("Webhook")["breaker"]["enum"], [*BreakerState]),
        "a diagnostic": (schema("Finding")["severity"]["enum"], [*Severity]),
        "a fact's level": (schema("TailLine")["level"]["enum"], [*LEVELS]),
        "items of a page": (
            (limit["default"], limit["maximum"]),
            (delivery_filters.DEFAULT_LIMIT, delivery_filters.MOST_ITEMS),
        ),
        "the tail's cursor": (query("/v1/tail", "after")["pattern"], schema("TailLine")["cursor"]["pattern"]),
        "bodies of events": ([*post["requestBody"]["content"]], [*TAKEN]),
        "CloudEvents": (schema("CloudEvent")["specversion"]["const"], VERSION),
        "metrics": (
            [*found()["paths"]["/metrics"]["get"]["responses"]["200"]["content"]],
            [CONTENT_TYPE.partition(";")[0]],
        ),
        "refusals": ({*content_types(found())}, {PROBLEM_TYPE}),
        "a 503": (
            found()["components"]["responses"]["Problem503"]["headers"]["Retry-After"]["description"],
            f"Seconds; {RETRY_AFTER_S}",
        ),
        "a head's limits": (
            all(f"{figure:,}" in text for figure in (limits.head_line, limits.headers, limits.connections)),
            True,
        ),
        "a client's time": (
            (f"within {limits.head_s:.0f} seconds" in text, f"most {limits.body_s:.0f} seconds" in text),
            (True, True),
        ),
    }


def test_enums_and_limits_are_those_of_the_code() -> None:
    differing = {name: pair for name, pair in pairs().items() if pair[0] != pair[1]}
    assert differing == {}, "bring hookd/api/openapi.yaml up to date"


@pytest.mark.parametrize(
    "cursor", ["0123456789ab-1", f"0123456789ab-{'9' * 18}", "0123456789ab-", "x-1", "1"]
)
def test_a_tail_s_cursor_is_what_the_route_reads(cursor: str) -> None:
    described = re.search(query("/v1/tail", "after")["pattern"], cursor)
    assert bool(described) is bool(tail._CURSOR.fullmatch(cursor))


def longest(field: str) -> dict[str, Any]:
    """The described string of a field of a posted event; `object.tags` of its object."""
    fields = schema("NewEvent")
    if field == "object":
        return dict(fields["object"]["anyOf"][0])
    if field.startswith("object."):
        inner = fields["object"]["anyOf"][1]["properties"][field.removeprefix("object.")]
        return dict(inner.get("items", inner))
    return dict(fields[field])


@pytest.mark.parametrize(
    "field", ["type", "event", "id", "object", "object.id", "object.name", "object.tags"]
)
def test_a_text_of_an_event_is_as_long_as_described(field: str) -> None:
    def taken(text: str) -> bool:
        inner = {"name": "n", field.removeprefix("object."): [text] if field == "object.tags" else text}
        given = {"object": inner} if field.startswith("object.") else {field: text}
        try:
            intake.decode_event({**EVENT, **given}, index=None, types=None, default_id=None, make_id=str)
        except EventRejected:
            return False
        return True

    most = longest(field)["maxLength"]
    assert (taken("x" * most), taken("x" * (most + 1))) == (True, False)


@pytest.mark.parametrize("field", ["subject", "type"])
def test_a_text_of_a_cloudevent_is_as_long_as_described(field: str) -> None:
    def taken(length: int) -> bool:
        text = "x" * length if field == "subject" else f"{'x' * 128}.{'y' * (length - 129)}"
        try:
            intake.decode_cloudevent({**CLOUD, field: text}, types=None)
        except EventRejected:
            return False
        return True

    most = schema("CloudEvent")[field]["maxLength"]
    assert (taken(most), taken(most + 1)) == (True, False)


def test_an_idempotency_key_is_as_long_as_described() -> None:
    (key,) = [
        each["schema"]
        for each in found()["paths"]["/v1/events"]["post"]["parameters"]
        if each["name"] == "Idempotency-Key"
    ]
    assert intake.decode_key("k" * key["maxLength"])
    with pytest.raises(EventRejected):
        intake.decode_key("k" * (key["maxLength"] + 1))
