"""Events that are read in one go: each is what the judge makes of it, and what is plain is read so."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookd.domain.definitions import TypeDef
from hookd.domain.errors import EventRejected
from hookd.domain.events import Event
from hookd.domain.operator_events import ID_PREFIX
from hookd.intake import decode_event, parse_json
from hookd.intake.event_format import Types
from hookd.intake.plain_event import MOST_PAIRS, PlainEventReader

CATALOGUE = {
    "vm": TypeDef("vm", ("on", "off"), objects=True),
    "tick": TypeDef("tick", ("now",), objects=False),
}
TEXTS = st.one_of(
    st.sampled_from(
        [
            "vm",
            "tick",
            "on",
            "now",
            "a",
            " a",
            "a ",
            "",
            "x\x7f",
            "é",
            "hookd.x",
            "n" * 128,
            "n" * 129,
            "n" * 257,
        ]
    ),
    st.text(max_size=5),
)
IDS = st.one_of(TEXTS, st.sampled_from(["schedules.x@2026-01-02T03:04:05Z", ID_PREFIX + "0" * 32]))
TIMES = st.one_of(
    TEXTS, st.sampled_from(["2026-01-02T03:04:05Z", "2026-02-30T03:04:05Z", "2026-01-02t03:04:05.25+01:00"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
OBJECTS = st.fixed_dictionaries(
    {}, optional={"id": TEXTS, "name": TEXTS, "tags": st.lists(TEXTS, max_size=3), "x": JSON}
)
EVENTS = st.fixed_dictionaries(
    {"type": TEXTS, "event": TEXTS},
    optional={
        "object": st.one_of(TEXTS, OBJECTS, JSON),
        "id": st.one_of(IDS, JSON),
        "time": st.one_of(TIMES, JSON),
        "data": st.dictionaries(TEXTS, JSON, max_size=4),
        "dato": JSON,
        "specversion": TEXTS,
    },
)


def make_id() -> str:
    return "evt_new"


def judged(raw: bytes, types: Types) -> Event | None:
    try:
        return decode_event(parse_json(raw), index=None, types=types, default_id=None, make_id=make_id)
    except EventRejected:
        return None


@given(st.one_of(EVENTS, st.dictionaries(TEXTS, JSON), JSON), st.sampled_from([None, CATALOGUE]))
@example({"type": "tick", "event": "now", "object": "x"}, CATALOGUE)
@example({"type": "t", "event": "e", "object": {"tags": ["a"]}}, None)
@example({"type": "t", "event": "e", "object": {"name": "a", "tags": ["a", "a"]}}, None)
@example({"type": "t", "event": "e", "id": None, "data": None}, None)
def test_what_is_read_in_one_go_is_what_the_judge_reads(event: Any, types: Types) -> None:
    raw = json.dumps(event).encode()
    read = PlainEventReader().read(raw, types, make_id)
    assert read is None or repr(read) == repr(judged(raw, types))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "vm", "event": "on"},
        {"type": "vm", "event": "on", "object": "web-01", "data": {"at": "12:30", "url": "http://h:80/"}},
        {"type": "vm", "event": "on", "object": {"id": "4", "name": "é", "tags": ["a", "b"]}, "data": {}},
        {"type": "vm", "event": "on", "id": "order-7", "time": "2026-01-02T03:04:05+01:00", "data": {"x": [1.5]}},
    ],
)  # fmt: skip
def test_plain_events_are_read_in_one_go(event: Any) -> None:
    raw = json.dumps(event).encode()
    reader = PlainEventReader()
    assert (
        reader.read(raw, CATALOGUE, make_id)
        == reader.read(raw, CATALOGUE, make_id)
        == judged(raw, CATALOGUE)
        is not None
    )


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type": "vm", "event": "on", "event": "off"}',
        b'{"type": "vm", "event": "on", "data": {"a": 1, "a": 2}}',
        b'{"type": "vm", "event": "on", "data": [1]}',
        b'[{"type": "vm", "event": "on"}]',
        b'{"type": "vm", "event": "on", "id": null}',
        b'{"type": "vm", "event": "on"} x',
    ],
)
def test_what_is_not_plain_is_left_to_the_judge(raw: bytes) -> None:
    assert PlainEventReader().read(raw, None, make_id) is None


def test_what_was_good_by_one_catalogue_is_judged_again_by_another() -> None:
    reader = PlainEventReader()
    raw = b'{"type": "other", "event": "on"}'
    assert reader.read(raw, None, make_id) is not None
    assert reader.read(raw, CATALOGUE, make_id) is None
    assert reader.read(raw, None, make_id) is not None


def test_pairs_are_remembered_in_bounded_number() -> None:
    reader = PlainEventReader()
    for number in range(2 * MOST_PAIRS + 5):
        assert reader.read(b'{"type": "vm", "event": "%d"}' % number, None, make_id) is not None
        assert len(reader._pairs) <= MOST_PAIRS
