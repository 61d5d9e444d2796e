"""The breaker: opens after ten in a row, probes with growing pauses, and closes at the first sign of life."""

import pytest

from hookd.delivery.circuit_breaker import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    OPENS_AFTER,
    UNDECIDED_S,
    Breaker,
    BreakerState,
    shows_alive,
)
from hookd.domain.deliveries import Outcome, Reason

DOWN = Outcome(Reason.CONNECT)
UP = Outcome(Reason.OK, status=204)
REFUSED = Outcome(Reason.STATUS, status=404)
UNAVAILABLE = Outcome(Reason.STATUS, status=503)
INTERRUPTED = Outcome(Reason.INTERRUPTED)


def opened(mono: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(OPENS_AFTER):
        assert breaker.allowed(5, mono) == 5
        assert not breaker.begin()
        breaker.record(DOWN, is_probe=False, mono=mono)
    return breaker


def probe(breaker: Breaker, outcome: Outcome, mono: float) -> None:
    assert breaker.allowed(5, mono) == 1
    assert breaker.begin()
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.allowed(5, mono) == 0
    breaker.record(outcome, is_probe=True, mono=mono)


@pytest.mark.parametrize(
    ("outcome", "alive"),
    [
        (UP, True),
        (REFUSED, True),
        (Outcome(Reason.STATUS, status=301), True),
        (Outcome(Reason.STATUS, status=410), True),
        (Outcome(Reason.STATUS, status=429), True),
        (Outcome(Reason.STATUS, status=500), False),
        (Outcome(Reason.STATUS, status=503), False),
        (Outcome(Reason.STATUS, status=599), False),
        (DOWN, False),
        (Outcome(Reason.DNS), False),
        (Outcome(Reason.TLS), False),
        (Outcome(Reason.FORBIDDEN), False),
        (Outcome(Reason.TIMEOUT), False),
        (Outcome(Reason.DISCONNECTED), False),
        (Outcome(Reason.PROTOCOL), False),
        (INTERRUPTED, None),
        (Outcome(Reason.LOCAL), None),
    ],
)
def test_what_shows_a_receiver_alive(outcome: Outcome, alive: bool | None) -> None:
    assert shows_alive(outcome) is alive


def test_opens_after_ten_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AFTER - 1):
        breaker.record(DOWN, is_probe=False, mono=0)
    assert breaker.allowed(5, 0) == 5
    breaker.record(DOWN, is_probe=False, mono=0)
    assert breaker.state is BreakerState.OPEN
    assert breaker.allowed(5, 0) == 0


@pytest.mark.parametrize("sign", [UP, REFUSED])
def test_any_sign_of_life_begins_the_row_again(sign: Outcome) -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(OPENS_AFTER - 1):
            breaker.record(DOWN, is_probe=False, mono=0)
        breaker.record(sign, is_probe=False, mono=0)
    assert breaker.state is BreakerState.CLOSED


def test_our_own_lack_neither_counts_nor_clears() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AFTER - 1):
        breaker.record(DOWN, is_probe=False, mono=0)
    for _ in range(100):
        breaker.record(INTERRUPTED, is_probe=False, mono=0)
    assert breaker.allowed(5, 0) == 5
    breaker.record(DOWN, is_probe=False, mono=0)
    assert breaker.allowed(5, 0) == 0


def test_pauses_double_up_to_the_longest() -> None:
    breaker, mono, pause_s = opened(), 0.0, FIRST_PAUSE_S
    for _ in range(8):
        assert breaker.wait_s(mono) == pause_s
        assert breaker.allowed(5, mono + pause_s - 0.001) == 0
        mono += pause_s
        assert breaker.wait_s(mono) == 0
        probe(breaker, DOWN, mono)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    assert pause_s == LONGEST_PAUSE_S


def test_a_probe_that_succeeds_closes_and_forgets() -> None:
    breaker = opened()
    probe(breaker, DOWN, FIRST_PAUSE_S)
    probe(breaker, UP, 3 * FIRST_PAUSE_S)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.wait_s(0) == 0
    assert opened().wait_s(0) == FIRST_PAUSE_S
    for _ in range(OPENS_AFTER):
        breaker.record(DOWN, is_probe=False, mono=1000)
    assert breaker.wait_s(1000) == FIRST_PAUSE_S


def test_a_probe_that_hookd_ended_itself_is_made_again_without_doubling() -> None:
    breaker = opened()
    probe(breaker, INTERRUPTED, FIRST_PAUSE_S)
    assert breaker.wait_s(FIRST_PAUSE_S) == FIRST_PAUSE_S


def test_attempts_begun_before_it_opened_change_nothing_by_failing() -> None:
    breaker = opened()
    breaker.record(DOWN, is_probe=False, mono=5)
    assert breaker.wait_s(0) == FIRST_PAUSE_S


@pytest.mark.parametrize("half_open", [False, True])
def test_attempts_begun_before_it_opened_close_it_by_an_answer(half_open: bool) -> None:
    breaker = opened()
    if half_open:
        assert breaker.allowed(5, FIRST_PAUSE_S) == 1
        assert breaker.begin()
    breaker.record(UP, is_probe=False, mono=FIRST_PAUSE_S)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.allowed(5, FIRST_PAUSE_S) == 5


def test_what_was_corrected_while_a_probe_was_under_way_is_probed_again_at_once() -> None:
    breaker = opened()
    assert breaker.begin()
    breaker.allow_probe_now()
    breaker.record(DOWN, is_probe=True, mono=FIRST_PAUSE_S)
    assert breaker.wait_s(FIRST_PAUSE_S) == 0
    probe(breaker, DOWN, FIRST_PAUSE_S)
    assert breaker.wait_s(FIRST_PAUSE_S) == 2 * FIRST_PAUSE_S


def test_no_room_is_no_room() -> None:
    breaker = opened()
    assert breaker.allowed(0, FIRST_PAUSE_S) == 0
    assert Breaker().allowed(0, 0) == 0


def refused(breaker: Breaker, count: int, *, older: int, mono: float = 1.0) -> None:
    """So many 503s in a row, of attempts that began at 0, beside `older` that hang."""
    for left in range(count - 1, -1, -1):
        breaker.end(0.0)
        breaker.record(UNAVAILABLE, is_probe=False, mono=mono, in_flight=older + left)


def test_ten_503s_decide_nothing_while_older_attempts_may_still_be_answered() -> None:
    breaker = Breaker()
    refused(breaker, OPENS_AFTER + 5, older=2)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.allowed(5, 1.0) == 0
    assert breaker.undecided_s(1.0) == UNDECIDED_S
    breaker.end(0.0)
    breaker.record(UP, is_probe=False, mono=2.0, in_flight=1)
    assert breaker.allowed(5, 2.0) == 5
    assert breaker.undecided_s(2.0) == 0


def test_ten_503s_open_it_once_no_older_attempt_is_left() -> None:
    breaker = Breaker()
    refused(breaker, OPENS_AFTER - 1, older=1)
    breaker.end(0.0)
    breaker.record(UNAVAILABLE, is_probe=False, mono=2.0, in_flight=0)
    assert breaker.state is BreakerState.OPEN


def test_attempts_that_hang_delay_it_only_for_a_while() -> None:
    breaker = Breaker()
    refused(breaker, OPENS_AFTER, older=2)
    late = 1.0 + UNDECIDED_S
    assert breaker.allowed(5, late) == 5
    breaker.end(late)
    breaker.record(UNAVAILABLE, is_probe=False, mono=late, in_flight=2)
    assert breaker.state is BreakerState.OPEN


def test_attempts_that_hang_delay_nothing_where_there_is_no_answer() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AFTER):
        breaker.record(DOWN, is_probe=False, mono=1.0, in_flight=2)
    assert breaker.state is BreakerState.OPEN
