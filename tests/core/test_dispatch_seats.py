"""Which deliveries are claimed as they are stored: a table, and the law that none is that no plan would claim."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.delivery.dispatch import LEASE_MARGIN_S, NO_LACK, SeatRule, plan
from hookd.delivery.lane import Lanes
from hookd.domain.backlog import Backlog
from hookd.domain.definitions import Config, DaemonDef, RateLimit, Secret, SqliteDef, WebhookDef
from hookd.domain.deliveries import Outcome, Reason

NOW, MONO = 1_700_000_000.0, 50.0


def webhook(name: str = "w", **fields: Any) -> WebhookDef:
    return WebhookDef(name, Secret("http://127.0.0.1/"), **{"concurrency": 4, "timeout_s": 10.0, **fields})


def config(*webhooks: WebhookDef, in_flight: int = 200) -> Config:
    daemon = DaemonDef(listen=(), store=SqliteDef(""), in_flight=in_flight)
    return Config("c", "h", daemon, webhooks={each.name: each for each in webhooks or (webhook(),)})


def under_way(count: int, definition: WebhookDef | None = None, lanes: Lanes | None = None) -> Lanes:
    lanes, definition = lanes or Lanes(), definition or webhook()
    for _ in range(count):
        lanes.begin(lanes.of(definition.name), definition, mono=MONO, may_probe=False)
    return lanes


def failed(outcome: Outcome) -> Lanes:
    """The lane after an attempt that ended so."""
    lanes = Lanes()
    lane = lanes.of("w")
    attempt = lanes.begin(lane, webhook(), mono=MONO, may_probe=False)
    lanes.end(lane, attempt)
    lanes.record(lane, outcome, attempt, now=NOW, mono=MONO)
    return lanes


def held(by_s: float) -> Lanes:
    lanes = Lanes()
    lanes.of("w").hold_until = NOW + by_s
    return lanes


OK = Outcome(Reason.OK, 200)


@pytest.mark.parametrize(
    ("case", "has_seat"),
    [
        ({}, True),
        ({"due": {"w": 0.5}}, True),  # a retry, or the end of a lease
        ({"due": {"w": 0.0}}, False),
        ({"due": {"v": 0.0}}, True),
        ({"of": config(webhook("v"))}, False),
        ({"of": config(webhook(enabled=False))}, False),
        ({"of": config(webhook(rate_limit=RateLimit(100, 1.0)))}, False),
        ({"parked": {"w"}}, False),
        ({"backlog": {"paused": {"w": NOW}}}, False),
        ({"backlog": {"paused": {"v": NOW}}}, True),
        ({"backlog": {"fault": "full"}}, False),
        ({"lanes": held(0.5)}, False),
        ({"lanes": held(0.0)}, True),
        ({"lanes": failed(OK)}, True),
        ({"lanes": failed(Outcome(Reason.CONNECT))}, False),
        ({"lanes": failed(Outcome(Reason.STATUS, 429))}, False),
        ({"lanes": under_way(3)}, True),
        ({"lanes": under_way(4)}, False),
        ({"of": config(in_flight=6), "lanes": under_way(3)}, True),
        ({"of": config(in_flight=6), "lanes": under_way(3), "asked": 2}, False),
        ({"of": config(in_flight=6), "lanes": under_way(6, webhook("v", concurrency=9))}, True),
        ({"of": config(in_flight=6), "asked": 6}, True),  # a lane without an attempt gets one in any case
    ],
)
def test_what_has_a_seat(case: dict[str, Any], has_seat: bool) -> None:
    due = {name: NOW + in_s for name, in_s in case.get("due", {}).items()}
    backlog = Backlog(due, **case.get("backlog", {}))
    rule = SeatRule(backlog, case.get("of") or config(), parked=case.get("parked", frozenset()))
    lanes = case.get("lanes") or Lanes()
    lease_s = rule.lease_s("w", lanes, now=NOW, mono=MONO, asked=case.get("asked", 0))
    assert lease_s == (10.0 + LEASE_MARGIN_S if has_seat else None)
    assert rule.lease_s("w", lanes, now=NOW, mono=MONO, asked=case.get("asked", 0)) == lease_s


NAMES = ("a", "b", "c")
INSTANTS = st.sampled_from([-1.0, 0.0, 0.5])


@st.composite
def lanes_of(draw: st.DrawFn, webhooks: dict[str, WebhookDef]) -> Lanes:
    """Lanes with a past: attempts that ended well or not, some under way, holds."""
    lanes = Lanes()
    for name in draw(st.sets(st.sampled_from(NAMES))):
        lane, definition = lanes.of(name), webhooks.get(name)
        for outcome in draw(
            st.lists(st.sampled_from([OK, Outcome(Reason.CONNECT), Outcome(Reason.STATUS, 503)]), max_size=12)
        ):
            attempt = lanes.begin(lane, definition, mono=MONO, may_probe=False)
            lanes.end(lane, attempt)
            lanes.record(lane, outcome, attempt, now=NOW, mono=MONO)
        for _ in range(draw(st.integers(0, 6))):
            lanes.begin(lane, definition, mono=MONO, may_probe=False)
        if draw(st.booleans()):
            lanes.hold(lane, NOW + draw(INSTANTS))
    return lanes


@given(st.data())
def test_no_seat_is_given_to_what_no_plan_would_claim(data: st.DataObject) -> None:
    webhooks = {
        name: webhook(
            name,
            concurrency=data.draw(st.integers(1, 6)),
            enabled=data.draw(st.integers(0, 4)) > 0,
            rate_limit=data.draw(st.sampled_from([None, None, RateLimit(5, 1.0)])),
        )
        for name in NAMES
    }
    of = config(*webhooks.values(), in_flight=data.draw(st.integers(1, 12)))
    lanes = data.draw(lanes_of(webhooks))
    due = {
        name: NOW + in_s
        for name, in_s in data.draw(st.dictionaries(st.sampled_from(NAMES), INSTANTS)).items()
    }
    backlog = Backlog(due, paused=dict.fromkeys(data.draw(st.sets(st.sampled_from(NAMES), max_size=1)), NOW))
    parked = {name for name in NAMES if not webhooks[name].enabled} | backlog.paused.keys()
    name = data.draw(st.sampled_from(NAMES))
    seen = plan(NOW, MONO, backlog, lanes, of, parked=parked)
    rule = SeatRule(backlog, of, parked=parked)
    if rule.lease_s(name, lanes, now=NOW, mono=MONO, asked=seen.slots) is None:
        return
    assert due.get(name, NOW + 1) > NOW, "nothing is overtaken"
    stored = replace(backlog, earliest_due={name: NOW, **{key: at for key, at in due.items() if key != name}})
    (request, *_) = plan(NOW, MONO, stored, lanes, of, parked=parked, lack=NO_LACK, turn=0).requests
    assert (request.webhook, request.lease_s) == (name, 10.0 + LEASE_MARGIN_S)


def test_slots_are_scarce_where_others_have_what_is_due_could_have() -> None:
    other = webhook("v", concurrency=9)
    of = config(webhook(), other, in_flight=6)
    backlog = Backlog({"w": NOW})
    assert not plan(NOW, MONO, backlog, Lanes(), of).is_scarce
    assert not plan(NOW, MONO, backlog, under_way(4), of).is_scarce  # it has all that its webhook allows
    assert plan(NOW, MONO, backlog, under_way(1, lanes=under_way(5, other)), of).is_scarce
