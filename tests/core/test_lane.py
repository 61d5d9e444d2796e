"""Seats, rate and hold of a lane: tables, no clock."""

from typing import Any

import pytest

from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.lane import Lane, Parked, ParkedLanes, parked
from hookd.domain.definitions import RateLimit, Secret, WebhookDef

WEBHOOK = WebhookDef("w", Secret("http://127.0.0.1/"), concurrency=1000)


def taking_all(lanes: int, slots: int) -> list[int]:
    """Let lanes whose attempts all hang take what they can, one seat at a time, until nobody can."""
    taken = [Lane(str(n)) for n in range(lanes)]
    while True:
        progress = False
        for lane in taken:
            free = max(0, slots - sum(each.in_flight for each in taken))
            if lane.slots(WEBHOOK, free=free, mono=0.0):
                lane.began(1)
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
    lane.began(3)
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
        lane.began(count)
        lane.in_flight = 0
    assert abs(len(begun) - seconds * limit.count / limit.period_s) <= 2
    for at in begun:
        assert len([b for b in begun if at <= b < at + limit.period_s]) <= limit.count + 2


def test_rate_wait_is_the_time_to_the_next_attempt() -> None:
    limit = RateLimit(10, 1.0)
    webhook = WebhookDef("w", Secret("http://127.0.0.1/"), rate_limit=limit)
    lane = Lane("w")
    assert lane.rate_wait_s(limit, 0.0) == 0.0
    lane.began(lane.slots(webhook, free=9, mono=0.0))
    assert lane.rate_wait_s(limit, 0.04) == pytest.approx(0.06)
    assert lane.wait_s(webhook, mono=0.04) == pytest.approx(0.06)


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


def looked(parking: ParkedLanes, waiting: set[str], **facts: Any) -> tuple[set[str], set[str]]:
    began, ended = parking.look(waiting, **{"webhooks": {}, "paused": (), "down": set(), **facts})
    return set(began), set(ended)


def test_parking_tells_what_changed() -> None:
    webhooks = {"a": WEBHOOK, "b": WEBHOOK, "off": WebhookDef("off", Secret("http://x/"), enabled=False)}
    parking = ParkedLanes()
    assert looked(parking, {"a", "off"}, webhooks=webhooks) == ({"off"}, set())
    assert looked(parking, {"a", "b"}, webhooks=webhooks) == (set(), set())
    assert looked(parking, {"a", "gone"}, webhooks=webhooks) == ({"gone"}, set())
    assert looked(parking, {"a"}, webhooks=webhooks, down={"a"}) == ({"a"}, set())
    assert parking.why == {"a": Parked.BREAKER, "off": Parked.DISABLED, "gone": Parked.GONE}
    assert parking.still == {"off", "gone"}
    assert looked(parking, {"a", "b"}, webhooks=webhooks, down={"a"}, paused={"b": 1.0}) == ({"b"}, set())
    assert looked(parking, {"b"}, webhooks=webhooks) == (set(), {"a", "b"})
    assert looked(parking, set(), webhooks={**webhooks, "gone": WEBHOOK}) == (set(), {"gone"})


def test_parking_tells_a_lane_again_that_is_parked_for_another_reason() -> None:
    off, parking = WebhookDef("w", Secret("http://x/"), enabled=False), ParkedLanes()
    paused = {"w": 1.0}
    assert looked(parking, {"w"}, webhooks={"w": WEBHOOK}, paused=paused) == ({"w"}, set())
    assert looked(parking, {"w"}, webhooks={"w": off}, paused=paused) == ({"w"}, set())
    assert looked(parking, {"w"}, webhooks={"w": off}) == (set(), set())
    assert looked(parking, {"w"}) == ({"w"}, set())
    assert parking.why == {"w": Parked.GONE}
    assert looked(parking, {"w"}, webhooks={"w": WEBHOOK}) == (set(), {"w"})


def test_parking_follows_a_set_of_breakers_that_is_changed_in_place() -> None:
    webhooks, down, parking = {"a": WEBHOOK}, {"a"}, ParkedLanes()
    paused: dict[str, float] = {}
    assert parking.look({"a"}, webhooks=webhooks, paused=paused, down=down) == ({"a"}, set())
    assert parking.look({"a"}, webhooks=webhooks, paused=paused, down=down) == (set(), set())
    down.clear()
    assert parking.look({"a"}, webhooks=webhooks, paused=paused, down=down) == (set(), {"a"})
