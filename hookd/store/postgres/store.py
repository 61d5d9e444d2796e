"""The PostgreSQL store as callers see it: any number of hookd processes over one database.

Each kind of call has a connection of its own, on which batches follow one another; a claim waits for what was asked
before it and may close a lane.

Must never: block the loop, or decide by its picture what only the database can.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

from hookd.domain.backlog import Backlog
from hookd.domain.clock import Clock
from hookd.domain.definitions import PostgresDef
from hookd.domain.deliveries import Attempt, Claimed, ClaimRequest, Lease, Settlement, State
from hookd.domain.errors import StoreFailed, StoreUnavailable, StoreUnreachable
from hookd.domain.events import Receipt, SpentMark, Submission
from hookd.domain.history import (
    DeliveryFilter,
    DeliveryRecord,
    EventRecord,
    LaneStats,
    Page,
    RetriedPart,
    UnreportedDeadLetters,
)
from hookd.domain.seats import SeatsTaken
from hookd.store.contract import StoreDescription
from hookd.store.paging import key_of
from hookd.store.postgres.batcher import Batcher
from hookd.store.postgres.by_hand import ByHand, run_tasks
from hookd.store.postgres.enqueueing import Enqueueing
from hookd.store.postgres.history_reads import HistoryReads
from hookd.store.postgres.intake_plan import EnqueueCall
from hookd.store.postgres.leasing import ClaimCall, Claiming, SettleCall, SettlingBatches
from hookd.store.postgres.link import Link
from hookd.store.postgres.opening import Opened, open_server
from hookd.store.postgres.session import Session
from hookd.store.postgres.upkeep import Upkeep
from hookd.store.stored_values import micros, optional_seconds, refuse_unfit

REFRESH_S = 5.0
"""`wait_for_work` returns at least this often."""

_BATCH = 2_000
_SETTLES = 500
_LEFT = "interrupted: the answer was not recorded"


class PostgresStore:
    """A `Store` in one schema of a PostgreSQL database. Made by `open`; for the loop it was opened in.

    Attributes:
        clock: the database's.
    """

    renew_ahead_s = 10.0
    prune_step = 1_000
    is_shared = True

    def __init__(
        self, definition: PostgresDef, opened: Opened, on_commit: Callable[[float], None] | None
    ) -> None:
        self.clock: Clock = opened.clock
        self._definition = definition
        self._sql = opened.statements
        opened.server.was_fit = True
        self._loop = asyncio.get_running_loop()
        self._session = Session(opened.node, on_commit)
        self._failure: asyncio.Future[StoreFailed] = self._loop.create_future()
        links = {name: Link(opened.server) for name in ("intake", "claims", "settles", "changes", "upkeep")}
        self._links = links
        self._history = HistoryReads(Link(opened.server), self._sql)
        link, sql, session = links, self._sql, self._session
        self._intake = self._batcher(Enqueueing(link["intake"], sql, session).work, _BATCH)
        self._claims = self._batcher(Claiming(link["claims"], sql, session).work, 1)
        self._settles = self._batcher(SettlingBatches(link["settles"], sql, session).work, _SETTLES)
        self._changes = self._batcher(partial(run_tasks, session), 1)
        self._tasks = self._batcher(partial(run_tasks, session), 1)
        self._by_hand = ByHand(link["changes"], sql, session, self._changes, self._history)
        self._upkeep = Upkeep(link["upkeep"], sql, session, opened.clock, self._tasks)
        self._asked: set[asyncio.Future[Any]] = set()
        self._closing_lanes: set[asyncio.Future[Any]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._closed: StoreUnavailable | None = None

    def _batcher(self, work: Any, most: int) -> Batcher[Any]:
        return Batcher(work, most=most, on_failure=self._note_failure)

    @classmethod
    async def open(
        cls,
        definition: PostgresDef,
        *,
        on_commit: Callable[[float], None] | None = None,
        stopping: asyncio.Event | None = None,
    ) -> Self:
        """Reach the server, bring the schema forward, and join.

        Args:
            definition: where it is.
            on_commit: called in the loop after each commit with the seconds it took.
            stopping: set when nobody wants it any more.

        Raises:
            StoreUnreachable: it cannot be reached. StoreUnusable: it cannot be used; the message says what to do.
        """
        store = cls(definition, await open_server(definition, stopping), on_commit)
        try:
            await store._begin()
        except StoreUnavailable as error:
            await store.close()
            raise StoreUnreachable(str(error)) from error
        return store

    async def _begin(self) -> None:
        """Look at what waits, and go on looking."""
        await self._upkeep.refresh()
        await self._history.learn()
        self._background = [asyncio.create_task(each) for each in (self._upkeep.run(), self._ring())]
        for task in self._background:
            task.add_done_callback(self._note_end)

    async def enqueue(
        self, batch: Sequence[Submission], *, now: float, limit: int, seats: SeatsTaken | None = None
    ) -> tuple[Receipt, ...]:
        """See `Store.enqueue`; gives no seats."""
        receipts: tuple[Receipt, ...] = await self._ask_enqueue(batch, now, limit, seats)
        return receipts

    def begin_enqueue(
        self,
        batch: Sequence[Submission],
        *,
        now: float,
        limit: int,
        seats: SeatsTaken | None = None,
        then: Callable[[tuple[Receipt, ...] | Exception], None],
    ) -> None:
        """See `Store.begin_enqueue`."""
        self._ask_enqueue(batch, now, limit, seats).add_done_callback(partial(_answer, then))

    def _ask_enqueue(
        self, batch: Sequence[Submission], now: float, limit: int, seats: SeatsTaken | None
    ) -> asyncio.Future[Any]:
        call = EnqueueCall(batch, now=now, limit=limit, seats=seats)
        try:
            self._intake.submit(call)
        except StoreUnavailable as error:
            call.refuse(error)
        return self._note(call.future)

    async def claim(self, wants: Sequence[ClaimRequest], *, now: float) -> Claimed:
        """See `Store.claim`."""
        if len({want.webhook for want in wants}) < len(wants):
            raise ValueError("two wants for one webhook")
        if self._closing_lanes:
            await asyncio.wait(set(self._closing_lanes))
        now_us, picture = micros(now), self._session.picture
        likely = [
            want for want in wants if (due := picture.earliest(want.webhook)) is not None and due <= now_us
        ]
        if not likely:
            return Claimed()
        claimed: Claimed = await self._note(self._claims.submit(ClaimCall(likely, now=now)).future)
        return claimed

    async def settle(self, lease: Lease, attempt: Attempt, settlement: Settlement, *, now: float) -> bool:
        """See `Store.settle`."""
        held: bool = await self._ask_settle(lease, attempt, settlement, now)
        return held

    def begin_settle(
        self,
        lease: Lease,
        attempt: Attempt,
        settlement: Settlement,
        *,
        now: float,
        then: Callable[[bool | Exception], None],
    ) -> None:
        """See `Store.begin_settle`."""
        self._ask_settle(lease, attempt, settlement, now).add_done_callback(partial(_answer, then))

    def _ask_settle(
        self, lease: Lease, attempt: Attempt, settlement: Settlement, now: float
    ) -> asyncio.Future[Any]:
        refuse_unfit(settlement)
        call = self._settles.submit(SettleCall(lease, attempt, settlement, now=now))
        return self._note(call.future, closes_lane=settlement.hold_until is not None)

    def _note(self, future: asyncio.Future[Any], *, closes_lane: bool = False) -> asyncio.Future[Any]:
        """Remember what is asked: a flush waits for all of it, a claim for what may close a lane."""
        self._asked.add(future)
        future.add_done_callback(self._asked.discard)
        if closes_lane:
            self._closing_lanes.add(future)
            future.add_done_callback(self._closing_lanes.discard)
        return future

    def _change(self, work: Any) -> asyncio.Future[Any]:
        """Begin a change that a claim that is asked for afterwards must know of; done even if its waiter goes."""
        return self._note(asyncio.ensure_future(work), closes_lane=True)

    async def renew(self, leases: Sequence[Lease]) -> Collection[str]:
        """See `Store.renew`."""
        lost: Collection[str] = await self._change(self._by_hand.renew(leases))
        return lost

    async def release(self, leases: Sequence[Lease], *, why: str) -> None:
        """See `Store.release`."""
        if leases:
            await self._change(self._by_hand.release(leases, why))

    async def make_due(self, webhook: str, *, now: float) -> bool:
        """See `Store.make_due`."""
        was_later: bool = await self._change(self._by_hand.make_due(webhook, now))
        return was_later

    async def lift_hold(self, webhook: str, *, now: float) -> bool:
        """See `Store.lift_hold`."""
        was_held: bool = await self._change(self._by_hand.lift_hold(webhook, now))
        return was_held

    async def pause(self, webhook: str, *, now: float) -> None:
        """See `Store.pause`."""
        await self._change(self._by_hand.pause(webhook, now))

    async def resume(self, webhook: str) -> bool:
        """See `Store.resume`."""
        was_paused: bool = await self._change(self._by_hand.resume(webhook))
        return was_paused

    async def retry(self, delivery_id: str, *, now: float) -> State | None:
        """See `Store.retry`."""
        state: State | None = await self._change(self._by_hand.retry(delivery_id, now))
        return state

    async def cancel(self, delivery_id: str, *, now: float) -> State | None:
        """See `Store.cancel`."""
        state: State | None = await self._change(self._by_hand.cancel(delivery_id, now))
        return state

    async def retry_matching(
        self, where: DeliveryFilter, *, now: float, dry_run: bool, cursor: str | None = None
    ) -> RetriedPart:
        """See `Store.retry_matching`; raises ValueError for deliveries whose attempt is under way."""
        if where.state is State.SENDING:
            raise ValueError(
                "what is being sent cannot be retried: choose pending, delivered, dead or cancelled"
            )
        before = key_of(cursor)
        self._refuse_closed()
        return await self._by_hand.retry_matching(where, now, before, dry_run=dry_run)

    async def reset_one_shot(self, task: str, digest: str) -> bool:
        """See `Store.reset_one_shot`."""
        was_spent: bool = await self._change(self._by_hand.reset_one_shot(task, digest))
        return was_spent

    async def watch_schedules(
        self, keys: Collection[str], *, generation: str, since: float, now: float
    ) -> Mapping[str, float]:
        """See `Store.watch_schedules`."""
        watching = self._by_hand.watch_schedules(keys, generation=generation, since=since, now=now)
        until: Mapping[str, float] = await self._note(asyncio.ensure_future(watching))
        return until

    async def note_alive(self, *, generation: str, now: float) -> None:
        """See `Store.note_alive`."""
        await self._note(asyncio.ensure_future(self._by_hand.note_alive(generation, now)))

    async def clock_stepped(self, *, by_s: float, now: float) -> None:
        """See `Store.clock_stepped`."""
        await self.flush()  # what came before was stored by the clock as it was
        await self._change(self._upkeep.clock_stepped(by_s, now))

    async def clock_seen(self) -> float | None:
        """See `Store.clock_seen`."""
        self._refuse_closed()
        ((seen_at,),) = await self._history.read(self._sql.clock_seen)
        return optional_seconds(seen_at)

    async def prune(self, *, delivered_before: float, dead_before: float, limit: int) -> int:
        """See `Store.prune`."""
        gone: int = await self._note(
            asyncio.ensure_future(self._upkeep.prune(micros(delivered_before), micros(dead_before), limit))
        )
        return gone

    async def backlog(self) -> Backlog:
        """See `Store.backlog`."""
        return self._session.picture.snapshot()

    async def wait_for_work(self) -> Backlog:
        """See `Store.wait_for_work`."""
        await self._session.doorbell.wait()
        self._session.doorbell.clear()
        return self._session.picture.snapshot()

    async def _ring(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S * random.uniform(0.8, 1.0))  # noqa: S311  not a secret
            self._session.doorbell.set()

    async def probe(self) -> None:
        """See `Store.probe`."""
        await self._note(asyncio.ensure_future(self._upkeep.probe()))

    async def delivery(self, delivery_id: str) -> DeliveryRecord | None:
        """See `Store.delivery`."""
        self._refuse_closed()
        return await self._history.delivery(delivery_id)

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, cursor: str | None = None
    ) -> Page[DeliveryRecord]:
        """See `Store.deliveries`."""
        self._refuse_closed()
        return await self._history.deliveries(where, key_of(cursor), limit)

    async def event(self, event_id: str) -> EventRecord | None:
        """See `Store.event`."""
        self._refuse_closed()
        return await self._history.event(event_id)

    async def events(self, *, limit: int, cursor: str | None = None) -> Page[EventRecord]:
        """See `Store.events`."""
        self._refuse_closed()
        return await self._history.events(key_of(cursor), limit)

    async def ids(self, beginning: str, *, limit: int) -> Sequence[str]:
        """See `Store.ids`."""
        self._refuse_closed()
        return await self._history.ids(beginning, limit)

    async def lanes(self, of: Collection[str] | None = None) -> Mapping[str, LaneStats]:
        """See `Store.lanes`."""
        self._refuse_closed()
        return await self._history.lanes(of)

    async def totals(self) -> Mapping[State, int]:
        """See `Store.totals`."""
        self._refuse_closed()
        return await self._history.totals()

    async def one_shot_marks(self) -> tuple[SpentMark, ...]:
        """See `Store.one_shot_marks`."""
        self._refuse_closed()
        return await self._history.one_shot_marks()

    async def last_died(self) -> float | None:
        """See `Store.last_died`."""
        self._refuse_closed()
        return await self._history.last_died()

    async def unreported_dead_letters(
        self, *, before: float, within_s: float, limit: int
    ) -> UnreportedDeadLetters:
        """See `Store.unreported_dead_letters`."""
        self._refuse_closed()
        return await self._history.unreported(before=before, within_s=within_s, limit=limit)

    async def flush(self) -> None:
        """See `Store.flush`."""
        self._refuse_closed()
        if self._asked:
            await asyncio.wait(set(self._asked))

    async def heartbeat(self) -> None:
        """See `Store.heartbeat`: this process's own tasks answer; the database is not asked."""
        self._refuse_closed()
        await asyncio.sleep(0)

    async def until_failed(self) -> StoreFailed:
        """See `Store.until_failed`."""
        return await asyncio.shield(self._failure)

    async def describe(self) -> StoreDescription:
        """See `Store.describe`."""
        size_bytes = None
        with suppress(StoreUnavailable):
            size_bytes = await self._upkeep.size_bytes(self._history, self._definition.schema)
        return StoreDescription("postgres", self._definition.target, size_bytes)

    async def close(self) -> None:
        """See `Store.close`; what this process still holds is due again."""
        if self._closed is not None:
            return
        error = StoreUnavailable(f"{self._definition.target} is closed")
        self._session.closing()
        for task in self._background:
            task.cancel()
        with suppress(StoreUnavailable):
            await self.flush()
        self._closed = error
        for batcher in (self._intake, self._settles, self._claims, self._changes, self._tasks):
            await batcher.close(error)
        await self._upkeep.leave(_LEFT)
        for link in (*self._links.values(), self._history.link):
            await link.close()

    def _refuse_closed(self) -> None:
        if self._failure.done():
            raise self._failure.result()
        if self._closed is not None:
            raise self._closed

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note_failure(error)

    def _note_failure(self, error: BaseException) -> None:
        """A part of the store has ended though nobody closed it: so does the store."""
        if self._failure.done() or isinstance(error, asyncio.CancelledError):
            return
        failure = StoreFailed(f"{self._definition.target}: the store has ended ({type(error).__name__})")
        failure.__cause__ = error
        self._failure.set_result(failure)
        self._session.failed(failure)


def _answer(then: Callable[[Any], None], future: asyncio.Future[Any]) -> None:
    """Call who does not wait with what came of a call."""
    error = future.exception()
    then(future.result() if error is None else error)
