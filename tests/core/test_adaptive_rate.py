"""Slow start, and a rate that settles near the receiver's: tables, and laws over receivers that limit theirs."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.delivery.adaptive_rate import (
    DECREASE,
    FIRST_PER_S,
    FORGET_S,
    INCREASE,
    LARGEST_WINDOW,
    SLOWEST_PER_S,
    STEEP_DECREASE,
    AdaptiveRate,
)


class LeakyBucket:
    """A receiver that takes `per_s` requests a second and `burst` more at once, as nginx does."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._excess, self._at = -1.0, 0.0

    def takes(self, at: float) -> bool:
        excess = max(0.0, self._excess - self._per_s * (at - self._at) + 1)
        if excess > self._burst:
            return False
        self._excess, self._at = excess, at
        return True


def paced(
    rate: AdaptiveRate, receiver: LeakyBucket, *, attempts: int, since: float = 0.0
) -> list[tuple[float, bool]]:
    """Attempts that begin as soon as the rate lets them and are answered at once: after which pause, whether taken."""
    found, mono = [], since
    for _ in range(attempts):
        pause_s = 1 / rate.per_s
        mono += pause_s
        rate.begin(mono)
        is_taken = receiver.takes(mono)
        (rate.succeeded if is_taken else rate.refused)(mono, mono)
        found.append((pause_s, is_taken))
    return found


def begun(rate: AdaptiveRate, mono: float) -> float:
    rate.begin(mono)
    return mono


def test_slow_start_doubles_with_each_round_until_it_limits_nothing() -> None:
    rate, windows = AdaptiveRate(), []
    rate.start_slowly()
    mono = 0.0
    while not rate.limits_nothing:
        windows.append(rate.window)
        mono += 1
        rate.succeeded(begun(rate, mono), mono)
    assert windows == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert 2 * windows[-1] >= LARGEST_WINDOW


def test_only_an_attempt_of_its_own_round_widens_a_window() -> None:
    rate = AdaptiveRate()
    before = begun(rate, 1.0)
    rate.start_slowly()
    rate.succeeded(before, 2.0)
    assert rate.window == 1
    first, second = begun(rate, 3.0), begun(rate, 3.0)
    rate.succeeded(first, 4.0)
    rate.succeeded(second, 4.0)
    assert rate.window == 2


def test_refusals_of_one_burst_lower_the_rate_once() -> None:
    rate = AdaptiveRate()
    burst = [begun(rate, 1.0) for _ in range(10)]
    assert [rate.refused(each, 2.0) for each in burst] == [True] + [False] * 9
    assert rate.per_s == FIRST_PER_S
    assert all(rate.is_outdated(each) for each in burst)


def test_each_success_doubles_at_first_and_adds_a_little_once_the_limit_is_known() -> None:
    rate = AdaptiveRate()
    rate.refused(begun(rate, 0.0), 0.0)
    for mono in (1.0, 2.0, 3.0):
        rate.succeeded(begun(rate, mono), mono)
    assert rate.per_s == 8 * FIRST_PER_S
    rate.refused(begun(rate, 4.0), 4.0)
    left = 8 * FIRST_PER_S * STEEP_DECREASE
    assert rate.per_s == left
    for mono in (5.0, 6.0):
        rate.succeeded(begun(rate, mono), mono)
    assert rate.per_s == pytest.approx(left * (1 + 2 * INCREASE))
    rate.refused(begun(rate, 7.0), 7.0)
    assert rate.per_s == pytest.approx(left * (1 + 2 * INCREASE) * DECREASE)


def test_refusals_in_a_row_end_at_the_slowest_rate_and_the_first_success_doubles_it() -> None:
    rate = AdaptiveRate()
    for mono in range(20):
        rate.refused(begun(rate, float(mono)), float(mono))
    assert rate.per_s == SLOWEST_PER_S
    rate.succeeded(begun(rate, 30.0), 30.0)
    assert rate.per_s == 2 * SLOWEST_PER_S


def test_a_bound_below_stops_a_fall_and_never_raises_a_rate() -> None:
    rate = AdaptiveRate()
    for mono in range(5):
        rate.refused(begun(rate, float(mono)), float(mono), at_least=0.3)
    assert rate.per_s == 0.3
    for mono in range(5, 10):
        rate.refused(begun(rate, float(mono)), float(mono))
    slow = rate.per_s
    rate.refused(begun(rate, 11.0), 11.0, at_least=0.3)
    assert rate.per_s == slow < 0.3


def test_a_configured_rate_is_where_it_begins() -> None:
    rate = AdaptiveRate()
    rate.refused(begun(rate, 0.0), 0.0, at_most=0.01)
    assert rate.per_s == 0.01
    for mono in range(1, 9):
        rate.succeeded(begun(rate, float(mono)), float(mono))
    rate.refused(begun(rate, 10.0), 10.0, at_most=0.01)
    assert rate.per_s < 0.01


def test_without_a_refusal_for_long_the_limit_is_forgotten() -> None:
    rate = AdaptiveRate()
    rate.refused(begun(rate, 0.0), 0.0)
    rate.succeeded(begun(rate, FORGET_S - 1), FORGET_S - 1)
    assert rate.per_s < inf
    rate.succeeded(begun(rate, FORGET_S + 1), FORGET_S + 1)
    assert rate.limits_nothing


def test_a_receiver_that_refused_once_is_soon_called_as_before() -> None:
    rate, mono = AdaptiveRate(), 0.0
    rate.refused(begun(rate, mono), mono)
    while not rate.limits_nothing:
        mono += 1 / rate.per_s
        rate.succeeded(begun(rate, mono), mono)
    assert mono < 5


@given(per_s=st.floats(0.01, 1000), burst=st.integers(0, 20))
def test_it_settles_near_the_receivers_rate(per_s: float, burst: int) -> None:
    rate, receiver = AdaptiveRate(), LeakyBucket(per_s, burst)
    rate.refused(begun(rate, 0.0), 0.0)
    since = sum(took_s for took_s, _ in paced(rate, receiver, attempts=250))
    found = paced(rate, receiver, attempts=300, since=since)
    taken = sum(is_taken for _, is_taken in found)
    assert len(found) - taken <= 0.15 * len(found)
    assert 0.65 * per_s <= taken / sum(took_s for took_s, _ in found) <= 1.2 * per_s
    assert 0.5 * per_s <= rate.per_s <= 2.5 * per_s


@given(events=st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.floats(0, 5)), max_size=60))
def test_whatever_happens_it_stays_between_its_bounds(events: list[tuple[bool, float, float]]) -> None:
    rate, mono = AdaptiveRate(), 0.0
    for is_taken, pause_s, took_s in events:
        mono += pause_s
        began_at = begun(rate, mono)
        mono += took_s
        before = rate.per_s
        (rate.succeeded if is_taken else rate.refused)(began_at, mono)
        assert rate.per_s >= SLOWEST_PER_S
        assert rate.per_s >= before if is_taken else rate.per_s <= before
