"""A lane: the slots, rate, hold and breaker of one webhook, and the rule by which lanes share the daemon's slots.

Pure bookkeeping: instants come in as arguments (`now`: seconds since the epoch; `mono`: of the monotonic clock).

Must never: do I/O or read a clock.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from http import HTTPStatus
from typing import NamedTuple

from hookd.delivery.circuit_breaker import Breaker, BreakerState
from hookd.delivery.pace import Pace
from hookd.delivery.parking import Parked, parked
from hookd.domain.definitions import Config, WebhookDef
from hookd.domain.deliveries import Outcome, Reason
from hookd.domain.value_class import value_class

SHARE = 2
"""A lane may hold at most this many times the slots that are still free (dynamic thresholds, Choudhury and Hahne 1998):
lanes that hang are squeezed as others come, and free slots always remain for those who come next."""


class BegunAttempt(NamedTuple):
    """An attempt under way: when its slots were asked for (monotonic clock), and whether it is a breaker's probe."""

    began_at: float
    is_probe: bool


@value_class
class LastResult:
    """How the lane's latest attempt ended that was not cut off; `at` in seconds since the epoch."""

    at: float
    outcome: Outcome


@value_class
class LaneState:
    """A lane as `GET /v1/webhooks` shows it.

    Attributes:
        probe_in_s: seconds until an open breaker lets a probe out.
        slowed_to_per_s: attempts a second where the receiver limits its rate to less than what is configured.
    """

    webhook: str
    parked: Parked | None
    in_flight: int
    hold_until: float | None
    last_result: LastResult | None
    breaker: BreakerState = BreakerState.CLOSED
    probe_in_s: float | None = None
    slowed_to_per_s: float | None = None


class Lane:
    """One webhook's lane.

    Attributes:
        in_flight: attempts under way.
        hold_until: nothing is claimed before (seconds since the epoch).
        untroubled: its receiver has taken everything lately, so that neither pace nor breaker has anything to keep.
        lacks_probe: nothing waits that could be made due as a probe, until one of its attempts has ended.
    """

    __slots__ = (
        "_definition",
        "_pace",
        "breaker",
        "hold_until",
        "in_flight",
        "lacks_probe",
        "last_result",
        "untroubled",
        "webhook",
    )

    def __init__(self, webhook: str, hold_until: float = 0.0) -> None:
        self.webhook = webhook
        self.in_flight = 0
        self.hold_until = hold_until
        self.lacks_probe = False
        self.last_result: LastResult | None = None
        self.breaker = Breaker()
        self._pace = Pace()
        self.untroubled = True
        self._definition: WebhookDef | None = None

    def follow(self, webhook: WebhookDef) -> bool:
        """Take note of the definition in force: where it was corrected, a receiver that was down is probed at once.

        What a receiver has shown of its rate is forgotten, too.

        Returns:
            Whether it was corrected.
        """
        if self._definition is webhook:
            return False
        corrected = self._definition not in (None, webhook)
        if corrected:
            self.breaker.allow_probe_now()
            self._pace.start_anew()
        self._definition = webhook
        return corrected

    def wants_probe(self, *, now: float, mono: float) -> bool:
        """Whether an open breaker lets a probe out now, and nothing holds the lane."""
        is_open = self.breaker.state is BreakerState.OPEN
        return is_open and now >= self.hold_until and not self.breaker.wait_s(mono)

    def is_down(self) -> bool:
        """Whether its receiver is down: the breaker is not closed."""
        return self.breaker.state is not BreakerState.CLOSED

    def is_slowed(self) -> bool:
        """Whether it goes slower than its definition says, for what its receiver has shown."""
        return self._pace.is_adapted()

    def slots(self, webhook: WebhookDef, *, free: int, mono: float) -> int:
        """How many deliveries the lane may claim now, with `free` slots left in the daemon (spec 14, Seats).

        As many as if they were claimed one after the other, each from what the one before left free. A lane without any
        attempt under way gets one slot even where none is free.
        """
        share = -((self.in_flight - SHARE * free) // (SHARE + 1))
        slots = min(webhook.concurrency - self.in_flight, max(share, 0 if self.in_flight else 1))
        if self.untroubled and webhook.rate_limit is None:
            return max(slots, 0)
        slots = self._pace.admitted(webhook, slots, in_flight=self.in_flight, mono=mono)
        return self.breaker.allowed(max(slots, 0), mono)

    def wait_s(self, webhook: WebhookDef, *, mono: float) -> float | None:
        """Seconds until a lane without slots may have some through time alone; None: something must end before."""
        if self.is_down():
            return self.breaker.wait_s(mono) or None
        wait_s = max(self._pace.wait_s(webhook, mono), self.breaker.undecided_s(mono))
        return max(0.001, wait_s) if wait_s else None

    def probe_in_s(self, *, now: float, mono: float) -> float | None:
        """Seconds until an open breaker lets a probe out; None for any other."""
        if self.breaker.state is not BreakerState.OPEN:
            return None
        return max(self.breaker.wait_s(mono), self.hold_until - now)

    def begin(self, webhook: WebhookDef | None, *, mono: float, may_probe: bool) -> BegunAttempt:
        """Note an attempt that was claimed; `mono` as its slots were asked for."""
        self.in_flight += 1
        if webhook is not None:
            if webhook is not self._definition:
                self.follow(webhook)
            if self.untroubled and webhook.rate_limit is None:
                return BegunAttempt(mono, False)
            self._pace.begin(webhook, mono)
        return BegunAttempt(mono, may_probe and self.breaker.begin())

    def end(self, attempt: BegunAttempt) -> None:
        """Note that an attempt is over and its slot free."""
        self.in_flight -= 1
        if not self.untroubled:
            self.breaker.end(attempt.began_at)

    def record(self, outcome: Outcome, attempt: BegunAttempt, *, now: float, mono: float) -> bool:
        """Note how an attempt ended, after `end`.

        Returns:
            Whether the receiver is up and refused it for its rate.
        """
        if (
            outcome.reason is not Reason.INTERRUPTED
        ):  # of which the receiver, or what keeps hookd from it, shows nothing
            self.last_result = LastResult(now, outcome)
        if self.untroubled and outcome.reason is Reason.OK:
            self._pace.answered_at = mono
            self._pace.cause.taken += 1
            return False
        was_down, began_at = self.is_down(), attempt.began_at
        is_429 = outcome.status == HTTPStatus.TOO_MANY_REQUESTS
        is_refusal = self._pace.is_refusal(outcome, mono) and (is_429 or not was_down)
        is_news = True
        if is_refusal:
            is_news = self._pace.refused(self._definition, outcome, began_at=began_at, mono=mono)
        elif not was_down:
            self._pace.record(self._definition, outcome, began_at=began_at, mono=mono)
        if is_news or is_429:
            self.breaker.record(outcome, is_probe=attempt.is_probe, mono=mono, in_flight=self.in_flight)
        if was_down and not self.is_down():
            self._pace.start_slowly()
        self.untroubled = self._pace.takes_everything() and self.breaker.is_untouched()
        return is_refusal

    def hold(self, until: float) -> None:
        """Make the whole lane wait until an instant (seconds since the epoch); an earlier one changes nothing."""
        if until > self.hold_until:
            self.hold_until = until
            self._pace.start_slowly()
            self.untroubled = False

    def lift_hold(self) -> None:
        """End a hold; what comes begins with one attempt at a time."""
        self.hold_until = 0.0
        self._pace.start_anew()

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
            slowed_to_per_s=None if webhook is None else self._pace.slowed_to_per_s(webhook),
        )


_UNUSED = Lane("")


class Lanes:
    """Every lane that has been used, by webhook.

    Attributes:
        in_flight: attempts under way in all.
        down: the lanes whose receiver is down.
        slowed: those that go slower than their definitions say.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._config: Config | None = None
        self._left: set[str] = set()  # the lanes of webhooks that are not in the configuration
        self.in_flight = 0
        self.down: set[str] = set()
        self.slowed: set[str] = set()

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
            if self._config is not None and webhook not in self._config.webhooks:
                self._left.add(webhook)
        return lane

    def begin(self, lane: Lane, webhook: WebhookDef | None, *, mono: float, may_probe: bool) -> BegunAttempt:
        """Note an attempt that was claimed; see `Lane.begin`."""
        self.in_flight += 1
        return lane.begin(webhook, mono=mono, may_probe=may_probe)

    def end(self, lane: Lane, attempt: BegunAttempt) -> None:
        """Note that an attempt is over and its slot free."""
        self.in_flight -= 1
        lane.end(attempt)

    def record(self, lane: Lane, outcome: Outcome, attempt: BegunAttempt, *, now: float, mono: float) -> bool:
        """Note how an attempt ended; see `Lane.record`."""
        is_refusal = lane.record(outcome, attempt, now=now, mono=mono)
        if not lane.untroubled or lane.webhook in self.down or lane.webhook in self.slowed:
            self._note(lane)
        return is_refusal

    def hold(self, lane: Lane, until: float) -> None:
        """Make a whole lane wait until an instant; see `Lane.hold`."""
        lane.hold(until)
        self._note(lane)

    def probe_ended(self, lane: Lane, attempt: BegunAttempt, *, mono: float) -> None:
        """Note that a probe is over, and showed nothing of the receiver; one that has been recorded counts no more."""
        if attempt.is_probe:
            lane.breaker.probe_ended(mono)
            self._note(lane)

    def _note(self, lane: Lane) -> None:
        (self.down.add if lane.is_down() else self.down.discard)(lane.webhook)
        (self.slowed.add if lane.is_slowed() else self.slowed.discard)(lane.webhook)

    def follow(self, webhooks: Mapping[str, WebhookDef], names: AbstractSet[str], now: float) -> list[Lane]:
        """Take note of the definitions in force of these lanes as far as they are down, held or slowed.

        Returns:
            Those that are held and were corrected: their holds are to be lifted.
        """
        followed = [self.of(name) for name in (self.down | self.slowed) & names]
        return [lane for lane in followed if lane.follow(webhooks[lane.webhook]) and lane.hold_until > now]

    def forget_unused(self, config: Config, waiting: AbstractSet[str], now: float) -> None:
        """Drop the lanes that left the configuration, as soon as they have nothing to do.

        Args:
            config: in force.
            waiting: the webhooks for which something waits.
            now: seconds since the epoch.
        """
        if config is not self._config:
            self._config = config
            self._left = self._lanes.keys() - config.webhooks.keys()
        for name in tuple(self._left):
            lane = self._lanes[name]
            if not (name in waiting or lane.in_flight or lane.hold_until > now):
                del self._lanes[name]
                self._left.discard(name)
                self.down.discard(name)
                self.slowed.discard(name)

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
