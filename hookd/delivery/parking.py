"""Which lanes are parked, and why: their deliveries wait without being attempted (spec 0).

Pure bookkeeping. Must never: do I/O, read a clock, or log what changed.
"""

from collections.abc import Container, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import field
from enum import StrEnum

from hookd.delivery.circuit_breaker import BreakerState
from hookd.domain.definitions import WebhookDef
from hookd.domain.value_class import value_class


class Parked(StrEnum):
    """Why a lane's deliveries wait without being attempted (spec 0, parked)."""

    GONE = "gone"  # the webhook is not in the configuration
    DISABLED = "disabled"  # `enabled: false`
    PAUSED = "paused"  # by hand, until it is resumed
    BREAKER = "breaker"  # its receiver is down; hookd probes now and then


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


@value_class
class ParkingChange:
    """What one update of `ParkedLanes` found.

    Attributes:
        parked: lanes that are parked now, or for another reason than before.
        resumed: lanes that no longer are, with the reason there was.
        is_first: nothing was known before, so that what is parked is no news.
    """

    parked: Mapping[str, Parked] = field(default_factory=dict)
    resumed: Mapping[str, Parked] = field(default_factory=dict)
    is_first: bool = False


_NO_CHANGE = ParkingChange()


class ParkedLanes:
    """The parked lanes among those for which something waits. An update costs little, however many lanes there are.

    Attributes:
        why: the parked lanes. One for which nothing waits any more stays, as what comes will be parked too.
        by_operator: those among them that wait for an operator, not for their receiver.
    """

    def __init__(self) -> None:
        self.why: Mapping[str, Parked] = {}
        self.by_operator: AbstractSet[str] = frozenset()
        self._decided_by: tuple[Mapping[str, WebhookDef], Container[str], AbstractSet[str]] | None = None
        self._decided: AbstractSet[str] = frozenset()

    def update(
        self,
        waiting: AbstractSet[str],
        *,
        webhooks: Mapping[str, WebhookDef],
        paused: Container[str],
        down: AbstractSet[str],
    ) -> ParkingChange:
        """Decide which lanes are parked now.

        Args:
            waiting: lanes for which something waits.
            webhooks: the definitions in force; never changed in place.
            paused: the webhooks paused by hand; never changed in place.
            down: lanes whose breaker is not closed.
        """
        before, decided_by = self.why, self._decided_by
        same = (
            decided_by is not None
            and decided_by[0] is webhooks
            and decided_by[1] is paused
            and decided_by[2] == down
        )
        names = waiting - self._decided if same else waiting | before.keys()
        if same and not names:
            return _NO_CHANGE
        found = {name: why for name in names if (why := _why(name, webhooks, paused, down)) is not None}
        self._decided = self._decided | names if same else names
        self._decided_by = (webhooks, paused, frozenset(down))
        self.why = {**before, **found} if same else found
        self.by_operator = {name for name, why in self.why.items() if why is not Parked.BREAKER}
        return ParkingChange(
            parked={name: why for name, why in found.items() if before.get(name) is not why},
            resumed={name: why for name, why in before.items() if name not in self.why},
            is_first=decided_by is None,
        )


def _why(
    name: str, webhooks: Mapping[str, WebhookDef], paused: Container[str], down: AbstractSet[str]
) -> Parked | None:
    breaker = BreakerState.OPEN if name in down else BreakerState.CLOSED
    return parked(webhooks.get(name), paused=name in paused, breaker=breaker)
