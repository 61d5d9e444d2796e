"""A worker at work over a real store and sender, with a clock that a test can set."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hookd import __version__
from hookd.config.generation import CurrentConfig, Generation
from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.http import Sender
from hookd.delivery.lane import LaneState
from hookd.delivery.worker import Worker
from hookd.domain.clock import Clock, ClockStepDetector
from hookd.domain.definitions import Config, DaemonDef, Secret, SqliteDef, WebhookDef
from hookd.domain.deliveries import State
from hookd.domain.history import DeliveryRecord
from hookd.domain.operator_events import OperatorEvent
from hookd.observability.metrics import Metrics
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import record, to
from tests.kit.waiting import until


class AheadClock(Clock):
    """The machine's clock, some seconds ahead."""

    ahead_s = 0.0
    mono_ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic() + self.mono_ahead_s


class WorkerStage:
    """A worker at work on one webhook `w`."""

    def __init__(
        self,
        store: SqliteStore,
        clock: AheadClock,
        url: str,
        *,
        others: Sequence[str] = (),
        last_seen_at: float | None = None,
        **fields: Any,
    ) -> None:
        self.store, self.clock = store, clock
        self._names = ("w", *others)
        self._fields = fields
        self._metrics = Metrics(__version__)
        self.current_config = CurrentConfig(self._generation(url))
        self.sender = Sender(clock)
        self.said: list[OperatorEvent] = []
        self.worker = Worker(
            store,
            self.sender,
            self.current_config,
            self._metrics,
            clock_steps=ClockStepDetector(now=clock.now(), mono=clock.monotonic(), last_seen_at=last_seen_at),
            emit=self.said.append,
        )
        self.ids: list[str] = []
        self.commits: list[float] = []

    def _generation(self, url: str) -> Generation:
        webhooks = {name: WebhookDef(name, Secret(url), **self._fields) for name in self._names}
        config = Config("c", "h", DaemonDef((), SqliteDef("s")), webhooks=webhooks)
        return Generation.of(config, number=1, now=self.clock.now())

    def configure(self, url: str) -> None:
        """Put another URL in force."""
        self.current_config.swap(self._generation(url))

    async def take_in(self, count: int) -> None:
        await self.take_in_for(["w"] * count)

    async def take_in_for(self, names: Sequence[str]) -> None:
        """Take in an event for each of these webhooks."""
        submissions = [to(name) for name in names]
        await self.store.enqueue(submissions, now=self.clock.now(), limit=1_000_000)
        self.ids += [submission.deliveries[0].id for submission in submissions]

    async def records(self) -> list[DeliveryRecord]:
        return [await record(self.store, delivery_id) for delivery_id in self.ids]

    def advance(self, seconds: float) -> None:
        """Let time go by, on both clocks."""
        self.clock.mono_ahead_s += seconds
        self.set_clock(seconds)

    def set_clock(self, by_s: float) -> None:
        """Set the wall clock forward or back, and wake the worker."""
        self.clock.ahead_s += by_s
        self.current_config.swap(self.current_config.generation)

    async def settled(self, state: State, count: int) -> None:
        """Return when so many deliveries are in that state."""

        async def reached() -> bool:
            return (await self.store.totals())[state] == count

        await self.until(reached)

    @property
    def lane(self) -> LaneState:
        return self.lane_of("w")

    def lane_of(self, name: str) -> LaneState:
        return self.worker.lane_state(name, paused=False)

    def attempts(self, name: str) -> int:
        """How many attempts have ended."""
        return sum(self._metrics.lane(name).attempts.values())

    @property
    def leases_lost(self) -> float:
        return self._metrics.leases_lost.value

    async def until(self, condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
        await until(condition, every_s=0.005)

    async def opened(self) -> None:
        await self.until(lambda: self.lane.breaker is BreakerState.OPEN and not self.lane.in_flight)


@asynccontextmanager
async def at_work(
    directory: Path, url: str, *, clock: AheadClock | None = None, **fields: Any
) -> AsyncIterator[WorkerStage]:
    """A stage whose worker runs; `fields` are the webhook's, `others` names of more webhooks like it."""
    commits: list[float] = []
    clock = clock or AheadClock()
    store = await SqliteStore.open(directory / "h.db", clock=clock, on_commit=commits.append)
    stage = WorkerStage(store, clock, url, last_seen_at=await store.clock_seen(), **fields)
    stage.commits = commits
    await stage.sender.open()
    working = asyncio.create_task(stage.worker.run())
    try:
        yield stage
    finally:
        await stage.worker.drain(1.0)
        await working
        await stage.sender.close()
        await store.close()
