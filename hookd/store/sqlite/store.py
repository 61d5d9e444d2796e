"""The SQLite store as callers see it: coroutines of the event loop over the host of the database.

Must never: touch the database itself, or block the loop.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from hookd.domain.backlog import Backlog
from hookd.domain.clock import Clock
from hookd.domain.deliveries import Attempt, Claimed, ClaimRequest, Lease, Settlement, State
from hookd.domain.errors import StoreFailed, StoreUnavailable
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
from hookd.store.sqlite import dead_letter_reports, due_times, manual_operations, queries, schedule_cursors
from hookd.store.sqlite.attempts import seq_of
from hookd.store.sqlite.backlog_index import BacklogDelta, BacklogIndex
from hookd.store.sqlite.commit import BatchResult
from hookd.store.sqlite.host import Host
from hookd.store.sqlite.operations import (
    Callback,
    ClaimOperation,
    Echo,
    Enqueue,
    Operation,
    Probe,
    Prune,
    Read,
    Settle,
    Vacuum,
    Write,
)
from hookd.store.sqlite.process_host import ProcessHost
from hookd.store.sqlite.thread_host import ThreadHost
from hookd.store.sqlite.walks import Walks
from hookd.store.stored_values import micros, optional_seconds, refuse_unfit, seconds

T = TypeVar("T")

REFRESH_S = 5.0
"""`wait_for_work` returns at least this often."""

NOTE_S = 60.0
"""Seconds between two notes of the clock while something waits: what a kill can make the next start miss of it."""

_LANES_STEP = 500
_VACUUM_STEP = 60

_PRUNE_PAUSE_S = 0.005
_PRUNE_PAUSE_BUSY_S = 0.05
"""Between two steps while others write as well: what is deleted makes the next checkpoint longer, for all of them."""


class SqliteStore:
    """A `Store` in one SQLite file. Made by `open`; all methods are for the loop it was opened in.

    Attributes:
        clock: the machine's.
    """

    renew_ahead_s = 5.0
    is_shared = False
    prune_step = 30
    """So few that nobody who waits for the same commit notices."""

    def __init__(
        self, path: Path, clock: Clock, on_commit: Callable[[float], None] | None, host: type[Host]
    ) -> None:
        self.clock = clock
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._writer = host(path, self._loop, self._take_over)
        self._writer.failed.add_done_callback(self._note_failure)
        self._on_commit = on_commit
        self._picture = BacklogIndex()
        self._doorbell = asyncio.Event()
        self._fault: str | None = None
        self._snapshot: Backlog | None = None
        self._calls = 0
        self._walks = Walks(self._read, self._write)
        self._ticking: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock | None = None,
        on_commit: Callable[[float], None] | None = None,
        in_process: bool = False,
    ) -> Self:
        """Open the file, or make it where there is none or an empty one.

        Args:
            path: the database file; its directory must exist.
            clock: what tells the time; by default the machine's own.
            on_commit: called in the loop after each commit with the seconds it took.
            in_process: use the file in a process of its own instead of a thread.

        Raises:
            StoreFailed: that process cannot be started.
            StoreUnusable: held by another process, damaged, newer, or not writable; the message says what
            to do.
        """
        store = cls(path, clock or Clock(), on_commit, ProcessHost if in_process else ThreadHost)
        store._picture = await store._writer.open()
        store._ticking = asyncio.create_task(store._tick())
        return store

    async def enqueue(
        self, batch: Sequence[Submission], *, now: float, limit: int, seats: SeatsTaken | None = None
    ) -> tuple[Receipt, ...]:
        """See `Store.enqueue`."""
        self._calls += 1
        operation = Enqueue(self._future(), batch, now=now, limit=limit, seats=seats)
        try:
            self._writer.submit(operation)
        except StoreUnavailable as error:
            operation.refuse(error)
        receipts: tuple[Receipt, ...] = await operation.future
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
        self._calls += 1
        waiting = cast("asyncio.Future[Any]", Callback(then))
        operation = Enqueue(waiting, batch, now=now, limit=limit, seats=seats)
        try:
            self._writer.submit(operation)
        except StoreUnavailable as error:
            self._loop.call_soon(operation.refuse, error)

    async def claim(self, wants: Sequence[ClaimRequest], *, now: float) -> Claimed:
        """See `Store.claim`."""
        if len({want.webhook for want in wants}) < len(wants):
            raise ValueError("two wants for one webhook")
        now_us = micros(now)
        earliest = self._picture.earliest
        likely = [want for want in wants if earliest.get(want.webhook, now_us + 1) <= now_us]
        if not likely:
            return Claimed()
        claimed: Claimed = await self._do(ClaimOperation(self._future(), likely, now=now))
        return claimed

    async def settle(self, lease: Lease, attempt: Attempt, settlement: Settlement, *, now: float) -> bool:
        """See `Store.settle`."""
        refuse_unfit(settlement)
        self._calls += 1
        held: bool = await self._do(Settle(self._future(), lease, attempt, settlement, now=micros(now)))
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
        refuse_unfit(settlement)
        self._calls += 1
        waiting = cast("asyncio.Future[Any]", Callback(then))
        self._writer.submit(Settle(waiting, lease, attempt, settlement, now=micros(now)))

    async def renew(self, leases: Sequence[Lease]) -> Collection[str]:
        """See `Store.renew`."""
        rows = [(seq_of(lease.token), lease.attempt, micros(lease.expires_at)) for lease in leases]
        held = await self._write(partial(due_times.renew, leases=rows))
        return frozenset(lease.delivery_id for lease in leases if seq_of(lease.token) not in held)

    async def release(self, leases: Sequence[Lease], *, why: str) -> None:
        """See `Store.release`."""
        rows = [(seq_of(lease.token), lease.attempt) for lease in leases]
        await self._write(partial(due_times.release, leases=rows, why=why))

    async def make_due(self, webhook: str, *, now: float) -> bool:
        """See `Store.make_due`."""
        return await self._write(partial(due_times.make_due, webhook=webhook, now=micros(now)))

    async def clock_stepped(self, *, by_s: float, now: float) -> None:
        """See `Store.clock_stepped`."""
        if by_s <= 0:
            await self._write(partial(due_times.set_clock, now=micros(now)))
            return
        after: int | None = 0
        while after is not None:
            step = partial(due_times.set_back_step, by=micros(by_s), now=micros(now), after=after)
            after = await self._write(step)

    async def clock_seen(self) -> float | None:
        """See `Store.clock_seen`."""
        return optional_seconds(await self._read(due_times.clock_seen))

    async def _tick(self) -> None:
        """Ring the doorbell now and then; while anything waits, remember what the clock shows, which it is due by."""
        noted_at = self._loop.time()
        while True:
            await asyncio.sleep(REFRESH_S)
            self._doorbell.set()
            self._writer.check()
            if self._picture.total and self._loop.time() - noted_at >= NOTE_S:
                noted_at = self._loop.time()
                with suppress(StoreUnavailable):
                    await self._write(partial(due_times.note_clock, now=micros(self.clock.now())))

    async def backlog(self) -> Backlog:
        """See `Store.backlog`."""
        if self._snapshot is None:
            picture = self._picture
            self._snapshot = Backlog(
                earliest_due={webhook: seconds(due_at) for webhook, due_at in picture.earliest.items()},
                holds=picture.holds,
                paused=picture.paused,
                pending=picture.total,
                fault=self._fault,
            )
        return self._snapshot

    async def wait_for_work(self) -> Backlog:
        """See `Store.wait_for_work`."""
        await self._doorbell.wait()
        self._doorbell.clear()
        return await self.backlog()

    async def pause(self, webhook: str, *, now: float) -> None:
        """See `Store.pause`."""
        await self._write(partial(manual_operations.pause, webhook=webhook, now=micros(now)))

    async def resume(self, webhook: str) -> bool:
        """See `Store.resume`."""
        return await self._write(partial(manual_operations.resume, webhook=webhook))

    async def lift_hold(self, webhook: str, *, now: float) -> bool:
        """See `Store.lift_hold`."""
        return await self._write(partial(manual_operations.lift_hold, webhook=webhook, now=micros(now)))

    async def one_shot_marks(self) -> tuple[SpentMark, ...]:
        """See `Store.one_shot_marks`."""
        return await self._read(queries.one_shot_marks)

    async def last_died(self) -> float | None:
        """See `Store.last_died`."""
        return await self._read(queries.last_died)

    async def unreported_dead_letters(
        self, *, before: float, within_s: float, limit: int
    ) -> UnreportedDeadLetters:
        """See `Store.unreported_dead_letters`."""
        return await self._read(
            partial(
                dead_letter_reports.unreported, before=micros(before), within=micros(within_s), limit=limit
            )
        )

    async def reset_one_shot(self, task: str, digest: str) -> bool:
        """See `Store.reset_one_shot`."""
        return await self._write(partial(manual_operations.reset_one_shot, task=task, digest=digest))

    async def watch_schedules(
        self, keys: Collection[str], *, generation: str, since: float, now: float
    ) -> Mapping[str, float]:
        """See `Store.watch_schedules`."""
        watch = partial(
            schedule_cursors.watch_schedules,
            keys=tuple(keys),
            generation=generation,
            since=micros(since),
            now=micros(now),
        )
        return {key: seconds(until) for key, until in (await self._write(watch)).items()}

    async def note_alive(self, *, generation: str, now: float) -> None:
        """See `Store.note_alive`."""
        await self._write(partial(schedule_cursors.note_alive, generation=generation, now=micros(now)))

    async def retry(self, delivery_id: str, *, now: float) -> State | None:
        """See `Store.retry`."""
        return await self._write(partial(manual_operations.retry, delivery_id=delivery_id, now=micros(now)))

    async def cancel(self, delivery_id: str, *, now: float) -> State | None:
        """See `Store.cancel`."""
        return await self._write(partial(manual_operations.cancel, delivery_id=delivery_id, now=micros(now)))

    async def retry_matching(
        self, where: DeliveryFilter, *, now: float, dry_run: bool, cursor: str | None = None
    ) -> RetriedPart:
        """See `Store.retry_matching`; raises ValueError for deliveries whose attempt is under way."""
        if where.state is State.SENDING:
            raise ValueError(
                "what is being sent cannot be retried: choose pending, delivered, dead or cancelled"
            )
        # A task of its own: its waiter may be cancelled between two steps.
        steps = self._loop.create_task(self._walks.retry(where, micros(now), key_of(cursor), dry_run=dry_run))
        return await asyncio.shield(steps)

    async def delivery(self, delivery_id: str) -> DeliveryRecord | None:
        """See `Store.delivery`."""
        return await self._read(partial(queries.delivery, delivery_id=delivery_id))

    async def deliveries(
        self, where: DeliveryFilter, *, limit: int, cursor: str | None = None
    ) -> Page[DeliveryRecord]:
        """See `Store.deliveries`."""
        return await self._walks.deliveries(where, key_of(cursor), limit)

    async def event(self, event_id: str) -> EventRecord | None:
        """See `Store.event`."""
        return await self._read(partial(queries.event, event_id=event_id))

    async def events(self, *, limit: int, cursor: str | None = None) -> Page[EventRecord]:
        """See `Store.events`."""
        return await self._walks.events(key_of(cursor), limit)

    async def ids(self, beginning: str, *, limit: int) -> Sequence[str]:
        """See `Store.ids`."""
        return await self._read(partial(queries.ids, beginning=beginning, limit=limit))

    async def lanes(self, of: Collection[str] | None = None) -> Mapping[str, LaneStats]:
        """See `Store.lanes`."""
        oldest: dict[str, int | None] = {}
        for webhooks in _chunks(self._waiting(of), _LANES_STEP):
            oldest.update(await self._read(partial(queries.oldest, webhooks=webhooks)))
        picture = self._picture
        return {
            name: LaneStats(
                picture.unfinished[name], picture.sending.get(name, 0), optional_seconds(oldest.get(name))
            )
            for name in self._waiting(of)
        }

    def _waiting(self, of: Collection[str] | None) -> list[str]:
        """The webhooks, of these or of all, for which something waits."""
        unfinished = self._picture.unfinished
        return list(unfinished) if of is None else [name for name in of if name in unfinished]

    async def totals(self) -> Mapping[State, int]:
        """See `Store.totals`."""
        await self.flush()
        return self._picture.totals()

    async def flush(self) -> None:
        """See `Store.flush`."""
        await self._do(Echo(self._future()))

    async def heartbeat(self) -> None:
        """See `Store.heartbeat`: the thread or process that uses the file answers."""
        await self._do(Echo(self._future()))

    async def until_failed(self) -> StoreFailed:
        """See `Store.until_failed`."""
        return await asyncio.shield(self._writer.failed)

    async def probe(self) -> None:
        """See `Store.probe`."""
        await self._do(Probe(self._future()))

    async def prune(self, *, delivered_before: float, dead_before: float, limit: int) -> int:
        """See `Store.prune`."""
        gone: int = await self._do(
            Prune(
                self._future(),
                delivered_before=micros(delivered_before),
                dead_before=micros(dead_before),
                limit=limit,
            )
        )
        while gone and await self._do(Vacuum(self._future(), pages=_VACUUM_STEP)):
            await self._make_way()
        await self._make_way()
        return gone

    async def _make_way(self) -> None:
        """Pause between two steps of what nobody waits for."""
        calls, self._calls = self._calls, 0
        await asyncio.sleep(_PRUNE_PAUSE_BUSY_S if calls else _PRUNE_PAUSE_S)

    async def describe(self) -> StoreDescription:
        """See `Store.describe`."""
        try:
            size_bytes = self._path.stat().st_size
        except OSError:
            size_bytes = None
        return StoreDescription(
            "sqlite", str(self._path), size_bytes, self._picture.cut_off, self._writer.pid
        )

    async def close(self) -> None:
        """See `Store.close`; remembers what the clock shows: what waits is due by it."""
        if self._ticking is None:
            await self._writer.close()
            return
        self._ticking.cancel()
        self._ticking = None
        last = Write(self._future(), partial(due_times.note_clock, now=micros(self.clock.now())))
        with suppress(StoreUnavailable):
            self._writer.submit(last)
            await self._writer.close()
            await last.future
        await self._writer.close()

    def _future(self) -> asyncio.Future[Any]:
        return self._loop.create_future()

    async def _do(self, operation: Operation) -> Any:
        self._writer.submit(operation)
        return await operation.future

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        result: T = await self._do(Read(self._future(), query))
        return result

    async def _write(self, work: Callable[[sqlite3.Connection, BacklogDelta], T]) -> T:
        result: T = await self._do(Write(self._future(), work))
        return result

    def _note_failure(self, failed: asyncio.Future[StoreFailed]) -> None:
        if not failed.cancelled():
            self._fault, self._snapshot = str(failed.result()), None
            self._doorbell.set()

    def _take_over(self, report: BatchResult) -> None:
        """Bring the picture up to the commit, ring, and let the callers go on: in this order."""
        rings = report.picture is not None
        self._snapshot = None
        if report.picture is not None:
            self._picture = report.picture
        for change in report.changes:
            rings |= self._picture.apply(change)
        if report.wrote:
            rings |= (self._fault is None) != (report.fault is None)
            self._fault = report.fault
        if rings:
            self._doorbell.set()
        for operation in report.done:
            operation.resolve()
        if report.commit_s is not None and self._on_commit is not None:
            self._on_commit(report.commit_s)


def _chunks(values: list[str], size: int) -> list[list[str]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
