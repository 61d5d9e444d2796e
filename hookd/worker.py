"""The loop that empties the queue: claim, send, decide, settle; one lane per webhook.

It carries values from one step to the next and decides nothing itself: seats are `lane`'s, retries `retry`'s, the order
of deliveries the store's.

Must never: open a connection before its claim is durable, or drop a result that is not recorded yet.
Called by: `daemon` (run, drain), `api` (lane states).
"""

import asyncio
import random
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from hookd import log, retry
from hookd.clock import Clock
from hookd.defs import Config, WebhookDef
from hookd.errors import StoreUnavailable
from hookd.generation import Holder
from hookd.lane import Lane, LaneState, LastResult, Parked, parked
from hookd.metrics import Metrics
from hookd.model import Attempt, Lease, Outcome, Reason, Settlement, State, Want
from hookd.send import Sender
from hookd.store.base import Store

LEASE_MARGIN_S = 15.0
"""A lease outlives its attempt's timeout by this much (spec 14)."""

LONGEST_NAP_S = 5.0
"""Upper bound of one wait, so that a step of the wall clock is noticed."""

STORE_RETRY_S = 1.0
"""Pause before asking a store again that could not write."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the lanes want now, and when to look again at the latest (seconds from now)."""

    wants: tuple[Want, ...]
    nap_s: float


class Worker:
    """Delivers what is due. One instance for a daemon."""

    def __init__(self, store: Store, sender: Sender, holder: Holder, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._sender = sender
        self._holder = holder
        self._clock = clock
        self._metrics = metrics
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._in_flight = 0
        self._parked: dict[str, Parked] = {}
        self._unrecorded = 0
        self._store_failing = False
        self._stopping = False
        self._first_lane = 0
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        holder.on_swap(self._wake.set)

    async def run(self) -> None:
        """Claim and start attempts until `drain`."""
        for webhook, until in (await self._store.holds()).items():
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

    def lane_states(self) -> Mapping[str, LaneState]:
        """Every lane that is configured, paused, or has been used, by webhook."""
        config, now = self._holder.current.config, self._clock.now()
        names = dict.fromkeys(chain(config.webhooks, self._lanes, self._store.paused()))
        return {name: self._state(name, config, now) for name in names}

    def _state(self, name: str, config: Config, now: float) -> LaneState:
        lane = self._lanes.get(name)
        return LaneState(
            webhook=name,
            parked=parked(config.webhooks.get(name), paused=name in self._store.paused()),
            in_flight=lane.in_flight if lane else 0,
            hold_until=lane.hold_until if lane and lane.hold_until > now else None,
            last_result=lane.last_result if lane else None,
        )

    async def _listen(self) -> None:
        while True:
            await self._store.wait_for_work()
            self._wake.set()

    async def _step(self) -> None:
        self._wake.clear()
        try:
            survey = await self._survey()
            if survey.wants:
                await self._claim(survey.wants)
            else:
                await self._nap(survey.nap_s)
        except StoreUnavailable as exc:
            self._store_lost(exc)
            await self._nap(STORE_RETRY_S)

    async def _nap(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _survey(self) -> Survey:
        due = await self._store.earliest_due()
        if self._unrecorded:
            return Survey((), STORE_RETRY_S)
        config, now, mono = self._holder.current.config, self._clock.now(), self._clock.monotonic()
        paused = self._store.paused()
        self._note_parked(due, config, paused)
        free = config.daemon.in_flight - self._in_flight
        wants: list[Want] = []
        nap_s = LONGEST_NAP_S
        for name, due_at in self._in_turn(due):
            webhook = config.webhooks.get(name)
            if webhook is None or not webhook.enabled or name in paused:
                continue
            lane = self._lane(name)
            wait_s = max(due_at, lane.hold_until) - now
            if wait_s > 0:
                nap_s = min(nap_s, wait_s)
                continue
            seats = lane.seats(webhook, free=free, mono=mono)
            if seats > 0:
                wants.append(Want(name, seats, webhook.timeout_s + LEASE_MARGIN_S))
                free = max(0, free - seats)
            elif webhook.rate_limit is not None:
                nap_s = min(nap_s, max(0.001, lane.rate_wait_s(webhook.rate_limit, mono)))
        return Survey(tuple(wants), nap_s)

    def _in_turn(self, due: Mapping[str, float]) -> Iterable[tuple[str, float]]:
        """The lanes, beginning with another one each time, so that scarce seats go round."""
        lanes = list(due.items())
        if len(lanes) < 2:
            return lanes
        self._first_lane = (self._first_lane + 1) % len(lanes)
        return lanes[self._first_lane :] + lanes[: self._first_lane]

    def _note_parked(self, due: Mapping[str, float], config: Config, paused: Container[str]) -> None:
        now_parked = {
            name: why
            for name in due
            if (why := parked(config.webhooks.get(name), paused=name in paused)) is not None
        }
        if now_parked == self._parked:
            return
        for name in now_parked.keys() - self._parked.keys():
            log.warning("webhook.parked", webhook=name, reason=now_parked[name])
        for name in self._parked.keys() - now_parked.keys():
            log.info("webhook.resumed", webhook=name)
        self._parked = now_parked

    async def _claim(self, wants: tuple[Want, ...]) -> None:
        leases = await self._store.claim(wants, now=self._clock.now())
        self._store_recovered()
        loop = asyncio.get_running_loop()
        for lease in leases:
            lane = self._lane(lease.webhook)
            lane.began(1)
            self._in_flight += 1
            self._tasks[lease.delivery_id] = loop.create_task(self._deliver(lease, lane))

    async def _deliver(self, lease: Lease, lane: Lane) -> None:
        webhook = self._holder.current.config.webhooks.get(lease.webhook)
        try:
            try:
                outcome = await self._attempt(webhook, lease)
            finally:
                self._in_flight -= 1
                lane.in_flight -= 1
                self._wake.set()
            now = self._clock.now()
            lane.last_result = LastResult(now, outcome)
            settlement = _decide(outcome, webhook, lease, now)
            if settlement.hold_until is not None:
                lane.hold(settlement.hold_until)
            if await self._record(lease, outcome, settlement, now):
                self._tell(lease, outcome, settlement)
        finally:
            del self._tasks[lease.delivery_id]

    async def _attempt(self, webhook: WebhookDef | None, lease: Lease) -> Outcome:
        if webhook is None:
            return Outcome(
                Reason.INTERRUPTED, error="the webhook left the configuration before the request was made"
            )
        try:
            return await self._sender.attempt(
                webhook, delivery_id=lease.delivery_id, body=lease.body, now=self._clock.now()
            )
        except asyncio.CancelledError:
            _absorb_cancellation()
            return Outcome(Reason.INTERRUPTED, error="hookd stopped before the answer came")

    async def _record(self, lease: Lease, outcome: Outcome, settlement: Settlement, now: float) -> bool:
        """Settle, however long the store cannot write; claims wait meanwhile, so that no result is overtaken."""
        attempt = _attempt_row(lease, outcome)
        try:
            return await self._store.settle(lease, attempt, settlement, now=now)
        except StoreUnavailable as exc:
            self._store_lost(exc)
        self._unrecorded += 1
        try:
            while True:
                await asyncio.sleep(STORE_RETRY_S)
                try:
                    return await self._store.settle(lease, attempt, settlement, now=now)
                except StoreUnavailable as exc:
                    self._store_lost(exc)
        finally:
            self._unrecorded -= 1
            self._wake.set()

    def _tell(self, lease: Lease, outcome: Outcome, settlement: Settlement) -> None:
        metrics = self._metrics.lane(lease.webhook)
        metrics.attempt(outcome.reason, outcome.duration_s)
        facts = {
            "delivery_id": lease.delivery_id,
            "webhook": lease.webhook,
            "task": lease.task,
            "attempt": lease.attempt,
            "status": outcome.status,
            "duration_s": round(outcome.duration_s, 4),
        }
        if settlement.state is State.DELIVERED:
            metrics.delivery("delivered")
            log.info("delivery.delivered", **facts)
            return
        log.warning("attempt.failed", **facts, reason=outcome.reason, error=outcome.error)
        if settlement.state is State.DEAD:
            metrics.delivery("dead")
            log.error(
                "delivery.dead",
                delivery_id=lease.delivery_id,
                webhook=lease.webhook,
                detail=settlement.detail,
            )

    def _store_lost(self, exc: StoreUnavailable) -> None:
        if not self._store_failing:
            self._store_failing = True
            self._metrics.store_writable.set(0)
            log.error("store.unavailable", error=str(exc))

    def _store_recovered(self) -> None:
        if self._store_failing:
            self._store_failing = False
            self._metrics.store_writable.set(1)
            log.info("store.recovered")

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name)
        return lane


def _decide(outcome: Outcome, webhook: WebhookDef | None, lease: Lease, now: float) -> Settlement:
    if webhook is None:
        return Settlement(State.PENDING, counted=False, due_at=now)
    jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
    return retry.decide(outcome, webhook=webhook, failures=lease.failures, now=now, jitter=jitter)


def _attempt_row(lease: Lease, outcome: Outcome) -> Attempt:
    return Attempt(
        number=lease.attempt,
        started_at=lease.started_at,
        duration_s=outcome.duration_s,
        status=outcome.status,
        reason=outcome.reason,
        error=outcome.error,
        response=outcome.response,
        insecure=outcome.insecure,
    )


def _absorb_cancellation() -> None:
    """Take note of the cancellation (only `drain` cancels an attempt) so that the result can still be recorded."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
