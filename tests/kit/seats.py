"""Seats as the store is given them, which remember how they ended."""

from collections.abc import Mapping, Sequence

from hookd.domain.deliveries import Lease
from hookd.domain.events import Submission
from tests.kit.builders import LEASE_S


class Seats:
    """Seats of a batch; `leases` are those they ended with, None until then."""

    def __init__(self, lease_s: Mapping[str, float]) -> None:
        self.lease_s = lease_s
        self.leases: tuple[Lease, ...] | None = None

    def end(self, leases: Sequence[Lease]) -> None:
        assert self.leases is None, "seats end once"
        self.leases = tuple(leases)

    @property
    def used(self) -> list[str]:
        """The deliveries that were seated."""
        assert self.leases is not None, "the batch is still under way"
        return [lease.delivery_id for lease in self.leases]


def seats_for(*batch: Submission, lease_s: float = LEASE_S) -> Seats:
    """A seat for every delivery of a batch."""
    return Seats({each.id: lease_s for submission in batch for each in submission.deliveries})
