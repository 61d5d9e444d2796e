"""What is claimed next, and when there is a look again: tables, no clock, no store."""

from collections.abc import Mapping
from typing import Any

import pytest

from hookd.delivery.circuit_breaker import FIRST_PAUSE_S, OPENS_AFTER
from hookd.delivery.dispatch import (
    LEASE_MARGIN_S,
    LONGEST_SLEEP_S,
    NO_LACK,
    DispatchPlan,
    LocalLack,
    plan,
    webhooks_to_probe,
)
from hookd.delivery.lane import BegunAttempt, Lanes
from hookd.delivery.retry_policy import LOCAL_PAUSE_S
from hookd.domain.backlog import Backlog
from hookd.domain.definitions import Config, DaemonDef, RateLimit, Secret, SqliteDef, WebhookDef
from hookd.domain.deliveries import ClaimRequest, Outcome, Reason

NOW, MONO = 1_700_000_000.0, 50.0
DOWN = Outcome(Reason.CONNECT)


def webhook(name: str = "w", **fields: Any) -> WebhookDef:
    return WebhookDef(name, Secret("http://127.0.0.1/"), **{"concurrency": 4, "timeout_s": 10.0, **fields})


def config(*webhooks: WebhookDef, in_flight: int = 200) -> Config:
    daemon = DaemonDef(listen=(), store=SqliteDef(""), in_flight=in_flight)
    return Config("c", "h", daemon, webhooks={each.name: each for each in webhooks or (webhook(),)})


def planned(
    due: Mapping[str, float],
    lanes: Lanes | None = None,
    of: Config | None = None,
    *,
    mono: float = MONO,
    **values: Any,
) -> DispatchPlan:
    """The plan where these webhooks are due that many seconds from now."""
    backlog = Backlog({name: NOW + in_s for name, in_s in due.items()})
    return plan(NOW, mono, backlog, lanes or Lanes(), of or config(), **values)


def begun(lanes: Lanes, definition: WebhookDef | None = None) -> BegunAttempt:
    definition = definition or webhook()
    return lanes.begin(lanes.of(definition.name), definition, mono=MONO, may_probe=False)


def under_way(lanes: Lanes, count: int, definition: WebhookDef | None = None) -> Lanes:
    for _ in range(count):
        begun(lanes, definition)
    return lanes


def opened(*names: str) -> Lanes:
    """Lanes whose receivers are down since MONO."""
    lanes = Lanes()
    for name in names or ("w",):
        for _ in range(OPENS_AFTER):
            attempt = begun(lanes, webhook(name))
            lanes.end(lanes.of(name), attempt)
            lanes.record(lanes.of(name), DOWN, attempt, now=NOW, mono=MONO)
    return lanes


def asked(name: str = "w", slots: int = 4) -> ClaimRequest:
    return ClaimRequest(name, slots, 10.0 + LEASE_MARGIN_S)


def only_sleeps(of: DispatchPlan, seconds: float) -> bool:
    return not of.requests and of.sleep_s == pytest.approx(seconds)


def test_what_is_due_is_claimed_with_a_lease_that_outlives_its_attempt() -> None:
    assert planned({"w": 0.0}).requests == (ClaimRequest("w", 4, 10.0 + LEASE_MARGIN_S),)


@pytest.mark.parametrize(
    ("due", "sleep_s"),
    [
        ({}, LONGEST_SLEEP_S),
        ({"w": 2.0}, 2.0),
        ({"w": 2.0, "v": 0.5}, 0.5),
        ({"w": 3600.0}, LONGEST_SLEEP_S),
    ],
)
def test_where_nothing_is_due_it_sleeps_until_something_is(due: dict[str, float], sleep_s: float) -> None:
    assert only_sleeps(planned(due, of=config(webhook(), webhook("v"))), sleep_s)


def test_what_is_parked_by_an_operator_is_neither_claimed_nor_waited_for() -> None:
    assert planned({"w": 0.0, "gone": 1.0}, parked={"w", "gone"}) == DispatchPlan((), LONGEST_SLEEP_S)


def test_a_hold_is_waited_for() -> None:
    lanes = Lanes()
    lanes.of("w").hold(NOW + 3)
    assert planned({"w": 0.0}, lanes) == DispatchPlan((), 3.0)
    lanes.of("v").hold(NOW - 3)
    assert planned({"v": 0.0}, lanes, config(webhook("v"))).requests == (asked("v", slots=1),)


@pytest.mark.parametrize(("in_flight", "slots"), [(1, 3), (3, 1)])
def test_concurrency_leaves_the_rest(in_flight: int, slots: int) -> None:
    assert planned({"w": 0.0}, under_way(Lanes(), in_flight)).requests == (asked(slots=slots),)


def test_where_all_slots_are_taken_only_an_end_helps() -> None:
    assert planned({"w": 0.0}, under_way(Lanes(), 4)) == DispatchPlan((), LONGEST_SLEEP_S)


def test_a_rate_limit_is_waited_for() -> None:
    limited = webhook(rate_limit=RateLimit(10, 1.0))
    of = config(limited)
    assert planned({"w": 0.0}, of=of).requests == (asked(slots=1),)
    lanes = under_way(Lanes(), 1, limited)
    assert only_sleeps(planned({"w": 0.0}, lanes, of, mono=MONO + 0.04), 0.06)
    assert planned({"w": 0.0}, lanes, of, mono=MONO + 0.11).requests == (asked(slots=1),)


@pytest.mark.parametrize("turn", range(6))
def test_scarce_slots_go_round(turn: int) -> None:
    names = ["a", "b", "c"]
    of = config(*(webhook(name, concurrency=100) for name in names), in_flight=9)
    requests = planned(dict.fromkeys(names, 0.0), of=of, turn=turn).requests
    first = turn % 3
    assert [request.webhook for request in requests] == names[first:] + names[:first]
    assert [request.slots for request in requests] == [6, 2, 1]


def test_attempts_under_way_are_counted_over_all_lanes() -> None:
    of = config(webhook("v", concurrency=100), webhook(concurrency=100), in_flight=9)
    lanes = under_way(Lanes(), 6, webhook("v", concurrency=100))
    assert planned({"w": 0.0}, lanes, of).requests == (asked(slots=2),)


def test_a_receiver_that_is_down_is_left_alone_until_its_probe() -> None:
    lanes = opened()
    assert only_sleeps(planned({"w": 0.0}, lanes, mono=MONO + FIRST_PAUSE_S - 2), 2.0)
    late = planned({"w": 0.0}, lanes, mono=MONO + FIRST_PAUSE_S)
    assert late == DispatchPlan((asked(slots=1),), LONGEST_SLEEP_S, frozenset({"w"}))


def test_a_probe_is_one_at_a_time() -> None:
    lanes = opened()
    assert lanes.begin(lanes.of("w"), webhook(), mono=MONO, may_probe=True).is_probe
    assert planned({"w": 0.0}, lanes, mono=MONO + 2 * FIRST_PAUSE_S) == DispatchPlan((), LONGEST_SLEEP_S)


@pytest.mark.parametrize(
    ("due_in_s", "pause_left_s", "sleep_s"), [(3.0, 2.0, 2.0), (1.0, 2.0, 1.0), (3.0, 0.0, 3.0)]
)
def test_a_probe_may_come_before_anything_is_due(
    due_in_s: float, pause_left_s: float, sleep_s: float
) -> None:
    """Then something is made due for it; see `webhooks_to_probe`."""
    mono = MONO + FIRST_PAUSE_S - pause_left_s
    assert planned({"w": due_in_s}, opened(), mono=mono).sleep_s == pytest.approx(sleep_s)


def test_while_hookd_lacks_descriptors_one_delivery_a_second_is_claimed() -> None:
    lack = LocalLack.shown_by(Outcome(Reason.LOCAL), MONO)
    of = config(webhook("a"), webhook("b"))
    due = {"a": 0.0, "b": 0.0}
    assert planned(due, of=of, lack=lack, mono=MONO + 0.25) == DispatchPlan((), LOCAL_PAUSE_S - 0.25)
    assert planned({"a": 0.5}, of=of, lack=lack).sleep_s == 0.5
    assert planned(due, of=of, lack=lack, mono=MONO + LOCAL_PAUSE_S).requests == (asked("a", slots=1),)
    assert LocalLack.shown_by(DOWN, MONO) == NO_LACK


@pytest.mark.parametrize(
    ("facts", "probed"),
    [
        ({}, True),
        ({"pause_left_s": 1.0}, False),
        ({"due_in_s": 0.0}, False),  # what is due is the probe
        ({"hold_s": 5.0}, False),
        ({"parked": {"w"}}, False),
        ({"lacks_probe": True}, False),
    ],
)
def test_what_is_to_be_made_due_as_a_probe(facts: dict[str, Any], probed: bool) -> None:
    lanes = opened()
    lanes.of("w").hold(NOW + facts.get("hold_s", 0.0))
    lanes.of("w").lacks_probe = facts.get("lacks_probe", False)
    mono = MONO + FIRST_PAUSE_S - facts.get("pause_left_s", 0.0)
    due_at = NOW + facts.get("due_in_s", 60.0)
    backlog = Backlog({"w": due_at, "v": due_at})
    names = webhooks_to_probe(NOW, mono, backlog, lanes, parked=facts.get("parked", set()))
    assert names == (["w"] if probed else [])


def test_a_plan_changes_nothing() -> None:
    lanes = under_way(opened("down"), 2)
    limited = webhook("slow", rate_limit=RateLimit(5, 1.0))
    under_way(lanes, 1, limited)
    of = config(webhook(), webhook("down"), limited, webhook("new"))
    due = {"w": 0.0, "down": 0.0, "slow": 0.0, "new": 0.0}
    mono = MONO + FIRST_PAUSE_S
    first = planned(due, lanes, of, mono=mono)
    assert len(first.requests) == 4
    assert planned(due, lanes, of, mono=mono) == first
    assert set(lanes) == {"down", "w", "slow"}
