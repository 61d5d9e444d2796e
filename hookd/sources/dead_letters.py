"""Dead deliveries that are not reported yet: counted as they die, and what earlier runs left, from the history.

An earlier run had reported all but what died shortly before its end, after the webhook's last report: reports are at
most a minute late. So only that is looked at, and never more than a few thousand rows, however long the history is.

Must never: write, or read a clock.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from hookd.domain.deliveries import State
from hookd.domain.history import DeliveryRecord, EventRecord
from hookd.domain.ids import new_id
from hookd.domain.operator_events import ID_PREFIX, DeliveriesDead, DeliveryDead, is_own_id
from hookd.domain.times import date_time
from hookd.store.contract import History

MOST_TASKS = 1000
"""Tasks whose dead deliveries are counted one by one."""

LOOK_BACK_S = 600.0
"""A report is not later than this after the deaths it tells of, also where the store refused it for a while."""

MOST_REPORTS = 2000
"""Of hookd's own events, the latest, are looked at."""

MOST_LEFT = 50_000
"""Of the dead deliveries, the latest, are looked at."""

_STEP = 1000


@dataclass(slots=True)
class Deaths:
    """Dead deliveries of one webhook that are not reported yet.

    Attributes:
        since: when the first of them died, seconds since the epoch.
        last: the latest.
    """

    since: float
    last: DeliveryDead
    tasks: Counter[str] = field(default_factory=Counter)
    count: int = 0

    def add(self, dead: DeliveryDead) -> None:
        """Count one more."""
        self.last = dead
        self.count += 1
        if dead.task in self.tasks or len(self.tasks) < MOST_TASKS:
            self.tasks[dead.task] += 1

    def go_on(self, newer: "Deaths") -> None:
        """Count those that died later as well."""
        self.count += newer.count
        self.tasks.update(newer.tasks)
        self.last = newer.last

    def told(self) -> DeliveriesDead:
        """One fact for all of them."""
        return DeliveriesDead(self.last, self.count, date_time(self.since), dict(self.tasks))


@dataclass(frozen=True, slots=True)
class Left:
    """What earlier runs left, by webhook.

    Attributes:
        reported_at: when its last report was stored, seconds since the epoch.
        deaths: what died after it.
    """

    reported_at: Mapping[str, float]
    deaths: Mapping[str, Deaths]


async def left_over(store: History, *, before: float) -> Left:
    """Look what runs that ended before an instant (seconds since the epoch) left. Raises StoreUnavailable."""
    reports = await _last_reports(store, before)
    counted_until = {webhook: await _counted_until(store, report) for webhook, report in reports.items()}
    deaths: dict[str, Deaths] = {}
    for record in reversed(await _died_since(store, counted_until, before)):
        dead = _dead(record)
        deaths.setdefault(record.webhook, Deaths(record.finished_at or before, dead)).add(dead)
    for each in deaths.values():
        each.last = await _with_reason(store, each.last)
    return Left({webhook: report.received_at for webhook, report in reports.items()}, deaths)


async def _last_reports(store: History, before: float) -> dict[str, EventRecord]:
    """The last report of each webhook, as far as it is not older than what died last."""
    latest = [record.finished_at or before for record in await store.died(since=0.0, until=before, limit=1)]
    since = max(0.0, min([before, *latest]) - LOOK_BACK_S)
    first = new_id(ID_PREFIX, now_ms=int(since * 1000), entropy=bytes(10))
    found: dict[str, EventRecord] = {}
    for record in await store.events_between(first, ID_PREFIX + "f" * 32, limit=MOST_REPORTS):
        event = record.event
        if (event.type, event.event) == ("hookd.delivery", "dead") and event.object is not None:
            found.setdefault(str(event.object.name), record)
    return found


async def _counted_until(store: History, report: EventRecord) -> float:
    """When the last delivery died that a report counts; some may have died between that and the report."""
    last = await store.delivery(str(report.event.data["delivery_id"]))
    died_at = last.finished_at if last is not None and last.state is State.DEAD else None
    return min(report.received_at, died_at or inf)


async def _died_since(
    store: History, counted_until: Mapping[str, float], before: float
) -> Sequence[DeliveryRecord]:
    """What died after its webhook's last report and for no report's sake; the latest first."""
    found: list[DeliveryRecord] = []
    until = before
    for _ in range(MOST_LEFT // _STEP if counted_until else 0):
        page = await store.died(since=min(counted_until.values()), until=until, limit=_STEP)
        found += (record for record in page if _is_left(record, counted_until))
        if len(page) < _STEP:
            break
        until = page[-1].finished_at or until
    return found


def _is_left(record: DeliveryRecord, counted_until: Mapping[str, float]) -> bool:
    died_at = record.finished_at or 0.0
    return died_at > counted_until.get(record.webhook, inf) and not is_own_id(record.event_id)


def _dead(record: DeliveryRecord) -> DeliveryDead:
    return DeliveryDead(
        webhook=record.webhook,
        task=record.task,
        delivery_id=record.id,
        event_id=record.event_id,
        attempts=record.attempt,
        reason="",
        status=record.last_status,
        detail=record.detail,
    )


async def _with_reason(store: History, dead: DeliveryDead) -> DeliveryDead:
    """The same with how its last attempt ended, which only the single record tells."""
    record = await store.delivery(dead.delivery_id)
    return replace(dead, reason=record.attempts[-1].reason) if record and record.attempts else dead
