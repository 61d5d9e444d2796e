"""A lane: the slots, rate, hold and breaker of one webhook, and the rule by which lanes share the daemon's slots.

Pure bookkeeping: instants come in as arguments (`now`: seconds since the epoch; `mono`: of the monotonic clock).

Must never: do I/O or read a clock.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hookd.delivery.circuit_breaker import Breaker, BreakerState
from hookd.delivery.parking import Parked, parked
from hookd.domain.definitions import Config, RateLimit, WebhookDef
from hookd.domain.deliveries import Outcome

SHARE = 2
"""A lane may hold at most this many times the slots that are still free (dynamic thresholds, Choudhury and Hahne 1998):
lanes that hang are squeezed as others come, and free slots always remain for those who come next."""

CATCH_UP_S = 0.02
"""A rate-limited lane may catch up on this many seconds (or half an attempt) that it came late; more would be a burst
that its receiver did not ask for."""


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


class TokenBucket:
    """The attempts that a rate limit admits: one at first, then as time goes by."""

    __slots__ = ("_taken_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = 1.0
        self._taken_at: float | None = None

    def available(self, limit: RateLimit, mono: float) -> float:
        """How many attempts may begin now, with fractions."""
        per_s = limit.count / limit.period_s
        elapsed_s = 0.0 if self._taken_at is None else mono - self._taken_at
        return min(1.0 + max(0.5, per_s * CATCH_UP_S), self._tokens + elapsed_s * per_s)

    def take(self, limit: RateLimit, mono: float) -> None:
        """Note an attempt that begins."""
        self._tokens = self.available(limit, mono) - 1
        self._taken_at = mono

    def wait_s(self, limit: RateLimit, mono: float) -> float:
        """Seconds until one more attempt is admitted; 0 when it is now."""
        return max(0.0, (1.0 - self.available(limit, mono)) * limit.period_s / limit.count)


class Lane:
    """One webhook's lane.

    Attributes:
        in_flight: attempts under way.
        hold_until: nothing is claimed before (seconds since the epoch).
        lacks_probe: nothing waits that could be made due as a probe, until one of its attempts has ended.
    """

    __slots__ = (
        "_bucket",
        "_definition",
        "breaker",
        "hold_until",
        "in_flight",
        "lacks_probe",
        "last_result",
        "webhook",
    )

    def __init__(self, webhook: str, hold_until: float = 0.0) -> None:
        self.webhook = webhook
        self.in_flight = 0
        self.hold_until = hold_until
        self.lacks_probe = False
        self.last_result: LastResult | None = None
        self.breaker = Breaker()
        self._bucket = TokenBucket()
        self._definition: WebhookDef | None = None

    def follow(self, webhook: WebhookDef) -> None:
        """Take note of the definition in force: where it was corrected, a receiver that was down is probed at once."""
        if self._definition is not webhook:
            if self._definition not in (None, webhook):
                self.breaker.allow_probe_now()
            self._definition = webhook

    def wants_probe(self, *, now: float, mono: float) -> bool:
        """Whether an open breaker lets a probe out now, and nothing holds the lane."""
        is_open = self.breaker.state is BreakerState.OPEN
        return is_open and now >= self.hold_until and not self.breaker.wait_s(mono)

    def is_down(self) -> bool:
        """Whether its receiver is down: the breaker is not closed."""
        return self.breaker.state is not BreakerState.CLOSED

    def slots(self, webhook: WebhookDef, *, free: int, mono: float) -> int:
        """How many deliveries the lane may claim now, with `free` slots left in the daemon (spec 14, Seats).

        As many as if they were claimed one after the other, each from what the one before left free. A lane without any
        attempt under way gets one slot even where none is free.
        """
        share = -((self.in_flight - SHARE * free) // (SHARE + 1))
        slots = min(webhook.concurrency - self.in_flight, max(share, 0 if self.in_flight else 1))
        if webhook.rate_limit is not None:
            slots = min(slots, int(self._bucket.available(webhook.rate_limit, mono)))
        return self.breaker.allowed(max(slots, 0), mono)

    def wait_s(self, webhook: WebhookDef, *, mono: float) -> float | None:
        """Seconds until a lane without slots may have some through time alone; None: something must end before."""
        if self.is_down():
            return self.breaker.wait_s(mono) or None
        limit = webhook.rate_limit
        return None if limit is None else max(0.001, self._bucket.wait_s(limit, mono))

    def probe_in_s(self, *, now: float, mono: float) -> float | None:
        """Seconds until an open breaker lets a probe out; None for any other."""
        if self.breaker.state is not BreakerState.OPEN:
            return None
        return max(self.breaker.wait_s(mono), self.hold_until - now)

    def begin(self, webhook: WebhookDef | None, *, mono: float, may_probe: bool) -> bool:
        """Note an attempt that was claimed; `mono` as its slots were asked for. Returns whether it is a probe."""
        self.in_flight += 1
        if webhook is not None:
            self.follow(webhook)
            if webhook.rate_limit is not None:
                self._bucket.take(webhook.rate_limit, mono)
        return may_probe and self.breaker.begin()

    def hold(self, until: float) -> None:
        """Make the whole lane wait until an instant (seconds since the epoch); an earlier one changes nothing."""
        self.hold_until = max(self.hold_until, until)

    def state(self, webhook: WebhookDef | None, *, paused: bool, now: float, mono: float) -> LaneState:
        """The lane as it is shown, with the definition in force."""
        return LaneState(
            webhook=self.webhook,
            parked=parked(webhook, paused=paused, breaker=self.breaker.state),
            in_flight=self.in_flight,
            hold_until=self.hold_until if self.hold_until > now else None,
            last_result=self.last_result,
            breaker=self.breaker.state,
            probe_in_s=self.probe_in_s(now=now, mono=mono),
        )


_UNUSED = Lane("")


class Lanes:
    """Every lane that has been used, by webhook.

    Attributes:
        in_flight: attempts under way in all.
        down: the lanes whose receiver is down.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._config: Config | None = None
        self.in_flight = 0
        self.down: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._lanes)

    def get(self, webhook: str) -> Lane:
        """The webhook's lane, to be read only; where it has none yet, one that was never used."""
        return self._lanes.get(webhook, _UNUSED)

    def of(self, webhook: str) -> Lane:
        """The webhook's lane, kept from now on."""
        lane = self._lanes.get(webhook)
        if lane is None:
            lane = self._lanes[webhook] = Lane(webhook)
        return lane

    def begin(self, lane: Lane, webhook: WebhookDef | None, *, mono: float, may_probe: bool) -> bool:
        """Note an attempt that was claimed; see `Lane.begin`."""
        self.in_flight += 1
        return lane.begin(webhook, mono=mono, may_probe=may_probe)

    def end(self, lane: Lane) -> None:
        """Note that an attempt is over and its slot free."""
        self.in_flight -= 1
        lane.in_flight -= 1

    def record(self, lane: Lane, outcome: Outcome, *, is_probe: bool, now: float, mono: float) -> None:
        """Note how an attempt ended."""
        lane.last_result = LastResult(now, outcome)
        lane.breaker.record(outcome, is_probe=is_probe, mono=mono)
        (self.down.add if lane.is_down() else self.down.discard)(lane.webhook)

    def probe_ended(self, lane: Lane, *, is_probe: bool, mono: float) -> None:
        """Note that a probe is over, and showed nothing of the receiver; one that has been recorded counts no more."""
        if is_probe:
            lane.breaker.probe_ended(mono)
            (self.down.add if lane.is_down() else self.down.discard)(lane.webhook)

    def follow(self, webhooks: Mapping[str, WebhookDef], names: AbstractSet[str]) -> None:
        """Take note of the definitions in force of these lanes as far as they are down; see `Lane.follow`."""
        for name in self.down & names:
            self.of(name).follow(webhooks[name])

    def forget_unused(self, config: Config, waiting: AbstractSet[str], now: float) -> None:
        """Drop the lanes that left the configuration and have nothing to do; looked for once in a configuration.

        Args:
            config: in force.
            waiting: the webhooks for which something waits.
            now: seconds since the epoch.
        """
        if config is self._config:
            return
        self._config = config
        for name, lane in tuple(self._lanes.items()):
            is_used = name in config.webhooks or name in waiting or lane.in_flight
            if not is_used and lane.hold_until <= now:
                del self._lanes[name]
                self.down.discard(name)

    def state(
        self, name: str, webhook: WebhookDef | None, *, paused: bool, now: float, mono: float
    ) -> LaneState:
        """A lane as it is shown, also of a webhook that has none yet; see `Lane.state`."""
        lane = self._lanes.get(name) or Lane(name)
        return lane.state(webhook, paused=paused, now=now, mono=mono)

    def compensate(self, by_s: float, *, now: float) -> None:
        """Bring the holds that many seconds nearer, but not before `now`: the wall clock was set back."""
        for lane in self._lanes.values():
            lane.hold_until = min(lane.hold_until, max(now, lane.hold_until - by_s))
