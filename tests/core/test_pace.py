"""Lanes whose receivers limit their rate, are down, or come back, against simulated receivers on a simulated clock."""

import heapq
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.delivery.circuit_breaker import OPENS_AFTER, BreakerState
from hookd.delivery.lane import BegunAttempt, Lane, Lanes
from hookd.delivery.pace import SLOWEST_UNAVAILABLE_PER_S
from hookd.domain.definitions import RateLimit, Secret, WebhookDef
from hookd.domain.deliveries import Outcome, Reason
from tests.core.test_adaptive_rate import LeakyBucket

OK = Outcome(Reason.OK, 204)
Answer = tuple[Outcome, float]
"""How a receiver answers, and after how many seconds."""


def status(number: int) -> Outcome:
    return Outcome(Reason.STATUS, number)


def webhook(concurrency: int = 10, rate_limit: RateLimit | None = None) -> WebhookDef:
    return WebhookDef("w", Secret("http://x/"), concurrency=concurrency, rate_limit=rate_limit)


class Drive:
    """A lane at work: as many attempts as it lets out, at each instant at which something happens.

    Attributes:
        attempts: when each began, with how it ended.
        taken: how many of them the receiver has taken.
        was_down: whether the breaker was ever open.
    """

    def __init__(self, definition: WebhookDef, answer: Callable[[float], Answer]) -> None:
        self.lane, self.definition, self.mono = Lane("w"), definition, 0.0
        self.answer = answer
        self.attempts: list[tuple[float, Outcome]] = []
        self.taken = 0
        self.was_down = False
        self._under_way: list[tuple[float, int, BegunAttempt, Outcome]] = []

    def run(self, until: Callable[[], bool], *, at_most_s: float = 10_000.0) -> None:
        end = self.mono + at_most_s
        steps = 0
        while not until():
            steps += 1
            assert steps < 50_000
            self._begin()
            wait_s = self.lane.wait_s(self.definition, mono=self.mono)
            next_end = self._under_way[0][0] if self._under_way else None
            instants = [self.mono + wait_s] if wait_s is not None else []
            self.mono = min([*instants, *([next_end] if next_end is not None else [])])
            assert self.mono < end
            while self._under_way and self._under_way[0][0] <= self.mono:
                self._end(*heapq.heappop(self._under_way)[2:])

    def _begin(self) -> None:
        lane = self.lane
        for _ in range(lane.slots(self.definition, free=1000, mono=self.mono)):
            attempt = lane.begin(self.definition, mono=self.mono, may_probe=lane.is_down())
            outcome, took_s = self.answer(self.mono)
            self.attempts.append((self.mono, outcome))
            heapq.heappush(self._under_way, (self.mono + took_s, len(self.attempts), attempt, outcome))

    def _end(self, attempt: BegunAttempt, outcome: Outcome) -> None:
        self.taken += outcome is OK
        self.lane.end(attempt)
        self.lane.record(outcome, attempt, now=self.mono, mono=self.mono)
        self.was_down = self.was_down or self.lane.is_down()


def limiting(
    number: int, per_s: float, burst: int, *, taken_s: float = 0.002, refused_s: float = 0.001
) -> Callable[[float], Answer]:
    bucket = LeakyBucket(per_s, burst)
    return lambda mono: (OK, taken_s) if bucket.takes(mono) else (status(number), refused_s)


@pytest.mark.parametrize("number", [429, 503])
@pytest.mark.parametrize("concurrency", [1, 10, 100])
@pytest.mark.parametrize("taken_s", [0.0005, 0.05, 1.0])
def test_200_deliveries_to_a_receiver_that_limits_its_rate(
    number: int, concurrency: int, taken_s: float
) -> None:
    drive = Drive(webhook(concurrency), limiting(number, 5, 2, taken_s=taken_s))
    drive.run(lambda: drive.taken >= 200)
    assert not drive.was_down
    assert drive.mono < 60 or concurrency == taken_s == 1  # one at a time that takes a second each
    # A burst goes out before the first refusal has come; later ones cost little.
    assert len(drive.attempts) - 200 <= (2 * concurrency + 10 if concurrency > 1 else 0) + 40


@given(
    number=st.sampled_from([429, 503]),
    per_s=st.floats(0.1, 200),
    burst=st.integers(0, 20),
    concurrency=st.integers(1, 60),
    taken_s=st.floats(0.001, 0.5),
    refused_s=st.floats(0.001, 0.5),
)
def test_a_receiver_that_limits_its_rate_is_never_taken_to_be_down(
    *, number: int, per_s: float, burst: int, concurrency: int, taken_s: float, refused_s: float
) -> None:
    answer = limiting(number, per_s, burst, taken_s=taken_s, refused_s=refused_s)
    drive = Drive(webhook(concurrency), answer)
    drive.run(lambda: drive.taken >= 60)
    assert not drive.was_down


@pytest.mark.parametrize("concurrency", [1, 3, 10, 50])
@pytest.mark.parametrize("outcome", [status(503), status(500), Outcome(Reason.CONNECT)])
def test_a_receiver_that_is_down_from_the_start_opens_the_breaker_after_ten(
    outcome: Outcome, concurrency: int
) -> None:
    drive = Drive(webhook(concurrency), lambda _: (outcome, 0.001))
    drive.run(drive.lane.is_down)
    assert OPENS_AFTER <= len(drive.attempts) < OPENS_AFTER + concurrency
    assert drive.mono < 0.1


@pytest.mark.parametrize("outcome", [status(500), Outcome(Reason.CONNECT), Outcome(Reason.TIMEOUT)])
def test_a_receiver_that_goes_down_opens_the_breaker_after_ten(outcome: Outcome) -> None:
    drive = Drive(webhook(), lambda mono: (OK if mono < 1 else outcome, 0.01))
    drive.run(lambda: drive.mono > 1)
    before = sum(answered is OK for _, answered in drive.attempts)
    drive.run(drive.lane.is_down)
    assert len(drive.attempts) - before < OPENS_AFTER + 10
    assert drive.mono < 1.1


def test_a_receiver_that_goes_down_with_503_opens_the_breaker_within_a_minute() -> None:
    drive = Drive(webhook(), lambda mono: (OK if mono < 1 else status(503), 0.01))
    drive.run(drive.lane.is_down)
    failed = [began_at for began_at, outcome in drive.attempts if outcome is not OK]
    assert len(failed) < 10 + OPENS_AFTER
    assert drive.mono < 60


def test_429_never_opens_the_breaker_and_slows_the_lane_down() -> None:
    drive = Drive(webhook(), lambda _: (status(429), 0.01))
    drive.run(lambda: len(drive.attempts) == 40, at_most_s=100_000)
    assert not drive.was_down
    gaps = [after - before for (before, _), (after, _) in pairwise(drive.attempts)]
    assert gaps[:9] == [0] * 9
    assert all(later >= earlier - 0.01 for earlier, later in pairwise(gaps[9:]))
    assert gaps[-1] == pytest.approx(600, abs=1)


def test_503s_that_come_before_the_first_success_are_a_limit_too() -> None:
    drive = Drive(webhook(30), limiting(503, 5, 2, taken_s=0.5, refused_s=0.001))
    drive.run(lambda: drive.taken >= 50)
    assert not drive.was_down
    assert len(drive.attempts) < 50 + 60


def test_what_is_slowed_is_known_to_be_so_also_where_a_success_showed_it() -> None:
    lanes = Lanes()
    lane = lanes.of("w")
    for outcome, slowed in ((status(503), False), (OK, True)):
        attempt = lanes.begin(lane, webhook(), mono=0.0, may_probe=False)
        lanes.end(lane, attempt)
        lanes.record(lane, outcome, attempt, now=1.0, mono=1.0)
        assert ("w" in lanes.slowed) is slowed


def test_a_lane_that_is_limited_never_passes_what_is_configured() -> None:
    limit = RateLimit(4, 1.0)
    drive = Drive(webhook(rate_limit=limit), limiting(429, 100, 20))
    drive.run(lambda: drive.taken >= 100)
    assert drive.mono >= 24
    assert drive.lane._pace.slowed_to_per_s(drive.definition) is None


def test_the_rate_is_shown_while_it_is_limited() -> None:
    drive = Drive(webhook(), limiting(503, 5, 2))

    def shown() -> float | None:
        return drive.lane.state(drive.definition, paused=False, now=0.0, mono=drive.mono).slowed_to_per_s

    assert shown() is None
    drive.run(lambda: drive.taken >= 100)
    assert shown() == pytest.approx(5, rel=0.4)


def test_a_lane_comes_back_slowly_after_its_receiver_was_down() -> None:
    """One attempt at a time, then twice as many with each round of successes."""
    up_at = 10.0
    drive = Drive(webhook(8), lambda mono: (OK, 1.0) if mono >= up_at else (status(500), 0.001))
    drive.run(lambda: drive.taken >= 20)
    begun = [began_at for began_at, outcome in drive.attempts if outcome is OK]
    rounds = [begun.count(began_at) for began_at in sorted(set(begun))]
    assert rounds[:5] == [1, 1, 2, 4, 8]


def test_a_lane_comes_back_slowly_after_a_hold() -> None:
    drive = Drive(webhook(8), lambda _: (OK, 1.0))
    drive.lane.hold(0.5)
    drive.run(lambda: drive.taken >= 20)
    begun = [began_at for began_at, _ in drive.attempts]
    assert [begun.count(began_at) for began_at in sorted(set(begun))][:4] == [1, 2, 4, 8]


def test_a_probe_that_is_answered_429_ends_the_opening() -> None:
    lane, definition = Lane("w"), webhook()
    for _ in range(OPENS_AFTER):
        attempt = lane.begin(definition, mono=0.0, may_probe=False)
        lane.end(attempt)
        lane.record(Outcome(Reason.CONNECT), attempt, now=0.0, mono=0.0)
    probe = lane.begin(definition, mono=30.0, may_probe=True)
    assert probe.is_probe
    lane.end(probe)
    assert lane.record(status(429), probe, now=30.0, mono=30.0)
    assert lane.breaker.state is BreakerState.CLOSED
    assert lane.slots(definition, free=100, mono=30.0) == 0
    assert lane.slots(definition, free=100, mono=31.0) == 1


def test_a_503_long_after_the_last_answer_is_no_limit() -> None:
    lane, definition = Lane("w"), webhook()
    for mono, outcome, refused in ((0.0, OK, False), (10.0, status(503), True), (900.0, status(503), False)):
        attempt = lane.begin(definition, mono=mono, may_probe=False)
        lane.end(attempt)
        assert lane.record(outcome, attempt, now=mono, mono=mono) is refused


def test_503s_in_a_row_are_tried_often_enough_to_tell_that_it_is_down() -> None:
    assert OPENS_AFTER / SLOWEST_UNAVAILABLE_PER_S <= 60


def test_a_corrected_webhook_forgets_its_limit_and_begins_slowly() -> None:
    drive = Drive(webhook(8), lambda mono: (status(429), 0.01) if mono < 10 else (OK, 1.0))
    drive.run(lambda: drive.mono > 10)
    before = len(drive.attempts)
    drive.definition = replace(drive.definition, description="corrected")
    drive.lane.follow(drive.definition)
    corrected_at = drive.mono
    drive.run(lambda: drive.taken >= 20)
    begun = [began_at - corrected_at for began_at, _ in drive.attempts[before:]]
    assert [begun.count(began_at) for began_at in sorted(set(begun))][:4] == [1, 2, 4, 8]
    assert begun[0] == 0
