"""How values stand in a database's rows, whichever engine it is.

Must never: decide anything about deliveries, but which settlements there can be.
"""

from collections.abc import Mapping
from typing import Any

from hookd.domain.data_json import data_json
from hookd.domain.deliveries import TRANSITIONS, Settlement, State
from hookd.domain.events import EventObject
from hookd.domain.json_text import compact_json
from hookd.domain.tracing import Trace

OneShotKey = tuple[str, str]
"""A one-shot task that has run, by name and digest."""

STATES = (State.PENDING, State.SENDING, State.DELIVERED, State.DEAD, State.CANCELLED)
"""The states in the order of their numbers in the database."""

CODES: Mapping[State, int] = {state: code for code, state in enumerate(STATES)}
"""The number of each state in the database."""

PENDING, SENDING, DELIVERED, DEAD, CANCELLED = range(5)


def micros(instant: float) -> int:
    """Seconds since the epoch as the whole microseconds that are stored."""
    return round(instant * 1_000_000)


def seconds(instant: int) -> float:
    """Stored microseconds as seconds since the epoch."""
    return instant / 1_000_000


def optional_seconds(instant: int | None) -> float | None:
    """Like `seconds`, for a column that may be null."""
    return None if instant is None else instant / 1_000_000


def trace_text(trace: Trace | None) -> str | None:
    """A trace as the text that is stored."""
    return None if trace is None else trace.as_text()


def trace_of(text: str | None) -> Trace | None:
    """A stored text as the trace."""
    return None if text is None else Trace.from_text(text)


def object_text(obj: EventObject | None) -> str | None:
    """An event's object as the JSON that is stored."""
    return None if obj is None else compact_json({"id": obj.id, "name": obj.name, "tags": obj.tags})


def object_of(value: dict[str, Any]) -> EventObject:
    """The object that stored JSON describes."""
    return EventObject(id=value["id"], name=value["name"], tags=tuple(value["tags"]))


def data_text(data: Mapping[str, Any]) -> str | None:
    """An event's data as the JSON that is stored; None where there is none."""
    return data_json(dict(data)) if data else None


def refuse_unfit(settlement: Settlement) -> None:
    """Raise ValueError for a settlement that no attempt can lead to."""
    if settlement.state not in TRANSITIONS[State.SENDING] - {State.SENDING}:
        raise ValueError(f"an attempt cannot lead to {settlement.state}")
    if (settlement.state is State.PENDING) != (settlement.due_at is not None):
        raise ValueError("due_at belongs to a pending delivery, and to no other")
