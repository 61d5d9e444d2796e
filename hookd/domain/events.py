"""What is taken in: an event with its deliveries on their way into the store, and what was stored of it.

Must never: do I/O or read a clock. The words are those of spec section 0.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from hookd.domain.tracing import Trace
from hookd.domain.value_class import value_class


class Kind(StrEnum):
    """What caused a firing (spec 9, `cause.kind`)."""

    EVENT = "event"
    SCHEDULE = "schedule"
    TRIGGER = "trigger"
    SEND = "send"


@value_class
class EventObject:
    """The object an event happened to; at least one of `id` and `name` is set, or a CloudEvent gave `tags` alone."""

    id: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()


@value_class
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


@value_class
class DeliveryRef:
    """A delivery as an answer names it (spec 2)."""

    id: str
    task: str
    webhook: str


@value_class
class NewDelivery:
    """A rendered delivery on its way into the store.

    Attributes:
        rule: the place of the rule that fired it: `events.NAME`, `schedules.NAME`, `tasks.NAME.triggers[N]`, or empty
            for a trigger or send.
        task: the task's name, or empty for a send.
        one_shot_digest: the digest of a task that runs once only (spec 13), else empty. Storing the delivery spends the
            task; where it is spent already, the delivery is not stored.
    """

    id: str
    task: str
    webhook: str
    body: bytes
    rule: str = ""
    one_shot_digest: str = ""

    @property
    def ref(self) -> DeliveryRef:
        """How answers name it."""
        return DeliveryRef(self.id, self.task, self.webhook)


@value_class
class Submission:
    """One event with all its deliveries, stored in one transaction.

    Attributes:
        moment: of which schedule it is which moment, as the schedule's key and seconds since the epoch; None for any
            other event. It is stored only where no later moment of that schedule is dealt with.
        dead_letters: it reports what died of this webhook up to this instant (seconds since the epoch), which is
            noted in the same transaction; None for any other event.
    """

    event: Event
    deliveries: tuple[NewDelivery, ...]
    moment: tuple[str, float] | None = None
    dead_letters: tuple[str, float] | None = None


@value_class
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


@value_class
class Receipt:
    """What was stored for one submission; for a duplicate, what had been stored the first time."""

    event_id: str
    duplicate: bool
    deliveries: tuple[DeliveryRef, ...]
