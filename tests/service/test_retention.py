"""When the wall clock is plausible as history is deleted by it."""

import pytest

from hookd.delivery.retention import DOUBT_S, JUMP_S, ClockGuard
from hookd.domain.clock import ClockStepDetector

T0 = 1_700_000_000.0
YEAR_S = 365 * 86_400.0


def guard(seen_at: float | None, *, now: float = T0) -> ClockGuard:
    """A guard that begins at an instant, `seen_at` having been the last one in the run before."""
    return ClockGuard(ClockStepDetector(now=now, mono=5, last_seen_at=seen_at))


@pytest.mark.parametrize("seen_at", [None, T0 - 60, T0 + YEAR_S, T0 - JUMP_S])
def test_a_clock_that_went_on_is_believed(seen_at: float | None) -> None:
    clock_guard = guard(seen_at)
    assert clock_guard.is_plausible(now=T0, mono=5)
    assert clock_guard.is_plausible(now=T0 + 2 * JUMP_S, mono=5 + 2 * JUMP_S)


def test_a_jump_ahead_while_running_is_doubted_for_an_hour() -> None:
    clock_guard = guard(T0)
    assert clock_guard.is_plausible(now=T0, mono=5)
    assert not clock_guard.is_plausible(now=T0 + YEAR_S, mono=6)
    assert not clock_guard.is_plausible(now=T0 + YEAR_S + DOUBT_S - 1, mono=5 + DOUBT_S)
    assert clock_guard.is_plausible(now=T0 + YEAR_S + DOUBT_S, mono=6 + DOUBT_S)


def test_a_jump_ahead_while_hookd_was_down_is_doubted() -> None:
    assert not guard(T0, now=T0 + YEAR_S).is_plausible(now=T0 + YEAR_S, mono=5)


def test_a_clock_that_came_back_is_believed_again() -> None:
    clock_guard = guard(T0, now=T0 + YEAR_S)
    assert not clock_guard.is_plausible(now=T0 + YEAR_S, mono=5)
    assert clock_guard.is_plausible(now=T0 + 10, mono=15)


def test_an_hour_ahead_is_no_reason_for_doubt() -> None:
    clock_guard = guard(T0)
    assert clock_guard.is_plausible(now=T0 + 3600, mono=5)
