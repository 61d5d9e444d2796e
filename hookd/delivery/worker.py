"""The loop that empties the queue: plan, claim, begin; one lane per webhook.

It carries values from one step to the next and decides nothing itself: what to claim is `dispatch`'s, the order of
deliveries is the store's, and what becomes of what is claimed is up to `attempt_runs`. Between two steps it lets
`clock_steps` follow the clock and renew the leases of attempts that are still under way.

Must never: open a connection before its claim is durable, call a receiver that is parked, or drop a result that is not
recorded yet.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from math import inf

from hookd.config.generation import CurrentConfig
from hookd.delivery import dispatch
from hookd.delivery.attempt_runs import Attempts
from hookd.delivery.clock_steps import ClockCompensator, DeliveryStore
from hookd.delivery.dispatch import DispatchPlan
from hookd.delivery.http import Sender
from hookd.delivery.lane import Lanes, LaneState
from hookd.delivery.leases import Leases
from hookd.delivery.outcome_log import OutcomeLog
from hookd.delivery.parking import ParkedLanes
from hookd.delivery.recording import STORE_RETRY_S, ResultRecorder
from hookd.delivery.seating import STOPPED, LaneSeating
from hookd.delivery.store_outage import StoreOutage
from hookd.delivery.under_way import AttemptsUnderWay
from hookd.domain.backlog import Backlog
from hookd.domain.clock import ClockStepDetector
from hookd.domain.definitions import Config
from hookd.domain.errors import StoreUnavailable
from hookd.domain.operator_events import Emit, discard
from hookd.observability.metrics import Metrics


class Worker:
    """Delivers what is due. One instance for a daemon."""

    def __init__(
        self,
        store: DeliveryStore,
        sender: Sender,
        current_config: CurrentConfig,
        metrics: Metrics,
        *,
        clock_steps: ClockStepDetector,
        emit: Emit = discard,
    ) -> None:
        self._store = store
        self._current_config = current_config
        self._clock = store.clock
        self._lanes = Lanes()
        self._parked = ParkedLanes()
        self._turns = count(1)
        self._under_way = AttemptsUnderWay(Leases(store.renew_ahead_s))
        self._compensator = ClockCompensator(store, clock_steps, self._lanes, self._under_way)
        target = current_config.generation.config.daemon.store.target
        self._outage = StoreOutage(store.clock, metrics, emit, target)
        self._log = OutcomeLog(metrics, emit)
        self._wake = asyncio.Event()
        self._recorder = ResultRecorder(store, self._outage, self._compensator, on_recorded=self._wake.set)
        self._attempts = Attempts(
            sender,
            current_config,
            store.clock,
            lanes=self._lanes,
            under_way=self._under_way,
            compensator=self._compensator,
            recorder=self._recorder,
            log=self._log,
            on_ended=self._wake.set,
            may_lose_leases=store.is_shared,
        )
        self._stopping = False
        self._ended = asyncio.Event()
        self.seating = LaneSeating(
            store,
            self._lanes,
            current_config,
            may_seat=self._may_seat,
            instant=self._compensator.instant,
            begin=self._attempts.begin,
            wake=self._wake.set,
        )
        current_config.on_swap(self._wake.set)
        clock_steps.on_step(lambda _: self._wake.set())

    async def run(self) -> None:
        """Claim and start attempts until `drain`."""
        now = self._clock.now()
        for webhook, until in (await self._store.backlog()).holds.items():
            if until > now:
                self._lanes.hold(self._lanes.of(webhook), until)
        doorbell = asyncio.create_task(self._listen())
        try:
            while not self._stopping:
                await self._step()
        finally:
            doorbell.cancel()
            self._ended.set()

    async def drain(self, grace_s: float) -> int:
        """Stop claiming; give attempts under way `grace_s` seconds, then interrupt the rest.

        Returns:
            How many attempts were interrupted; they are due again at once and not counted.
        """
        self._stopping = True
        self.seating.stop()
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._ended.wait()
                await self._under_way.all_ended()
        self._recorder.give_up()
        interrupted = await self._under_way.interrupt(STORE_RETRY_S)
        self._recorder.give_up()
        return interrupted

    def lane_names(self) -> Iterator[str]:
        """The webhooks that are configured, and those whose lane has been used and is still known."""
        webhooks = self._current_config.generation.config.webhooks
        yield from webhooks
        yield from (name for name in self._lanes if name not in webhooks)

    def lane_state(self, name: str, *, paused: bool) -> LaneState:
        """A webhook's lane as it is now, whether or not there is such a webhook; `paused`: by hand."""
        webhook = self._current_config.generation.config.webhooks.get(name)
        return self._lanes.state(
            name, webhook, paused=paused, now=self._clock.now(), mono=self._clock.monotonic()
        )

    def try_again(self, name: str, *, probe: bool) -> None:
        """Take note that a webhook's hold was lifted by hand; `probe`: one whose receiver is down is probed at once."""
        lane = self._lanes.of(name)
        lane.lift_hold()
        if probe:
            lane.breaker.allow_probe_now()
        self._wake.set()

    async def _listen(self) -> None:
        while True:
            await self._store.wait_for_work()
            self._wake.set()

    async def _step(self) -> None:
        self._wake.clear()
        try:
            await self._await_store()
            async with self._compensator.compensated() as now:  # what is renewed by it is not claimed by it
                mono = self._clock.monotonic()
                plan = await self._plan(now, mono)
                if plan.requests:
                    try:
                        await self._claim(plan, now, mono)
                    finally:
                        self.seating.claimed()
            if not plan.requests:
                await self._sleep(plan.sleep_s)
        except StoreUnavailable as exc:
            self._outage.began(exc)
            await asyncio.sleep(STORE_RETRY_S)  # whatever wakes it: where only some writes fail, each would

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _await_store(self) -> None:
        """Ask a store that refused anything, whatever was asked, until it writes again; claims wait meanwhile."""
        if (fault := (await self._store.backlog()).fault) is not None:
            self._outage.began(StoreUnavailable(fault))
        if self._outage.is_on:
            await self._store.probe()
            self._outage.ended()

    async def _plan(self, now: float, mono: float) -> DispatchPlan:
        if self._recorder.waiting:
            return DispatchPlan((), STORE_RETRY_S)
        backlog, config = await self._store.backlog(), self._current_config.generation.config
        self._lanes.forget_unused(config, backlog.earliest_due.keys(), now)
        self._note_parked(backlog, config)
        await self._follow_corrections(backlog, config, now)
        backlog = await self._make_probes_due(backlog, now, mono)
        plan = dispatch.plan(
            now,
            mono,
            backlog,
            self._lanes,
            config,
            parked=self._parked.by_operator,
            lack=self._attempts.lack,
            turn=next(self._turns),
        )
        self.seating.planned(backlog, plan, self._parked.by_operator)
        return plan

    def _may_seat(self) -> tuple[float, float] | None:
        """What the clocks show, unless something concerns all lanes and makes them wait for a plan."""
        if self._recorder.waiting or self._outage.is_on or self._attempts.lack is not dispatch.NO_LACK:
            return None
        return self._compensator.instant()

    def _note_parked(self, backlog: Backlog, config: Config) -> None:
        change = self._parked.update(
            backlog.earliest_due.keys(),
            webhooks=config.webhooks,
            paused=backlog.paused,
            down=self._lanes.down,
        )
        self._log.parking_changed(change)

    async def _follow_corrections(self, backlog: Backlog, config: Config, now: float) -> None:
        """Lift the holds of webhooks that were corrected: what the receiver asked for was asked of another request."""
        names = backlog.earliest_due.keys() - self._parked.by_operator
        for lane in self._lanes.follow(config.webhooks, names, now):
            await self._store.lift_hold(lane.webhook, now=now)
            lane.lift_hold()
            self._log.hold_lifted(lane.webhook)

    async def _make_probes_due(self, backlog: Backlog, now: float, mono: float) -> Backlog:
        """Make something due for each probe that may go out now; all at once, as many may have opened together."""
        if not self._lanes.down:
            return backlog
        parked = self._parked.by_operator
        names = dispatch.webhooks_to_probe(now, mono, backlog, self._lanes, parked=parked)
        if not names:
            return backlog
        made_due = await asyncio.gather(*(self._store.make_due(name, now=now) for name in names))
        sooner = {}
        for name, done in zip(names, made_due, strict=True):
            self._lanes.of(name).lacks_probe = not done
            if done:
                sooner[name] = now
        return replace(backlog, earliest_due={**backlog.earliest_due, **sooner})

    async def _claim(self, plan: DispatchPlan, now: float, mono: float) -> None:
        generation = self._current_config.generation
        claimed = await self._store.claim(plan.requests, now=now)
        for name, until in claimed.waits.items():
            if until < inf:  # what is paused, the next snapshot tells
                self._lanes.hold(self._lanes.of(name), until)
        if self._stopping:
            await self._store.release(claimed.leases, why=STOPPED)
            return
        for lease in claimed.leases:
            lane = self._lanes.of(lease.webhook)
            webhook = generation.config.webhooks.get(lease.webhook)
            probes = lease.webhook in plan.probing
            attempt = self._lanes.begin(lane, webhook, mono=mono, may_probe=probes)
            self._attempts.begin(lease, lane, attempt)
