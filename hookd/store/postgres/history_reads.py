"""Reading what has become of events and deliveries, each listing in bounded steps.

Must never: write.
"""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from hookd.domain.deliveries import State
from hookd.domain.errors import StoreUnavailable
from hookd.domain.events import DeliveryRef, SpentMark
from hookd.domain.history import (
    DeadLetter,
    DeliveryFilter,
    DeliveryRecord,
    EventRecord,
    LaneStats,
    Page,
    UnreportedDeadLetters,
)
from hookd.store.paging import Step, delivery_bytes, event_bytes, page_of
from hookd.store.postgres.call_failures import InDoubt
from hookd.store.postgres.link import Link, Row
from hookd.store.postgres.statements import Statements
from hookd.store.stored_records import attempt_record, delivery_record, event_record
from hookd.store.stored_values import (
    CODES,
    STATES,
    micros,
    optional_seconds,
    seconds,
)

T = TypeVar("T")

STEP = 1_000
"""How many rows a listing looks at in one step."""

STEPS = 50
"""How many steps one call takes."""

EVENTS_STEP = 200
"""How many events one step reads."""

PATIENCE_S = 2.0
"""So long a status waits for the database before it says what was known last."""


class MatchedRow(NamedTuple):
    """A matching delivery: its key and the number of its state."""

    seq: int
    state: int


class HistoryReads:
    """Reads on one connection, `link`; only one step of a walk is under way at a time."""

    def __init__(self, link: Link, statements: Statements) -> None:
        self.link = link
        self._sql = statements
        self._turn = asyncio.Lock()
        self._last: dict[str, Any] = {}

    async def read(self, sql: str, *args: object) -> list[Row]:
        """The rows of a query; asked once more where the connection was lost."""
        try:
            return await self.link.call(sql, *args)
        except InDoubt:
            return await self.link.call(sql, *args)

    async def _or_last(self, what: str, read: Coroutine[Any, Any, T]) -> T:
        """What is read, or what was known last where the database does not answer: a status is wanted most then."""
        asked = asyncio.ensure_future(read)
        await asyncio.wait({asked}, timeout=PATIENCE_S)
        known: T | None = self._last.get(what)
        if known is not None and (not asked.done() or isinstance(asked.exception(), StoreUnavailable)):
            asked.add_done_callback(_pass_over)
            return known
        self._last[what] = found = await asked
        return found

    async def delivery(self, delivery_id: str) -> DeliveryRecord | None:
        """One delivery with its body and attempts, or None."""
        rows = await self.read(self._sql.delivery, delivery_id)
        if not rows:
            return None
        attempts = await self.read(self._sql.attempts, rows[0][0])
        return delivery_record(
            rows[0][:17], body=rows[0][17], attempts=tuple(attempt_record(attempt) for attempt in attempts)
        )

    async def deliveries(self, where: DeliveryFilter, before: int | None, limit: int) -> Page[DeliveryRecord]:
        """At most `limit` matching deliveries below a key."""
        found: list[tuple[int, DeliveryRecord]] = []
        for _ in range(STEPS):
            if before is None or len(found) > limit:
                break
            async with self._turn:
                step = await self.step(where, before, limit + 1 - len(found))
            found += step.rows
            before = step.before
        return page_of(found, limit, delivery_bytes, before)

    async def step(self, where: DeliveryFilter, before: int, limit: int) -> Step:
        """Look at the next rows below a key and return at most `limit` that match."""
        head, *rows = await self.read(
            self._sql.deliveries,
            before,
            STEP,
            limit,
            None if where.state is None else CODES[where.state],
            where.webhook,
            where.task,
            where.event_id,
            None if where.since is None else micros(where.since),
            None if where.until is None else micros(where.until),
        )
        found = [(int(row[0]), delivery_record(row)) for row in rows]
        return Step(found, found[-1][0] if len(found) == limit else head[0])

    async def event(self, event_id: str) -> EventRecord | None:
        """One kept event, or None."""
        records = await self._event_records(await self.read(self._sql.event, event_id))
        return records[0][1] if records else None

    async def events(self, before: int, limit: int) -> Page[EventRecord]:
        """At most `limit` events below a key, without their data."""
        found: list[tuple[int, EventRecord]] = []
        while (wanted := min(limit + 1 - len(found), EVENTS_STEP)) > 0:
            async with self._turn:
                rows = await self._event_records(await self.read(self._sql.events, before, wanted))
            found += rows
            if len(rows) < wanted:
                break
            before = rows[-1][0]
        return page_of(found, limit, event_bytes)

    async def _event_records(self, rows: Sequence[Row]) -> list[tuple[int, EventRecord]]:
        refs: dict[int, list[DeliveryRef]] = {int(row[0]): [] for row in rows}
        if rows:
            for event_seq, *ref in await self.read(self._sql.refs, list(refs)):
                refs[event_seq].append(DeliveryRef(*ref))
        return [(int(row[0]), event_record(row, tuple(refs[row[0]]))) for row in rows]

    async def ids(self, beginning: str, limit: int) -> list[str]:
        """The first ids of deliveries and then of events that begin so."""
        rows = await self.read(self._sql.ids, beginning, f"{beginning}\U0010ffff", limit)
        return [row[0] for row in rows]

    async def learn(self) -> None:
        """Read once what a status shows, so that there is something to show when the database does not answer."""
        await asyncio.gather(self.lanes(None), self.totals(), self.one_shot_marks(), self.last_died())

    async def lanes(self, of: Collection[str] | None) -> dict[str, LaneStats]:
        """What waits, by webhook; where the database does not answer, as it was known last."""
        if of is not None:
            return _lanes(await self.read(self._sql.lanes, list(of)))
        return _lanes(await self._or_last("lanes", self.read(self._sql.lanes, None)))

    async def totals(self) -> dict[State, int]:
        """How many deliveries are in each state; where the database does not answer, as was known last."""
        rows = await self._or_last("totals", self.read(self._sql.totals))
        ((unfinished, sending, *finished),) = rows
        return dict(zip(STATES, (unfinished - sending, sending, *finished), strict=True))

    async def one_shot_marks(self) -> tuple[SpentMark, ...]:
        """Every mark of a one-shot that has run, the latest first; as known last where nobody answers."""
        rows = await self._or_last("marks", self.read(self._sql.marks))
        return tuple(SpentMark(task, digest, seconds(at), key) for task, digest, at, key in rows)

    async def last_died(self) -> float | None:
        """When the latest dead delivery died, or None; where the database does not answer, as was known last."""
        ((instant,),) = await self._or_last("last_died", self.read(self._sql.last_died))
        return optional_seconds(instant)

    async def unreported(self, *, before: float, within_s: float, limit: int) -> UnreportedDeadLetters:
        """What died before an instant and stands in no report."""
        rows = await self.read(self._sql.unreported, micros(before), micros(within_s), limit)
        reported = {webhook: seconds(at) for webhook, at, key, *_ in rows if key is None}
        dead = tuple(
            DeadLetter(key, event_id, webhook, task, seconds(died_at))
            for webhook, _, key, event_id, task, died_at in rows
            if key is not None
        )
        return UnreportedDeadLetters(reported, dead)


def _pass_over(asked: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more."""
    if not asked.cancelled():
        asked.exception()


def _lanes(rows: Sequence[Row]) -> dict[str, LaneStats]:
    return {
        webhook: LaneStats(pending, sending, optional_seconds(oldest_at))
        for webhook, pending, sending, oldest_at in rows
    }
