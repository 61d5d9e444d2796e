"""The loop that fires schedules: sleep until the next moment, hand it to the intake, note how far it has come.

It survives what clocks do. Moments that passed unnoticed (hookd was down or frozen, the clock was set forward, the
store could not write) are missed ones: at most one run for all of a schedule's. Moments that come again (the clock was
set back, hookd was killed before it noted them) have the event id they had, so the store sends nothing twice.

Must never: render or store anything itself, or know which moments a schedule has.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf
from typing import Protocol

from hookd.config.generation import CurrentConfig, Generation
from hookd.domain.clock import STEP_S, Clock, ClockStep, ClockStepDetector
from hookd.domain.definitions import Missed, ScheduleDef
from hookd.domain.errors import IdConflict, PendingLimitReached, StoreUnavailable
from hookd.domain.events import Receipt
from hookd.domain.operator_events import Emit, ScheduleMissed, discard
from hookd.domain.times import date_time
from hookd.domain.value_class import value_class
from hookd.intake.pipeline import Intake
from hookd.observability import log
from hookd.rules.calendar import firing_id, last_moment, moments, next_moment, signature
from hookd.store.contract import History, Housekeeping

LATE_S = 10.0
"""A moment that is dealt with later than this counts as missed."""

LONGEST_SLEEP_S = 1.0
"""Upper bound of one wait, so that a step of the wall clock is noticed."""

IDLE_SLEEP_S = 60.0
"""The same where there are no schedules; a swap ends it."""

RETRY_S = 1.0
"""Pause before asking a store again that could not take a moment in."""

ALIVE_EVERY_S = 60.0
"""Seconds between two notes of how far moments are dealt with: after a crash, these are looked at again."""

AT_ONCE = 50
"""Schedules fired together, so that their events share commits."""

_MICROSECOND = 1e-6


class ScheduleStore(History, Housekeeping, Protocol):
    """What the scheduler needs of the store."""


@dataclass(slots=True)
class Watch:
    """An enabled schedule and how far its moments are dealt with. Instants in seconds since the epoch.

    Attributes:
        key: what the store knows it by.
        dealt_until: no moment up to here is fired any more.
        next_at: its first moment after `dealt_until`; None: there is none.
    """

    schedule: ScheduleDef
    key: str
    dealt_until: float
    next_at: float | None


@value_class
class DueMoments:
    """What became due for a schedule.

    Attributes:
        missed: the last of the moments that are too late to be fired each, or None where none is.
        on_time: the moments to fire, in order.
        next_at: the first moment that is still to come, or None.
    """

    missed: float | None
    on_time: tuple[float, ...]
    next_at: float | None


class Scheduler:
    """Fires the schedules of the configuration in force. One instance for a daemon."""

    def __init__(
        self,
        store: ScheduleStore,
        intake: Intake,
        current_config: CurrentConfig,
        clock: Clock,
        *,
        clock_steps: ClockStepDetector,
        emit: Emit = discard,
    ) -> None:
        self._store = store
        self._intake = intake
        self._current_config = current_config
        self._clock = clock
        self._emit = emit
        self._generation = current_config.generation
        self._adopted = False
        self._watches: dict[str, Watch] = {}
        self._queue: list[tuple[float, str]] = []
        self._missed_until = self._seen_at = current_config.generation.loaded_at
        self._seen_mono = clock.monotonic()
        self._clock_steps = clock_steps
        self._set_back_s = 0.0
        self._alive_noted: float | None = None
        self._delay: str | None = None
        self._wake = asyncio.Event()
        current_config.on_swap(self._wake.set)
        clock_steps.on_step(self._note_step)

    def fault(self) -> str | None:
        """Why moments that are due cannot be fired; None while they can."""
        return self._delay

    async def run(self) -> None:
        """Fire moments until cancelled; then note how far they are dealt with, so that a clean stop misses nothing."""
        try:
            while True:
                self._wake.clear()
                await self._sleep(await self._turn())
        finally:
            with suppress(StoreUnavailable):
                await self._note_stop()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _turn(self) -> float:
        """Deal with everything that is due; returns after how many seconds to look again."""
        self._note_freeze()
        try:
            if not self._adopted or self._current_config.generation is not self._generation:
                await self._adopt(self._current_config.generation)
            now, mono = self._clock.now(), self._clock.monotonic()
            self._clock_steps.look(now=now, mono=mono)
            await self._follow_clock(now, mono)
            self._seen_at, self._seen_mono = now, mono
            if not await self._fire_due(now):
                return RETRY_S
            await self._note_alive(now)
        except StoreUnavailable as exc:
            self._note_delay(exc)
            return RETRY_S
        if self._delay is not None:
            self._delay = None
            log.info("schedule.recovered")
        return self._until_next()

    def _note_freeze(self) -> None:
        """What passed while this loop did not run was missed: hookd was frozen, or the clock was set forward."""
        now = self._clock.now()
        if self._watches and now - self._seen_at > LATE_S:
            self._missed_until = max(self._missed_until, now - LONGEST_SLEEP_S)

    async def _adopt(self, generation: Generation) -> None:
        """Watch the schedules of a generation; those known keep how far they are, others begin when it came into force.

        Raises StoreUnavailable; then nothing has changed.
        """
        now = self._clock.now()
        keyed = await asyncio.to_thread(keyed_schedules, generation.config.schedule_rules())
        until = await self._store.watch_schedules(
            keyed.keys(), generation=generation.config.hash, since=min(generation.loaded_at, now), now=now
        )
        self._watches = await asyncio.to_thread(_watch, keyed, self._watches, until)
        self._generation, self._adopted = generation, True
        self._rebuild_queue()

    def _note_step(self, step: ClockStep) -> None:
        self._set_back_s += step.back_s
        self._wake.set()

    async def _follow_clock(self, now: float, mono: float) -> None:
        """Where it was set back, let what it already showed come again: the store knows the moments that were fired."""
        by_s = self._set_back_s
        if by_s > STEP_S:
            at = now - (mono - self._seen_mono)  # what the clock may have shown since it was set
            await self._store.watch_schedules(
                self._watches.keys(), generation=self._generation.config.hash, since=at, now=at
            )
            log.warning("clock.set_back", by_s=round(by_s, 3))
            await asyncio.to_thread(_rewind, self._watches.values(), at)
            self._rebuild_queue()
            self._missed_until, self._alive_noted = -inf, None
        self._set_back_s -= by_s

    def _rebuild_queue(self) -> None:
        self._queue = [
            (watch.next_at, key) for key, watch in self._watches.items() if watch.next_at is not None
        ]
        heapify(self._queue)

    def _put_back(self, keys: Iterable[str]) -> None:
        for key in keys:
            next_at = self._watches[key].next_at
            if next_at is not None:
                heappush(self._queue, (next_at, key))

    async def _fire_due(self, now: float) -> bool:
        """Deal with every moment up to now; False where some are left: the store refuses, or a swap came between."""
        due, all_done = [], True
        while self._queue and self._queue[0][0] <= now:
            due.append(heappop(self._queue)[1])
        for start in range(0, len(due), AT_ONCE):
            together = due[start : start + AT_ONCE]
            done = await asyncio.gather(*(self._deal_with(self._watches[key], now) for key in together))
            self._put_back(together)
            all_done = all_done and all(done)
            if self._current_config.generation is not self._generation:
                self._put_back(due[start + AT_ONCE :])
                return False
        return all_done

    async def _deal_with(self, watch: Watch, now: float) -> bool:
        passed = what_passed(watch, now, late_until=max(now - LATE_S, self._missed_until))
        try:
            if passed.missed is not None:
                await self._catch_up(watch, passed.missed)
            for moment in passed.on_time:
                await self._fire(watch, moment)
        except (StoreUnavailable, PendingLimitReached) as exc:
            self._note_delay(exc, watch.schedule.place)
            watch.next_at = next_moment(watch.schedule, watch.dealt_until)
            return False
        watch.next_at = passed.next_at
        return True

    async def _catch_up(self, watch: Watch, last: float) -> None:
        """One run for all the missed moments, or none (spec 1, `missed`); silent where the last of them did run."""
        did = watch.schedule.missed
        if did is Missed.SKIP:
            watch.dealt_until = last
            missed = await self._store.event(firing_id(watch.schedule, last)) is None
        else:
            receipt = await self._fire(watch, last)
            missed = receipt is not None and not receipt.duplicate
        if missed:
            log.warning("schedule.missed", schedule=watch.schedule.place, last=date_time(last), missed=did)
            self._emit(ScheduleMissed(watch.schedule.place, date_time(last), did))

    async def _fire(self, watch: Watch, moment: float) -> Receipt | None:
        schedule, receipt = watch.schedule, None
        facts = {"schedule": schedule.place, "moment": date_time(moment)}
        try:
            receipt = await self._intake.fire(schedule, moment, self._generation, key=watch.key)
        except IdConflict as exc:
            log.error("schedule.conflict", **facts, event_id=exc.event_id)
        watch.dealt_until = moment
        if receipt is not None:
            write = log.info if receipt.deliveries and not receipt.duplicate else log.debug
            write("schedule.fired", **facts, event_id=receipt.event_id, deliveries=len(receipt.deliveries))
        return receipt

    async def _note_alive(self, now: float) -> None:
        mono = self._clock.monotonic()
        due = self._alive_noted is None or mono - self._alive_noted >= ALIVE_EVERY_S
        if due and self._watches:
            await self._store.note_alive(generation=self._generation.config.hash, now=now)
            self._alive_noted = mono

    async def _note_stop(self) -> None:
        if self._watches:
            waiting = [watch.next_at for watch in self._watches.values() if watch.next_at is not None]
            earliest = min(waiting, default=inf) - _MICROSECOND
            until = min(self._clock.now(), earliest)
            await self._store.note_alive(generation=self._generation.config.hash, now=until)

    def _note_delay(self, exc: Exception, place: str | None = None) -> None:
        if self._delay is None:
            self._delay = f"{place}: {exc}" if place else str(exc)
            log.error("schedule.delayed", schedule=place, error=str(exc))

    def _until_next(self) -> float:
        if not self._watches:
            return IDLE_SLEEP_S
        next_at = self._queue[0][0] if self._queue else inf
        return min(LONGEST_SLEEP_S, max(0.0, next_at - self._clock.now()))


def keyed_schedules(schedules: Iterable[ScheduleDef]) -> dict[str, ScheduleDef]:
    """The enabled schedules by a key that stays while place and timing do.

    One written on a task is known by the task, not by its number there; where two on a task are timed alike, they are
    counted.
    """
    seen: Counter[str] = Counter()
    keyed = {}
    for schedule in schedules:
        if schedule.enabled:
            key = signature(schedule)
            seen[key] += 1
            keyed[key if seen[key] == 1 else f"{key} #{seen[key]}"] = schedule
    return keyed


def what_passed(watch: Watch, now: float, *, late_until: float) -> DueMoments:
    """What became due up to now; moments up to `late_until` are too late to be fired each."""
    schedule, after, missed = watch.schedule, watch.dealt_until, None
    late_until = min(late_until, now)
    if late_until > after:
        missed = last_moment(schedule, after, late_until)
        after = late_until
    on_time: list[float] = []
    for moment in moments(schedule, after):
        if moment > now:
            return DueMoments(missed, tuple(on_time), moment)
        on_time.append(moment)
    return DueMoments(missed, tuple(on_time), None)


def _watch(
    keyed: Mapping[str, ScheduleDef], known: Mapping[str, Watch], until: Mapping[str, float]
) -> dict[str, Watch]:
    watches = {}
    for key, schedule in keyed.items():
        watch = known.get(key)
        if watch is not None:
            watches[key] = Watch(schedule, key, watch.dealt_until, watch.next_at)
        else:
            watches[key] = Watch(schedule, key, until[key], next_moment(schedule, until[key]))
    return watches


def _rewind(watches: Iterable[Watch], now: float) -> None:
    for watch in watches:
        if watch.dealt_until > now:
            watch.dealt_until, watch.next_at = now, next_moment(watch.schedule, now)
