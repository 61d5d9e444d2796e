"""What happens at run time: events, deliveries, attempts, as frozen values, and the delivery's states.

Must never: do I/O or read a clock. The words are those of spec section 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from hookd.trace import Trace

T = TypeVar("T")


class State(StrEnum):
    """The state of a delivery (spec 5)."""

    PENDING = "pending"  # waits for its `due_at`: fresh, between retries, or parked
    SENDING = "sending"  # an attempt holds its lease
    DELIVERED = "delivered"  # a 2xx was received
    DEAD = "dead"  # will not be attempted again unless somebody asks
    CANCELLED = "cancelled"  # ended by hand


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SENDING, State.CANCELLED}),
    State.SENDING: frozenset({State.PENDING, State.DELIVERED, State.DEAD, State.SENDING}),
    State.DELIVERED: frozenset({State.PENDING}),
    State.DEAD: frozenset({State.PENDING}),
    State.CANCELLED: frozenset({State.PENDING}),
}
"""Every change of state there is; SENDING to itself is the claim of an expired lease."""


class Kind(StrEnum):
    """What caused a firing (spec 9, `cause.kind`)."""

    EVENT = "event"
    SCHEDULE = "schedule"
    TRIGGER = "trigger"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class EventObject:
    """The object an event happened to; at least one of `id` and `name` is set, or a CloudEvent gave `tags` alone."""

    id: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    A trigger, send or schedule makes one too; `kind` tells, and `type` and `event` are then empty. `time` is then the
    schedule's moment.

    Attributes:
        id: 1 to 256 printable characters, unique while retained.
        time: when it happened, RFC 3339, as posted; None where the poster gave none.
        digest: SHA-256 over the posted content without its id; None where hookd made the id (no duplicate is possible).
        trace: the trace of the request that it came with, or None; no part of its content.
    """

    id: str
    kind: Kind = Kind.EVENT
    type: str = ""
    event: str = ""
    object: EventObject | None = None
    time: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    digest: bytes | None = None
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A rendered delivery on its way into the store.

    Attributes:
        rule: the place of the rule that fired it: `events.NAME`, `schedules.NAME`, `tasks.NAME.triggers[N]`, or empty
            for a trigger or send.
        task: the task's name, or empty for a send.
        once: the digest of a task that runs once only (spec 13), else empty. Storing the delivery spends the task;
            where it is spent already, the delivery is not stored.
    """

    id: str
    task: str
    webhook: str
    body: bytes
    rule: str = ""
    once: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One event with all its deliveries, stored in one transaction."""

    event: Event
    deliveries: tuple[NewDelivery, ...]


@dataclass(frozen=True, slots=True)
class SpentMark:
    """A one-shot task that has run (spec 13); kept by name and digest, whatever becomes of its delivery.

    Attributes:
        spent_at: when, in seconds since the epoch.
        delivery_id: its one delivery, which may be gone from the history.
    """

    task: str
    digest: str
    spent_at: float
    delivery_id: str


@dataclass(frozen=True, slots=True)
class DeliveryRef:
    """A delivery as an answer names it (spec 2)."""

    id: str
    task: str
    webhook: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was stored for one submission; for a duplicate, what had been stored the first time."""

    event_id: str
    duplicate: bool
    deliveries: tuple[DeliveryRef, ...]


@dataclass(frozen=True, slots=True)
class GenerationRef:
    """A generation of the configuration as logs, answers and attempts name it (spec 10).

    Attributes:
        number: counts the generations of one process, from 1.
        hash: 12 hex digits over the tree's content.
        commit: the commit that was checked out, in full; None where the files are in no git work tree, or git cannot
            tell.
        dirty: whether the files are anything but what that commit holds; None without a commit.
    """

    number: int
    hash: str
    commit: str | None = None
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """A lane's wish to claim: so many deliveries of this webhook, each leased for so long (seconds)."""

    webhook: str
    seats: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed delivery: the right to make one attempt and to settle it until `expires_at`.

    Attributes:
        token: fences the settling: a settle with a token that is no longer the row's changes nothing.
        attempt: number of this attempt, from 1; interrupted attempts have numbers too.
        failures: attempts so far that count against `retries`.
        started_at: the claim's instant, seconds since the epoch.
        trace: the trace of its event's request, or None.
        generation: what the claim was told to be in force.
    """

    delivery_id: str
    event_id: str
    task: str
    webhook: str
    body: bytes
    token: int
    attempt: int
    failures: int
    started_at: float
    expires_at: float
    trace: Trace | None = None
    generation: GenerationRef | None = None


class Reason(StrEnum):
    """Why an attempt ended as it did: a closed set, used as metric label and log value."""

    OK = "ok"  # a 2xx
    STATUS = "status"  # any other status
    DNS = "dns"  # the name did not resolve
    CONNECT = "connect"  # refused, unreachable, no route
    TLS = "tls"  # handshake or certificate
    TIMEOUT = "timeout"  # the attempt's time was up
    DISCONNECTED = "disconnected"  # closed or reset before a whole answer head
    FORBIDDEN = "forbidden"  # the address is never called: link-local, or a cloud's metadata
    PROTOCOL = "protocol"  # the answer was not HTTP, or its head passed the bounds
    INTERRUPTED = "interrupted"  # hookd stopped or crashed; the answer is unknown
    LOCAL = "local"  # hookd's own lack (descriptors, memory); never counted against the receiver


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the world said to one attempt.

    Attributes:
        status: the HTTP status, or None without an answer.
        error: a sentence for people, secrets masked; empty on success.
        response: the first bytes of the answer's body, at most 4 KiB, secrets masked.
        duration_s: seconds from opening to the end of the answer.
        retry_after_s: seconds the receiver asked for (429 and 503 only, valid values only, at most 86,400), else None.
        insecure: the certificate was not checked.
    """

    reason: Reason
    status: int | None = None
    error: str = ""
    response: bytes = b""
    duration_s: float = 0.0
    retry_after_s: float | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """What hookd does about an outcome.

    Attributes:
        state: DELIVERED, DEAD or PENDING.
        counted: whether the attempt counts against `retries`.
        due_at: when the next attempt is due (seconds since the epoch); only for PENDING.
        detail: why it is dead, one sentence; empty otherwise.
        hold_until: the whole webhook waits until then (seconds since the epoch), or None.
    """

    state: State
    counted: bool
    due_at: float | None = None
    detail: str = ""
    hold_until: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One recorded HTTP request of a delivery (spec 9, `attempts`).

    Attributes:
        generation: of the configuration, in force when the attempt began; None where that was not recorded.
    """

    number: int
    started_at: float
    duration_s: float
    status: int | None
    reason: Reason
    error: str
    response: bytes
    insecure: bool
    generation: GenerationRef | None = None


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class EventRecord:
    """A kept event as history shows it."""

    event: Event
    received_at: float
    deliveries: tuple[DeliveryRef, ...]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing, newest first; `cursor` continues it, None at its end."""

    items: tuple[T, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
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
