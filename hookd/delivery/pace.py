"""How fast a lane goes: by its `rate_limit`, and by what its receiver has shown that it can take.

A receiver that answers 429, or 503 while it takes others, limits its rate: `adaptive_rate` finds how fast it may be
called. A 503 alone may also mean that it is down, which the breaker finds out.

Pure bookkeeping: instants of the monotonic clock come in as arguments. Must never: do I/O or read a clock.
"""

from http import HTTPStatus
from math import inf

from hookd.delivery.adaptive_rate import SLOWEST_PER_S, AdaptiveRate
from hookd.delivery.circuit_breaker import shows_alive
from hookd.delivery.refusal_cause import RefusalCause
from hookd.domain.definitions import WebhookDef
from hookd.domain.deliveries import Outcome, Reason

CATCH_UP_S = 0.02
"""A lane may catch up on this many seconds (or half an attempt) that it came late; more would be a burst that its
receiver did not ask for."""

ALTERNATES_S = 60.0
ALTERNATES_ATTEMPTS = 20
"""A 503 this long after another answer, or within the time of so many attempts, is taken for a limit of the rate."""

LATE_ANSWER_S = 5.0
"""So is a 503 that is followed by another answer within this time: what is refused is often answered first."""

SLOWEST_UNAVAILABLE_PER_S = 1 / 5
"""503s in a row lower the rate no further: it may be down after all, and ten in a row tell that within a minute."""


class TokenBucket:
    """The attempts that a rate, in attempts a second, admits: one at first, then as time goes by."""

    __slots__ = ("_taken_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = 1.0
        self._taken_at: float | None = None

    def available(self, per_s: float, mono: float) -> float:
        """How many attempts may begin now, with fractions."""
        elapsed_s = 0.0 if self._taken_at is None else mono - self._taken_at
        return min(1.0 + max(0.5, per_s * CATCH_UP_S), self._tokens + elapsed_s * per_s)

    def take(self, per_s: float, mono: float) -> None:
        """Note an attempt that begins."""
        self._tokens = self.available(per_s, mono) - 1
        self._taken_at = mono

    def empty(self, mono: float) -> None:
        """Admit none now, and the next after its time."""
        self._tokens = 0.0
        self._taken_at = mono

    def wait_s(self, per_s: float, mono: float) -> float:
        """Seconds until one more attempt is admitted; 0 when it is now."""
        return max(0.0, (1.0 - self.available(per_s, mono)) / per_s)


class Pace:
    """One lane's pace.

    Attributes:
        answered_at: when its receiver last answered otherwise than by a refusal.
        cause: what refusals have to do with the rate.
    """

    __slots__ = ("_adaptive", "_bucket", "_unavailable_at", "answered_at", "cause")

    def __init__(self) -> None:
        self._bucket = TokenBucket()
        self._adaptive: AdaptiveRate | None = None  # as long as the receiver has taken everything
        self.answered_at = -inf
        self.cause = RefusalCause()
        self._unavailable_at = (
            -inf
        )  # when it last answered 503 that was not taken for a limit, with no answer since

    def admitted(self, webhook: WebhookDef, slots: int, *, in_flight: int, mono: float) -> int:
        """How many of `slots` attempts may begin now beside those under way; it may be less than none."""
        if self._adaptive is not None and self._adaptive.window < inf:
            slots = min(slots, int(self._adaptive.window) - in_flight)
        per_s = self._per_s(webhook)
        return slots if per_s == inf else min(slots, int(self._bucket.available(per_s, mono)))

    def wait_s(self, webhook: WebhookDef, mono: float) -> float:
        """Seconds until one more attempt may begin; 0 where time alone does not hinder it."""
        per_s = self._per_s(webhook)
        return 0.0 if per_s == inf else self._bucket.wait_s(per_s, mono)

    def slowed_to_per_s(self, webhook: WebhookDef) -> float | None:
        """Attempts a second where the receiver limits its rate to less than what is configured."""
        per_s = self._per_s(webhook)
        return per_s if per_s < _configured(webhook) else None

    def takes_everything(self) -> bool:
        """Whether neither a refusal nor a hold or an opening has shown otherwise."""
        return self._adaptive is None and self._unavailable_at == -inf

    def is_adapted(self) -> bool:
        """Whether the lane may go slower than its definition says."""
        return self._adaptive is not None

    def begin(self, webhook: WebhookDef, mono: float) -> None:
        """Note an attempt that begins."""
        if self._adaptive is not None:
            self._adaptive.begin(mono)
        per_s = self._per_s(webhook)
        if per_s < inf:
            self._bucket.take(per_s, mono)

    def start_anew(self) -> None:
        """Forget what the receiver has shown, which may take more now, but begin with one attempt at a time."""
        if self._adaptive is not None:
            self._adaptive = AdaptiveRate()
            self._adaptive.start_slowly()
            self._bucket = TokenBucket()
            self._unavailable_at = -inf

    def start_slowly(self) -> None:
        """Begin with one attempt at a time, and double that with each success."""
        self._adaptive = self._adaptive or AdaptiveRate()
        self._adaptive.start_slowly()

    def is_refusal(self, outcome: Outcome, mono: float) -> bool:
        """Whether a receiver that is up refused an attempt for its rate; to be asked before the outcome is recorded."""
        if not self.cause.may_be_rate(mono):
            return False
        if outcome.status == HTTPStatus.TOO_MANY_REQUESTS:
            return True
        per_s = inf if self._adaptive is None else self._adaptive.per_s
        alternates_s = max(ALTERNATES_S, ALTERNATES_ATTEMPTS / per_s)
        return outcome.status == HTTPStatus.SERVICE_UNAVAILABLE and mono - self.answered_at <= alternates_s

    def refused(self, webhook: WebhookDef | None, outcome: Outcome, *, began_at: float, mono: float) -> bool:
        """Slow down, as an attempt that began at `began_at` was refused.

        Returns:
            Whether that told anything new: not where it began before the last time that this slowed down.
        """
        is_429 = outcome.status == HTTPStatus.TOO_MANY_REQUESTS
        self.cause.refused(mono)
        if began_at >= self.cause.trial_began_at:
            self._tried(refused=True, mono=mono)
            return False
        self._adaptive = self._adaptive or AdaptiveRate()
        lowered = self._adaptive.refused(
            began_at,
            mono,
            at_most=_configured(webhook),
            at_least=SLOWEST_PER_S if is_429 else SLOWEST_UNAVAILABLE_PER_S,
            first=self.cause.sustained_per_s / 2,
        )
        if lowered:
            self._bucket.empty(mono)
            self.cause.note(refused=True, mono=mono)
        return lowered

    def _tried(self, *, refused: bool, mono: float) -> None:
        if self.cause.tried(refused=refused, mono=mono):
            self._adaptive = None

    def record(self, webhook: WebhookDef | None, outcome: Outcome, *, began_at: float, mono: float) -> None:
        """Note an attempt that ended otherwise than by a refusal, of a receiver that was not taken to be down."""
        if outcome.status in _REFUSALS:
            self._unavailable_at = self._noted_unavailable(outcome, mono)
            self.cause.refused(mono)
        elif shows_alive(outcome):
            self.answered_at = mono
            self.cause.taken += 1
            if mono - self._unavailable_at <= LATE_ANSWER_S:
                self.refused(webhook, _UNAVAILABLE, began_at=began_at, mono=mono)
            elif began_at >= self.cause.trial_began_at:
                self._tried(refused=False, mono=mono)
            elif self._adaptive is not None:
                if self._adaptive.per_s < inf:
                    self.cause.note(refused=False, mono=mono)
                self._adaptive.succeeded(began_at, mono)
                if self._adaptive.limits_nothing:
                    self._adaptive = None
            self._unavailable_at = -inf

    def _noted_unavailable(self, outcome: Outcome, mono: float) -> float:
        """When it last answered 503 of which the next answer may tell whether it was for the rate."""
        is_503 = outcome.status == HTTPStatus.SERVICE_UNAVAILABLE
        return mono if is_503 and self.cause.may_be_rate(mono) else -inf

    def _per_s(self, webhook: WebhookDef) -> float:
        """How many attempts may begin in a second."""
        limit = _configured(webhook)
        return limit if self._adaptive is None else min(limit, self.cause.factor * self._adaptive.per_s)


_REFUSALS = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_UNAVAILABLE = Outcome(Reason.STATUS, HTTPStatus.SERVICE_UNAVAILABLE)


def _configured(webhook: WebhookDef | None) -> float:
    """Attempts a second by `rate_limit`."""
    limit = None if webhook is None else webhook.rate_limit
    return inf if limit is None else limit.count / limit.period_s
