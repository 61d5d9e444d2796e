"""The messages stored a moment ago, kept so that the claim that follows need not read them back.

Only what never changes is kept here; what may be claimed is decided by the database alone.

Must never: grow past its bound. Runs on the writer's thread.
"""

from typing import NamedTuple

from hookd.domain.tracing import Trace

_BOUND = 8 * 1024 * 1024
_OVERHEAD = 500


class CachedDelivery(NamedTuple):
    """The unchanging part of a delivery."""

    delivery_id: str
    event_id: str
    task: str
    body: bytes
    trace: Trace | None = None


class BodyCache:
    """A bounded memory of fresh deliveries by key; the oldest give way.

    Args:
        bound: bytes it may take, bodies and an estimate for the rest.
    """

    def __init__(self, bound: int = _BOUND) -> None:
        self._bound = bound
        self._size = 0
        self._kept: dict[int, CachedDelivery] = {}

    def put(self, seq: int, fresh: CachedDelivery) -> None:
        """Remember a delivery."""
        self._kept[seq] = fresh
        self._size += len(fresh.body) + _OVERHEAD
        while self._size > self._bound:
            self.take(next(iter(self._kept)))

    def take(self, seq: int) -> CachedDelivery | None:
        """Hand out a delivery and forget it, or None."""
        fresh = self._kept.pop(seq, None)
        if fresh is not None:
            self._size -= len(fresh.body) + _OVERHEAD
        return fresh

    def clear(self) -> None:
        """Forget everything: what was remembered may have been rolled back."""
        self._kept.clear()
        self._size = 0
