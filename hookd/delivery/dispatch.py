"""What to claim next: which lanes want deliveries, how many, which as a probe, and when to look again.

Pure: what waits, the lanes, the configuration and the instants come in, a plan goes out. Nothing is changed here, so
that the same arguments always give the same plan.

Must never: claim, change a lane, do I/O or read a clock.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from math import inf

from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.lane import Lanes
from hookd.delivery.retry_policy import LOCAL_PAUSE_S
from hookd.domain.backlog import Backlog
from hookd.domain.definitions import Config, WebhookDef
from hookd.domain.deliveries import ClaimRequest, Outcome, Reason
from hookd.domain.value_class import value_class

LEASE_MARGIN_S = 15.0
"""A lease outlives its attempt's timeout by this much (spec 14)."""

LONGEST_SLEEP_S = 5.0
"""Upper bound of one sleep, whatever waits."""


@value_class
class DispatchPlan:
    """What to do next.

    Attributes:
        requests: what to claim now; at most one for each webhook.
        sleep_s: where there is nothing to claim, seconds until there may be.
        probing: the webhooks whose delivery is claimed to probe a receiver that is down.
        is_scarce: something that is due gets no slot, only because other lanes have them.
    """

    requests: tuple[ClaimRequest, ...]
    sleep_s: float
    probing: frozenset[str] = frozenset()
    is_scarce: bool = False

    @property
    def slots(self) -> int:
        """How many deliveries may be claimed by it."""
        return sum(request.slots for request in self.requests)


@value_class
class LocalLack:
    """Whether hookd itself lacks descriptors or memory, as the latest attempt has shown: all others would fail alike.

    Attributes:
        pauses_until: nothing is claimed before this instant of the monotonic clock; None: there is no lack.
    """

    pauses_until: float | None = None

    @classmethod
    def shown_by(cls, outcome: Outcome, mono: float) -> "LocalLack":
        """What an attempt that ended just now shows."""
        return cls(mono + LOCAL_PAUSE_S) if outcome.reason is Reason.LOCAL else NO_LACK

    def narrowed(self, plan: DispatchPlan, mono: float) -> DispatchPlan:
        """The plan, but while there is a lack for one delivery a second."""
        if self.pauses_until is None:
            return plan
        pause_s = self.pauses_until - mono
        if pause_s > 0:
            return DispatchPlan((), min(pause_s, plan.sleep_s))
        return replace(plan, requests=tuple(replace(request, slots=1) for request in plan.requests[:1]))


NO_LACK = LocalLack()


def webhooks_to_probe(
    now: float, mono: float, backlog: Backlog, lanes: Lanes, *, parked: AbstractSet[str]
) -> list[str]:
    """The webhooks whose receiver may be probed now while nothing is due for them: something is to be made due.

    Args:
        now: seconds since the epoch.
        mono: the same instant on the monotonic clock.
        backlog: what waits.
        lanes: the lanes as they are.
        parked: the webhooks that wait for an operator.
    """
    due = backlog.earliest_due
    return [
        name
        for name in lanes.down & (due.keys() - parked)
        if due[name] > now
        and (lane := lanes.get(name)).wants_probe(now=now, mono=mono)
        and not lane.lacks_probe
    ]


def plan(
    now: float,
    mono: float,
    backlog: Backlog,
    lanes: Lanes,
    config: Config,
    *,
    parked: AbstractSet[str] = frozenset(),
    lack: LocalLack = NO_LACK,
    turn: int = 0,
) -> DispatchPlan:
    """Decide what to claim.

    Args:
        now: seconds since the epoch.
        mono: the same instant on the monotonic clock.
        backlog: what waits.
        lanes: the lanes as they are.
        config: the configuration in force; it holds every webhook for which something waits, or that one is parked.
        parked: the webhooks that wait for an operator.
        lack: hookd's own.
        turn: the plan's number; each begins with another lane, so that scarce slots go round.
    """
    free = config.daemon.in_flight - lanes.in_flight
    requests: list[ClaimRequest] = []
    probing: set[str] = set()
    sleep_s, is_scarce = LONGEST_SLEEP_S, False
    for name, due_at in _in_turn(backlog.earliest_due, turn):
        if name in parked:
            continue
        lane, webhook = lanes.get(name), config.webhooks[name]
        wait_s = max(due_at, lane.hold_until) - now
        if wait_s > 0:
            sleep_s = min(sleep_s, wait_s, lane.breaker.wait_s(mono) or wait_s)
            continue
        slots = lane.slots(webhook, free=free, mono=mono)
        if slots > 0:
            requests.append(ClaimRequest(name, slots, webhook.timeout_s + LEASE_MARGIN_S))
            free = max(0, free - slots)
            if lane.breaker.state is BreakerState.OPEN:
                probing.add(name)
        else:
            sleep_s = min(sleep_s, lane.wait_s(webhook, mono=mono) or sleep_s)
            is_scarce = is_scarce or lane.slots(webhook, free=config.daemon.in_flight, mono=mono) > 0
    return lack.narrowed(DispatchPlan(tuple(requests), sleep_s, frozenset(probing), is_scarce), mono)


class SeatRule:
    """Decides which deliveries that are about to be stored may have a seat: be claimed as they are stored.

    One may where a plan would claim it if it were stored already and the turn were its lane's, and where nothing of its
    lane is due before it. A lane that has anything to be careful about, a rate or a receiver in trouble, is left to
    plans. What does not change until the next plan is remembered by lane.
    """

    def __init__(self, backlog: Backlog, config: Config, *, parked: AbstractSet[str] = frozenset()) -> None:
        """Decide by what the latest plan saw; see `plan`."""
        self.config = config
        self._backlog = backlog
        self._parked = parked
        self._lanes: dict[str, tuple[WebhookDef, float] | None] = {}

    def lease_s(self, name: str, lanes: Lanes, *, now: float, mono: float, asked: int = 0) -> float | None:
        """For how many seconds a delivery to this webhook is to be leased, or None: it has no seat.

        Args:
            name: the webhook.
            lanes: the lanes as they are.
            now: seconds since the epoch.
            mono: the same instant on the monotonic clock.
            asked: the slots of a claim that is under way.
        """
        try:
            known = self._lanes[name]
        except KeyError:
            known = self._lanes[name] = self._look(name)
        if known is None:
            return None
        webhook, due_at = known
        lane = lanes.get(name)
        if due_at <= now or lane.hold_until > now or not lane.untroubled:
            return None
        free = self.config.daemon.in_flight - lanes.in_flight - asked
        if lane.slots(webhook, free=free, mono=mono) <= 0:
            return None
        return webhook.timeout_s + LEASE_MARGIN_S

    def _look(self, name: str) -> tuple[WebhookDef, float] | None:
        """The webhook, where there may be seats at all, and when something of its lane is due."""
        webhook, backlog = self.config.webhooks.get(name), self._backlog
        if webhook is None or not webhook.enabled or webhook.rate_limit is not None:
            return None
        if name in self._parked or name in backlog.paused or backlog.fault is not None:
            return None
        return webhook, backlog.earliest_due.get(name, inf)


def _in_turn(due: Mapping[str, float], turn: int) -> Iterable[tuple[str, float]]:
    lanes = list(due.items())
    first = turn % len(lanes) if lanes else 0
    return lanes[first:] + lanes[:first]
