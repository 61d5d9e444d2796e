"""Retries: what follows from an outcome, and what a receiver may ask for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.delivery.retry_policy import LONGEST_RETRY_AFTER_S, decide, retry_after
from hookd.domain.definitions import Secret, WebhookDef
from hookd.domain.deliveries import Outcome, Reason, Settlement, State

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example
WEBHOOK = WebhookDef("w", Secret("http://127.0.0.1/"), retries=3, backoff_s=(5, 30))
FAILING = [
    reason
    for reason in Reason
    if reason not in {Reason.OK, Reason.INTERRUPTED, Reason.CONFIG, Reason.SIZE, Reason.LOCAL}
]


def test_only_the_receivers_failures_are_remote() -> None:
    assert [reason for reason in Reason if reason.is_remote] == FAILING


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0),
        ("5", 5),
        (" 120\t", 120),
        ("007", 7),
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 5000, 86_400),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun Nov 06 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:49:60 GMT", 23),  # a leap second
        ("Sun, 06 Nov 1994 08:49:36 GMT", 0),
        ("Thursday, 01-Jan-70 00:00:00 GMT", 0),  # 2070 would be more than 50 years ahead
        ("Saturday, 01-Jan-45 00:00:00 GMT", 0),  # 2045 too
        ("Friday, 01-Jan-44 00:00:00 GMT", 86_400),  # 2044 is not
        ("Wednesday, 01-Jan-20 00:00:00 GMT", 86_400),  # 2020 is not
        ("Tue, 01 Jan 2120 00:00:00 GMT", 86_400),
        ("", None),
        ("-1", None),
        ("+5", None),
        ("1.5", None),
        ("5 s", None),
        ("5, 10", None),
        ("\u0665", None),  # a digit, but not of ours
        ("soon", None),
        ("1994-11-06T08:50:37Z", None),
        ("Sun, 06 Nov 1994 08:50:37", None),
        ("Sun, 06 Nov 1994 08:50:37 +0000", None),
        ("Sun, 06 nov 1994 08:50:37 GMT", None),
        ("Sun, 6 Nov 1994 08:50:37 GMT", None),
        ("Sun, 31 Feb 1994 08:50:37 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 08:60:00 GMT", None),
        ("Sun, 06 Nov 1994 08:50:61 GMT", None),
        ("Sun, 06 Nov 0000 08:50:37 GMT", None),
        ("Sun Nov 1994", None),
    ],
)
def test_retry_after(value: str, wait_s: float | None) -> None:
    assert retry_after([value], now=NOW) == wait_s


@pytest.mark.parametrize(
    ("values", "wait_s"), [([], None), (["x", "-"], None), (["5", "x"], 5), (["x", "5", "60", "7"], 60)]
)
def test_of_several_retry_after_the_largest_valid_counts(values: list[str], wait_s: float | None) -> None:
    assert retry_after(values, now=NOW) == wait_s


@given(st.text(max_size=40) | st.integers().map(str))
def test_retry_after_never_fails_and_is_bounded(value: str) -> None:
    wait_s = retry_after([value], now=NOW)
    assert wait_s is None or 0 <= wait_s <= LONGEST_RETRY_AFTER_S


def settled(outcome: Outcome, *, failures: int = 0, jitter: float = 0.0, retries: int = 3) -> Settlement:
    webhook = replace(WEBHOOK, retries=retries)
    return decide(outcome, webhook=webhook, failures=failures, now=NOW, jitter=jitter)


def test_a_2xx_is_delivered() -> None:
    assert settled(Outcome(Reason.OK, 204)) == Settlement(State.DELIVERED, counted=False)


def test_410_is_final_at_once() -> None:
    settlement = settled(Outcome(Reason.STATUS, 410, error="HTTP 410 Gone"))
    assert (settlement.state, settlement.counted) == (State.DEAD, True)
    assert "410" in settlement.detail


@pytest.mark.parametrize(
    ("reason", "pause_s"), [(Reason.INTERRUPTED, 0), (Reason.LOCAL, 1), (Reason.CONFIG, 60)]
)
def test_what_is_not_the_receivers_fault_never_counts(reason: Reason, pause_s: float) -> None:
    settlement = settled(Outcome(reason), failures=100)
    assert settlement == Settlement(State.PENDING, counted=False, due_at=NOW + pause_s)


def test_a_message_that_was_never_made_is_dead_at_once_and_no_fault_of_the_receivers() -> None:
    settlement = settled(Outcome(Reason.SIZE, error="too large"), failures=0)
    assert settlement == Settlement(State.DEAD, counted=False, detail="too large")


@pytest.mark.parametrize("reason", FAILING)
@pytest.mark.parametrize(("failures", "pause_s"), [(0, 5), (1, 30), (2, 30)])
def test_failures_wait_their_step_and_the_last_step_repeats(
    reason: Reason, failures: int, pause_s: float
) -> None:
    expected = Settlement(State.PENDING, counted=True, due_at=NOW + pause_s)
    assert settled(Outcome(reason, error="why"), failures=failures) == expected


@pytest.mark.parametrize("reason", FAILING)
def test_retries_used_up_is_dead_with_the_last_reason(reason: Reason) -> None:
    settlement = settled(Outcome(reason, error="the reason why"), failures=3)
    assert (settlement.state, settlement.counted, settlement.due_at) == (State.DEAD, True, None)
    assert settlement.detail == "4 attempts failed, no retries left; the last: the reason why"


def test_without_retries_the_first_failure_is_final() -> None:
    settlement = settled(Outcome(Reason.TIMEOUT), retries=0)
    assert settlement.detail == "1 attempt failed, no retries left; the last: timeout"


@pytest.mark.parametrize(("jitter", "pause_s"), [(0.0, 5), (0.5, 5.5), (1.0, 6)])
def test_jitter_adds_up_to_a_fifth(jitter: float, pause_s: float) -> None:
    assert settled(Outcome(Reason.DNS), jitter=jitter).due_at == pytest.approx(NOW + pause_s)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("asked_s", "pause_s", "held_s"), [(60, 60, 60), (2, 5, 2), (0, 5, None)])
def test_retry_after_holds_the_webhook_and_the_larger_pause_counts(
    status: int, asked_s: float, pause_s: float, held_s: float | None
) -> None:
    settlement = settled(Outcome(Reason.STATUS, status, retry_after_s=asked_s))
    assert settlement.due_at is not None
    assert max(settlement.due_at, settlement.hold_until or 0) == NOW + pause_s
    assert settlement.due_at == NOW + 5, "a hold that is lifted leaves the delivery's own pause"
    assert settlement.hold_until == (None if held_s is None else NOW + held_s)


@pytest.mark.parametrize("probe", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_without_retry_after_nothing_is_held(status: int, probe: bool) -> None:
    outcome = Outcome(Reason.STATUS, status)
    settlement = decide(outcome, webhook=WEBHOOK, failures=2, now=NOW, jitter=1.0, probe=probe)
    assert settlement.hold_until is None


@pytest.mark.parametrize(("failures", "pause_s"), [(0, 5), (1, 5), (2, 5), (3, 30), (4, 120), (5, 120)])
def test_what_was_refused_for_its_rate_comes_again_after_the_first_pause_three_times(
    failures: int, pause_s: float
) -> None:
    webhook = replace(WEBHOOK, retries=9, backoff_s=(5, 30, 120))
    outcome = Outcome(Reason.STATUS, 429)
    settlement = decide(outcome, webhook=webhook, failures=failures, now=NOW, jitter=0.0, rate_limited=True)
    assert settlement == Settlement(State.PENDING, counted=True, due_at=NOW + pause_s)


def test_what_is_refused_for_its_rate_too_often_is_dead() -> None:
    outcome = Outcome(Reason.STATUS, 503)
    settlement = decide(
        outcome, webhook=WEBHOOK, failures=WEBHOOK.retries, now=NOW, jitter=0.0, rate_limited=True
    )
    assert settlement.state is State.DEAD


def test_retry_after_of_a_dead_delivery_still_holds_the_webhook() -> None:
    settlement = settled(Outcome(Reason.STATUS, 503, retry_after_s=60), failures=3)
    assert (settlement.state, settlement.hold_until) == (State.DEAD, NOW + 60)


def test_retry_after_on_other_statuses_is_ignored() -> None:
    settlement = settled(Outcome(Reason.STATUS, 500, retry_after_s=60))
    assert (settlement.due_at, settlement.hold_until) == (NOW + 5, None)


@given(
    reason=st.sampled_from(FAILING),
    status=st.sampled_from([None, 429, 500, 503]),
    asked_s=st.none() | st.floats(0, 86_400),
    failures=st.integers(0, 30),
    jitter=st.floats(0, 1),
    steps=st.lists(st.floats(0, 86_400), min_size=1, max_size=12),
)
def test_a_retry_never_comes_early(
    *,
    reason: Reason,
    status: int | None,
    asked_s: float | None,
    failures: int,
    jitter: float,
    steps: list[float],
) -> None:
    webhook = replace(WEBHOOK, retries=100, backoff_s=tuple(steps))
    outcome = Outcome(reason, status, retry_after_s=asked_s)
    settlement = decide(outcome, webhook=webhook, failures=failures, now=NOW, jitter=jitter)
    step_s = steps[min(failures, len(steps) - 1)]
    asks = asked_s is not None and status in {429, 503}
    assert settlement.due_at is not None
    assert settlement.due_at >= NOW + step_s
    assert not asks or max(settlement.due_at, settlement.hold_until or 0) >= NOW + (asked_s or 0)
    assert settlement.due_at <= NOW + step_s * 1.2 + 1
