"""The attempts under way: each from its claim until its result is recorded, and whether its lease was lost meanwhile.

Must never: know what an attempt does.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from hookd.delivery.leases import Leases
from hookd.domain.deliveries import Lease


class Stoppable(Protocol):
    """An attempt under way."""

    def stop(self, *, lost: bool) -> None:
        """Make the request no longer, if it is still being made; `lost`: nothing is to be recorded of it."""


class AttemptsUnderWay:
    """Every claimed delivery from its claim until its result is recorded.

    Attributes:
        leases: of them all.
    """

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self._attempts: dict[str, Stoppable] = {}
        self._ended = asyncio.Event()

    def begin(self, lease: Lease, attempt: Stoppable) -> None:
        """Note an attempt that begins; whoever makes it calls `end`, whatever happens."""
        self.leases.add(lease)
        self._attempts[lease.delivery_id] = attempt

    def end(self, lease: Lease) -> None:
        """Note that an attempt is over and its result recorded."""
        del self._attempts[lease.delivery_id]
        self.leases.drop(lease.delivery_id)
        if not self._attempts:
            self._ended.set()

    def abandon(self, lost: Collection[str]) -> None:
        """End the attempts of these deliveries: what has their leases now records what becomes of them."""
        for delivery_id in lost:
            if (attempt := self._attempts.get(delivery_id)) is not None:
                attempt.stop(lost=True)

    async def all_ended(self) -> None:
        """Return when none is under way."""
        while self._attempts:
            self._ended.clear()
            await self._ended.wait()

    async def interrupt(self, timeout_s: float) -> int:
        """Stop what is under way, and wait so long for it to be recorded; the number of attempts."""
        attempts = list(self._attempts.values())
        for attempt in attempts:
            attempt.stop(lost=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.all_ended()
        return len(attempts)
