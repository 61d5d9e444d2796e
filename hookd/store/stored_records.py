"""Records of history out of a database's rows, whichever engine it is.

Must never: touch the database.
"""

import json
from collections.abc import Sequence
from typing import Any

from hookd.domain.deliveries import Attempt, GenerationRef, Reason
from hookd.domain.events import DeliveryRef, Event, Kind
from hookd.domain.history import DeliveryRecord, EventRecord
from hookd.store.stored_values import STATES, object_of, optional_seconds, seconds, trace_of


def delivery_record(
    row: Sequence[Any], *, body: bytes | None = None, attempts: tuple[Attempt, ...] = ()
) -> DeliveryRecord:
    """The record of a row: its key, then what a listing shows, in this order."""
    (
        _, delivery_id, event_id, kind, rule, task, webhook, state, attempt, failures, created_at, due_at,
        finished_at, detail, last_status, last_error, trace_text,
    ) = row  # fmt: skip
    trace = trace_of(trace_text)
    return DeliveryRecord(
        id=delivery_id,
        event_id=event_id,
        kind=Kind(kind),
        rule=rule,
        task=task,
        webhook=webhook,
        state=STATES[state],
        attempt=attempt,
        failures=failures,
        created_at=seconds(created_at),
        due_at=optional_seconds(due_at),
        finished_at=optional_seconds(finished_at),
        detail=detail,
        last_status=last_status,
        last_error=last_error,
        trace_id=None if trace is None else trace.trace_id,
        body=body,
        attempts=attempts,
    )


def attempt_record(row: Sequence[Any]) -> Attempt:
    """The attempt of a row; the columns of its generation come last."""
    number, started_at, duration_s, status, reason, error, response, insecure, resent, *generation = row
    return Attempt(
        number=number,
        started_at=seconds(started_at),
        duration_s=duration_s,
        status=status,
        reason=Reason(reason),
        error=error,
        response=response,
        insecure=bool(insecure),
        generation=generation_of(*generation),
        resent=bool(resent),
    )


def event_record(row: Sequence[Any], refs: tuple[DeliveryRef, ...]) -> EventRecord:
    """The record of a row: its key, then what an event is, when it was received, and its trace, in this order."""
    _, event_id, kind, type_, name, obj, time, data, digest, received_at, trace = row
    kept = Event(
        id=event_id,
        kind=Kind(kind),
        type=type_,
        event=name,
        object=None if obj is None else object_of(json.loads(obj)),
        time=time,
        data={} if data is None else json.loads(data),
        digest=digest,
        trace=trace_of(trace),
    )
    return EventRecord(kept, seconds(received_at), refs)


def generation_of(number: int | None, content: str, revision: str, dirty: int | None) -> GenerationRef | None:
    """What made an attempt, of the columns of its row; None where they are null."""
    if number is None:
        return None
    if not revision:
        return GenerationRef(number, content)
    return GenerationRef(number, content, revision, bool(dirty))
