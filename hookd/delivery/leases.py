"""The leases of attempts under way: which of them end too soon and are to be renewed.

Pure bookkeeping: instants come in as arguments (`now`: seconds since the epoch). Must never: do I/O, read a clock, or
know the store.
"""

from dataclasses import dataclass, field, replace
from math import inf

from hookd.domain.deliveries import Lease


@dataclass(slots=True)
class Leases:
    """Every lease whose attempt is under way, by delivery.

    Attributes:
        renew_ahead_s: a lease whose attempt is still under way is renewed this long before its end, at the latest.
    """

    renew_ahead_s: float
    _held: dict[str, Lease] = field(default_factory=dict)
    _renew_at: float = inf

    def add(self, lease: Lease) -> None:
        """Note a claim."""
        self._held[lease.delivery_id] = lease
        self._renew_at = min(self._renew_at, lease.expires_at - self.renew_ahead_s)

    def drop(self, delivery_id: str) -> None:
        """Note that an attempt is over."""
        del self._held[delivery_id]

    def late(self, now: float) -> list[Lease]:
        """The leases to renew now, as they are to be: of the same length, from `now` on."""
        if now < self._renew_at:
            return []
        ending = [lease for lease in self._held.values() if lease.expires_at - now <= self.renew_ahead_s]
        if not ending:
            self._look_again()
        return [_moved(lease, now - lease.started_at) for lease in ending]

    def renewed(self, leases: list[Lease]) -> None:
        """Take over what the store has renewed; attempts may have ended meanwhile."""
        self._held.update((lease.delivery_id, lease) for lease in leases if lease.delivery_id in self._held)
        self._look_again()

    def compensate(self, by_s: float) -> None:
        """Let the leases end that many seconds sooner: the wall clock they end by was set back."""
        self._held = {key: _moved(lease, -by_s) for key, lease in self._held.items()}
        self._renew_at -= by_s

    def _look_again(self) -> None:
        ends = (lease.expires_at for lease in self._held.values())
        self._renew_at = min(ends, default=inf) - self.renew_ahead_s


def _moved(lease: Lease, by_s: float) -> Lease:
    """A lease of the same length, `by_s` seconds later."""
    return replace(lease, started_at=lease.started_at + by_s, expires_at=lease.expires_at + by_s)
