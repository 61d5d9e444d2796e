"""Seats: room for an attempt, taken before its delivery is stored, so that it can be stored and leased at once.

What delivers gives them, what takes in asks for them, and the store uses them: they meet in these words alone.

Must never: decide whether there is room.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hookd.domain.deliveries import Lease
from hookd.domain.events import Submission


class SeatsTaken(Protocol):
    """The seats of one batch on its way into the store."""

    @property
    def lease_s(self) -> Mapping[str, float]:
        """By delivery, for how many seconds it is to be leased. Those that are not named wait to be claimed."""
        ...

    def end(self, leases: Sequence[Lease]) -> None:
        """Use the seats of these leases, and give all others back.

        Called by the store, once for each batch: in the event loop, before anything else learns how the batch ended,
        also where that was an error or nobody waits for it any more.
        """
        ...


class Seating(Protocol):
    """What gives seats."""

    def take(self, batch: Sequence[Submission], *, now: float) -> SeatsTaken | None:
        """Take seats for a batch that is handed to the store right after this, without anything in between.

        Args:
            batch: what is about to be stored.
            now: what it is stored with, in seconds since the epoch.

        Returns:
            The seats, none for some or all of the deliveries; None where nothing can have one now.
        """
        ...


class NoSeats:
    """Where nothing delivers: whatever is stored waits to be claimed."""

    def take(self, _batch: Sequence[Submission], *, now: float) -> SeatsTaken | None:  # noqa: ARG002
        """Take none."""
        return None
