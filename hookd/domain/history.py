"""What has become of events and deliveries, as listings and single views show it.

Must never: do I/O or read a clock. The words are those of spec section 0.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

from hookd.domain.deliveries import Attempt, State
from hookd.domain.events import DeliveryRef, Event, Kind
from hookd.domain.value_class import value_class

T = TypeVar("T")


@value_class
class DeliveryRecord:
    """A delivery as history shows it.

    Attributes:
        attempt: number of the last attempt begun; 0 before the first.
        failures: attempts that counted against `retries`.
        due_at: when it may next be attempted (pending), or when its lease ends (sending); None when finished.
        finished_at: when it reached delivered, dead or cancelled.
        detail: why it is dead.
        trace_id: of the trace that its event came with, or None.
        body: only in the single view, else None.
        attempts: only in the single view, else empty.
    """

    id: str
    event_id: str
    kind: Kind
    rule: str
    task: str
    webhook: str
    state: State
    attempt: int
    failures: int
    created_at: float
    due_at: float | None
    finished_at: float | None
    detail: str
    last_status: int | None
    last_error: str
    trace_id: str | None = None
    body: bytes | None = None
    attempts: tuple[Attempt, ...] = ()


@value_class
class EventRecord:
    """A kept event as history shows it."""

    event: Event
    received_at: float
    deliveries: tuple[DeliveryRef, ...]


@value_class
class DeadLetter:
    """A delivery that is dead; `died_at` in seconds since the epoch."""

    delivery_id: str
    event_id: str
    webhook: str
    task: str
    died_at: float


@value_class
class UnreportedDeadLetters:
    """What died and stands in no report yet.

    Attributes:
        reported_at: when the last report of each webhook was stored, as far as that is recent (seconds since the
            epoch).
        dead: what died of these webhooks since, the latest first.
    """

    reported_at: Mapping[str, float]
    dead: tuple[DeadLetter, ...]


@value_class
class DeliveryFilter:
    """Which deliveries to list; None means any.

    Instants in seconds since the epoch, over `created_at`: from `since` on, before `until`.
    """

    state: State | None = None
    webhook: str | None = None
    task: str | None = None
    event_id: str | None = None
    since: float | None = None
    until: float | None = None


@value_class
class Page(Generic[T]):
    """A part of a listing, newest first, which may be empty; `cursor` continues it, None at its end."""

    items: tuple[T, ...]
    cursor: str | None


@value_class
class RetriedPart:
    """What a part of a retry by filter came to.

    Attributes:
        matched: deliveries seen that match.
        retried: of these, the ones that are due now.
        cursor: continues it, None at its end.
    """

    matched: int
    retried: int
    cursor: str | None


@value_class
class LaneStats:
    """What waits for one webhook.

    Attributes:
        pending: deliveries not finished, those being sent included.
        sending: of these, the ones whose attempt is under way.
        oldest_at: when the oldest of them was taken in (seconds since the epoch), or None.
    """

    pending: int
    sending: int
    oldest_at: float | None
