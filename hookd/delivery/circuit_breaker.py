"""The breaker of a lane: stops calling a receiver that is down, and finds out when it is up again (spec 5).

After ten failures in a row (no answer, or 5xx) the lane is parked. One delivery probes after 30 s, then after twice as
long each time, up to 10 min. Any answer that shows the receiver alive ends that. What is attempted while the breaker is
open costs no retries.

A 503 may also come from a receiver that limits its rate, and come before the answers of those attempts that it takes.
So ten of them in a row decide nothing as long as attempts are under way that began before the first of them.

Pure bookkeeping: instants come in as arguments. Must never: do I/O, read a clock, or know a delivery.
"""

from enum import StrEnum
from http import HTTPStatus
from math import inf
from typing import assert_never

from hookd.domain.deliveries import Outcome, Reason

OPENS_AFTER = 10
"""Failures in a row until the lane is parked (spec 5)."""

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 600.0

UNDECIDED_S = 5.0
"""For how long after the first 503 of a row the attempts that were under way then may still show the receiver alive."""


class BreakerState(StrEnum):
    """The state of a breaker, in the words of `GET /v1/webhooks` (spec 14)."""

    CLOSED = "closed"  # deliveries go out
    OPEN = "open"  # none goes out until the next probe
    HALF_OPEN = "half_open"  # a probe is under way


class Breaker:
    """One lane's breaker."""

    __slots__ = (
        "_consecutive_failures",
        "_older",
        "_pause_s",
        "_probe_at",
        "_reprobes",
        "_row_began_at",
        "state",
    )

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self._consecutive_failures = 0
        self._row_began_at = 0.0
        self._older = 0
        self._pause_s = FIRST_PAUSE_S
        self._probe_at = 0.0
        self._reprobes = False

    def is_untouched(self) -> bool:
        """Whether the latest attempt, as far as it told anything, showed the receiver alive."""
        return not self._consecutive_failures and self.state is BreakerState.CLOSED

    def allowed(self, slots: int, mono: float) -> int:
        """How many of `slots` attempts may begin now."""
        match self.state:
            case BreakerState.CLOSED:
                return 0 if self._is_undecided(mono) else slots
            case BreakerState.OPEN:
                return min(slots, 1) if mono >= self._probe_at else 0
            case BreakerState.HALF_OPEN:
                return 0
            case _:
                assert_never(self.state)

    def wait_s(self, mono: float) -> float:
        """Seconds until a probe may go out; 0 where it may now or none is needed."""
        return max(0.0, self._probe_at - mono) if self.state is BreakerState.OPEN else 0.0

    def undecided_s(self, mono: float) -> float:
        """Seconds for which nothing may begin, though it is closed; 0 where something may."""
        return self._row_began_at + UNDECIDED_S - mono if self._is_undecided(mono) else 0.0

    def allow_probe_now(self) -> None:
        """Let the next probe out without its pause: there is reason to think that the receiver is better.

        Where one is under way, it began before there was that reason, and its failure is followed by another at once.
        """
        self._probe_at = -inf
        self._reprobes = self.state is BreakerState.HALF_OPEN

    def begin(self) -> bool:
        """Note an attempt that begins now. Returns whether it is a probe: then the breaker is half open."""
        if self.state is BreakerState.OPEN:
            self.state = BreakerState.HALF_OPEN
            return True
        return False

    def end(self, began_at: float) -> None:
        """Note that an attempt is over, before its outcome is recorded."""
        if self._older and began_at < self._row_began_at:
            self._older -= 1

    def record(self, outcome: Outcome, *, is_probe: bool, mono: float, in_flight: int = 0) -> None:
        """Note how an attempt ended; `is_probe` as `begin` said, `in_flight` attempts are still under way."""
        alive = shows_alive(outcome)
        if alive:
            self._close()
        elif self.state is BreakerState.CLOSED:
            if alive is False:
                self._count(outcome, mono, in_flight)
        elif is_probe:
            if alive is False and not self._reprobes:
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._open(mono)

    def probe_ended(self, mono: float) -> None:
        """Note that a probe is over whose outcome is not known: the next one goes out after the same pause."""
        if self.state is BreakerState.HALF_OPEN:
            self._open(mono)

    def _count(self, outcome: Outcome, mono: float, in_flight: int) -> None:
        if not self._consecutive_failures:
            self._row_began_at, self._older = mono, in_flight
        self._consecutive_failures += 1
        may_limit = outcome.status == HTTPStatus.SERVICE_UNAVAILABLE
        if self._consecutive_failures >= OPENS_AFTER and not (may_limit and self._is_undecided(mono)):
            self._open(mono)

    def _is_undecided(self, mono: float) -> bool:
        return (
            self._older > 0
            and self._consecutive_failures >= OPENS_AFTER
            and mono - self._row_began_at < UNDECIDED_S
        )

    def _close(self) -> None:
        self.state = BreakerState.CLOSED
        self._consecutive_failures = 0
        self._older = 0
        self._pause_s = FIRST_PAUSE_S
        self._reprobes = False

    def _open(self, mono: float) -> None:
        self.state = BreakerState.OPEN
        self._probe_at = -inf if self._reprobes else mono + self._pause_s
        self._reprobes = False


def shows_alive(outcome: Outcome) -> bool | None:
    """Whether the receiver is up: any answer but 5xx says so; None where hookd itself ended the attempt."""
    match outcome.reason:
        case Reason.OK:
            return True
        case Reason.STATUS:
            return (outcome.status or 0) < HTTPStatus.INTERNAL_SERVER_ERROR
        case reason:
            return False if reason.is_remote else None
