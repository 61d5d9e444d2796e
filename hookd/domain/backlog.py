"""What waits in the store, as one value: everything that deciding what to claim next needs to know of it.

Must never: do I/O or read a clock.
"""

from collections.abc import Mapping
from dataclasses import field

from hookd.domain.value_class import value_class


@value_class
class Backlog:
    """A snapshot of what waits. Instants are seconds since the epoch, by the store's clock.

    Attributes:
        earliest_due: for each webhook with unfinished deliveries, an instant before which none of them can be claimed.
        holds: until when each webhook waits as a whole (`Settlement.hold_until`); past ones may be missing.
        paused: the webhooks paused by hand, and since when.
        pending: how many deliveries are unfinished.
        fault: why the last write failed, fit for an operator; None while writing works.
    """

    earliest_due: Mapping[str, float] = field(default_factory=dict)
    holds: Mapping[str, float] = field(default_factory=dict)
    paused: Mapping[str, float] = field(default_factory=dict)
    pending: int = 0
    fault: str | None = None
