"""What the parts of an open store share: who this process is, what waits, whether writing works, and the doorbell.

Must never: know a statement.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from hookd.domain.errors import StoreUnavailable
from hookd.store.postgres.call_failures import Forbidden, InDoubt, RunAgain
from hookd.store.postgres.link import Link
from hookd.store.postgres.picture import Picture

T = TypeVar("T")

_RESOLVE_PAUSE_S = 0.2
_CLOSING_S = 3.0
"""So long a store that is closed still tries to find out what became of its last calls."""

_SAME_AGAIN = 5
_AGAIN_PAUSE_S = 0.02


class Session:
    """One process's use of the database.

    Attributes:
        node: its number there.
        picture: what waits.
        doorbell: set when something may be claimed sooner.
    """

    def __init__(self, node: int, on_commit: Callable[[float], None] | None) -> None:
        self.node = node
        self.picture = Picture()
        self.doorbell = asyncio.Event()
        self._on_commit = on_commit
        self._ends_at: float | None = None

    def failed(self, error: Exception) -> None:
        """Note that something could not be written."""
        if self.picture.set_fault(str(error)):
            self.doorbell.set()

    def works(self) -> None:
        """Note that writing works."""
        if self.picture.set_fault(None):
            self.doorbell.set()

    def closing(self) -> None:
        """Note that the store is being closed: what is in doubt may stay so."""
        self._ends_at = time.monotonic() + _CLOSING_S

    async def timed(self, call: Awaitable[T]) -> T:
        """The answer of a call that commits, which is timed."""
        began = time.monotonic()
        answer = await call
        self.works()
        if self._on_commit is not None:
            self._on_commit(time.monotonic() - began)
        return answer

    async def again(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of a call that is made again where another was in its way, which ends soon."""
        for tries in range(_SAME_AGAIN):
            try:
                return await call()
            except RunAgain:
                await asyncio.sleep(_AGAIN_PAUSE_S * 2**tries)
        return await call()

    async def resolve(self, error: Exception, link: Link, look: Callable[[], Awaitable[T]]) -> T:
        """Find out what became of a call that is in doubt, however long that takes.

        Args:
            error: how it came into doubt.
            link: the connection that it was made on.
            look: asks the database; asked again until it answers.

        Raises:
            StoreUnavailable: the store is closed, and it cannot be found out.
        """
        self.failed(error)
        while True:
            try:
                await link.end_last()
                found = await look()
            except (StoreUnavailable, Forbidden) as again:
                self.failed(again)
            else:
                self.works()
                return found
            if self._ends_at is not None and time.monotonic() > self._ends_at:
                raise StoreUnavailable(f"{error}; what became of the last calls is not known") from error
            await asyncio.sleep(_RESOLVE_PAUSE_S)

    async def certain(self, link: Link, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of a call that may as well be made twice."""
        try:
            return await self.timed(self.again(call))
        except InDoubt as error:
            return await self.resolve(error, link, partial(self.again, call))
