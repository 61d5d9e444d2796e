"""What each fact becomes as an event."""

from typing import Any

import pytest

from hookd.delivery.parking import Parked
from hookd.domain.definitions import Missed
from hookd.domain.deliveries import Reason
from hookd.domain.ids import new_id
from hookd.domain.operator_events import (
    ID_PREFIX,
    MOST_NAMES,
    OWN,
    OWN_TYPES,
    ConfigApplied,
    ConfigRejected,
    DaemonStarted,
    DeliveriesDead,
    DeliveryDead,
    ScheduleMissed,
    StoreRecovered,
    UnmergedEvent,
    WebhookParked,
    WebhookResumed,
    discard,
    event_draft,
    is_own_id,
)
from hookd.domain.reload_result import Changes

LAST = DeliveryDead(
    "ops", "page", "dlv_9", "evt_9", 3, Reason.STATUS, 503, "3 attempts failed, no retries left", 7.0
)
SINCE = "2026-01-02T03:04:05Z"
CHANGES = {
    "webhooks": Changes(added=("a",), changed=("b", "c")),
    "tasks": Changes(removed=tuple(f"t{number}" for number in range(MOST_NAMES + 7))),
    "events": Changes(),
}

REPORTS: list[tuple[DeliveriesDead | UnmergedEvent, str, str, dict[str, Any]]] = [
    (
        DeliveriesDead(LAST, 1, SINCE, 7.0, {"page": 1}),
        "hookd.delivery dead",
        "ops",
        {
            "summary": "a delivery of task page to ops is dead: 3 attempts failed, no retries left",
            "count": 1,
            "since": SINCE,
            "tasks": {"page": 1},
            "delivery_id": "dlv_9",
            "event_id": "evt_9",
            "task": "page",
            "attempts": 3,
            "reason": "status",
            "status": 503,
            "detail": "3 attempts failed, no retries left",
        },
    ),
    (
        WebhookParked("ops", Parked.BREAKER),
        "hookd.webhook parked",
        "ops",
        {"summary": "deliveries to ops wait: its receiver is down", "reason": "breaker"},
    ),
    (
        WebhookResumed("ops", Parked.PAUSED),
        "hookd.webhook resumed",
        "ops",
        {"summary": "deliveries to ops go out again", "reason": "paused"},
    ),
    (
        ConfigRejected("/etc/hookd", ["a.yaml:1:2: tasks: wrong"]),
        "hookd.config rejected",
        "/etc/hookd",
        {
            "summary": "the configuration on disk is refused, the old one is in force: a.yaml:1:2: tasks: wrong",
            "faults": ["a.yaml:1:2: tasks: wrong"],
        },
    ),
    (
        ConfigApplied("/etc/hookd", 7, "0123456789ab", CHANGES, ["daemon.store"]),
        "hookd.config applied",
        "/etc/hookd",
        {
            "summary": "configuration 7 is in force: webhooks +1 ~2 -0, tasks +0 ~0 -107",
            "number": 7,
            "hash": "0123456789ab",
            "changes": {
                "webhooks": {"added": ["a"], "changed": ["b", "c"], "removed": []},
                "tasks": {
                    "added": [],
                    "changed": [],
                    "removed": [f"t{number}" for number in range(MOST_NAMES)],
                    "more": 7,
                },
            },
            "restart_needed": ["daemon.store"],
        },
    ),
    (
        ScheduleMissed("schedules.nightly", SINCE, Missed.ONCE),
        "hookd.schedule missed",
        "schedules.nightly",
        {
            "summary": f"moments of schedules.nightly were missed, the last at {SINCE}: run once for all of them",
            "last": SINCE,
            "missed": "once",
        },
    ),
    (
        StoreRecovered("/var/h.db", "/var/h.db cannot be written: disk full", 42.26789),
        "hookd.store recovered",
        "/var/h.db",
        {
            "summary": "the store writes again, which it did not for 42 s: /var/h.db cannot be written: disk full",
            "error": "/var/h.db cannot be written: disk full",
            "lasted_s": 42.268,
        },
    ),
    (
        DaemonStarted("host-1", "1.2.3", "/etc/hookd", "0123456789ab"),
        "hookd.daemon started",
        "host-1",
        {
            "summary": "hookd 1.2.3 has started",
            "version": "1.2.3",
            "config": "/etc/hookd",
            "hash": "0123456789ab",
        },
    ),
]


@pytest.mark.parametrize(("fact", "kind", "name", "data"), REPORTS, ids=[kind for _, kind, _, _ in REPORTS])
def test_each_fact_as_an_event(
    fact: DeliveriesDead | UnmergedEvent, kind: str, name: str, data: dict[str, Any]
) -> None:
    told = event_draft(fact)
    assert (f"{told.type} {told.event}", told.object, told.data) == (kind, name, data)
    assert _is_plain(told.data), "an expression judges types"


def _is_plain(value: Any) -> bool:
    """Whether these are the values that JSON reads, and nothing that merely writes like one."""
    if type(value) is dict:
        return all(_is_plain(item) for item in value.values())
    return all(map(_is_plain, value)) if type(value) is list else type(value) in (str, int, float)


def test_every_event_of_the_catalogue_is_reported_by_some_fact() -> None:
    named = {f"{kind.name} {event}" for kind in OWN_TYPES.values() for event in kind.events}
    assert named == {kind for _, kind, _, _ in REPORTS}
    assert all(name.startswith(OWN) and kind.name == name for name, kind in OWN_TYPES.items())


def test_several_dead_deliveries_in_one_report() -> None:
    tasks = {f"t{number}": number + 1 for number in range(MOST_NAMES + 1)}
    data = event_draft(DeliveriesDead(LAST, 1234, SINCE, 7.0, tasks)).data
    assert data["summary"] == "1,234 deliveries to ops are dead; the last of task page: " + LAST.detail
    assert data["count"] == 1234
    assert list(data["tasks"].items()) == [(f"t{n}", n + 1) for n in range(MOST_NAMES, 0, -1)]


def test_a_dead_test_message_has_no_task() -> None:
    sent = DeliveryDead("ops", "", "dlv_9", "evt_9", 1, Reason.DNS, None, "1 attempt failed", 7.0)
    one = event_draft(DeliveriesDead(sent, 1, SINCE, 7.0, {"": 1})).data["summary"]
    many = event_draft(DeliveriesDead(sent, 2, SINCE, 7.0, {"": 2})).data["summary"]
    assert one == "a delivery to ops is dead: 1 attempt failed"
    assert many == "2 deliveries to ops are dead; the last: 1 attempt failed"


def test_of_many_faults_the_first_is_the_summary() -> None:
    data = event_draft(ConfigRejected("c", ["one", "two"])).data
    assert data["summary"].endswith(" in force: one (the first of 2 faults)")
    assert data["faults"] == ["one", "two"]


def test_a_reload_of_comments_alone_changes_no_definition() -> None:
    data = event_draft(ConfigApplied("c", 2, "h", {"tasks": Changes()}, ())).data
    assert data["summary"] == "configuration 2 is in force: no definition has changed"
    assert data["changes"] == {}


@pytest.mark.parametrize("why", list(Parked))
def test_each_reason_for_parking_has_its_words(why: Parked) -> None:
    data = event_draft(WebhookParked("w", why)).data
    assert data["reason"] == why.value
    assert not data["summary"].endswith(f"wait: {why.value}")


def test_own_ids_are_known_by_their_form() -> None:
    own = new_id(ID_PREFIX, now_ms=1, entropy=bytes(10))
    assert is_own_id(own)
    assert not any(
        map(is_own_id, ("", "hookd_", own[:-1], own + "0", f" {own}", own.replace("hookd", "evt")))
    )


def test_nobody_need_listen() -> None:
    discard(WebhookParked("w", Parked.GONE))
