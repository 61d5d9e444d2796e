"""What crosses to the process of the store and back arrives as it was: laws over every kind of call."""

import marshal
from collections.abc import Iterator, Sequence
from dataclasses import fields
from types import NoneType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from hookd.domain.errors import IdConflict, StoreUnavailable, TaskSpent
from hookd.domain.events import DeliveryRef, Event, EventObject, Kind, NewDelivery, Receipt, Submission
from hookd.domain.tracing import Trace
from hookd.store.sqlite import frames
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
    Settle,
    Vacuum,
)

texts = st.text(max_size=8)
floats = st.floats(0, 4e9)
micros = st.integers(0, 1 << 52)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
traces = st.none() | st.builds(Trace, texts, texts, texts)
events = st.builds(
    Event,
    id=texts,
    kind=st.sampled_from(Kind),
    type=texts,
    event=texts,
    object=st.none()
    | st.builds(EventObject, st.none() | texts, st.none() | texts, st.lists(texts).map(tuple)),
    time=st.none() | texts,
    data=st.dictionaries(texts, json_values, max_size=3),
    digest=st.none() | st.binary(max_size=4),
    trace=traces,
)
new_deliveries = st.builds(NewDelivery, texts, texts, texts, st.binary(max_size=9), texts, texts)
pairs = st.none() | st.tuples(texts, floats)
submissions = st.builds(Submission, events, st.lists(new_deliveries, max_size=3).map(tuple), pairs, pairs)
generations = st.none() | st.builds(
    GenerationRef, st.integers(1, 9), texts, st.none() | texts, st.none() | st.booleans()
)
attempts = st.builds(
    Attempt, st.integers(1, 9), floats, floats, st.none() | st.integers(100, 999), st.sampled_from(Reason), texts,
    st.binary(max_size=9), st.booleans(), generations, st.booleans(),
)  # fmt: skip
settlements = st.builds(
    Settlement, st.sampled_from(State), st.booleans(), st.none() | floats, texts, st.none() | floats
)
leases = st.builds(
    Lease, texts, texts, texts, texts, st.binary(max_size=9), st.integers(0, 1 << 62), st.integers(1, 9),
    st.integers(0, 9), floats, floats, traces,
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Messages of five bytes are large ones here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "LARGE", 5)
        yield


def there(*calls: Operation) -> list[Operation]:
    """The calls as the process has them."""
    large: list[bytes] = []
    requests = [frames.request_of(call, large) for call in calls]
    *apart, part = frames.FrameReader().feed(b"".join(frames.part_frames(requests, large)))
    reader = frames.RequestReader()
    reader.large += apart
    found = reader.calls(part)
    assert not reader.large
    return found


def back(done: Sequence[Operation], waiting: Sequence[Operation], **more: Any) -> BatchResult:
    """What hookd has of a batch."""
    *apart, frame = frames.FrameReader().feed(b"".join(frames.batch_frames(BatchResult(done, **more))))
    assert frames.answered(frame) == len(done)
    return frames.take_over(frame, waiting, apart)


@given(st.lists(submissions, max_size=3), floats, st.dictionaries(texts, micros, max_size=2))
def test_an_enqueue(batch: list[Submission], now: float, lease_ends: dict[str, int]) -> None:
    call = Enqueue(NOBODY, batch, now=now, limit=7)
    call.lease_ends = lease_ends
    [found] = there(call)
    assert isinstance(found, Enqueue)
    assert (found.batch, found.now, found.limit, found.lease_ends) == (batch, call.now, 7, lease_ends)


@given(leases, attempts, settlements, micros)
def test_a_settle(lease: Lease, attempt: Attempt, settlement: Settlement, now: int) -> None:
    [found] = there(Settle(NOBODY, lease, attempt, settlement, now=now))
    assert isinstance(found, Settle)
    assert (found.attempt, found.settlement, found.now) == (attempt, settlement, now)
    for name in ("token", "attempt", "failures", "webhook"):
        assert getattr(found.lease, name) == getattr(lease, name)


def test_the_same_generation_is_the_same_object() -> None:
    ref = GenerationRef(1, "a")
    attempt = Attempt(1, 0.0, 0.0, 200, Reason.OK, "", b"", False, ref)
    lease = Lease("d", "e", "t", "w", b"", 1, 1, 0, 0.0, 0.0)
    settle = Settle(NOBODY, lease, attempt, Settlement(State.DELIVERED, counted=False), now=0)
    first, second = there(settle, settle)
    assert isinstance(first, Settle)
    assert isinstance(second, Settle)
    assert first.attempt.generation is second.attempt.generation


@given(st.lists(st.builds(ClaimRequest, texts, st.integers(0, 9), floats), max_size=3), floats)
def test_a_claim(wants: list[ClaimRequest], now: float) -> None:
    [found] = there(ClaimOperation(NOBODY, wants, now=now))
    assert isinstance(found, ClaimOperation)
    assert (found.wants, found.now) == (wants, now)


def test_the_rest() -> None:
    prune = Prune(NOBODY, delivered_before=1, dead_before=2, limit=3)
    found = there(Probe(NOBODY), prune, Vacuum(NOBODY, pages=4), Echo(NOBODY))
    assert [type(call) for call in found] == [Probe, Prune, Vacuum, Echo]
    assert isinstance(found[1], Prune)
    assert (found[1].delivered_before, found[1].dead_before, found[1].limit) == (1, 2, 3)
    assert isinstance(found[2], Vacuum)
    assert found[2].pages == 4


@given(st.lists(submissions, min_size=1, max_size=3), st.data())
def test_receipts(batch: list[Submission], data: st.DataObject) -> None:
    receipts = tuple(
        Receipt(each.event.id, False, tuple(delivery.ref for delivery in each.deliveries))
        if data.draw(st.booleans())
        else Receipt(each.event.id, data.draw(st.booleans()), (DeliveryRef("a", "b", "c"),))
        for each in batch
    )
    call, done = (Enqueue(NOBODY, batch, now=0.0, limit=7) for _ in range(2))
    done.result, done.tokens = receipts, {"d": 1}
    back([done], [call])
    assert (call.result, call.tokens, call.error) == (receipts, {"d": 1}, None)


@given(st.lists(leases, max_size=3), st.dictionaries(texts, floats, max_size=2))
def test_claimed(found: list[Lease], waits: dict[str, float]) -> None:
    call, done = (ClaimOperation(NOBODY, [], now=0.0) for _ in range(2))
    done.result = Claimed(tuple(found), waits)
    back([done], [call])
    assert call.result == done.result


@pytest.mark.parametrize(
    "error",
    [IdConflict("e", 3), TaskSpent("t"), StoreUnavailable("full"), ValueError("no"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_errors(error: BaseException) -> None:
    call, done, other = (Enqueue(NOBODY, [], now=0.0, limit=7) for _ in range(3))
    done.error = error
    echo = Echo(NOBODY)
    back([done, echo], [call, other])
    assert type(call.error) is type(error)
    assert (str(call.error), vars(call.error)) == (str(error), vars(error))
    assert other.error is None


def test_an_error_that_cannot_cross_is_named() -> None:
    class Local(Exception):
        """Has no name by which it could be found."""

    call, done = (Echo(NOBODY) for _ in range(2))
    done.error = Local("why")
    back([done], [call])
    assert str(call.error) == "Local: why"


def test_what_a_commit_changed() -> None:
    change = BacklogDelta()
    change.unfinished["w"] += 2
    change.finished[3] -= 1
    change.due("w", 5)
    change.earliest["w"] = None
    change.spent["t", "v1"] = True
    picture = BacklogIndex(unfinished={"w": 2}, total=2)
    report = back([], [], picture=picture, changes=[change], commit_s=0.5, fault="why", wrote=True)
    assert report == BatchResult([], picture, [change], 0.5, "why", True)
    assert [type(getattr(report.changes[0], each.name)) for each in fields(BacklogDelta)] == [
        type(getattr(change, each.name)) for each in fields(BacklogDelta)
    ]


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 30))
def test_frames_are_found_however_they_are_cut(contents: list[bytes], size: int) -> None:
    stream = b"".join(frames.framed(content) for content in contents)
    reader = frames.FrameReader()
    pieces = [stream[begin : begin + size] for begin in range(0, len(stream), size)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == contents


def test_of_another_version_nothing_but_that_is_read() -> None:
    odd = marshal.dumps(("0.0", b"not a pickle", b"neither"))
    assert frames.first_word(marshal.loads(odd)) == frames.FirstWord("0.0")


@pytest.mark.parametrize("kind", [Event, NewDelivery, Submission, Lease, Attempt, Settlement, GenerationRef])
def test_every_field_of_what_crosses_is_generated_above(kind: type) -> None:
    """A field that is added must be added to its frame; this counts them, the laws above compare them."""
    counts = {
        Event: 9,
        NewDelivery: 6,
        Submission: 4,
        Lease: 11,
        Attempt: 10,
        Settlement: 5,
        GenerationRef: 4,
    }
    assert len(fields(kind)) == counts[kind]
    for hint in get_type_hints(kind).values():
        parts = get_args(hint) if get_origin(hint) is Union else (hint,)
        assert any(part is not NoneType for part in parts)
