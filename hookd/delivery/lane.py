"""A lane: the seats, rate, hold and breaker of one webhook, and the rule by which lanes share the daemon's seats.

Also which lanes are parked, and why. Pure bookkeeping: instants come in as arguments.

Must never: do I/O or read a clock.
"""

from collections.abc import Container, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from hookd.delivery.circuit_breaker import Breaker, BreakerState
from hookd.domain.definitions import RateLimit, WebhookDef
from hookd.domain.deliveries import Outcome

SHARE = 2
"""A lane may hold at most this many times the seats that are still free (dynamic thresholds, Choudhury and Hahne 1998):
lanes that hang are squeezed as others come, and free seats always remain for those who come next."""

CATCH_UP_S = 0.02
"""A rate-limited lane may catch up on this many seconds (or half an attempt) that it came late; more would be a burst
that its receiver did not ask for."""


class Parked(StrEnum):
    """Why a lane's deliveries wait without being attempted (spec 0, parked)."""

    GONE = "gone"  # the webhook is not in the configuration
    DISABLED = "disabled"  # `enabled: false`
    PAUSED = "paused"  # by hand, until it is resumed
    BREAKER = "breaker"  # its receiver is down; hookd probes now and then


@dataclass(frozen=True, slots=True)
class LastResult:
    """How the lane's latest attempt ended; `at` in seconds since the epoch."""

    at: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane as `GET /v1/webhooks` shows it; `probe_in_s`: seconds until an open breaker lets a probe out."""

    webhook: str
    parked: Parked | None
    in_flight: int
    hold_until: float | None
    last_result: LastResult | None
    breaker: BreakerState = BreakerState.CLOSED
    probe_in_s: float | None = None


class Lane:
    """One webhook's lane. Created when its first delivery is seen; lives as long as the daemon."""

    __slots__ = (
        "_definition",
        "_tokens",
        "_tokens_at",
        "breaker",
        "hold_until",
        "in_flight",
        "last_result",
        "webhook",
    )

    def __init__(self, webhook: str, hold_until: float = 0.0) -> None:
        self.webhook = webhook
        self.in_flight = 0
        self.hold_until = hold_until
        self.last_result: LastResult | None = None
        self.breaker = Breaker()
        self._definition: WebhookDef | None = None
        self._tokens = 1.0
        self._tokens_at: float | None = None

    def follow(self, webhook: WebhookDef) -> None:
        """Take note of the definition in force: where it was corrected, a receiver that was down is probed at once."""
        if self._definition is not webhook:
            if self._definition not in (None, webhook):
                self.breaker.probe_now()
            self._definition = webhook

    def wants_probe(self, *, now: float, mono: float) -> bool:
        """Whether an open breaker lets a probe out now, and nothing holds the lane."""
        is_open = self.breaker.state is BreakerState.OPEN
        return is_open and now >= self.hold_until and not self.breaker.wait_s(mono)

    def is_down(self) -> bool:
        """Whether its receiver is down: the breaker is not closed."""
        return self.breaker.state is not BreakerState.CLOSED

    def wait_s(self, webhook: WebhookDef, *, mono: float) -> float | None:
        """Seconds until a lane without seats may have some through time alone; None: something must end before."""
        if self.is_down():
            return self.breaker.wait_s(mono) or None
        return None if webhook.rate_limit is None else max(0.001, self.rate_wait_s(webhook.rate_limit, mono))

    def probe_in_s(self, *, now: float, mono: float) -> float | None:
        """Seconds until an open breaker lets a probe out; None for any other."""
        if self.breaker.state is not BreakerState.OPEN:
            return None
        return max(self.breaker.wait_s(mono), self.hold_until - now)

    def slots(self, webhook: WebhookDef, *, free: int, mono: float) -> int:
        """How many deliveries the lane may claim now, with `free` seats left in the daemon (spec 14, Seats).

        As many as if they were claimed one after the other, each from what the one before left free. A lane without any
        attempt under way gets one seat even where none is free.
        """
        share = -((self.in_flight - SHARE * free) // (SHARE + 1))
        room = min(webhook.concurrency - self.in_flight, max(share, 0 if self.in_flight else 1))
        if webhook.rate_limit is not None:
            room = min(room, int(self._refill(webhook.rate_limit, mono)))
        return self.breaker.slots(max(room, 0), mono)

    def rate_wait_s(self, limit: RateLimit, mono: float) -> float:
        """Seconds until the rate admits one more attempt; 0 when it does now."""
        return max(0.0, (1.0 - self._refill(limit, mono)) * limit.period_s / limit.count)

    def began(self, count: int) -> None:
        """Note attempts that have been claimed."""
        self.in_flight += count
        self._tokens -= count

    def hold(self, until: float) -> None:
        """Make the whole lane wait until an instant (seconds since the epoch); an earlier one changes nothing."""
        self.hold_until = max(self.hold_until, until)

    def _refill(self, limit: RateLimit, mono: float) -> float:
        per_s = limit.count / limit.period_s
        elapsed_s = 0.0 if self._tokens_at is None else mono - self._tokens_at
        self._tokens = min(1.0 + max(0.5, per_s * CATCH_UP_S), self._tokens + elapsed_s * per_s)
        self._tokens_at = mono
        return self._tokens


def parked(
    webhook: WebhookDef | None, *, paused: bool, breaker: BreakerState = BreakerState.CLOSED
) -> Parked | None:
    """Whether and why a lane with this definition (None: not in the configuration) waits."""
    if webhook is None:
        return Parked.GONE
    if not webhook.enabled:
        return Parked.DISABLED
    if paused:
        return Parked.PAUSED
    return None if breaker is BreakerState.CLOSED else Parked.BREAKER


class ParkedLanes:
    """Which lanes that something waits for are parked. Costs little for each look, however many there are.

    Attributes:
        why: the parked lanes. One for which nothing waits any more stays, as what comes will be parked too.
        still: those among them that wait for an operator, not for their receiver.
    """

    def __init__(self) -> None:
        self.why: dict[str, Parked] = {}
        self.still: AbstractSet[str] = frozenset()
        self._fits: tuple[Mapping[str, WebhookDef], Container[str], AbstractSet[str]] = ({}, (), frozenset())
        self._looked_at: AbstractSet[str] = frozenset()

    def look(
        self,
        waiting: AbstractSet[str],
        *,
        webhooks: Mapping[str, WebhookDef],
        paused: Container[str],
        down: AbstractSet[str],
    ) -> tuple[AbstractSet[str], AbstractSet[str]]:
        """Look which lanes are parked now.

        Args:
            waiting: lanes for which something waits.
            webhooks: the definitions in force; never changed in place.
            paused: the webhooks paused by hand; never changed in place.
            down: lanes whose breaker is not closed.

        Returns:
            The lanes that are parked, or for another reason, since the last look, and those that no longer are.
        """
        before = self.why
        known = self._fits[0] is webhooks and self._fits[1] is paused and self._fits[2] == down
        names = waiting - self._looked_at if known else waiting | before.keys()
        if known and not names:
            return frozenset(), frozenset()
        found = {name: why for name in names if (why := _why(name, webhooks, paused, down)) is not None}
        self._looked_at = self._looked_at | names if known else names
        self._fits = (webhooks, paused, frozenset(down))
        self.why = {**before, **found} if known else found
        self.still = {name for name, why in self.why.items() if why is not Parked.BREAKER}
        began = {name for name, why in found.items() if before.get(name) is not why}
        return began, before.keys() - self.why.keys()


def _why(
    name: str, webhooks: Mapping[str, WebhookDef], paused: Container[str], down: AbstractSet[str]
) -> Parked | None:
    breaker = BreakerState.OPEN if name in down else BreakerState.CLOSED
    return parked(webhooks.get(name), paused=name in paused, breaker=breaker)
