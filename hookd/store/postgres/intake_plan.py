"""What a batch of events comes to, planned before it is stored: duplicates, conflicts, spent tasks, moments, room.

The plan is made against what is known to be stored, at first nothing; the database stores it as a whole or says that
something is stored that was not known of, and it is planned again. So races between processes are decided by the
database alone.

Must never: ask the database.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from hookd.domain.errors import IdConflict
from hookd.domain.events import DeliveryRef, Event, NewDelivery, Receipt, Submission
from hookd.domain.seats import SeatsTaken
from hookd.store.admission import unfinished_after, unspent
from hookd.store.postgres.batcher import BatchedCall
from hookd.store.stored_values import OneShotKey, data_text, micros, object_text, trace_text


class EnqueueCall(BatchedCall):
    """A batch of submissions to be stored; resolves to its receipts."""

    __slots__ = ("_seats", "batch", "limit", "now")

    def __init__(
        self, batch: Sequence[Submission], *, now: float, limit: int, seats: SeatsTaken | None
    ) -> None:
        super().__init__()
        self.batch = batch
        self.now = micros(now)
        self.limit = limit
        self._seats = seats

    @property
    def weight(self) -> int:
        """Rows, about; large messages count as many."""
        return sum(
            [
                1 + len(each.deliveries) + sum([len(new.body) for new in each.deliveries]) // 4096
                for each in self.batch
            ]
        )

    def resolve(self, result: object) -> None:
        """Give the seats back, then hand the receipts to the caller: what is stored waits to be claimed."""
        self._end_seats()
        super().resolve(result)

    def refuse(self, error: BaseException) -> None:
        """Give the seats back, then let the caller know."""
        self._end_seats()
        super().refuse(error)

    def _end_seats(self) -> None:
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.end(())


@dataclass(slots=True)
class KeptEvent:
    """An event that is stored already, or will be with this batch."""

    digest: bytes | None
    deliveries: list[DeliveryRef]


@dataclass(slots=True)
class KnownBefore:
    """What is known to be stored: events, spent tasks, and up to when schedules are dealt with (microseconds)."""

    kept: dict[str, KeptEvent] = field(default_factory=dict)
    spent: set[OneShotKey] = field(default_factory=set)
    dealt_until: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Moment:
    """The moments of one schedule that a batch stores: the first and the last of them."""

    first: int
    last: int


_FreshEvent = tuple[Event, Sequence[NewDelivery]]


@dataclass(slots=True)
class IntakePlan:
    """What is to be stored for a batch, row by row, and what each call is answered then."""

    answers: list[tuple[EnqueueCall, tuple[Receipt, ...] | Exception]] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    deliveries: list[tuple[Any, ...]] = field(default_factory=list)
    spent: list[tuple[Any, ...]] = field(default_factory=list)
    moments: dict[str, _Moment] = field(default_factory=dict)
    reports: list[tuple[str, int, int]] = field(default_factory=list)
    lanes: dict[str, int] = field(default_factory=dict)
    added: list[int] = field(default_factory=list)
    earliest: list[int] = field(default_factory=list)

    @property
    def refuses(self) -> bool:
        """Whether any call is refused."""
        return any(isinstance(answer, Exception) for _, answer in self.answers)

    def arguments(self) -> list[Any]:
        """The columns, one after the other, as `enqueue_v1` takes them."""
        moments = [(key, moment.first, moment.last) for key, moment in sorted(self.moments.items())]
        return [
            list(self.lanes),
            self.added,
            *_columns(self.events, 11),
            *_columns(self.deliveries, 7),
            *_columns(self.spent, 4),
            *_columns(moments, 3),
            *_columns(_latest(self.reports), 3),
        ]


def plan(calls: Sequence[EnqueueCall], known: KnownBefore, *, unfinished: int) -> IntakePlan:
    """Plan a batch.

    Args:
        calls: in the order they were made; one that is refused leaves nothing behind.
        known: what is stored.
        unfinished: how many deliveries are unfinished before.
    """
    planned = _Planner(known, unfinished)
    for call in calls:
        try:
            planned.add(call)
        except Exception as error:  # noqa: BLE001  the failure belongs to this call's caller alone
            planned.result.answers.append((call, error))
    return planned.result


class _Planner:
    def __init__(self, known: KnownBefore, unfinished: int) -> None:
        self._known = known
        self._kept = dict(known.kept)
        self._spent = set(known.spent)
        self._dealt = dict(known.dealt_until)
        self._unfinished = unfinished
        self.result = IntakePlan()

    def add(self, call: EnqueueCall) -> None:
        """Plan one call; raises what it is refused for."""
        kept: dict[str, KeptEvent] = {}
        marks: dict[OneShotKey, str] = {}
        moments: dict[str, _Moment] = {}
        new: list[_FreshEvent] = []
        reports: list[tuple[str, int, int]] = []
        receipts: list[Receipt] = []
        for index, submission in enumerate(call.batch):
            event = submission.event
            before = kept.get(event.id) or self._kept.get(event.id)
            is_over = submission.moment is not None and self._is_over(submission.moment, moments)
            if before is not None:
                if event.digest is None or before.digest != event.digest:
                    raise IdConflict(event.id, index)
                receipts.append(Receipt(event.id, True, tuple(before.deliveries)))
            elif is_over:
                receipts.append(Receipt(event.id, True, ()))
            else:
                deliveries = unspent(submission, marks, self._spent.__contains__)
                refs = [DeliveryRef(each.id, each.task, each.webhook) for each in deliveries]
                kept[event.id] = KeptEvent(event.digest, refs)
                new.append((event, deliveries))
                receipts.append(Receipt(event.id, False, tuple(refs)))
                if (report := submission.dead_letters) is not None:
                    reports.append((report[0], call.now, micros(report[1])))
        more = sum([len(deliveries) for _, deliveries in new])
        self._unfinished = unfinished_after(self._unfinished, more, call.limit)
        for each in new:
            self._add_rows(each, call.now)
        self._kept.update(kept)
        self._spent.update(marks)
        self.result.spent += [(*mark, call.now, delivery_id) for mark, delivery_id in marks.items()]
        self._note_moments(moments)
        self.result.reports += reports
        self.result.answers.append((call, tuple(receipts)))

    def _is_over(self, moment: tuple[str, float], moments: dict[str, _Moment]) -> bool:
        """Whether a schedule's moment is dealt with already; adds to `moments` that it is from now on."""
        key, at = moment[0], micros(moment[1])
        seen = moments.get(key)
        dealt = self._dealt.get(key) if seen is None else seen.last
        if dealt is not None and at <= dealt:
            return True
        if seen is None:
            moments[key] = _Moment(at, at)
        else:
            seen.last = at
        return False

    def _note_moments(self, moments: Mapping[str, _Moment]) -> None:
        for key, moment in moments.items():
            self._dealt[key] = moment.last
            before = self.result.moments.get(key)
            self.result.moments[key] = moment if before is None else _Moment(before.first, moment.last)

    def _add_rows(self, new: _FreshEvent, now: int) -> None:
        event, deliveries = new
        plan_ = self.result
        plan_.events.append((
            event.id, event.kind.value, event.type, event.event, object_text(event.object), event.time,
            data_text(event.data), event.digest, now, trace_text(event.trace), len(deliveries),
        ))  # fmt: skip
        number = len(plan_.events)
        for each in deliveries:
            lane = plan_.lanes.get(each.webhook)
            if lane is None:
                lane = plan_.lanes[each.webhook] = len(plan_.lanes) + 1
                plan_.added.append(0)
                plan_.earliest.append(now)
            plan_.added[lane - 1] += 1
            plan_.earliest[lane - 1] = min(now, plan_.earliest[lane - 1])
            plan_.deliveries.append((each.id, number, lane, each.task, each.rule, now, each.body))


def needs_a_look(calls: Sequence[EnqueueCall]) -> bool:
    """Whether to look first: what a schedule or a one-shot fires has often been fired already."""
    return any(
        each.moment is not None or any(new.one_shot_digest for new in each.deliveries)
        for call in calls
        for each in call.batch
    )


def asked_for(calls: Sequence[EnqueueCall], select: Callable[[Submission], Sequence[Any]]) -> list[Any]:
    """What `select` finds in the calls' submissions, each once."""
    found = chain.from_iterable(select(each) for call in calls for each in call.batch)
    return list(dict.fromkeys(found))


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _latest(reports: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """One report for each webhook: stored last, and as far as any of them goes."""
    merged: dict[str, tuple[str, int, int]] = {}
    for webhook, at, until in reports:
        before = merged.get(webhook)
        merged[webhook] = (webhook, at, until if before is None else max(until, before[2]))
    return list(merged.values())
