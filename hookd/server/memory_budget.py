"""How much memory requests may take between them: bodies that still come, and what waits for its commit (spec 2, 12).

The number of connections alone bounds nothing: a thousand bodies of 1 MiB are a GiB, and parsed many times that. What
finds no room is refused (503 with Retry-After); among bodies that still come, the slowest makes room.

Must never: count what a client only announced; a large Content-Length costs nobody anything.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hookd.domain.errors import HookdError

PER_VALUE = 64
"""Bytes that an object, array or further value in them takes once it is parsed, about."""

PER_EVENT = 1024
"""Bytes that an event with its deliveries takes until it is stored, about."""


class BudgetExceeded(HookdError):
    """More is being taken in than memory is meant for; nothing was stored. Answered 503."""


@dataclass(slots=True)
class MemoryBudget:
    """What all requests of a daemon share.

    Attributes:
        coming: bytes that unfinished bodies may take.
        waiting: bytes that requests whose body is complete may take; one alone may take more.
        patience_s: who has waited longer to be looked at is refused, and so is everybody while `crowd` others wait and
            one of them has been waiting longer for its answer. So an answer is prompt, also the one that says no.
        crowd: requests that may wait for however long their commit takes, as on a slow disk.
    """

    coming: int = 64 * 1024 * 1024
    waiting: int = 64 * 1024 * 1024
    patience_s: float = 3.0
    crowd: int = 100
    _holding: dict["Reservation", float] = field(default_factory=dict)
    _shares: dict["Reservation", None] = field(default_factory=dict)
    _come: int = 0
    _held: int = 0

    def share(self) -> "Reservation":
        """The share of one request; it is to be released."""
        return Reservation(self)


def _nothing() -> None:
    """Where no body is being read there is nothing to end."""


@dataclass(slots=True, eq=False)
class Reservation:
    """What one request takes.

    Attributes:
        crowded: it was cut to make room for others.
        crowd_out: ends the reading of its body.
    """

    room: MemoryBudget
    crowded: bool = False
    evict: Callable[[], None] = _nothing
    _coming: int = 0
    _held: int = 0

    def grow(self, size: int) -> None:
        """Note bytes of an unfinished body; past the bound, the one that has been coming longest is `crowded`."""
        room = self.room
        room._shares[self] = None  # noqa: SLF001 - the two are one
        self._coming += size
        room._come += size  # noqa: SLF001
        if room._come > room.coming and len(room._shares) > 1:  # noqa: SLF001
            slowest = next(iter(room._shares))  # noqa: SLF001
            slowest.crowded = True
            slowest.arrived()
            slowest.evict()

    def arrived(self) -> None:
        """Nothing of the body is still to come."""
        if self._coming:
            self.room._shares.pop(self, None)  # noqa: SLF001
            self.room._come -= self._coming  # noqa: SLF001
            self._coming = 0

    def hold(self, size: int) -> None:
        """Take so many bytes until the request is answered.

        Raises:
            BudgetExceeded: others take too much already.
        """
        room = self.room
        if room._held + size > room.waiting and room._held > self._held:  # noqa: SLF001
            raise BudgetExceeded
        self._held += size
        room._held += size  # noqa: SLF001

    def enter(self, size: int, *, since: float, now: float) -> None:
        """As `hold`, for a request that is complete `since` then (both instants by the monotonic clock).

        Raises:
            BudgetExceeded: others take too much, or have been waiting too long.
        """
        room = self.room
        holding = room._holding  # noqa: SLF001
        late = len(holding) >= room.crowd and now - next(iter(holding.values())) > room.patience_s
        if late or now - since > room.patience_s:
            raise BudgetExceeded
        self.hold(size)
        holding[self] = since

    def release(self) -> None:
        """Give everything back."""
        self.arrived()
        self.room._holding.pop(self, None)  # noqa: SLF001
        self.room._held -= self._held  # noqa: SLF001
        self._held = 0


def estimated_size(raw: bytes) -> int:
    """About how many bytes a JSON text takes while it is served."""
    return len(raw) + PER_VALUE * (raw.count(b",") + raw.count(b"[") + raw.count(b"{"))
