"""From an event, a schedule's moment, a fact of hookd's own or a person's wish to stored deliveries.

Match, render, one `enqueue`. Matching and rendering let the loop do other work every few milliseconds.

Must never: speak HTTP, send anything, or answer before the store has committed.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from hookd.config.generation import Generation
from hookd.domain.clock import Clock
from hookd.domain.definitions import EventDef, ScheduleDef, TaskDef, WebhookDef
from hookd.domain.errors import (
    HookdError,
    IdConflict,
    PendingLimitReached,
    StoreUnavailable,
    TaskSpent,
)
from hookd.domain.events import Event, EventObject, Kind, NewDelivery, Receipt, Submission
from hookd.domain.ids import new_id
from hookd.domain.message_templates import Template
from hookd.domain.operator_events import ID_PREFIX, EventDraft
from hookd.domain.seats import NoSeats, Seating
from hookd.domain.times import date_time
from hookd.domain.tracing import Trace
from hookd.intake.bounded_work import Rendering, Turn, hold_nothing
from hookd.intake.entropy import Entropy
from hookd.observability import log
from hookd.observability.metrics import Metrics
from hookd.rules import templates
from hookd.rules.calendar import firing_id
from hookd.rules.matcher import Matches, firings
from hookd.store.contract import History, Queue

Decoded = TypeVar("Decoded")

LARGE = 64 * 1024
"""Bytes of a body above which it is read in a thread: 1 MiB of small events takes hundreds of milliseconds."""

LONGEST_BREATH_S = 0.05
"""How long no further large body is read after one, at most."""

MOST_PARTS_AT_ONCE = 64
"""Pieces of the messages of one event that are rendered without a pause; each may hold all of its data."""

MOST_PARTS = 1000
"""Pieces of a message that a client sent, above which it is rendered in a thread."""


class IntakeStore(Queue, History, Protocol):
    """What taking in needs of the store: the queue, and which one-shots have run."""


class Prepared(NamedTuple):
    """Events with their deliveries, ready to be stored."""

    batch: tuple[Submission, ...]
    generation: Generation
    now: float


class Intake:
    """Takes events in. One instance for a daemon."""

    def __init__(self, store: IntakeStore, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._entropy = Entropy()
        self._decoding = asyncio.Lock()
        self._accepted = metrics.events["accepted"]
        self._duplicate = metrics.events["duplicate"]
        self._conflict = metrics.events["conflict"]
        self._unavailable = metrics.events["unavailable"]
        self._metrics = metrics
        self._seating: Seating = NoSeats()

    def seat_by(self, seating: Seating) -> None:
        """Ask this for seats from now on: until then whatever is taken in waits to be claimed."""
        self._seating = seating

    def make_event_id(self) -> str:
        """A fresh event id."""
        return new_id("evt_", now_ms=int(self._clock.now() * 1000), entropy=self._entropy.draw())

    async def decode(self, length: int, decoding: Callable[[], Decoded]) -> Decoded:
        """Read a body of so many bytes; a large one beside the loop, and one at a time.

        The parser lets nothing else run meanwhile, in whatever thread it is; so for as long as one took, and at most
        `LONGEST_BREATH_S`, no other begins.
        """
        if length <= LARGE:
            return decoding()
        await self._decoding.acquire()
        began_at = self._clock.monotonic()
        try:
            return await asyncio.to_thread(decoding)
        finally:
            breath_s = min(self._clock.monotonic() - began_at, LONGEST_BREATH_S)
            asyncio.get_running_loop().call_later(breath_s, self._decoding.release)

    async def accept(
        self, events: Sequence[Event], generation: Generation, *, hold: Callable[[int], None] = hold_nothing
    ) -> tuple[Receipt, ...]:
        """Match, render and store a batch of events, whole or not at all.

        Args:
            events: in order.
            generation: whose rules count.
            hold: takes bytes of memory until the request is answered; what it raises ends the taking in.

        Returns:
            One receipt per event, after the commit is on disk.

        Raises:
            EventRejected: 413; their messages take more than `MOST_RENDERED`.
            IdConflict, PendingLimitReached, StoreUnavailable: as `Store.enqueue`.
        """
        return await self.store(await self.prepare(events, generation, hold=hold))

    async def prepare(
        self, events: Sequence[Event], generation: Generation, *, hold: Callable[[int], None] = hold_nothing
    ) -> Prepared:
        """The first half of `accept`, match and render: for who has more to store, and in order."""
        now, pace = self._clock.now(), Turn(self._clock)
        rendering = Rendering(hold, generation.config.daemon.message_size)
        batch = [
            Submission(event, await self._fired(event, generation, now, pace, rendering)) for event in events
        ]
        return Prepared(tuple(batch), generation, now)

    async def store(self, prepared: Prepared, *, again: bool = False) -> tuple[Receipt, ...]:
        """The second half of `accept`; with `again`, that they are turned away is not counted: it was before."""
        return await self._enqueue(*prepared, again=again)

    def accept_plainly(
        self,
        event: Event,
        generation: Generation,
        *,
        hold: Callable[[int], None],
        done: Callable[[Receipt | Exception], None],
    ) -> bool:
        """As `accept`, for one event and without a task, where matching and rendering take little time.

        Args:
            event: it.
            generation: whose rules count.
            hold: as there; what it raises is raised.
            done: called once, later, with the receipt, or with what `accept` would raise.

        Returns:
            False where it may take long; then nothing was done, and `done` is not called.

        Raises:
            EventRejected: as `accept`; nothing was done.
        """
        rules = generation.matcher.matching_plainly(event)
        if rules is None:
            return False
        tasks = self._enabled(rules, generation)
        if sum([len(task.template.parts) for task, _ in tasks]) > MOST_PARTS_AT_ONCE:
            return False
        now = self._clock.now()
        rendering = Rendering(hold, generation.config.daemon.message_size)
        batch = (Submission(event, tuple(self._fire(event, tasks, generation, now, rendering))),)
        answer = partial(self._stored_plainly, batch, done)
        self._store.begin_enqueue(
            batch,
            now=now,
            limit=generation.config.daemon.pending,
            seats=self._seating.take(batch, now=now),
            then=answer,
        )
        return True

    def _stored_plainly(
        self,
        batch: tuple[Submission, ...],
        done: Callable[[Receipt | Exception], None],
        outcome: tuple[Receipt, ...] | Exception,
    ) -> None:
        try:
            if isinstance(outcome, Exception):
                self._count_refused(outcome, 1)
                done(outcome)
            else:
                self._note_stored(batch[0].event, outcome[0])
                done(outcome[0])
        except Exception as exc:  # noqa: BLE001 - of one answer; the store and other clients have no part in it
            log.error("request.failed", exc_info=exc)

    async def trigger(
        self,
        task: TaskDef,
        obj: EventObject | None,
        data: Mapping[str, Any],
        generation: Generation,
        trace: Trace | None = None,
    ) -> Receipt:
        """Run one task on demand, enabled or not (spec 2, 13). Raises as `accept`, and TaskSpent."""
        now = self._clock.now()
        event = Event(id=self.make_event_id(), kind=Kind.TRIGGER, object=obj, data=data, trace=trace)
        batch = (Submission(event, tuple(self._fire(event, ((task, ""),), generation, now))),)
        return (await self._enqueue(batch, generation, now))[0]

    async def fire(
        self, schedule: ScheduleDef, moment: float, generation: Generation, *, key: str
    ) -> Receipt | None:
        """Run a schedule's tasks for one of its moments (seconds since the epoch).

        The event's id follows from schedule and moment, and the store knows by the schedule's key which moments are
        dealt with, so that the same moment stores nothing a second time (spec 1).

        Returns:
            The receipt, or None where each task is disabled or spent; then nothing is stored.

        Raises:
            IdConflict, PendingLimitReached, StoreUnavailable: as `Store.enqueue`.
        """
        tasks = [task for name in schedule.tasks if (task := generation.config.tasks[name]).enabled]
        if any(task.delete_after_running for task in tasks):
            spent = {(mark.task, mark.digest) for mark in await self._store.one_shot_marks()}
            tasks = [task for task in tasks if (task.name, task.digest) not in spent]
        if not tasks:
            return None
        now, event_id = self._clock.now(), firing_id(schedule, moment)
        digest = hashlib.sha256(event_id.encode()).digest()
        event = Event(id=event_id, kind=Kind.SCHEDULE, time=date_time(moment), digest=digest)
        fired = self._fire(event, ((task, schedule.place) for task in tasks), generation, now)
        return (await self._enqueue((Submission(event, tuple(fired), (key, moment)),), generation, now))[0]

    async def report(self, fact: EventDraft, at: float, generation: Generation) -> Receipt | None:
        """Take in what hookd says about itself, by the same rules as any event (spec 10).

        Args:
            fact: the event.
            at: when it happened, seconds since the epoch.
            generation: whose rules count.

        Returns:
            The receipt, or None where no rule asks for it; then nothing is stored.

        Raises:
            PendingLimitReached, StoreUnavailable: as `Store.enqueue`.
        """
        now = self._clock.now()
        event = Event(
            id=new_id(ID_PREFIX, now_ms=int(now * 1000), entropy=self._entropy.draw()),
            type=fact.type,
            event=fact.event,
            object=EventObject(name=fact.object),
            time=date_time(at),
            data=fact.data,
        )
        fired = await self._fired(event, generation, now, Turn(self._clock))
        if not fired:
            return None
        return (
            await self._enqueue((Submission(event, fired, dead_letters=fact.dead_letters),), generation, now)
        )[0]

    async def send(
        self, webhook: WebhookDef, template: Template, generation: Generation, trace: Trace | None = None
    ) -> Receipt:
        """Send a message to a webhook that no task asks for: a test by hand (spec 2). Raises as `accept`."""
        now = self._clock.now()
        event = Event(id=self.make_event_id(), kind=Kind.SEND, trace=trace)
        fired = self._fire(event, ((TaskDef("", webhook.name, template), ""),), generation, now)
        many = len(template.parts) > MOST_PARTS
        deliveries = await asyncio.to_thread(tuple, fired) if many else tuple(fired)
        return (await self._enqueue((Submission(event, deliveries),), generation, now))[0]

    async def _fired(
        self,
        event: Event,
        generation: Generation,
        now: float,
        pace: Turn,
        rendering: Rendering | None = None,
    ) -> tuple[NewDelivery, ...]:
        """The deliveries of the enabled tasks that an event fires."""
        tasks = await self._matched(event, generation, now, pace)
        fired = []
        for delivery in self._fire(event, tasks, generation, now, rendering):
            fired.append(delivery)
            await pace.rest()
        return tuple(fired)

    async def _matched(
        self, event: Event, generation: Generation, now: float, pace: Turn
    ) -> list[tuple[TaskDef, str]]:
        """The enabled tasks that an event fires, each with the place of its rule."""
        matching = generation.matcher.matching(event, now)
        while True:
            try:
                next(matching)
            except StopIteration as end:
                found: Matches = end.value
                break
            await pace.rest()
        for place, error in found.failures:
            self._metrics.rule_error(place)
            log.warning("rule.error", rule=place, event_id=event.id, error=error)
            await pace.rest()
        return self._enabled(found.rules, generation)

    def _enabled(self, rules: Iterable[EventDef], generation: Generation) -> list[tuple[TaskDef, str]]:
        """The enabled tasks that rules fire, each with the place of its rule."""
        fired = [(generation.config.tasks[name], place) for name, place in firings(rules)]
        return [(task, place) for task, place in fired if task.enabled]

    def _fire(
        self,
        event: Event,
        tasks: Iterable[tuple[TaskDef, str]],
        generation: Generation,
        now: float,
        rendering: Rendering | None = None,
    ) -> Iterable[NewDelivery]:
        for task, rule in tasks:
            values = templates.Values(
                event=event,
                task=task.name,
                webhook=task.webhook,
                now=now,
                timezone=generation.timezone,
                random=random.getrandbits(31),
            )
            body = generation.renderer_of(task).fill(values, generation.config.daemon.message_size)
            if rendering is not None:
                rendering.add(body)
            yield NewDelivery(
                id=new_id("dlv_", now_ms=int(now * 1000), entropy=self._entropy.draw()),
                task=task.name,
                webhook=task.webhook,
                body=body,
                rule=rule,
                one_shot_digest=task.digest if task.delete_after_running else "",
            )

    async def _enqueue(
        self, batch: tuple[Submission, ...], generation: Generation, now: float, *, again: bool = False
    ) -> tuple[Receipt, ...]:
        turned_away = 0 if again else len(batch)
        try:
            seats = self._seating.take(batch, now=now)
            receipts = await self._store.enqueue(
                batch, now=now, limit=generation.config.daemon.pending, seats=seats
            )
        except HookdError as error:
            self._count_refused(error, turned_away)
            raise
        turn = Turn(self._clock)
        for submission, receipt in zip(batch, receipts, strict=True):
            self._note_stored(submission.event, receipt)
            await turn.rest()
        return receipts

    def _count_refused(self, error: Exception, events: int) -> None:
        match error:
            case IdConflict() | TaskSpent():
                self._conflict.inc(events)
            case PendingLimitReached() | StoreUnavailable():
                self._unavailable.inc(events)

    def _note_stored(self, event: Event, receipt: Receipt) -> None:
        (self._duplicate if receipt.duplicate else self._accepted).inc()
        _tell(event, receipt)


def _tell(event: Event, receipt: Receipt) -> None:
    log.debug(
        "event.accepted",
        event_id=receipt.event_id,
        kind=event.kind,
        occurrence=f"{event.type} {event.event}".strip(),
        object=event.object and (event.object.name or event.object.id),
        duplicate=receipt.duplicate,
        deliveries=len(receipt.deliveries),
    )
    if not receipt.duplicate:
        for made in receipt.deliveries:
            log.debug(
                "delivery.made",
                delivery_id=made.id,
                webhook=made.webhook,
                task=made.task,
                event_id=receipt.event_id,
            )
