"""Dead deliveries that are not reported yet: counted as they die, and those that earlier runs left, from the store.

An earlier run had reported all but what died shortly before its end, after the webhook's last report: reports are at
most a minute late. Where nothing was reported for longer, no rule asked for it, and nothing is made up for.

Must never: write, or read a clock.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hookd.domain.history import DeadLetter
from hookd.domain.operator_events import DeliveriesDead, DeliveryDead, is_own_id
from hookd.domain.times import date_time
from hookd.domain.value_class import value_class
from hookd.store.contract import History

MOST_TASKS = 1000
"""Tasks whose dead deliveries are counted one by one."""

LOOK_BACK_S = 600.0
"""A report is not later than this after the deaths it tells of, also where the store refused it for a while."""

MOST_LEFT = 50_000
"""Of the dead deliveries that earlier runs left, the latest, are counted."""


@dataclass(slots=True)
class DeadLetterSummary:
    """Dead deliveries of one webhook that are not reported yet.

    Attributes:
        since: when the first of them died, seconds since the epoch.
        last: the latest.
        until: when the last of them died.
    """

    since: float
    last: DeliveryDead
    until: float = 0.0
    tasks: Counter[str] = field(default_factory=Counter)
    count: int = 0

    @classmethod
    def of(cls, first: DeliveryDead) -> "DeadLetterSummary":
        """Begin with one."""
        summary = cls(first.died_at, first)
        summary.add(first)
        return summary

    def add(self, dead: DeliveryDead) -> None:
        """Count one more."""
        self.last = dead
        self._count(dead.task, dead.died_at)

    def add_earlier(self, dead: DeadLetter) -> None:
        """Count one that died before the latest."""
        self.since = min(self.since, dead.died_at)
        self._count(dead.task, dead.died_at)

    def add_later(self, newer: "DeadLetterSummary") -> None:
        """Count those that died later as well."""
        self.count += newer.count
        self.tasks.update(newer.tasks)
        self.last = newer.last
        self.until = max(self.until, newer.until)

    def merged(self) -> DeliveriesDead:
        """One fact for all of them."""
        return DeliveriesDead(self.last, self.count, date_time(self.since), self.until, dict(self.tasks))

    def _count(self, task: str, died_at: float) -> None:
        self.until = max(self.until, died_at)
        self.count += 1
        if task in self.tasks or len(self.tasks) < MOST_TASKS:
            self.tasks[task] += 1


@value_class
class EarlierRuns:
    """What earlier runs left, by webhook.

    Attributes:
        reported_at: when its last report was stored, seconds since the epoch.
        unreported: what died after it.
    """

    reported_at: Mapping[str, float]
    unreported: Mapping[str, DeadLetterSummary]


async def unreported_dead_letters(store: History, *, before: float) -> EarlierRuns:
    """Look what runs that ended before an instant (seconds since the epoch) left. Raises StoreUnavailable."""
    left = await store.unreported_dead_letters(before=before, within_s=LOOK_BACK_S, limit=MOST_LEFT)
    summaries: dict[str, DeadLetterSummary] = {}
    for dead in left.dead:  # the latest first
        if is_own_id(dead.event_id):
            continue
        summary = summaries.get(dead.webhook)
        if summary is None:
            summaries[dead.webhook] = DeadLetterSummary.of(await _whole(store, dead))
        else:
            summary.add_earlier(dead)
    return EarlierRuns(left.reported_at, summaries)


async def _whole(store: History, dead: DeadLetter) -> DeliveryDead:
    """A dead delivery with what only its single record tells."""
    record = await store.delivery(dead.delivery_id)
    return DeliveryDead(
        webhook=dead.webhook,
        task=dead.task,
        delivery_id=dead.delivery_id,
        event_id=dead.event_id,
        attempts=record.attempt if record else 0,
        reason=record.attempts[-1].reason if record and record.attempts else "",
        status=record.last_status if record else None,
        detail=record.detail if record else "",
        died_at=dead.died_at,
    )
