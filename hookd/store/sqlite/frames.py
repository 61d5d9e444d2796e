"""What crosses between hookd and the process of its store: frames of marshalled plain values.

A frame to the process is a part, a list of requests; a frame back is what a batch of parts came to, or the first word.
Both ends run the same program on the same Python (`VERSION` is compared first) and nothing else holds an end, so
values are trusted. Requests of the hot path are flat tuples; for the rest, and for errors, there is pickle within them.
What the asker knows already does not come back: receipts are made here from what was asked.

Must never: touch the database, import an event loop, or carry anything that another program has written.
"""

import marshal
import pickle
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, cast

from hookd import __version__
from hookd.domain.deliveries import (
    Attempt,
    Claimed,
    ClaimRequest,
    GenerationRef,
    Lease,
    Reason,
    Settlement,
    State,
)
from hookd.domain.events import (
    DeliveryRef,
    Event,
    EventObject,
    Kind,
    NewDelivery,
    Receipt,
    Submission,
)
from hookd.domain.tracing import Trace
from hookd.store.sqlite.backlog_index import BacklogDelta, BacklogIndex
from hookd.store.sqlite.commit import BatchResult
from hookd.store.sqlite.operations import (
    NOBODY,
    ClaimOperation,
    Echo,
    Enqueue,
    Operation,
    Probe,
    Prune,
    Read,
    Settle,
    Vacuum,
    Write,
)

VERSION = f"{__version__} {sys.version}"
"""Both ends must have it: a process that is started after an upgrade may not."""

CLOSE: list[Any] = []
"""The part after which the process closes the file and ends."""

_HEAD = struct.Struct("!Q")
_APART = 1 << 63
"""Added to the length of a frame that is no marshalled value, but the bytes of one large message, as they are."""

LARGE = 1 << 16
"""Bytes from which on a message crosses apart, before the frame that it belongs to: nobody copies it in between."""

_ENQUEUE, _CLAIM, _SETTLE, _PROBE, _PRUNE, _VACUUM, _ECHO, _READ, _WRITE, _PICKLED = range(10)

PlainCall = tuple[Any, ...]
"""A call as plain values; the first says which kind it is."""


class FirstWord(NamedTuple):
    """What the process says when it has the file, or has not got it."""

    version: str
    error: BaseException | None = None
    picture: BacklogIndex | None = None


class BatchFrame(NamedTuple):
    """What a batch came to, as it crosses: `BatchResult` without what the asker knows.

    Attributes:
        results: for each call in order, as `result_of` makes them.
        errors: by place, what calls raised.
    """

    results: list[Any]
    errors: dict[int, bytes] | None
    picture: bytes | None
    changes: list[tuple[dict[Any, Any], ...]]
    commit_s: float | None
    fault: str | None
    wrote: bool


class FrameReader:
    """Finds the frames in what comes through a socket."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """The frames that are whole with this chunk: what was `framed`, and large messages as bytes."""
        buffer = self._buffer
        buffer += chunk
        begin = 0
        with memoryview(buffer) as view:
            while len(view) - begin >= _HEAD.size:
                size = _HEAD.unpack_from(view, begin)[0]
                end = begin + _HEAD.size + (size & ~_APART)
                if end > len(view):
                    break
                yield _content(view[begin + _HEAD.size : end], is_message=bool(size & _APART))
                begin = end
        del buffer[:begin]


def _content(view: memoryview, *, is_message: bool) -> Any:
    return bytes(view) if is_message else marshal.loads(view)  # noqa: S302 - see the module


NOTHING: PlainCall = (_ECHO,)
"""Stands for a call that is answered already."""


def framed(content: Any) -> bytes:
    """A frame; raises ValueError for anything but plain values."""
    body = marshal.dumps(content)
    return _HEAD.pack(len(body)) + body


def part_frames(requests: list[PlainCall], large: list[bytes]) -> list[bytes]:
    """The frames of a part, as pieces to be written one after the other."""
    try:
        frame = framed(requests)
    except ValueError:  # a value of a kind of its own, or a very deep one
        frame = framed([(_PICKLED, _pickled(request)) for request in requests])
    return [*_apart(large), frame] if large else [frame]


def _apart(large: list[bytes]) -> Iterator[bytes]:
    for message in large:
        yield _HEAD.pack(len(message) | _APART)
        yield message


def _held(message: bytes, large: list[bytes]) -> bytes | int:
    """What stands for a message in its frame: itself, or its place among the large ones."""
    if len(message) < LARGE:
        return message
    large.append(message)
    return len(large) - 1


def first_word_frame(word: FirstWord) -> bytes:
    """The frame of the first word."""
    error = None if word.error is None else _pickled_error(word.error)
    return framed((word.version, error, _pickled(word.picture)))


def first_word(frame: Any) -> FirstWord:
    """The first word of a frame; what else it holds is not looked at where the version is another."""
    version, error, picture = frame
    if version != VERSION:
        return FirstWord(version)
    return FirstWord(version, None if error is None else _unpickled(error), _unpickled(picture))


# From hookd to the process.


def request_of(call: Operation, large: list[bytes]) -> PlainCall:
    """A call as plain values; raises what `pickle` does where it is to run something that has no name.

    Args:
        call: what is asked.
        large: takes the messages that cross apart.
    """
    if type(call) is Enqueue:
        return _enqueue(call, large)
    return _REQUESTS[type(call)](call)


def _enqueue(call: Enqueue, large: list[bytes]) -> PlainCall:
    return (
        _ENQUEUE,
        call.started_at,
        call.limit,
        [_submission(each, large) for each in call.batch],
        call.lease_ends,
        call.in_doubt,
    )


def _submission(submission: Submission, large: list[bytes]) -> tuple[Any, ...]:
    event = submission.event
    obj, trace = event.object, event.trace
    return (
        event.id, event.kind._value_, event.type, event.event,
        None if obj is None else (obj.id, obj.name, obj.tags),
        event.time, event.data, event.digest,
        None if trace is None else _trace(trace),
        [
            (d.id, d.task, d.webhook, _held(d.body, large), d.rule, d.one_shot_digest)
            for d in submission.deliveries
        ],
        submission.moment, submission.dead_letters,
    )  # fmt: skip


def _trace(trace: Trace) -> tuple[str, str, str]:
    return (trace.trace_id, trace.flags, trace.state)


def _claim(call: ClaimOperation) -> PlainCall:
    return (_CLAIM, call.now, [(want.webhook, want.slots, want.lease_s) for want in call.wants])


def _settle(call: Settle) -> PlainCall:
    lease, attempt, settlement, generation = (
        call.lease,
        call.attempt,
        call.settlement,
        call.attempt.generation,
    )
    return (
        _SETTLE, call.now, lease.webhook, lease.token, lease.attempt, lease.failures,
        attempt.number, attempt.started_at, attempt.duration_s, attempt.status, attempt.reason._value_,
        attempt.error, attempt.response, attempt.insecure, attempt.resent,
        None if generation is None else (generation.number, generation.hash, generation.commit, generation.dirty),
        settlement.state._value_, settlement.counted, settlement.due_at, settlement.detail, settlement.hold_until,
        call.in_doubt,
    )  # fmt: skip


def _prune(call: Prune) -> PlainCall:
    return (_PRUNE, call.delivered_before, call.dead_before, call.limit)


_REQUESTS: dict[type[Operation], Callable[[Any], PlainCall]] = {
    ClaimOperation: _claim,
    Settle: _settle,
    Probe: lambda _: (_PROBE,),
    Prune: _prune,
    Vacuum: lambda call: (_VACUUM, call.pages),
    Echo: lambda _: (_ECHO,),
    Read: lambda call: (_READ, _pickled(call.query)),
    Write: lambda call: (_WRITE, _pickled(call.work)),
}


# In the process.


class RequestReader:
    """Makes calls of requests.

    It remembers the last generation: the one that makes attempts is nearly always the same.

    Attributes:
        large: the messages that came apart, for the next part.
    """

    def __init__(self) -> None:
        self.large: list[bytes] = []
        self._plain: tuple[Any, ...] | None = None
        self._generation: GenerationRef | None = None

    def calls(self, part: Sequence[PlainCall]) -> list[Operation]:
        """The calls of a part, of which the large messages have come before."""
        calls = [self._call(request) for request in part]
        self.large.clear()
        return calls

    def _call(self, request: PlainCall) -> Operation:
        match request[0]:
            case int(kind) if kind == _ENQUEUE:
                return _as_enqueue(request, self.large)
            case int(kind) if kind == _SETTLE:
                return self._as_settle(request)
            case int(kind) if kind == _CLAIM:
                _, at, wants = request
                return ClaimOperation(NOBODY, [ClaimRequest(*want) for want in wants], now=at)
            case int(kind) if kind == _PICKLED:
                return self._call(_unpickled(request[1]))
            case kind:
                return _RARE[kind](*request[1:])

    def _as_settle(self, request: PlainCall) -> Settle:
        (
            _, now, webhook, token, lease_attempt, failures, number, started_at, duration_s, status, reason,
            error, response, insecure, resent, generation, state, counted, due_at, detail, hold_until,
            in_doubt,
        ) = request  # fmt: skip
        if generation != self._plain:
            self._plain = generation
            self._generation = None if generation is None else GenerationRef(*generation)
        # of a lease the store needs no more than what fences it
        lease = Lease("", "", "", webhook, b"", token, lease_attempt, failures, started_at, 0.0)
        attempt = Attempt(
            number, started_at, duration_s, status, _REASONS[reason], error, response, insecure,
            self._generation, resent,
        )  # fmt: skip
        settlement = Settlement(_STATES[state], counted, due_at, detail, hold_until)
        call = Settle(NOBODY, lease, attempt, settlement, now=now)
        call.in_doubt = in_doubt
        return call


_KINDS = {kind.value: kind for kind in Kind}
_REASONS = {reason.value: reason for reason in Reason}
_STATES = {state.value: state for state in State}

_RARE: dict[int, Callable[..., Operation]] = {
    _PROBE: lambda: Probe(NOBODY),
    _PRUNE: lambda delivered, dead, limit: Prune(
        NOBODY, delivered_before=delivered, dead_before=dead, limit=limit
    ),
    _VACUUM: lambda pages: Vacuum(NOBODY, pages=pages),
    _ECHO: lambda: Echo(NOBODY),
    _READ: lambda query: Read(NOBODY, _unpickled(query)),
    _WRITE: lambda work: Write(NOBODY, _unpickled(work)),
}


def _as_enqueue(request: PlainCall, large: list[bytes]) -> Enqueue:
    _, now, limit, batch, lease_ends, in_doubt = request
    call = Enqueue(NOBODY, [_as_submission(each, large) for each in batch], now=now, limit=limit)
    call.lease_ends = lease_ends
    call.in_doubt = in_doubt
    return call


def _as_submission(plain: tuple[Any, ...], large: list[bytes]) -> Submission:
    event_id, kind, type_, name, obj, time, data, digest, trace, deliveries, moment, dead_letters = plain
    event = Event(
        event_id, _KINDS[kind], type_, name, None if obj is None else EventObject(*obj), time, data, digest,
        None if trace is None else Trace(*trace),
    )  # fmt: skip
    made = [
        NewDelivery(key, task, webhook, large[body] if type(body) is int else body, rule, digest)
        for key, task, webhook, body, rule, digest in deliveries
    ]
    return Submission(event, tuple(made), moment, dead_letters)


def batch_frames(report: BatchResult) -> list[bytes]:
    """The frames of what a batch came to, as pieces to be written one after the other."""
    large: list[bytes] = []
    errors = {
        place: _pickled_error(call.error) for place, call in enumerate(report.done) if call.error is not None
    }
    frame = framed(
        (
            [None if call.error is not None else _result_of(call, large) for call in report.done],
            errors or None,
            None if report.picture is None else _pickled(report.picture),
            [tuple([dict(getattr(change, name)) for name in _CHANGE]) for change in report.changes],
            report.commit_s,
            report.fault,
            report.wrote,
        )
    )
    return [*_apart(large), frame]


def _result_of(call: Operation, large: list[bytes]) -> Any:
    match call:
        case Enqueue():
            return (_receipts(call), call.tokens or None)
        case ClaimOperation():
            return _claimed(call.result, large)
        case Read() | Write():
            return call.result if type(call.result) in _PLAIN else (_pickled(call.result),)
        case _:
            return call.result


def _receipts(call: Enqueue) -> list[Any] | None:
    """The receipts; None where all is stored as it was submitted."""
    for submission, receipt in zip(call.batch, call.result, strict=True):
        if receipt != _receipt_of(submission):
            break
    else:
        return None
    return [
        (each.event_id, each.duplicate, [(d.id, d.task, d.webhook) for d in each.deliveries])
        for each in call.result
    ]


def _claimed(claimed: Claimed, large: list[bytes]) -> tuple[Any, ...]:
    leases = [
        (
            lease.delivery_id, lease.event_id, lease.task, lease.webhook, _held(lease.body, large), lease.token,
            lease.attempt, lease.failures, lease.started_at, lease.expires_at,
            None if lease.trace is None else _trace(lease.trace),
        )
        for lease in claimed.leases
    ]  # fmt: skip
    return (leases, dict(claimed.waits))


_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_CHANGE = {field.name: field.default_factory for field in fields(BacklogDelta)}


# Back in hookd.


def answered(frame: Any) -> int:
    """How many calls a batch is of."""
    return len(frame[0])


def take_over(frame: Any, done: Sequence[Operation], large: Sequence[bytes]) -> BatchResult:
    """Fill in what the calls of a batch came to.

    Args:
        frame: what came.
        done: the calls, those that have waited longest.
        large: the messages that came before it.
    """
    batch = BatchFrame(*frame)
    for call, result in zip(done, batch.results, strict=True):
        _take_result(call, result, large)
    for place, error in (batch.errors or {}).items():
        done[place].error = _unpickled(error)
    picture = None if batch.picture is None else _unpickled(batch.picture)
    changes = [BacklogDelta(*map(_made, _CHANGE.values(), change)) for change in batch.changes]
    return BatchResult(done, picture, changes, batch.commit_s, batch.fault, batch.wrote)


def _made(kind: Any, values: dict[Any, Any]) -> Any:
    return values if kind is dict else kind(values)


def _take_result(call: Operation, result: Any, large: Sequence[bytes]) -> None:
    kind = type(call)
    if result is None:
        call.result = None
    elif kind is Enqueue:
        _take_receipts(cast("Enqueue", call), *result)
    elif kind is ClaimOperation:
        leases, waits = result
        call.result = Claimed(tuple([_as_lease(each, large) for each in leases]), waits)
    elif type(result) is tuple:
        call.result = _unpickled(result[0])
    else:
        call.result = result


def _take_receipts(call: Enqueue, receipts: list[Any] | None, tokens: dict[str, int] | None) -> None:
    call.tokens = tokens or {}
    if receipts is None:
        call.result = tuple([_receipt_of(each) for each in call.batch])
    else:
        call.result = tuple([_as_receipt(*each) for each in receipts])


def _receipt_of(submission: Submission) -> Receipt:
    return Receipt(submission.event.id, False, tuple([delivery.ref for delivery in submission.deliveries]))


def _as_receipt(event_id: str, duplicate: bool, deliveries: list[tuple[str, str, str]]) -> Receipt:
    return Receipt(event_id, duplicate, tuple([DeliveryRef(*each) for each in deliveries]))


def _as_lease(plain: tuple[Any, ...], large: Sequence[bytes]) -> Lease:
    (
        delivery_id, event_id, task, webhook, body, token, attempt, failures, started_at, expires_at, trace,
    ) = plain  # fmt: skip
    return Lease(
        delivery_id, event_id, task, webhook, large[body] if type(body) is int else body, token, attempt, failures,
        started_at, expires_at,
        None if trace is None else Trace(*trace),
    )  # fmt: skip


def _pickled(value: object) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _unpickled(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301 - see the module


def _pickled_error(error: BaseException) -> bytes:
    try:
        data = _pickled(error)
        _unpickled(data)
    except Exception:  # noqa: BLE001  one that holds what cannot cross, or is made from more than it keeps
        return _pickled(RuntimeError(f"{type(error).__name__}: {error}"))
    return data
