"""Walks through the history that clients ask for: listings, and what is done or counted by filter.

One call takes a bounded number of steps and says where the next call goes on. However many walks there are, only one
step is under way at a time, so that anything else waits for no more than that.

Must never: touch the database itself.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

from hookd.domain.history import DeliveryFilter, DeliveryRecord, EventRecord, Page, RetriedPart
from hookd.store.paging import cursor_of, delivery_bytes, event_bytes, page_of
from hookd.store.sqlite import manual_operations, queries
from hookd.store.sqlite.backlog_index import BacklogDelta

T = TypeVar("T")


class ReadStep(Protocol):
    """What runs a step that only reads."""

    def __call__(self, query: Callable[[sqlite3.Connection], T], /) -> Awaitable[T]:
        """Run a bounded query on the writer's thread."""
        ...


class WriteStep(Protocol):
    """What runs a step that changes something."""

    def __call__(self, work: Callable[[sqlite3.Connection, BacklogDelta], T], /) -> Awaitable[T]:
        """Run a bounded change on the writer's thread."""
        ...


class Walks:
    """Asks for step after step; `read` and `write` run one on the writer's thread."""

    def __init__(self, read: ReadStep, write: WriteStep) -> None:
        self._read = read
        self._write = write
        self._turn = asyncio.Lock()

    async def deliveries(self, where: DeliveryFilter, before: int | None, limit: int) -> Page[DeliveryRecord]:
        """At most `limit` matching deliveries below a key."""
        found: list[tuple[int, DeliveryRecord]] = []
        for _ in range(queries.STEPS):
            if before is None or len(found) > limit:
                break
            wanted = limit + 1 - len(found)
            query = partial(queries.deliveries, where=where, before=before, limit=wanted)
            async with self._turn:
                step = await self._read(query)
            found += step.rows
            before = step.before
        return page_of(found, limit, delivery_bytes, before)

    async def events(self, before: int, limit: int) -> Page[EventRecord]:
        """At most `limit` events below a key, without their data."""
        found: list[tuple[int, EventRecord]] = []
        while (wanted := min(limit + 1 - len(found), queries.EVENTS_STEP)) > 0:
            async with self._turn:
                rows = await self._read(partial(queries.events, before=before, limit=wanted))
            found += rows
            if len(rows) < wanted:
                break
            before = rows[-1][0]
        return page_of(found, limit, event_bytes)

    async def retry(
        self, where: DeliveryFilter, now: int, before: int | None, *, dry_run: bool
    ) -> RetriedPart:
        """Make matching deliveries below a key due at `now` (microseconds), or count them."""
        matched = retried = 0
        for _ in range(queries.STEPS):
            if before is None:
                break
            async with self._turn:
                if dry_run:
                    step = await self._read(partial(manual_operations.count_step, where=where, before=before))
                else:
                    step = await self._write(
                        partial(manual_operations.retry_step, where=where, before=before, now=now)
                    )
            matched, retried, before = matched + step.matched, retried + step.retried, step.before
        return RetriedPart(matched, retried, cursor_of(before))
