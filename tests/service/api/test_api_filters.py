"""The body of a retry by filter: what it chooses, and what is refused with its place (spec 9)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from hookd.api.delivery_filters import FILTERS, decode_retry, queried
from hookd.domain.deliveries import State
from hookd.domain.errors import EventRejected
from hookd.domain.history import DeliveryFilter
from hookd.server.problems import Problem

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, DeliveryFilter(state=State.DEAD)),
        ({"state": "cancelled"}, DeliveryFilter(state=State.CANCELLED)),
        ({"state": "delivered", "webhook": "w"}, DeliveryFilter(state=State.DELIVERED, webhook="w")),
        ({"state": "pending", "task": "t"}, DeliveryFilter(state=State.PENDING, task="t")),
        ({"event": "e"}, DeliveryFilter(state=State.DEAD, event_id="e")),
        (
            {"since": "2026-01-02T03:04:05Z", "until": "2026-01-02T03:04:05Z"},
            DeliveryFilter(state=State.DEAD, since=AT, until=AT + 0.001),
        ),
        ({"since": "2026-01-02T03:04:05Z"}, DeliveryFilter(state=State.DEAD, since=AT)),
        ({"until": "2026-01-02t04:04:05.5+01:00"}, DeliveryFilter(state=State.DEAD, until=AT + 0.501)),
        ({"until": "2026-01-02T03:04:05.1239Z"}, DeliveryFilter(state=State.DEAD, until=AT + 0.124)),
        (
            {"since": "2016-12-31T23:59:60Z"},
            DeliveryFilter(state=State.DEAD, since=datetime(2017, 1, 1, tzinfo=UTC).timestamp()),
        ),
    ],
)
def test_a_body_becomes_a_filter(body: dict[str, Any], where: DeliveryFilter) -> None:
    assert decode_retry(body).where == where
    assert not decode_retry(body).dry_run
    assert decode_retry({**body, "cursor": "12"}).cursor == "12"
    assert decode_retry({**body, "dry_run": True}).dry_run


@pytest.mark.parametrize(
    ("body", "pointer", "told"),
    [
        ([], "", "must be an object"),
        ({"stat": "dead"}, "/stat", 'did you mean "state"?'),
        ({"limit": 3}, "/limit", "unknown field"),
        ({"state": "sending"}, "/state", "must be one of dead, cancelled, delivered, pending"),
        ({"state": "deda"}, "/state", 'did you mean "dead"?'),
        ({"state": ["dead"]}, "/state", "must be a string, not an array"),
        ({"state": None}, "/state", "must be a string, not null"),
        ({"webhook": 3}, "/webhook", "must be a string, not a number"),
        ({"task": ""}, "/task", "must have 1 to"),
        ({"event": True}, "/event", "must be a string, not a boolean"),
        ({"cursor": 3}, "/cursor", "must be a string, not a number"),
        ({"cursor": ""}, "/cursor", "must have 1 to"),
        ({"dry_run": "yes"}, "/dry_run", "must be true or false, not a string"),
        ({"dry_run": 1}, "/dry_run", "must be true or false, not a number"),
        ({"since": 1767323045}, "/since", "must be a string, not a number"),
        ({"since": "2026-01-02T03:04:05"}, "/since", "RFC 3339 with an offset"),
        ({"until": "2026-01-02"}, "/until", "RFC 3339 with an offset"),
        ({"until": "2h"}, "/until", '"2h"'),
        (
            {"since": "2026-01-02T03:04:06Z", "until": "2026-01-02T04:04:05+01:00"},
            "/since",
            "later than until",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(body: Any, pointer: str, told: str) -> None:
    with pytest.raises(EventRejected) as refused:
        decode_retry(body)
    [fault] = refused.value.faults
    assert refused.value.status == 422
    assert fault.pointer == pointer
    assert told in fault.message


def test_every_fault_is_told() -> None:
    with pytest.raises(EventRejected) as refused:
        decode_retry({"state": 1, "since": "x", "dry_run": 2, "wehbook": "w"})
    assert {fault.pointer for fault in refused.value.faults} == {"/state", "/since", "/dry_run", "/wehbook"}


def test_a_query_knows_the_same_filters() -> None:
    query = {"state": "sending", "webhook": "w", "task": "t", "event": "e", "since": "2026-01-02T03:04:05Z"}
    assert queried(query) == DeliveryFilter(
        state=State.SENDING, webhook="w", task="t", event_id="e", since=AT
    )
    assert query.keys() | {"until"} == FILTERS
    reversed_window = {"since": "2026-01-02T03:04:05.5Z", "until": "2026-01-02T03:04:05Z"}
    for wrong in (
        {"state": "lost"},
        {"since": "2026-01-02"},
        {"until": "2026-01-02T03:04:05"},
        reversed_window,
    ):
        with pytest.raises(Problem):
            queried(wrong)


@pytest.mark.parametrize(
    ("since", "hint"),
    [("2026-01-02T03:04:05 02:00", True), ("2026-01-02 03:04:05", False), ("2026-01-02", False)],
)
def test_a_bare_plus_in_a_url_is_recognised(since: str, hint: bool) -> None:
    with pytest.raises(Problem) as refused:
        queried({"since": since})
    assert ("written %2B" in refused.value.detail) == hint
