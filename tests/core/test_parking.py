"""Which lanes are parked, why, and what an update says of them: tables."""

from typing import Any

from hookd.delivery.parking import Parked, ParkedLanes
from hookd.domain.definitions import Secret, WebhookDef

WEBHOOK = WebhookDef("w", Secret("http://127.0.0.1/"), concurrency=1000)


def updated(lanes: ParkedLanes, waiting: set[str], **facts: Any) -> tuple[set[str], set[str]]:
    change = lanes.update(waiting, **{"webhooks": {}, "paused": (), "down": set(), **facts})
    return set(change.parked), set(change.resumed)


def test_an_update_says_what_changed() -> None:
    webhooks = {"a": WEBHOOK, "b": WEBHOOK, "off": WebhookDef("off", Secret("http://x/"), enabled=False)}
    lanes = ParkedLanes()
    assert updated(lanes, {"a", "off"}, webhooks=webhooks) == ({"off"}, set())
    assert updated(lanes, {"a", "b"}, webhooks=webhooks) == (set(), set())
    assert updated(lanes, {"a", "gone"}, webhooks=webhooks) == ({"gone"}, set())
    assert updated(lanes, {"a"}, webhooks=webhooks, down={"a"}) == ({"a"}, set())
    assert lanes.why == {"a": Parked.BREAKER, "off": Parked.DISABLED, "gone": Parked.GONE}
    assert lanes.by_operator == {"off", "gone"}
    assert updated(lanes, {"a", "b"}, webhooks=webhooks, down={"a"}, paused={"b": 1.0}) == ({"b"}, set())
    assert updated(lanes, {"b"}, webhooks=webhooks) == (set(), {"a", "b"})
    assert updated(lanes, set(), webhooks={**webhooks, "gone": WEBHOOK}) == (set(), {"gone"})


def test_a_lane_is_named_again_that_is_parked_for_another_reason() -> None:
    off, lanes = WebhookDef("w", Secret("http://x/"), enabled=False), ParkedLanes()
    paused = {"w": 1.0}
    assert updated(lanes, {"w"}, webhooks={"w": WEBHOOK}, paused=paused) == ({"w"}, set())
    assert updated(lanes, {"w"}, webhooks={"w": off}, paused=paused) == ({"w"}, set())
    assert updated(lanes, {"w"}, webhooks={"w": off}) == (set(), set())
    assert updated(lanes, {"w"}) == ({"w"}, set())
    assert lanes.why == {"w": Parked.GONE}
    assert updated(lanes, {"w"}, webhooks={"w": WEBHOOK}) == (set(), {"w"})


def test_a_set_of_breakers_may_be_changed_in_place() -> None:
    webhooks, down, lanes = {"a": WEBHOOK}, {"a"}, ParkedLanes()
    facts: dict[str, Any] = {"webhooks": webhooks, "paused": {}, "down": down}
    assert updated(lanes, {"a"}, **facts) == ({"a"}, set())
    assert updated(lanes, {"a"}, **facts) == (set(), set())
    down.clear()
    assert updated(lanes, {"a"}, **facts) == (set(), {"a"})


def test_only_the_first_update_is_no_news() -> None:
    webhooks, lanes = {"a": WEBHOOK}, ParkedLanes()
    assert lanes.update(set(), webhooks=webhooks, paused=(), down=set()).is_first
    change = lanes.update({"a"}, webhooks=webhooks, paused=("a",), down=set())
    assert (change.parked, change.is_first) == ({"a": Parked.PAUSED}, False)
    change = lanes.update({"a"}, webhooks=webhooks, paused=(), down=set())
    assert (change.resumed, change.is_first) == ({"a": Parked.PAUSED}, False)
