"""Takes what hookd says about itself in as events (spec 10), by the rules in force when it is taken in.

Facts are emitted from anywhere in the loop and wait in memory, bounded; one task takes them in, in order. While the
store cannot write they wait, what does not fit is dropped with a line in the log, and a crash loses what still waits;
dead deliveries alone are counted anew, from the history.

What a delivery of such an event brings about is not reported: neither that it is dead, nor that a webhook is parked
for which nothing else waits. So no report ever leads to another.

Must never: hold up who tells a fact, or store one that no rule asks for.
"""

import asyncio
from collections import deque
from contextlib import suppress
from math import inf

from hookd.config.generation import CurrentConfig
from hookd.domain.clock import Clock
from hookd.domain.deliveries import State
from hookd.domain.errors import PendingLimitReached, StoreUnavailable
from hookd.domain.events import Receipt
from hookd.domain.history import DeliveryFilter
from hookd.domain.operator_events import (
    OWN_TYPES,
    DeliveriesDead,
    DeliveryDead,
    OperatorEvent,
    StoreRecovered,
    UnmergedEvent,
    WebhookParked,
    WebhookResumed,
    event_draft,
    is_own_id,
)
from hookd.domain.value_class import value_class
from hookd.intake.pipeline import Intake
from hookd.observability import log
from hookd.sources.dead_letters import DeadLetterSummary, unreported_dead_letters
from hookd.store.contract import History

EVERY_S = 60.0
"""At most one report of dead deliveries for each webhook in this time."""

MOST_WAITING = 10_000
"""Facts that wait to be taken in; further ones are dropped."""

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
"""Pauses before a store that refused is asked again: each is twice as long, since asking is a write, too."""

LOOK_AGAIN_S = 5.0
"""How often a webhook is looked at that is parked while nothing but reports waits for it: something else may come."""

_PAGE = 200
_PAGES = 5
"""Of the deliveries that wait for a webhook, so many pages are looked at to find one that is no report's."""


@value_class
class _Waiting:
    """A fact and when it was told, seconds since the epoch."""

    at: float
    fact: UnmergedEvent


class OperatorEventPublisher:
    """Reports facts. One instance for a daemon."""

    def __init__(self, store: History, intake: Intake, current_config: CurrentConfig, clock: Clock) -> None:
        self._store = store
        self._intake = intake
        self._current_config = current_config
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._began_at = clock.now()
        self._has_recalled = False
        self._dead_letters: dict[str, DeadLetterSummary] = {}
        self._quiet_until: dict[str, float] = {}
        self._unsaid: dict[str, _Waiting] = {}
        self._said_parked: set[str] = set()
        self._look_again_at = inf
        self._pause_s = FIRST_RETRY_S
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def publish(self, fact: OperatorEvent) -> None:
        """Take note of a fact; returns at once and never raises."""
        now = self._clock.now()
        if isinstance(fact, DeliveryDead):
            if not is_own_id(fact.event_id):
                self._count_dead(fact)
        elif not (isinstance(fact, StoreRecovered) and self._says_recovered()):
            self._wait(_Waiting(now, fact))
        self._wake.set()

    def _count_dead(self, dead: DeliveryDead) -> None:
        summary = self._dead_letters.get(dead.webhook)
        if summary is None:
            self._dead_letters[dead.webhook] = DeadLetterSummary.of(dead)
        else:
            summary.add(dead)

    async def run(self) -> None:
        """Report until `stop`; then once more what is left, which is logged where it cannot be stored.

        Dead deliveries whose time to be reported has not come are left to the next run.
        """
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                await self._take_in(self._clock.monotonic())
                self._pause_s = FIRST_RETRY_S
                await self._sleep(self._wake, self._until_next())
            except (StoreUnavailable, PendingLimitReached):
                await self._sleep(self._stopping, self._pause_s)
                self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)
        self._look_again()
        try:
            await self._take_in(self._clock.monotonic())
        except (StoreUnavailable, PendingLimitReached) as exc:
            self._say_lost(exc)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping.set()
        self._wake.set()

    async def _sleep(self, until: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == inf else seconds):
                await until.wait()

    async def _take_in(self, mono: float) -> None:
        """Report everything that may be reported at an instant of the monotonic clock.

        What the store refuses goes on waiting.
        """
        if not self._has_recalled:
            await self._recall(mono)
        if mono >= self._look_again_at:
            self._look_again()
        while self._waiting:
            await self._take_in_one(self._waiting[0])
            self._waiting.popleft()
        for webhook in [name for name in self._dead_letters if mono >= self._quiet_until.get(name, -inf)]:
            await self._take_in_dead_letters(webhook)
        for webhook in [name for name, until in self._quiet_until.items() if mono >= until]:
            if webhook not in self._dead_letters:
                del self._quiet_until[webhook]

    async def _recall(self, mono: float) -> None:
        """Go on where the run before ended: within the rate, and with what it left unreported."""
        if self._current_config.generation.matcher.knows("hookd.delivery", "dead"):
            earlier = await unreported_dead_letters(self._store, before=self._began_at)
            for webhook, at in earlier.reported_at.items():
                quiet_s = min(at + EVERY_S - self._clock.now(), EVERY_S)
                if quiet_s > 0:
                    self._quiet_until[webhook] = mono + quiet_s
            for webhook, summary in earlier.unreported.items():
                self._put_back(webhook, summary)
        self._has_recalled = True

    async def _take_in_one(self, waiting: _Waiting) -> None:
        match waiting.fact:
            case WebhookParked(webhook) if await self._goes_unsaid(webhook):
                self._unsaid[webhook] = waiting
                self._look_again_at = min(self._look_again_at, self._clock.monotonic() + LOOK_AGAIN_S)
            case WebhookResumed(webhook) if self._unsaid.pop(webhook, None) is not None:
                return
            case fact:
                await self._report(fact, waiting.at)
                self._note_said(fact)

    async def _take_in_dead_letters(self, webhook: str) -> None:
        summary = self._dead_letters.pop(webhook)
        try:
            stored = await self._report(summary.merged(), self._clock.now())
        except (StoreUnavailable, PendingLimitReached):
            self._put_back(webhook, summary)
            raise
        if stored:
            self._quiet_until[webhook] = self._clock.monotonic() + EVERY_S

    def _put_back(self, webhook: str, summary: DeadLetterSummary) -> None:
        """Count what was not stored together with what came meanwhile."""
        newer = self._dead_letters.get(webhook)
        if newer is not None:
            summary.add_later(newer)
        self._dead_letters[webhook] = summary

    async def _report(self, fact: UnmergedEvent | DeliveriesDead, at: float) -> Receipt | None:
        if not self._is_asked_for(fact):
            return None
        return await self._intake.report(event_draft(fact), at, self._current_config.generation)

    def _is_asked_for(self, fact: UnmergedEvent | DeliveriesDead) -> bool:
        """Whether any rule is about such facts; most configurations have none about most of them."""
        told = event_draft(fact)
        return self._current_config.generation.matcher.knows(told.type, told.event)

    def _asks_for_webhooks(self) -> bool:
        """Whether any rule is about webhooks being parked, or about their end: each alone could go round for ever."""
        matcher = self._current_config.generation.matcher
        return any(matcher.knows("hookd.webhook", event) for event in OWN_TYPES["hookd.webhook"].events)

    async def _goes_unsaid(self, webhook: str) -> bool:
        """Whether the parking of a webhook is not reported for now; one that was reported is followed to its end."""
        if webhook in self._said_parked or not self._asks_for_webhooks():
            return False
        return await self._is_of_reports(webhook)

    def _note_said(self, fact: UnmergedEvent) -> None:
        if isinstance(fact, WebhookParked):
            self._said_parked.add(fact.webhook)
        elif isinstance(fact, WebhookResumed):
            self._said_parked.discard(fact.webhook)

    async def _is_of_reports(self, webhook: str) -> bool:
        """Whether all that waits for a webhook are reports, of which nothing is reported."""
        for state in (State.PENDING, State.SENDING):
            where, cursor = DeliveryFilter(state=state, webhook=webhook), None
            for _ in range(_PAGES):
                page = await self._store.deliveries(where, limit=_PAGE, cursor=cursor)
                if not all(is_own_id(record.event_id) for record in page.items):
                    return False
                cursor = page.cursor
                if cursor is None:
                    break
        return True

    def _look_again(self) -> None:
        """Look once more whether something else waits by now for webhooks whose parking was not reported."""
        for waiting in self._unsaid.values():
            self._wait(waiting)
        self._unsaid.clear()
        self._look_again_at = inf

    def _wait(self, waiting: _Waiting) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(waiting)
        else:
            _say_dropped(waiting.fact, "too many wait to be taken in")

    def _says_recovered(self) -> bool:
        return any(isinstance(waiting.fact, StoreRecovered) for waiting in self._waiting)

    def _until_next(self) -> float:
        """Seconds until something may be reported that may not be now."""
        due = [self._quiet_until.get(webhook, -inf) for webhook in self._dead_letters]
        next_at = min([*due, *self._quiet_until.values(), self._look_again_at], default=inf)
        return max(0.0, next_at - self._clock.monotonic())

    def _say_lost(self, exc: Exception) -> None:
        for waiting in self._waiting:
            _say_dropped(waiting.fact, str(exc))
        for webhook, summary in self._dead_letters.items():
            if webhook not in self._quiet_until:
                _say_dropped(summary.merged(), str(exc))


def _say_dropped(fact: UnmergedEvent | DeliveriesDead, why: str) -> None:
    told = event_draft(fact)
    log.warning("operator_event.dropped", type=told.type, event=told.event, object=told.object, error=why)
