"""The attempts under way: the task of each, its lease, and whether that was lost meanwhile.

Must never: know what an attempt does.
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

from hookd.delivery.leases import Leases
from hookd.domain.deliveries import Lease


class AttemptsUnderWay:
    """Every claimed delivery from its claim until its result is recorded.

    Attributes:
        leases: of them all.
    """

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lost: set[str] = set()

    def begin(self, lease: Lease, work: Coroutine[Any, Any, None]) -> None:
        """Let an attempt run; it calls `end` itself, whatever happens."""
        self.leases.add(lease)
        self._tasks[lease.delivery_id] = asyncio.get_running_loop().create_task(work)

    def end(self, lease: Lease) -> None:
        """Note that an attempt is over and its result recorded."""
        self._lost.discard(lease.delivery_id)
        del self._tasks[lease.delivery_id]
        self.leases.drop(lease.delivery_id)

    def abandon(self, lost: Collection[str]) -> None:
        """End the attempts of these deliveries: what has their leases now records what becomes of them."""
        for delivery_id in lost:
            if (task := self._tasks.get(delivery_id)) is not None:
                self._lost.add(delivery_id)
                task.cancel()

    def has_lost(self, lease: Lease) -> bool:
        """Whether the attempt was abandoned."""
        return lease.delivery_id in self._lost

    async def all_ended(self) -> None:
        """Return when none is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def interrupt(self, timeout_s: float) -> int:
        """Cancel what is under way, and wait so long for it to be recorded; the number of attempts."""
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        return len(tasks)
