"""The loop that empties the queue: claim, send, decide, settle; one lane per webhook.

It carries values from one step to the next and decides nothing itself: seats are `lane`'s, retries
`retry_policy`'s, the order of deliveries the store's. Between two steps it lets `clock_steps` follow the clock and
renew the leases of attempts that are still under way.

Must never: open a connection before its claim is durable, call a receiver that is parked, or drop a result that is not
recorded yet.
"""

import asyncio
import random
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from math import inf

from hookd.config.generation import CurrentConfig
from hookd.delivery import outcome_log, retry_policy
from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.clock_steps import WallTime
from hookd.delivery.dispatch import DispatchPlan
from hookd.delivery.http import Sender
from hookd.delivery.lane import Lane, LaneState, LastResult, ParkedLanes, parked
from hookd.delivery.leases import Leases
from hookd.delivery.store_outage import StoreOutage
from hookd.domain.clock import Clock
from hookd.domain.definitions import Config, WebhookDef
from hookd.domain.deliveries import Attempt, ClaimRequest, Lease, Outcome, Reason, Settlement, State
from hookd.domain.errors import StoreUnavailable
from hookd.domain.operator_events import Emit, WebhookParked, WebhookResumed, discard
from hookd.observability import log
from hookd.observability.metrics import Metrics
from hookd.store.contract import Store

LEASE_MARGIN_S = 15.0
"""A lease outlives its attempt's timeout by this much (spec 14)."""

LONGEST_NAP_S = 5.0
"""Upper bound of one wait, so that a step of the wall clock is noticed."""

STORE_RETRY_S = 1.0
"""Pause before asking a store again that could not write."""


class Worker:
    """Delivers what is due. One instance for a daemon."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        current_config: CurrentConfig,
        clock: Clock,
        metrics: Metrics,
        *,
        emit: Emit = discard,
    ) -> None:
        self._store = store
        self._sender = sender
        self._current_config = current_config
        self._clock = clock
        self._metrics = metrics
        self._emit = emit
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leases = Leases(store.renew_ahead_s)
        self._lost: set[str] = set()
        self._surveyed: Config | None = None
        self._wall = WallTime(store, clock, self._lanes, self._leases, on_lost=self._abandon)
        self._in_flight = 0
        self._down: set[str] = set()
        self._parking = ParkedLanes()
        self._looked = False
        self._nothing_to_hasten: set[str] = set()
        self._unrecorded = 0
        self._outage = StoreOutage(clock, metrics, emit, current_config.generation.config.daemon.store)
        self._stopping = False
        self._first_lane = 0
        self._lack_until = 0.0
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        current_config.on_swap(self._wake.set)

    async def run(self) -> None:
        """Claim and start attempts until `drain`."""
        for webhook, until in (await self._store.backlog()).holds.items():
            self._lane(webhook).hold(until)
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
                while self._tasks:
                    await asyncio.wait(self._tasks.values())
        rest = set(self._tasks.values())
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=STORE_RETRY_S)
        return len(rest)

    def lane_states(self, paused: Collection[str]) -> Mapping[str, LaneState]:
        """Every lane that is configured, paused (by `Backlog.paused`), or has been used, by webhook."""
        config, now = self._current_config.generation.config, self._clock.now()
        names = dict.fromkeys(chain(config.webhooks, self._lanes, paused))
        return {name: self._state(name, config, now, is_paused=name in paused) for name in names}

    def _state(self, name: str, config: Config, now: float, *, is_paused: bool) -> LaneState:
        lane = self._lanes.get(name)
        breaker = lane.breaker.state if lane else BreakerState.CLOSED
        return LaneState(
            webhook=name,
            parked=parked(config.webhooks.get(name), paused=is_paused, breaker=breaker),
            in_flight=lane.in_flight if lane else 0,
            hold_until=lane.hold_until if lane and lane.hold_until > now else None,
            last_result=lane.last_result if lane else None,
            breaker=breaker,
            probe_in_s=lane.probe_in_s(now=now, mono=self._clock.monotonic()) if lane else None,
        )

    async def _listen(self) -> None:
        while True:
            await self._store.wait_for_work()
            self._wake.set()

    async def _step(self) -> None:
        self._wake.clear()
        try:
            await self._follow_store()
            async with self._wall.followed() as now:  # what is renewed by it is not claimed by it
                survey = self._after_lack(await self._survey(now))
                if survey.wants:
                    await self._claim(survey, now)
            if not survey.wants:
                await self._nap(survey.sleep_s)
        except StoreUnavailable as exc:
            self._outage.began(exc)
            await asyncio.sleep(STORE_RETRY_S)  # whatever wakes it: where only some writes fail, each would

    async def _follow_store(self) -> None:
        """Ask a store that refused anything, whoever asked, until it writes again; claims wait meanwhile."""
        if (fault := (await self._store.backlog()).fault) is not None:
            self._outage.began(StoreUnavailable(fault))
        if self._outage.is_on:
            await self._store.probe()
            self._outage.ended()

    def _after_lack(self, survey: DispatchPlan) -> DispatchPlan:
        """Ask for one delivery a second while hookd itself lacks descriptors: all the others would fail alike."""
        if not self._lack_until:
            return survey
        rest_s = self._lack_until - self._clock.monotonic()
        if rest_s > 0:
            return DispatchPlan((), min(rest_s, survey.sleep_s))
        return replace(survey, wants=tuple(replace(want, slots=1) for want in survey.wants[:1]))

    async def _nap(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _survey(self, now: float) -> DispatchPlan:
        backlog = await self._store.backlog()
        due = dict(backlog.earliest_due)
        if self._unrecorded:
            return DispatchPlan((), STORE_RETRY_S)
        config, mono = self._current_config.generation.config, self._clock.monotonic()
        if config is not self._surveyed:
            self._surveyed = config
            self._forget({*config.webhooks, *due}, now)
        self._note_parked(due.keys(), config, backlog.paused)
        await self._hasten_probes(due, config, now, mono)
        free = config.daemon.in_flight - self._in_flight
        wants: list[ClaimRequest] = []
        probing: set[str] = set()
        sleep_s = LONGEST_NAP_S
        for name, due_at in self._in_turn(due):
            if name in self._parking.still:
                continue
            lane = self._lane(name)
            wait_s = max(due_at, lane.hold_until) - now
            if wait_s > 0:
                sleep_s = min(sleep_s, wait_s, lane.breaker.wait_s(mono) or wait_s)
                continue
            webhook = config.webhooks[name]
            lane.follow(webhook)
            slots = lane.slots(webhook, free=free, mono=mono)
            if slots > 0:
                wants.append(ClaimRequest(name, slots, webhook.timeout_s + LEASE_MARGIN_S))
                free = max(0, free - slots)
                if lane.breaker.state is BreakerState.OPEN:
                    probing.add(name)
            else:
                sleep_s = min(sleep_s, lane.wait_s(webhook, mono=mono) or sleep_s)
        return DispatchPlan(tuple(wants), sleep_s, frozenset(probing))

    async def _hasten_probes(self, due: dict[str, float], config: Config, now: float, mono: float) -> None:
        """Make something due for each probe that may go out now; all at once, as many may have opened together."""
        early: list[str] = []
        for name in self._down & due.keys() - self._parking.still:
            lane = self._lane(name)
            lane.follow(config.webhooks[name])
            wants_probe = due[name] > now and lane.wants_probe(now=now, mono=mono)
            if wants_probe and name not in self._nothing_to_hasten:
                early.append(name)
        hastened = await asyncio.gather(*(self._store.make_due(name, now=now) for name in early))
        for name, done in zip(early, hastened, strict=True):
            if done:
                due[name] = now
            else:
                self._nothing_to_hasten.add(name)  # until one of its attempts has ended

    def _in_turn(self, due: Mapping[str, float]) -> Iterable[tuple[str, float]]:
        """The lanes, beginning with another one each time, so that scarce seats go round."""
        lanes = list(due.items())
        if len(lanes) < 2:
            return lanes
        self._first_lane = (self._first_lane + 1) % len(lanes)
        return lanes[self._first_lane :] + lanes[: self._first_lane]

    def _forget(self, keep: AbstractSet[str], now: float) -> None:
        """Let go of lanes that have left the configuration, have nothing to do and nothing to remember."""
        for name, lane in tuple(self._lanes.items()):
            if name not in keep and not lane.in_flight and lane.hold_until <= now:
                del self._lanes[name]
                self._down.discard(name)

    def _note_parked(self, waiting: AbstractSet[str], config: Config, paused: Collection[str]) -> None:
        before = self._parking.why
        began, ended = self._parking.look(waiting, webhooks=config.webhooks, paused=paused, down=self._down)
        for name in began:
            log.warning("webhook.parked", webhook=name, reason=self._parking.why[name])
            if self._looked:  # what is parked at a start is no news
                self._emit(WebhookParked(name, self._parking.why[name]))
        for name in ended:
            log.info("webhook.resumed", webhook=name)
            self._emit(WebhookResumed(name, before[name]))
        self._looked = True

    async def _claim(self, survey: DispatchPlan, now: float) -> None:
        ref = self._current_config.generation.ref
        claimed = await self._store.claim(survey.wants, now=now, generation=ref)
        for webhook, until in claimed.waits.items():
            if until < inf:  # what is paused, the next snapshot tells
                self._lane(webhook).hold(until)
        if self._stopping:
            await self._store.release(claimed.leases, why="hookd stopped before the request was made")
            return
        loop = asyncio.get_running_loop()
        for lease in claimed.leases:
            lane = self._lane(lease.webhook)
            lane.began(1)
            probe = lease.webhook in survey.probing and lane.breaker.began()
            self._in_flight += 1
            self._leases.add(lease)
            self._tasks[lease.delivery_id] = loop.create_task(self._deliver(lease, lane, probe=probe))

    def _abandon(self, lost: Collection[str]) -> None:
        """End attempts whose leases are lost; whoever has them now records what comes of the deliveries."""
        for delivery_id in lost:
            if (task := self._tasks.get(delivery_id)) is not None:
                self._lost.add(delivery_id)
                task.cancel()

    async def _deliver(self, lease: Lease, lane: Lane, *, probe: bool) -> None:
        generation = self._current_config.generation
        webhook = generation.config.webhooks.get(lease.webhook)
        is_parked = lane.is_down() and not probe  # since it was surveyed
        try:
            try:
                outcome = await self._attempt(webhook, lease, is_parked=is_parked)
            finally:
                self._in_flight -= 1
                lane.in_flight -= 1
                self._wake.set()
            if lease.delivery_id in self._lost:
                self._metrics.leases_lost.inc()
                return
            if self._wall.is_off():  # before anything is reckoned by the new clock
                with suppress(StoreUnavailable):
                    await self._wall.follow()
            lacking = outcome.reason is Reason.LOCAL
            self._lack_until = self._clock.monotonic() + retry_policy.LOCAL_PAUSE_S if lacking else 0.0
            now = self._clock.now()
            lane.last_result = LastResult(now, outcome)
            lane.breaker.ended(outcome, probe=probe, mono=self._clock.monotonic())
            (self._down.add if lane.is_down() else self._down.discard)(lease.webhook)
            settlement = _decide(outcome, webhook, lease, now, probe=probe)
            if settlement.hold_until is not None:
                lane.hold(settlement.hold_until)
            if await self._record(
                outcome_log.attempt_row(lease, outcome, generation.ref), lease, settlement, now
            ):
                outcome_log.ended(lease, outcome, settlement, self._metrics, self._emit)
            else:
                self._metrics.leases_lost.inc()
        finally:
            self._lost.discard(lease.delivery_id)
            self._nothing_to_hasten.discard(lease.webhook)
            del self._tasks[lease.delivery_id]
            self._leases.drop(lease.delivery_id)

    async def _attempt(self, webhook: WebhookDef | None, lease: Lease, *, is_parked: bool) -> Outcome:
        if webhook is None or is_parked:
            why = "was parked" if webhook else "left the configuration"
            return Outcome(Reason.INTERRUPTED, error=f"the webhook {why} before the request was made")
        try:
            return await self._sender.attempt(
                webhook,
                delivery_id=lease.delivery_id,
                body=lease.body,
                now=self._clock.now(),
                trace=lease.trace,
            )
        except asyncio.CancelledError:
            _absorb_cancellation()
            return Outcome(Reason.INTERRUPTED, error="hookd stopped before the answer came")

    async def _record(self, attempt: Attempt, lease: Lease, settlement: Settlement, now: float) -> bool:
        """Settle, however long the store cannot write; claims wait meanwhile, so that no result is overtaken."""
        try:
            return await self._store.settle(lease, attempt, settlement, now=now)
        except StoreUnavailable as exc:
            self._outage.began(exc)
        self._unrecorded += 1
        followed_s = self._wall.followed_s
        try:
            while True:
                await asyncio.sleep(STORE_RETRY_S)
                try:
                    await self._wall.follow()
                    by_s = self._wall.followed_s - followed_s
                    return await self._store.settle(lease, attempt, _sooner(settlement, by_s), now=now - by_s)
                except StoreUnavailable as exc:
                    self._outage.began(exc)
        finally:
            self._unrecorded -= 1
            self._wake.set()

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name)
        return lane


def _decide(
    outcome: Outcome, webhook: WebhookDef | None, lease: Lease, now: float, *, probe: bool
) -> Settlement:
    if webhook is None:
        return Settlement(State.PENDING, counted=False, due_at=now)
    jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
    return retry_policy.decide(
        outcome, webhook=webhook, failures=lease.failures, now=now, jitter=jitter, probe=probe
    )


def _sooner(settlement: Settlement, by_s: float) -> Settlement:
    """What was decided before the wall clock was set back by so many seconds."""
    due_at, hold_until = settlement.due_at, settlement.hold_until
    return replace(
        settlement,
        due_at=None if due_at is None else due_at - by_s,
        hold_until=None if hold_until is None else hold_until - by_s,
    )


def _absorb_cancellation() -> None:
    """Take note of the cancellation (only `drain` cancels an attempt) so that the result can still be recorded."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
