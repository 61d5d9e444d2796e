"""What people and the daemon's other parts change: retry, cancel, pause, schedules, leases that end later; one by one.

Each of them may as well be done twice, so a call in doubt is made again and answered by what is there then.

Must never: touch a delivery whose attempt is under way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from hookd.domain.deliveries import Lease, State
from hookd.domain.errors import StoreUnavailable
from hookd.domain.history import DeliveryFilter, RetriedPart
from hookd.store.paging import cursor_of
from hookd.store.postgres.batcher import BatchedCall, Batcher
from hookd.store.postgres.history_reads import STEP, STEPS, HistoryReads
from hookd.store.postgres.leasing import fence_of, seq_of
from hookd.store.postgres.link import Link, Row
from hookd.store.postgres.session import Session
from hookd.store.postgres.statements import Statements
from hookd.store.stored_values import STATES, micros, seconds

T = TypeVar("T")

SET_BACK_STEP = 5_000


class Task(BatchedCall):
    """Something to be done in its turn; resolves to what it returns."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self.work = work


async def run_tasks(session: Session, tasks: Sequence[Task]) -> None:
    """Do them one after the other, and answer each."""
    for task in tasks:
        try:
            task.resolve(await task.work())
        except StoreUnavailable as error:
            session.failed(error)
            task.refuse(error)
        except ValueError as error:
            task.refuse(error)


class ByHand:
    """Changes on one connection, in the order in which they are asked for.

    Args:
        link: the connection.
        statements: of the schema.
        session: shared by the store's parts.
        tasks: where they take their turn.
        history: for what is changed by filter.
    """

    def __init__(
        self,
        link: Link,
        statements: Statements,
        session: Session,
        tasks: Batcher[Task],
        history: HistoryReads,
    ) -> None:
        self._link = link
        self._sql = statements
        self._session = session
        self._tasks = tasks
        self._history = history

    async def _do(self, work: Callable[[], Awaitable[T]]) -> T:
        result: T = await self._tasks.submit(Task(work)).future
        return result

    async def _change(self, sql: str, *args: object) -> list[Row]:
        return await self._session.certain(self._link, partial(self._link.call, sql, *args))

    async def _answer(self, sql: str, *args: object) -> Any:
        return (await self._change(sql, *args))[0][0]

    async def renew(self, leases: Sequence[Lease]) -> Collection[str]:
        """The deliveries whose leases were lost; the others end later."""

        async def work() -> frozenset[str]:
            ends = [micros(lease.expires_at) for lease in leases]
            held = set(await self._answer(self._sql.renew, *_fences(leases), ends))
            return frozenset(lease.delivery_id for lease in leases if seq_of(lease.token) not in held)

        return await self._do(work)

    async def release(self, leases: Sequence[Lease], why: str) -> None:
        """Give back deliveries that were claimed and not sent."""

        async def work() -> None:
            ordered = sorted(leases, key=lambda lease: lease.token)
            held = set(await self._answer(self._sql.release, *_fences(ordered), why))
            due = [
                self._session.picture.due(lease.webhook, micros(lease.started_at))
                for lease in ordered
                if seq_of(lease.token) in held
            ]
            self._ring(any(due))

        await self._do(work)

    async def make_due(self, webhook: str, now: float) -> bool:
        """Make the pending delivery of a webhook that is due first due now."""

        async def work() -> bool:
            was_later: bool = await self._answer(self._sql.make_due, webhook, micros(now))
            if was_later:
                self._ring(self._session.picture.due(webhook, micros(now)))
            return was_later

        return await self._do(work)

    async def pause(self, webhook: str, now: float) -> None:
        """Park a webhook."""

        async def work() -> None:
            if await self._answer(self._sql.pause, webhook, micros(now)):
                self._session.picture.pause(webhook, micros(now))
                self._ring(True)

        await self._do(work)

    async def resume(self, webhook: str) -> bool:
        """End a pause; returns whether there was one."""

        async def work() -> bool:
            was_paused: bool = await self._answer(self._sql.resume, webhook)
            if was_paused:
                self._session.picture.pause(webhook, None)
                self._ring(True)
            return was_paused

        return await self._do(work)

    async def lift_hold(self, webhook: str, now: float) -> bool:
        """End a hold; returns whether there was one."""

        async def work() -> bool:
            was_held: bool = await self._answer(self._sql.lift_hold, webhook, micros(now))
            if was_held:
                self._session.picture.lift_hold(webhook, micros(now))
                self._ring(True)
            return was_held

        return await self._do(work)

    async def reset_one_shot(self, task: str, digest: str) -> bool:
        """Forget that a definition of a task has run; returns whether it had."""
        was_spent: bool = await self._do(partial(self._answer, self._sql.reset_one_shot, task, digest))
        return was_spent

    async def watch_schedules(
        self, keys: Collection[str], *, generation: str, since: float, now: float
    ) -> Mapping[str, float]:
        """Watch schedules; returns up to when each is dealt with."""
        watched = list(dict.fromkeys(keys))
        node = self._session.node
        rows = await self._do(
            partial(self._change, self._sql.watch, node, watched, generation, micros(since), micros(now))
        )
        return {key: seconds(until) for key, until in rows}

    async def note_alive(self, generation: str, now: float) -> None:
        """Note that the moments up to now of what a generation watches are dealt with."""
        await self._do(partial(self._change, self._sql.note_alive, generation, micros(now)))

    async def retry(self, delivery_id: str, now: float) -> State | None:
        """Make a delivery due at once; returns the state it was in."""

        async def work() -> State | None:
            keys = [row[0] for row in await self._change(self._sql.key_of, delivery_id)]
            rows = await self._retry(keys, [None] * len(keys), now)
            return STATES[rows[0][1]] if rows else None

        return await self._do(work)

    async def cancel(self, delivery_id: str, now: float) -> State | None:
        """End a pending delivery; returns the state it was in."""

        async def work() -> State | None:
            rows = await self._change(self._sql.cancel, self._session.node, delivery_id, micros(now))
            if not rows:
                return None
            state, webhook = STATES[rows[0][0]], rows[0][1]
            if state is State.PENDING:
                self._session.picture.count(webhook, -1)
            return state

        return await self._do(work)

    async def _retry(self, keys: Sequence[int], states: Sequence[int | None], now: float) -> list[Row]:
        """Make deliveries due that are in the states that are expected; see `retry_v1`."""
        if not keys:
            return []
        order = sorted(range(len(keys)), key=lambda index: keys[index])
        ordered = [keys[index] for index in order], [states[index] for index in order]
        rows = await self._change(self._sql.retry, self._session.node, *ordered, micros(now))
        rings = False
        for _, state, webhook, done in rows:
            if done:
                if STATES[state] is not State.PENDING:
                    self._session.picture.count(webhook, 1)
                rings |= self._session.picture.due(webhook, micros(now))
        self._ring(rings)
        return rows

    async def retry_matching(
        self, where: DeliveryFilter, now: float, before: int | None, *, dry_run: bool
    ) -> RetriedPart:
        """Make matching deliveries below a key due, or count them; goes on when nobody waits any more."""
        steps = asyncio.get_running_loop().create_task(self._walk(where, now, before, dry_run=dry_run))
        return await asyncio.shield(steps)

    async def _walk(
        self, where: DeliveryFilter, now: float, before: int | None, *, dry_run: bool
    ) -> RetriedPart:
        matched = retried = 0
        for _ in range(STEPS):
            if before is None:
                break
            step = await self._history.step(where, before, STEP)
            matched, before = matched + len(step.rows), step.before
            if not dry_run:
                keys = [seq for seq, _ in step.rows]
                states = [STATES.index(record.state) for _, record in step.rows]
                rows = await self._do(partial(self._retry, keys, states, now))
                retried += sum(row[3] for row in rows)
        return RetriedPart(matched, retried, cursor_of(before))

    def _ring(self, rings: bool) -> None:
        if rings:
            self._session.doorbell.set()


def _fences(leases: Sequence[Lease]) -> tuple[list[int], list[int], list[int]]:
    """The leases as the server's functions take them: keys, tokens and numbers."""
    return (
        [seq_of(lease.token) for lease in leases],
        [fence_of(lease.token) for lease in leases],
        [lease.attempt for lease in leases],
    )
