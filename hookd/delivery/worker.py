"""The loop that empties the queue: plan, claim, attempt, decide, record; one lane per webhook.

It carries values from one step to the next and decides nothing itself: what to claim is `dispatch`'s, retries are
`retry_policy`'s, the order of deliveries is the store's. Between two steps it lets `clock_steps` follow the clock and
renew the leases of attempts that are still under way.

Must never: open a connection before its claim is durable, call a receiver that is parked, or drop a result that is not
recorded yet.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from math import inf

from hookd.config.generation import CurrentConfig
from hookd.delivery import dispatch, retry_policy
from hookd.delivery.clock_steps import ClockCompensator, DeliveryStore
from hookd.delivery.dispatch import DispatchPlan, LocalLack
from hookd.delivery.http import Sender
from hookd.delivery.lane import BegunAttempt, Lane, Lanes, LaneState
from hookd.delivery.leases import Leases
from hookd.delivery.outcome_log import OutcomeLog, attempt_record
from hookd.delivery.parking import ParkedLanes
from hookd.delivery.recording import STORE_RETRY_S, ResultRecorder
from hookd.delivery.store_outage import StoreOutage
from hookd.delivery.under_way import AttemptsUnderWay
from hookd.domain.backlog import Backlog
from hookd.domain.clock import ClockStepDetector
from hookd.domain.definitions import Config, WebhookDef
from hookd.domain.deliveries import GenerationRef, Lease, Outcome, Reason, Settlement, State
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
        self._sender = sender
        self._current_config = current_config
        self._clock = store.clock
        self._lanes = Lanes()
        self._parked = ParkedLanes()
        self._lack = dispatch.NO_LACK
        self._turns = count(1)
        self._under_way = AttemptsUnderWay(Leases(store.renew_ahead_s))
        self._compensator = ClockCompensator(store, clock_steps, self._lanes, self._under_way)
        target = current_config.generation.config.daemon.store.target
        self._outage = StoreOutage(store.clock, metrics, emit, target)
        self._log = OutcomeLog(metrics, emit)
        self._wake = asyncio.Event()
        self._recorder = ResultRecorder(store, self._outage, self._compensator, on_recorded=self._wake.set)
        self._stopping = False
        self._ended = asyncio.Event()
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
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._ended.wait()
                await self._under_way.all_ended()
        return await self._under_way.interrupt(STORE_RETRY_S)

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
                    await self._claim(plan, now, mono)
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
        return dispatch.plan(
            now,
            mono,
            backlog,
            self._lanes,
            config,
            parked=self._parked.by_operator,
            lack=self._lack,
            turn=next(self._turns),
        )

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
            await self._store.release(claimed.leases, why="hookd stopped before the request was made")
            return
        for lease in claimed.leases:
            lane = self._lanes.of(lease.webhook)
            webhook = generation.config.webhooks.get(lease.webhook)
            probes = lease.webhook in plan.probing
            attempt = self._lanes.begin(lane, webhook, mono=mono, may_probe=probes)
            self._under_way.begin(lease, self._deliver(lease, lane, attempt))

    async def _deliver(self, lease: Lease, lane: Lane, attempt: BegunAttempt) -> None:
        generation = self._current_config.generation
        webhook = generation.config.webhooks.get(lease.webhook)
        try:
            outcome = await self._attempt(lease, lane, webhook, attempt)
            if self._under_way.has_lost(lease):
                self._lanes.probe_ended(lane, attempt, mono=self._clock.monotonic())
                self._log.lease_lost()
                return
            now = await self._now_compensated()
            settlement = self._decide(lease, lane, outcome, attempt, webhook=webhook, now=now)
            await self._record(lease, outcome, settlement, generation.ref, now)
        except Exception as exc:  # noqa: BLE001  an attempt without a record would be made again at each lease's end
            self._lanes.probe_ended(lane, attempt, mono=self._clock.monotonic())
            await self._record_failure(lease, exc, generation.ref)
        finally:
            lane.lacks_probe = False
            self._under_way.end(lease)

    async def _record(
        self, lease: Lease, outcome: Outcome, settlement: Settlement, generation: GenerationRef, now: float
    ) -> None:
        attempt = attempt_record(lease, outcome, generation)
        if await self._recorder.record(lease, attempt, settlement, now=now):
            self._log.attempt_recorded(lease, outcome, settlement, now=now)
        else:
            self._log.lease_lost()

    async def _record_failure(self, lease: Lease, exc: Exception, generation: GenerationRef) -> None:
        """Record an attempt of which nothing is known but that hookd failed at it, with nothing of what it held."""
        outcome, now = self._log.attempt_broke(lease, exc), self._clock.now()
        settlement = Settlement(State.PENDING, counted=False, due_at=now + retry_policy.UNFORESEEN_PAUSE_S)
        try:
            await self._record(lease, outcome, settlement, generation, now)
        except Exception as again:  # noqa: BLE001  its lease ends by itself; the log line is all that can be had
            self._log.attempt_broke(lease, again)

    async def _attempt(
        self, lease: Lease, lane: Lane, webhook: WebhookDef | None, attempt: BegunAttempt
    ) -> Outcome:
        """Make the attempt, or say why it was not made; the lane's slot is free afterwards."""
        try:
            if webhook is None:
                return _not_made("the webhook left the configuration")
            if lane.is_down() and not attempt.is_probe:  # since it was planned
                return _not_made("the webhook was parked")
            return await self._send(lease, webhook)
        finally:
            self._lanes.end(lane, attempt)
            self._wake.set()

    async def _send(self, lease: Lease, webhook: WebhookDef) -> Outcome:
        ended: asyncio.Future[Outcome | Exception] = asyncio.get_running_loop().create_future()
        attempt = self._sender.begin(
            webhook,
            delivery_id=lease.delivery_id,
            body=lease.body,
            now=self._clock.now(),
            trace=lease.trace,
            done=ended.set_result,
        )
        try:
            outcome = await ended
        except asyncio.CancelledError:
            attempt.cancel()
            _absorb_cancellation()
            return Outcome(Reason.INTERRUPTED, error="hookd stopped before the answer came")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _now_compensated(self) -> float:
        """What the wall clock shows; where it was set, that is followed before anything is reckoned by it."""
        if self._compensator.is_pending():
            with suppress(StoreUnavailable):
                await self._compensator.compensate()
        return self._clock.now()

    def _decide(
        self,
        lease: Lease,
        lane: Lane,
        outcome: Outcome,
        attempt: BegunAttempt,
        *,
        webhook: WebhookDef | None,
        now: float,
    ) -> Settlement:
        """What becomes of the delivery; what follows for its lane, and for all of them, is noted."""
        mono = self._clock.monotonic()
        self._lack = LocalLack.shown_by(outcome, mono)
        rate_limited = self._lanes.record(lane, outcome, attempt, now=now, mono=mono)
        if webhook is None:
            return Settlement(State.PENDING, counted=False, due_at=now)
        settlement = retry_policy.decide(
            outcome,
            webhook=webhook,
            failures=lease.failures,
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads retries, guards nothing
            probe=attempt.is_probe,
            rate_limited=rate_limited,
        )
        if settlement.hold_until is not None:
            self._lanes.hold(lane, settlement.hold_until)
        return settlement


def _not_made(why: str) -> Outcome:
    return Outcome(Reason.INTERRUPTED, error=f"{why} before the request was made")


def _absorb_cancellation() -> None:
    """Take note of the cancellation (only `drain` cancels an attempt) so that the result can still be recorded."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
