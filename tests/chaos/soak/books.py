"""The three books (what was posted, what arrived, what hookd says) and their reconciliation.

Values in, values out: must never do I/O or read a clock. Instants are seconds since the epoch.
Called by: the generator, the receivers and the nemesis, which write, and `prove`, which reconciles.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

OWN_IDS = "own-"
"""How the ids begin that the generator chooses."""

RECORD_S = 2.0
"""A crash so soon after an answer may have come before the answer was recorded."""


@dataclass(slots=True)
class Posted:
    """One event in the generator's book; written before the first try.

    Attributes:
        number: goes into the message, so that a request tells which event it comes from.
        kind: the event's `event`, which decides what it fires.
        id: the id the generator chose; None leaves it to hookd, and then it is never posted again.
        tries: how often it was sent.
        refused: how often it was answered that nothing was stored (503).
        deliveries: what the first 202 or 200 named, as (delivery id, task, webhook).
        accepted_at: when that answer came; None while there was none.
    """

    number: int
    kind: str
    id: str | None
    tries: int = 0
    refused: int = 0
    deliveries: tuple[tuple[str, str, str], ...] | None = None
    accepted_at: float | None = None

    @property
    def surely_refused(self) -> bool:
        """Whether every try was answered, and with a refusal."""
        return self.deliveries is None and self.tries == self.refused


@dataclass(slots=True)
class Arrival:
    """One request in a receiver's book; written before it is answered.

    Attributes:
        webhook: whose receiver it is.
        delivery: the `webhook-id`.
        behaviour: what the receiver then did, for reading.
        answered_at: when the head of a 2xx had been handed to the system whole; None for any other answer.
        lost: the receiver took the request and gave no answer that hookd can have understood.
        cut_off: hookd closed the connection before its time was up.
    """

    webhook: str
    delivery: str
    body: bytes
    number: int
    at: float
    behaviour: str = ""
    answered_at: float | None = None
    lost: bool = False
    cut_off: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Something the nemesis did: a crash is an instant, the others last."""

    kind: str
    began_at: float
    ended_at: float


@dataclass
class Books:
    """All that was written down, and what it comes to."""

    posted: dict[int, Posted] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    crashes: list[float] = field(default_factory=list)
    disk_faults: list[Fault] = field(default_factory=list)
    actions: list[Fault] = field(default_factory=list)
    retried_by_hand: dict[str, list[float]] = field(default_factory=dict)
    cancelled_by_hand: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def acknowledged(self) -> Iterable[tuple[Posted, str, str, str]]:
        """Every delivery that was promised: its event, id, task and webhook."""
        for event in self.posted.values():
            for delivery, task, webhook in event.deliveries or ():
                yield event, delivery, task, webhook


@dataclass
class Reckoning:
    """What the reconciliation found; `violations` say each fault with what it rests on."""

    lost: int = 0
    unexpected: int = 0
    duplicates: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    states: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def lose(self, text: str) -> None:
        self.lost += 1
        self.violations.append(f"lost: {text}")

    def wonder(self, text: str) -> None:
        self.unexpected += 1
        self.violations.append(f"unexpected: {text}")


def reconcile(books: Books, records: Mapping[str, Mapping[str, Any]] | None = None) -> Reckoning:
    """Compare the books.

    Args:
        books: the generator's and the receivers'.
        records: hookd's own list by delivery id, once nothing waits any more; None looks only at what can be judged
            while deliveries are under way.
    """
    found = Reckoning(violations=list(books.violations))
    by_delivery: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in books.arrivals:
        by_delivery[arrival.delivery].append(arrival)
    _check_arrivals(books, by_delivery, found)
    _check_firings(books, by_delivery, found)
    if records is not None:
        _check_promises(books, by_delivery, records, found)
        _check_list(books, records, found)
    return found


def _check_arrivals(books: Books, by_delivery: Mapping[str, list[Arrival]], found: Reckoning) -> None:
    """Each request comes from a posted event, always with the same bytes, and again only for a cause."""
    for delivery, arrivals in by_delivery.items():
        first = arrivals[0]
        event = books.posted.get(first.number)
        if event is None or event.surely_refused:
            found.wonder(f"{delivery} of event {first.number}, which was {_fate(event)}")
        if any((a.body, a.webhook) != (first.body, first.webhook) for a in arrivals):
            found.wonder(f"{delivery} arrived with different bodies: {_story(arrivals, books)}")
        for earlier, later in pairwise(arrivals):
            cause = cause_of_repeat(earlier, later, books)
            if cause is None:
                found.wonder(f"{delivery} was repeated {_when(earlier, later)}: {_story(arrivals, books)}")
            elif cause != "retry":
                found.duplicates[cause] += 1
        if _spans_a_crash(event, arrivals, books):
            found.recovered += 1


def cause_of_repeat(earlier: Arrival, later: Arrival, books: Books) -> str | None:
    """Why a delivery came a second time: retry (it had failed), answer lost, crash, by hand; None for no reason."""
    if any(earlier.at <= at <= later.at for at in books.retried_by_hand.get(earlier.delivery, ())):
        return "by hand"
    if earlier.answered_at is None and not earlier.cut_off:
        return "answer lost" if earlier.lost else "retry"
    known_by = later.at if earlier.answered_at is None else _recorded_by(earlier.answered_at, books)
    crashed = any(earlier.at <= crash <= min(later.at, known_by) for crash in books.crashes)
    return "crash" if crashed else None


def _recorded_by(answered_at: float, books: Books) -> float:
    """When an answer is on disk at the latest; while the disk fails it is held in memory."""
    until = answered_at + RECORD_S
    for fault in sorted(books.disk_faults, key=lambda fault: fault.began_at):
        if fault.began_at <= until:
            until = max(until, fault.ended_at + RECORD_S)
    return until


def _spans_a_crash(event: Posted | None, arrivals: list[Arrival], books: Books) -> bool:
    """Whether hookd was killed between the promise and the last request."""
    accepted_at = None if event is None else event.accepted_at
    return accepted_at is not None and any(accepted_at <= at <= arrivals[-1].at for at in books.crashes)


def _check_firings(books: Books, by_delivery: Mapping[str, list[Arrival]], found: Reckoning) -> None:
    """One event fires each task once: one delivery for each webhook of this configuration."""
    made: dict[tuple[int, str], set[str]] = defaultdict(set)
    for delivery, arrivals in by_delivery.items():
        made[arrivals[0].number, arrivals[0].webhook].add(delivery)
    for event, delivery, _, webhook in books.acknowledged():
        made[event.number, webhook].add(delivery)
    for (number, webhook), deliveries in made.items():
        if len(deliveries) > 1:
            found.wonder(
                f"event {number} made {len(deliveries)} deliveries to {webhook}: {sorted(deliveries)}"
            )


def _check_promises(
    books: Books,
    by_delivery: Mapping[str, list[Arrival]],
    records: Mapping[str, Mapping[str, Any]],
    found: Reckoning,
) -> None:
    """Each promised delivery ended as hookd says it did."""
    for event, delivery, task, webhook in books.acknowledged():
        what = f"{delivery} (event {event.number}, task {task}, webhook {webhook})"
        record = records.get(delivery)
        if record is None:
            found.lose(f"{what} was promised and hookd knows nothing of it")
            continue
        arrivals = by_delivery.get(delivery, [])
        state = record["state"]
        found.states[state] += 1
        if state == "cancelled":
            if delivery not in books.cancelled_by_hand:
                found.lose(f"{what} is cancelled, and nobody asked for it")
        elif not arrivals:
            found.lose(f"{what} is {state} and never arrived")
        elif state == "delivered":
            if all(a.answered_at is None for a in arrivals):
                found.lose(f"{what} is called delivered, and no receiver took it: {_story(arrivals, books)}")
        elif state != "dead":
            found.lose(f"{what} is still {state}: {_story(arrivals, books)}")
        elif arrivals[-1].answered_at is not None:
            found.lose(f"{what} is called dead, and its receiver took it: {_story(arrivals, books)}")


def _check_list(books: Books, records: Mapping[str, Mapping[str, Any]], found: Reckoning) -> None:
    """hookd's list holds no event that nobody posted, and no fewer attempts than requests came."""
    counts = Counter(a.delivery for a in books.arrivals)
    tried_at_once = Counter(a.delivery for a in books.arrivals if a.lost)
    chosen = {event.id for event in books.posted.values()}
    for delivery, record in records.items():
        event_id = record["event_id"]
        if event_id.startswith(OWN_IDS) and event_id not in chosen:
            found.wonder(f"hookd lists {delivery} of event {event_id}, which nobody posted")
        if counts[delivery] - tried_at_once[delivery] > record["attempt"]:
            found.wonder(f"{delivery} arrived {counts[delivery]} times in {record['attempt']} attempts")
    for delivery in counts.keys() - records.keys():
        found.lose(f"{delivery} arrived, and hookd knows nothing of it")


def _fate(event: Posted | None) -> str:
    return "never posted" if event is None else f"refused {event.refused} times of {event.tries}"


def _when(earlier: Arrival, later: Arrival) -> str:
    if earlier.cut_off:
        return "after hookd had cut it off"
    is_over = earlier.answered_at is not None and earlier.answered_at + RECORD_S / 4 < later.at
    return "after it was delivered" if is_over else "while it was under way"


def _story(arrivals: Iterable[Arrival], books: Books) -> str:
    """The requests of one delivery with what the nemesis did meanwhile, for reading."""
    told = list(arrivals)[:8]
    first, last = told[0].at, told[-1].at
    lines = [(a.at, a.behaviour + " (cut off)" * a.cut_off) for a in told]
    lines += [
        (action.began_at, f"[{action.kind} for {action.ended_at - action.began_at:.1f} s]")
        for action in books.actions
        if action.began_at <= last and action.ended_at >= first - 1
    ]
    return "; ".join(f"{at - first:+.3f} s {text}" for at, text in sorted(lines))
