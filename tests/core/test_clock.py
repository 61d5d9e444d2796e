"""When the wall clock counts as set, and who is told of it."""

import pytest

from hookd.domain.clock import STEP_S, ClockStep, ClockStepDetector


def detector(**fields: float) -> tuple[ClockStepDetector, list[ClockStep]]:
    made = ClockStepDetector(now=1000.0, mono=5.0, **fields)
    told: list[ClockStep] = []
    made.on_step(told.append)
    return made, told


@pytest.mark.parametrize(
    ("now", "back_s"), [(1010.0, []), (950.0, [60]), (1070.0, [-60]), (1009.0, []), (1008.9, [1.1])]
)
def test_how_far_the_wall_clock_was_set(now: float, back_s: list[float]) -> None:
    made, told = detector()
    made.look(now=now, mono=15.0)
    assert [step.back_s for step in told] == pytest.approx(back_s)


def test_a_step_is_told_once_to_each() -> None:
    made, told = detector()
    others: list[ClockStep] = []
    made.on_step(others.append)
    made.look(now=950.0, mono=15.0)
    made.look(now=951.0, mono=16.0)
    assert told == others == [ClockStep(60, 15.0)]
    made.look(now=1012.0, mono=17.0)
    assert told == others == [ClockStep(60, 15.0), ClockStep(-60, 17.0)]


def test_a_slow_drift_is_a_step_when_it_adds_up() -> None:
    made, told = detector()
    for mono in range(6, 14):
        made.look(now=1000.0 + 0.9 * (mono - 5), mono=float(mono))
    assert told == []
    made.look(now=1000.0 + 0.9 * 11, mono=16.0)
    assert [step.back_s for step in told] == pytest.approx([1.1])
    assert told[0].back_s > STEP_S


@pytest.mark.parametrize("last_seen_at", [400.0, 1000.0, 1600.0])
def test_what_the_run_before_has_seen_is_compared_but_no_step_of_this_one(last_seen_at: float) -> None:
    made, told = detector(last_seen_at=last_seen_at)
    assert made.since_last_run == ClockStep(last_seen_at - 1000.0, 5.0)
    made.look(now=1001.0, mono=6.0)
    assert told == []
    assert detector()[0].since_last_run is None
