"""Slots, rate and hold of a lane: tables, no clock."""

import pytest

from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.lane import Lane, Lanes
from hookd.delivery.parking import Parked, parked
from hookd.domain.definitions import Config, DaemonDef, RateLimit, Secret, SqliteDef, WebhookDef
from hookd.domain.deliveries import Outcome, Reason

WEBHOOK = WebhookDef("w", Secret("http://127.0.0.1/"), concurrency=1000)


def begin(lane: Lane, webhook: WebhookDef = WEBHOOK, count: int = 1, mono: float = 0.0) -> None:
    for _ in range(count):
        assert not lane.begin(webhook, mono=mono, may_probe=False).is_probe


def taking_all(lanes: int, slots: int) -> list[int]:
    """Let lanes whose attempts all hang take what they can, one seat at a time, until nobody can."""
    taken = [Lane(str(n)) for n in range(lanes)]
    while True:
        progress = False
        for lane in taken:
            free = max(0, slots - sum(each.in_flight for each in taken))
            if lane.slots(WEBHOOK, free=free, mono=0.0):
                begin(lane)
                progress = True
        if not progress:
            return [lane.in_flight for lane in taken]


def test_one_hanging_lane_leaves_a_third_of_the_seats() -> None:
    assert taking_all(1, 200) == [134]


@pytest.mark.parametrize(("concurrency", "slots"), [(1000, 134), (134, 134), (10, 10)])
def test_seats_taken_at_once_are_no_more_than_one_after_the_other(concurrency: int, slots: int) -> None:
    webhook = WebhookDef("w", Secret("http://127.0.0.1/"), concurrency=concurrency)
    assert Lane("w").slots(webhook, free=200, mono=0.0) == slots


@pytest.mark.parametrize("lanes", [2, 5, 20, 100])
def test_hanging_lanes_share_evenly(lanes: int) -> None:
    taken = taking_all(lanes, 200)
    assert max(taken) - min(taken) <= 2
    assert sum(taken) <= 200


def test_a_lane_without_an_attempt_gets_a_seat_where_none_is_free() -> None:
    assert Lane("w").slots(WEBHOOK, free=0, mono=0.0) == 1
    assert taking_all(300, 200) == [1] * 300


def test_concurrency_is_never_passed() -> None:
    webhook = WebhookDef("w", Secret("http://127.0.0.1/"), concurrency=3)
    lane = Lane("w")
    assert lane.slots(webhook, free=200, mono=0.0) == 3
    begin(lane, webhook, 3)
    assert lane.slots(webhook, free=200, mono=0.0) == 0
    lane.in_flight -= 1
    assert lane.slots(webhook, free=200, mono=0.0) == 1


@pytest.mark.parametrize(
    ("limit", "seconds"), [(RateLimit(20, 1.0), 10), (RateLimit(60, 60.0), 30), (RateLimit(2, 3600.0), 7200)]
)
def test_rate_is_kept_in_every_window(limit: RateLimit, seconds: int) -> None:
    webhook = WebhookDef("w", Secret("http://127.0.0.1/"), concurrency=1000, rate_limit=limit)
    lane, begun = Lane("w"), []
    step_s = limit.period_s / limit.count / 10
    for tick in range(int(seconds / step_s)):
        mono = tick * step_s
        count = lane.slots(webhook, free=200, mono=mono)
        begun += [mono] * count
        begin(lane, webhook, count, mono)
        lane.in_flight = 0
    assert abs(len(begun) - seconds * limit.count / limit.period_s) <= 2
    for at in begun:
        assert len([b for b in begun if at <= b < at + limit.period_s]) <= limit.count + 2


def test_rate_wait_is_the_time_to_the_next_attempt() -> None:
    limit = RateLimit(10, 1.0)
    webhook = WebhookDef("w", Secret("http://127.0.0.1/"), rate_limit=limit)
    lane = Lane("w")
    assert lane.slots(webhook, free=9, mono=0.0) == 1
    begin(lane, webhook)
    assert lane.slots(webhook, free=9, mono=0.04) == 0
    assert lane.wait_s(webhook, mono=0.04) == pytest.approx(0.06)


def test_a_rate_limit_that_is_added_counts_from_then_on() -> None:
    lane = Lane("w")
    begin(lane, WEBHOOK, 1000)
    lane.in_flight = 0
    limited = WebhookDef("w", Secret("http://127.0.0.1/"), rate_limit=RateLimit(1, 1.0))
    assert lane.slots(limited, free=9, mono=0.1) == 1


def test_hold_only_grows() -> None:
    lane = Lane("w")
    lane.hold(20.0)
    lane.hold(10.0)
    assert lane.hold_until == 20.0


def test_parked() -> None:
    disabled = WebhookDef("w", Secret("http://x/"), enabled=False)
    assert parked(None, paused=False) is Parked.GONE
    assert parked(None, paused=True) is Parked.GONE
    assert parked(disabled, paused=False) is Parked.DISABLED
    assert parked(disabled, paused=True) is Parked.DISABLED
    assert parked(WEBHOOK, paused=True) is Parked.PAUSED
    assert parked(WEBHOOK, paused=False) is None
    assert parked(WEBHOOK, paused=False, breaker=BreakerState.OPEN) is Parked.BREAKER
    assert parked(WEBHOOK, paused=False, breaker=BreakerState.HALF_OPEN) is Parked.BREAKER
    assert parked(WEBHOOK, paused=True, breaker=BreakerState.OPEN) is Parked.PAUSED


@pytest.mark.parametrize("reason", [Reason.LOCAL, Reason.CONFIG, Reason.TIMEOUT, Reason.STATUS])
def test_the_last_result_is_never_an_attempt_that_was_cut_off(reason: Reason) -> None:
    lane = Lane("w")
    for outcome in (Outcome(reason), Outcome(Reason.INTERRUPTED)):
        attempt = lane.begin(WEBHOOK, mono=0.0, may_probe=False)
        lane.end(attempt)
        lane.record(outcome, attempt, now=1.0, mono=1.0)
    assert lane.last_result is not None
    assert lane.last_result.outcome.reason is reason


def test_a_lane_that_left_the_configuration_goes_as_soon_as_it_has_nothing_to_do() -> None:
    lanes = Lanes()
    with_both, without = (
        Config("c", "h", DaemonDef((), SqliteDef("s")), webhooks=dict.fromkeys(names, WEBHOOK))
        for names in (("w", "v"), ("v",))
    )
    lanes.forget_unused(with_both, set(), 0.0)
    attempt = lanes.begin(lanes.of("w"), WEBHOOK, mono=0.0, may_probe=False)
    lanes.of("v")
    lanes.forget_unused(without, {"w"}, 0.0)
    lanes.end(lanes.of("w"), attempt)
    lanes.forget_unused(without, {"w"}, 0.0)
    assert list(lanes) == ["w", "v"]
    lanes.forget_unused(without, set(), 0.0)
    assert list(lanes) == ["v"]
    lanes.of("later")  # something of it was still waiting
    lanes.forget_unused(without, {"later"}, 0.0)
    assert list(lanes) == ["v", "later"]
    lanes.forget_unused(without, set(), 0.0)
    assert list(lanes) == ["v"]
