"""What a store does beside its calls: look at what others have stored, say that it runs, delete, follow the clock.

Must never: stand in the way of a claim.
"""

import asyncio
import random
import time
from contextlib import suppress
from functools import partial

from hookd.domain.errors import StoreUnavailable
from hookd.store.postgres.batcher import Batcher
from hookd.store.postgres.by_hand import SET_BACK_STEP, Task
from hookd.store.postgres.call_failures import Forbidden, InDoubt
from hookd.store.postgres.database_clock import DatabaseClock, boottime
from hookd.store.postgres.history_reads import HistoryReads
from hookd.store.postgres.link import Link
from hookd.store.postgres.opening import join
from hookd.store.postgres.picture import LaneRow
from hookd.store.postgres.schema_migration import quoted
from hookd.store.postgres.session import Session
from hookd.store.postgres.statements import Statements
from hookd.store.stored_values import micros, seconds

POLL_S = 0.25
"""Seconds between two looks at what other processes have stored, about."""

SEEN_S = 2.0
"""Seconds between two notes that this process runs."""

_POLLS_PER_COST = 20
_SIZE_S = 60.0


class Upkeep:
    """Runs on one connection, beside the calls.

    Args:
        link: the connection.
        statements: of the schema.
        session: shared by the store's parts.
        clock: the database's, which follows its answers.
        tasks: where changes take their turn.
    """

    def __init__(
        self,
        link: Link,
        statements: Statements,
        session: Session,
        clock: DatabaseClock,
        tasks: Batcher[Task],
    ) -> None:
        self._link = link
        self._sql = statements
        self._session = session
        self._clock = clock
        self._tasks = tasks
        self._size_bytes: int | None = None
        self._sized_mono = -_SIZE_S

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        seen_mono = time.monotonic()
        while True:
            began = time.monotonic()
            try:
                if self._session.picture.fault is not None:
                    await self._probe()
                if began - seen_mono >= SEEN_S:
                    seen_mono = began
                    await self._say_seen()
                await self.refresh()
            except (StoreUnavailable, Forbidden) as error:
                self._session.failed(error)
            cost = time.monotonic() - began
            await asyncio.sleep(max(POLL_S, cost * _POLLS_PER_COST) * random.uniform(0.8, 1.2))  # noqa: S311  no secret

    async def refresh(self) -> None:
        """Take over what waits, as the database has it."""
        mark = self._session.picture.mark()
        rows = await self._link.call(self._sql.waiting, self._session.node)
        if self._session.picture.take_over(
            [
                LaneRow(webhook, due, others or 0, hold_until, paused_at)
                for webhook, due, others, hold_until, paused_at in rows
            ],
            mark,
        ):
            self._session.doorbell.set()

    async def _say_seen(self) -> None:
        sent = boottime()
        ((shown,),) = await self._link.call(self._sql.seen, self._session.node)
        if shown is not None:
            self._clock.observe(sent=sent, shown=seconds(shown), answered=boottime())
            return
        # Others took this process for gone, and its counts over: it begins anew.
        self._session.node = await join(self._link, self._sql)
        self._session.picture.forget_own()

    async def probe(self) -> None:
        """Find out whether writing works."""
        await self._tasks.submit(Task(self._probe)).future

    async def _probe(self) -> None:
        ask = partial(self._link.call, self._sql.probe, self._session.node)
        try:
            await ask()
        except InDoubt:
            await ask()
        self._session.works()

    async def prune(self, delivered_before: int, dead_before: int, limit: int) -> int:
        """Delete at most `limit` rows past their time; returns how many went."""
        ask = partial(
            self._link.call, self._sql.prune, self._session.node, delivered_before, dead_before, limit
        )
        rows = await self._tasks.submit(Task(partial(self._session.certain, self._link, ask))).future
        return int(rows[0][0])

    async def clock_stepped(self, by_s: float, now: float) -> None:
        """Follow the clock, in bounded steps."""
        await self._tasks.submit(Task(partial(self._follow_clock, by_s, now))).future

    async def _follow_clock(self, by_s: float, now: float) -> None:
        after: int | None = 0
        while after is not None:
            if by_s <= 0:
                ask = partial(self._link.call, self._sql.set_clock, micros(now))
            else:
                ask = partial(
                    self._link.call, self._sql.set_back, micros(by_s), micros(now), after, SET_BACK_STEP
                )
            ((after,),) = await self._session.certain(self._link, ask)
        await self.refresh()
        self._session.doorbell.set()

    async def size_bytes(self, history: HistoryReads, schema: str) -> int | None:
        """How much the schema takes, as it was within a minute."""
        if time.monotonic() - self._sized_mono >= _SIZE_S:
            self._sized_mono = time.monotonic()
            ((self._size_bytes,),) = await history.read(self._sql.size, quoted(schema))
        return self._size_bytes

    async def leave(self, why: str) -> None:
        """Say that this process ends: what it still holds is due again."""
        with suppress(StoreUnavailable, Forbidden):
            await self._link.call(self._sql.leave, self._session.node, why, micros(self._clock.now()))
