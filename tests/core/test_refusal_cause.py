"""Refusals for another cause than the rate slow a lane down for a short time only; those of a limit always count."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.delivery.refusal_cause import RARE
from tests.core.test_pace import OK, Answer, Drive, limiting, status, webhook


def breaking(number: int, share: float, seed: int, *, taken_s: float = 0.01) -> Callable[[float], Answer]:
    """A receiver that refuses a share of what it gets, however fast or slowly it is called."""
    chance = random.Random(seed)
    return lambda _mono: (status(number) if chance.random() < share else OK, taken_s)


@pytest.mark.parametrize("number", [429, 503])
@pytest.mark.parametrize("every", [2, 3, 4, 5])
def test_one_whose_servers_are_broken_in_part_is_slow_for_a_short_time_only(number: int, every: int) -> None:
    answers = iter(range(10**9))
    drive = Drive(
        webhook(), lambda _mono: (status(number) if next(answers) % every == every - 1 else OK, 0.01)
    )
    drive.run(lambda: drive.taken >= 2000)
    assert not drive.was_down
    assert drive.mono < 120


@pytest.mark.parametrize("number", [429, 503])
@pytest.mark.parametrize(("share", "cost_s"), [(0.001, 2), (0.01, 10), (0.03, 60)])
def test_rare_refusals_cost_little(number: int, share: float, cost_s: float) -> None:
    without = Drive(webhook(), breaking(number, 0.0, 1))
    without.run(lambda: without.taken >= 8_000)
    drive = Drive(webhook(), breaking(number, share, 1))
    drive.run(lambda: drive.taken >= 8_000)
    assert drive.mono < without.mono + cost_s


@given(
    number=st.sampled_from([429, 503]),
    per_s=st.floats(0.1, 200),
    burst=st.integers(0, 20),
    concurrency=st.integers(1, 20),
)
def test_a_limit_always_counts(*, number: int, per_s: float, burst: int, concurrency: int) -> None:
    drive = Drive(webhook(concurrency), limiting(number, per_s, burst))
    while drive.taken < 100 + burst:
        taken = drive.taken + 1
        drive.run(lambda taken=taken: drive.taken >= taken)  # type: ignore[misc]
        cause = drive.lane._pace.cause
        assert cause.may_be_rate(drive.mono) or cause.taken >= RARE


@given(share=st.floats(0.15, 0.4), seed=st.integers(0, 1000))
def test_a_share_that_stays_the_same_ends_the_slowness(share: float, seed: int) -> None:
    drive = Drive(webhook(), breaking(503, share, seed))
    drive.run(lambda: drive.taken >= 500)
    assert drive.mono < 600
