import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.domain.definitions import TypeDef
from hookd.domain.errors import EventRejected
from hookd.domain.events import Event, EventObject
from hookd.domain.times import is_date_time
from hookd.intake import (
    NotJson,
    decode_batch,
    decode_event,
    decode_key,
    decode_send,
    decode_trigger,
    parse_json,
    parse_ndjson,
)

TYPES = {
    "vm": TypeDef("vm", events=("on", "off")),
    "alarm": TypeDef("alarm", events=("raised",), objects=False),
}
OK = {"type": "vm", "event": "on"}


def made_id() -> str:
    return "evt_made"


def one(value: Any, **options: Any) -> Event:
    defaults: dict[str, Any] = {"index": None, "types": None, "default_id": None, "make_id": made_id}
    return decode_event(value, **(defaults | options))


def batch(values: list[Any]) -> list[Event]:
    return decode_batch(values, types=TYPES, make_id=made_id)


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> EventRejected:
    with pytest.raises(EventRejected) as caught:
        call(*arguments, **options)
    return caught.value


def faults(call: Callable[..., Any], *arguments: Any, **options: Any) -> list[tuple[str, str]]:
    refused = refusal(call, *arguments, **options)
    assert refused.status == 422
    return [(fault.pointer, fault.message) for fault in refused.faults]


# Strict JSON


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b' {"a": [1, 2.5, true, null, "x"]}\r\n', {"a": [1, 2.5, True, None, "x"]}),
        ('"é漢😀"'.encode(), "é漢😀"),
        (b'"\\ud83d\\ude00 \\u0000"', "😀 \0"),
        (b'"\\\\ud800"', "\\ud800"),
        (b"1e308", 1e308),
        (b"-0.0", -0.0),
        (b"1e-400", 0.0),
        (b"9" * 4300, int("9" * 4300)),
        (b'{"": {"": 1}}', {"": {"": 1}}),
        (b'[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
        (b'"' + b"[" * 500 + b'\\"' + b"{" * 500 + b'\\\\"', "[" * 500 + '"' + "{" * 500 + "\\"),
        (b"[" + b"[]," * 500 + b"{}]", [[] for _ in range(500)] + [{}]),
    ],
)
def test_json_is_parsed(raw: bytes, value: Any) -> None:
    assert parse_json(raw) == value


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"\\"[":', b"}]")])
def test_json_is_nested_at_most_100_deep(brackets: tuple[bytes, bytes]) -> None:
    opening, closing = brackets
    levels = 100 // (opening.count(b"[", 0, 1) + opening.count(b"{"))
    parse_json(opening * levels + b"1" + closing * levels)
    refused = refusal(parse_json, opening * (levels + 1) + b"1" + closing * (levels + 1))
    assert refused.detail == "The body is not strict JSON: it is nested deeper than 100."


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "Expecting value at line 1, column 1"),
        (b'{"a": 1,\n "b": }', "Expecting value at line 2, column 7"),
        (b'{"a": 1} {}', "Extra data at line 1, column 10"),
        (b'"abc', "Unterminated string starting at line 1, column 1"),
        (b'"a\tb"', "Invalid control character at line 1, column 3"),
        (b"{'a': 1}", "Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"\0", "Expecting value at line 1, column 1"),
        (b"NaN", "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"1e400", "the number 1e400 is too large"),
        (b"-1" + b"0" * 400 + b".0", "the number -1000000000000000000… is too large"),
        (b"9" * 4301, "an integer has too many digits"),
        (b"\xef\xbb\xbf{}", "it begins with a byte-order mark"),
        (b'"\xff"', "it is not UTF-8, from byte 1 on"),
        (b'"\xed\xa0\x80"', "it is not UTF-8, from byte 1 on"),
        ("{}".encode("utf-16"), "it is not UTF-8, from byte 0 on"),
        (
            "{}".encode("utf-16-le"),
            "Expecting property name enclosed in double quotes at line 1, column 2",
        ),
        ("{}".encode("utf-32-be"), "Expecting value at line 1, column 1"),
        (b'"\\ud800"', r"it holds the lone surrogate \ud800"),
        (b'{"a": {"\\uDFFF": 1}}', r"it holds the lone surrogate \udfff"),
        (b'"\\ude00\\ud83d"', r"it holds the lone surrogate \ude00"),
        (b'[{"b": 1, "a": 1, "c": 2, "a": 1}]', 'the key "a" stands twice in one object'),
        (b'{"\\u0061": 1, "a": 1}', 'the key "a" stands twice in one object'),
        (b'{"\\n\\u001b": 1, "\\n\\u001b": 1}', r'the key "\n\x1b" stands twice in one object'),
        (
            b'{"' + b"k" * 99 + b'": 1, "' + b"k" * 99 + b'": 1}',
            f'the key "{"k" * 60}…" stands twice in one object',
        ),
        (b"[" * 300_000, "it is nested deeper than 100"),
        (b'{"a":' * 60_000, "it is nested deeper than 100"),
        (b"]" * 200 + b"[" * 200, "Expecting value at line 1, column 1"),
        (b'"' + b"[" * 200 + b'\\" ]', "Unterminated string starting at line 1, column 1"),
    ],
)
def test_what_is_not_strict_json_is_refused(raw: bytes, reason: str) -> None:
    refused = refusal(parse_json, raw)
    assert (refused.status, refused.title, refused.faults) == (400, "Malformed JSON", ())
    assert refused.detail == f"The body is not strict JSON: {reason}."


JSON_TREES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)


@given(JSON_TREES, st.booleans())
def test_what_is_json_is_parsed_as_the_standard_library_does(tree: Any, ascii_only: bool) -> None:
    text = json.dumps(tree, ensure_ascii=ascii_only)
    assert parse_json(text.encode()) == json.loads(text)


@given(
    st.one_of(
        st.binary(), st.lists(st.sampled_from(['"', "\\", "[", "]", "{", "}", "\\ud800", "1"])).map("".join)
    )
)
def test_bytes_are_parsed_or_refused_and_nothing_else(raw: bytes | str) -> None:
    raw = raw.encode() if isinstance(raw, str) else raw
    with suppress(EventRejected):
        parse_json(raw)


def test_ndjson_is_one_value_per_line() -> None:
    assert parse_ndjson(b'{"a": 1}\r\n\n  \r\n[2]\n"\xe2\x80\xa8"') == [{"a": 1}, [2], "\u2028"]
    assert parse_ndjson(b"\n") == parse_ndjson(b"") == []


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{}\n\n{"a":\n1}', "Expecting value at line 3, column 6"),
        (b'{}\n{"a":1,"a":1}', 'the key "a" stands twice in one object in line 2'),
        (b"{}\n\xff", "it is not UTF-8, from byte 0 on in line 2"),
        (b"\n" + b"1" * 4301, "an integer has too many digits in line 2"),
        (b"\xef\xbb\xbf{}", "it begins with a byte-order mark in line 1"),
    ],
)
def test_a_bad_line_of_ndjson_is_named(raw: bytes, reason: str) -> None:
    assert refusal(parse_ndjson, raw).detail == f"The body is not strict JSON: {reason}."


@pytest.mark.parametrize("whole", [b'{"a": [1.5e+3, true, null, false, "\xc3\xbc \\u00fc\\""], "b": -1}'])
def test_a_text_that_is_cut_off_is_told_from_a_wrong_one(whole: bytes) -> None:
    assert all(malformed(whole[:length]).cut for length in range(len(whole)))
    wrong = (b"[1] 2", b'{"a": 1]', b'"\\u12zz"', b'"\\x"', b"[tru]", b"nil", b"\xff", b"[1,]")
    assert not any(malformed(raw).cut for raw in wrong)


def malformed(raw: bytes) -> NotJson:
    with pytest.raises(NotJson) as caught:
        parse_json(raw)
    return caught.value


# Events


def test_the_smallest_event() -> None:
    assert one(OK) == Event("evt_made", type="vm", event="on")


def test_the_fullest_event() -> None:
    event = one(
        {
            "id": "order 17/é",
            "type": "virtual_machine",
            "event": "powered_on",
            "object": {"id": "17", "name": "web 01", "tags": ["production", "edge"]},
            "time": "2026-01-02T03:04:05.678+01:00",
            "data": {"a": [1, {"b": None}]},
        }
    )
    assert event.digest is not None
    assert event == Event(
        "order 17/é",
        type="virtual_machine",
        event="powered_on",
        object=EventObject("17", "web 01", ("production", "edge")),
        time="2026-01-02T03:04:05.678+01:00",
        data={"a": [1, {"b": None}]},
        digest=event.digest,
    )


@pytest.mark.parametrize(
    ("obj", "decoded"),
    [
        ("web-01", EventObject(name="web-01")),
        ("x" * 256, EventObject(name="x" * 256)),
        ({"name": "web-01"}, EventObject(name="web-01")),
        ({"id": "17"}, EventObject(id="17")),
        ({"id": "17", "tags": []}, EventObject(id="17")),
        ({"name": "a", "tags": ["t" * 128, "é"]}, EventObject(name="a", tags=("t" * 128, "é"))),
    ],
)
def test_the_object_is_a_name_or_a_mapping(obj: Any, decoded: EventObject) -> None:
    assert one({**OK, "object": obj}).object == decoded


LONG = "must have 1 to {} characters, not {}"
TIME = "must be an RFC 3339 date-time with an offset, such as 2026-01-02T03:04:05Z"
FIELDS = "valid: data, event, id, object, time, type"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"type": ""}, [("/type", LONG.format(128, 0))]),
        ({"type": "x" * 129}, [("/type", LONG.format(128, 129))]),
        ({"type": 7}, [("/type", "must be a string, not a number")]),
        ({"type": 7.5}, [("/type", "must be a string, not a number")]),
        ({"type": None}, [("/type", "must be a string, not null")]),
        ({"type": True}, [("/type", "must be a string, not a boolean")]),
        ({"type": " vm"}, [("/type", "must not begin or end with a space")]),
        ({"event": "on "}, [("/event", "must not begin or end with a space")]),
        ({"event": "o\nn\x1b"}, [("/event", r'must be printable characters only: "o\nn\x1b"')]),
        ({"event": "o\u00a0n"}, [("/event", r'must be printable characters only: "o\xa0n"')]),
        ({"event": ["on"]}, [("/event", "must be a string, not an array")]),
        ({"type": "hookd.delivery"}, [("/type", 'a type that begins with "hookd." is hookd\'s own')]),
        ({"id": ""}, [("/id", LONG.format(256, 0))]),
        ({"id": "x" * 257}, [("/id", LONG.format(256, 257))]),
        ({"id": "a\tb"}, [("/id", r'must be printable characters only: "a\tb"')]),
        ({"id": 17}, [("/id", "must be a string, not a number")]),
        ({"time": "2026-01-02"}, [("/time", TIME)]),
        ({"time": "2026-01-02T03:04:05"}, [("/time", TIME)]),
        ({"time": 1767312245}, [("/time", "must be a string, not a number")]),
        ({"data": []}, [("/data", "must be an object, not an array")]),
        ({"data": "x"}, [("/data", "must be an object, not a string")]),
        ({"event": None}, [("/event", "must be a string, not null")]),
        ({"objekt": None}, [("/objekt", f'unknown field "objekt"; did you mean "object"? {FIELDS}')]),
        ({"object": 7}, [("/object", "must be a name or an object with id, name and tags, not a number")]),
        ({"object": ""}, [("/object", LONG.format(256, 0))]),
        ({"object": {}}, [("/object", "must have an id or a name")]),
        ({"object": {"tags": ["a"]}}, [("/object", "must have an id or a name")]),
        ({"object": {"id": None, "name": None}}, [("/object", "must have an id or a name")]),
        ({"object": {"id": 17}}, [("/object/id", "must be a string, not a number")]),
        ({"object": {"name": "x" * 257}}, [("/object/name", LONG.format(256, 257))]),
        (
            {"object": {"name": "a", "tags": "b"}},
            [("/object/tags", "must be an array of strings, not a string")],
        ),
        (
            {"object": {"name": "a", "tags": ["b", "", "b", 1, "x" * 129, ""]}},
            [
                ("/object/tags/1", LONG.format(128, 0)),
                ("/object/tags/2", 'the tag "b" is there twice'),
                ("/object/tags/3", "must be a string, not a number"),
                ("/object/tags/4", LONG.format(128, 129)),
                ("/object/tags/5", LONG.format(128, 0)),
            ],
        ),
        (
            {"object": {"name": "a", "tag": ["b"]}},
            [("/object/tag", 'unknown field "tag"; did you mean "tags"? valid: id, name, tags')],
        ),
        ({"obejct": "a"}, [("/obejct", f'unknown field "obejct"; did you mean "object"? {FIELDS}')]),
        ({"zzz": 1}, [("/zzz", f'unknown field "zzz"; {FIELDS}')]),
        ({"a/b~\n": 1}, [("/a~1b~0\n", rf'unknown field "a/b~\n"; {FIELDS}')]),
    ],
)
def test_a_faulty_field_is_refused_at_its_pointer(
    changes: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert faults(one, OK | changes) == found


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_an_event_is_an_object(value: Any) -> None:
    [(pointer, message)] = faults(one, value)
    assert pointer == ""
    assert message.startswith("an event must be an object, not ")


def test_every_fault_of_an_event_is_told_at_once() -> None:
    refused = refusal(one, {"event": "", "time": "now", "data": 1}, index=3)
    assert [fault.pointer for fault in refused.faults] == ["/3/type", "/3/event", "/3/time", "/3/data"]
    assert refused.title == "Invalid event"
    assert refused.detail == "/3/type: is required (and 3 more)"


def test_a_single_fault_is_the_detail() -> None:
    assert refusal(one, {"type": "vm"}).detail == "/event: is required"
    assert refusal(one, 1).detail == "an event must be an object, not a number"


CATALOGUE = [
    ({"type": "vmm", "event": "on"}, [("/type", 'unknown type "vmm"; did you mean "vm"? valid: alarm, vm')]),
    ({"type": "volume", "event": "on"}, [("/type", 'unknown type "volume"; valid: alarm, vm')]),
    (
        {"type": "vm", "event": "onn"},
        [("/event", 'unknown event of type vm "onn"; did you mean "on"? valid: off, on')],
    ),
    ({"type": "vm", "event": ""}, [("/event", LONG.format(128, 0))]),
    ({"type": "", "event": "on"}, [("/type", LONG.format(128, 0))]),
    (
        {"type": "alarm", "event": "raised", "object": "a"},
        [("/object", "the type alarm is generic: it has neither object nor tags")],
    ),
    ({"type": "hookd.config", "event": "x"}, [("/type", 'a type that begins with "hookd." is hookd\'s own')]),
]


@pytest.mark.parametrize(("value", "found"), CATALOGUE)
def test_what_is_outside_the_catalogue_is_refused(
    value: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert faults(one, value, types=TYPES) == found


@pytest.mark.parametrize(
    "value", [{"type": "vm", "event": "off", "object": "a"}, {"type": "alarm", "event": "raised"}]
)
def test_what_is_in_the_catalogue_is_taken(value: dict[str, Any]) -> None:
    assert one(value, types=TYPES).type == value["type"]


def test_an_empty_catalogue_refuses_everything_and_a_large_one_is_cut() -> None:
    assert faults(one, OK, types={}) == [("/type", 'unknown type "vm"; valid: ')]
    many = {f"t{number:03}": TypeDef(f"t{number:03}", events=()) for number in range(30)}
    [(_, message)] = faults(one, OK, types=many)
    assert message.endswith("t018, t019 and 10 more")


def test_a_cloudevent_is_told_how_it_is_sent_and_nothing_else() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/n", "type": "vm.on"}
    message = (
        "this is a CloudEvent: it is posted with Content-Type: application/cloudevents+json, "
        "an array of them with application/cloudevents-batch+json"
    )
    assert faults(one, event) == [("/specversion", message)]
    assert faults(batch, [OK, event]) == [("/1/specversion", message)]


# Ids and digests


def test_the_idempotency_key_serves_where_the_body_has_no_id() -> None:
    assert one(OK, default_id="key 1").id == "key 1"
    assert one({**OK, "id": "own"}, default_id="key 1").id == "own"


def test_the_idempotency_key_serves_a_batch_with_the_index_behind_it() -> None:
    def ids(*values: dict[str, Any]) -> list[str]:
        events = decode_batch(list(values), types=None, default_id="key", make_id=made_id)
        assert all(event.digest is not None for event in events)
        return [event.id for event in events]

    assert ids(OK) == ["key"]
    assert ids({**OK, "id": "own"}) == ["own"]
    assert ids(OK, {**OK, "id": "own"}, OK) == ["key.0", "own", "key.2"]


def test_an_id_too_long_of_key_and_index_is_refused() -> None:
    many = [OK if index in (3, 10) else {**OK, "id": str(index)} for index in range(11)]
    assert faults(decode_batch, many, types=None, default_id="x" * 254, make_id=made_id) == [
        (
            "/10/id",
            "would be the Idempotency-Key and the event's index, 257 characters; at most 256 are allowed",
        )
    ]


@pytest.mark.parametrize("key", ["", "x" * 257, "a\tb", "\udcff"])
def test_a_bad_idempotency_key_is_refused(key: str) -> None:
    message = "the Idempotency-Key must be 1 to 256 printable characters"
    assert faults(decode_key, key) == [("", message)]


@pytest.mark.parametrize("key", ["k", "x" * 256, "a key", "ключ"])
def test_a_good_idempotency_key_is_taken_as_it_is(key: str) -> None:
    assert decode_key(key) == key


MOMENT_IDS = (
    "schedules.nightly@2026-03-01T03:00:00Z",
    "schedules.a b@c@2026-03-01T03:00:00.500000Z",
    "tasks.t~0a1b2c3d@2026-03-01T03:00:00Z",
)


OWN_ID = f"hookd_{'0f' * 16}"


def test_ids_of_hookds_own_events_are_refused() -> None:
    message = "ids of this form belong to hookd's own events; choose another"
    assert faults(one, {**OK, "id": OWN_ID}) == [("/id", message)]
    assert faults(one, OK, default_id=OWN_ID) == [("/id", message)]
    for free in (OWN_ID[:-1], OWN_ID + "0", OWN_ID.upper(), "hookd_delivery"):
        assert one({**OK, "id": free}).id == free


@pytest.mark.parametrize("types", [None, TYPES])
def test_hookds_own_events_are_read_to_be_explained_alone(types: dict[str, TypeDef] | None) -> None:
    own = {"type": "hookd.webhook", "event": "parked", "object": "w", "id": OWN_ID}
    assert one(own, types=types, own=True).object == EventObject(name="w")
    assert decode_batch([own], types=types, make_id=made_id, own=True)[0].type == "hookd.webhook"
    assert [pointer for pointer, _ in faults(one, own, types=types)] == ["/type", "/id"]
    for changes, found in (
        ({"event": "park"}, ("/event", 'unknown event of type hookd.webhook "park"; did you mean "parked"?')),
        ({"type": "hookd.web"}, ("/type", 'unknown type "hookd.web"; did you mean "hookd.webhook"?')),
    ):
        [(pointer, message)] = faults(one, own | changes, types=types, own=True)
        assert (pointer, message.partition(" valid: ")[0]) == found


@pytest.mark.parametrize("taken", MOMENT_IDS)
def test_ids_of_schedules_moments_are_hookds_own(taken: str) -> None:
    message = "ids of this form belong to schedules' moments; choose another"
    assert faults(one, {**OK, "id": taken}) == [("/id", message)]
    assert faults(one, OK, default_id=taken) == [("/id", message)]


@pytest.mark.parametrize(
    "free", ["schedules.nightly", "tasks.t", "nightly@2026-03-01T03:00:00Z", "schedules.x@now"]
)
def test_other_ids_are_free(free: str) -> None:
    assert one({**OK, "id": free}).id == free


def digest(value: dict[str, Any], **options: Any) -> bytes | None:
    return one({**OK, "id": "a", **value}, **options).digest


CONTENTS: list[dict[str, Any]] = [
    {},
    {"type": "volume"},
    {"event": "off"},
    {"object": "a"},
    {"object": {"id": "a"}},
    {"object": {"name": "a", "tags": ["x"]}},
    {"object": {"name": "a", "tags": ["x", "y"]}},
    {"time": "2026-01-02T03:04:05Z"},
    {"data": {"a": 1, "b": "\u00e9"}},
    {"data": {"a": "1", "b": "\u00e9"}},
    {"data": {"a": [1, 2]}},
    {"data": {"a": [2, 1]}},
    {"data": {"a": None}},
]


def test_different_content_has_different_digests() -> None:
    digests = {digest(content) for content in CONTENTS}
    assert len(digests) == len(CONTENTS)
    assert all(found is not None and len(found) == 32 for found in digests)


@pytest.mark.parametrize(
    ("one_way", "other_way"),
    [
        ({}, {"id": "b"}),
        ({}, {"data": {}}),
        ({"object": "a"}, {"object": {"name": "a"}}),
        ({"object": "a"}, {"object": {"tags": [], "name": "a"}}),
        ({"data": {"a": 1, "b": {"c": 2, "d": 3}}}, {"data": {"b": {"d": 3, "c": 2}, "a": 1}}),
        ({"data": {"a": 1.0}}, {"data": {"a": 1.00}}),
    ],
)
def test_the_same_content_has_the_same_digest(one_way: dict[str, Any], other_way: dict[str, Any]) -> None:
    assert digest(one_way) == digest(other_way)


def test_a_key_in_the_header_gives_the_same_digest_and_a_made_id_none() -> None:
    assert one(OK, default_id="a").digest == digest({})
    assert one(OK).digest is None


# Batches


def test_a_batch_keeps_its_order() -> None:
    events = batch([{**OK, "id": "a"}, OK, {**OK, "id": "b"}])
    assert [event.id for event in events] == ["a", "evt_made", "b"]


def test_every_fault_of_a_batch_is_told_at_its_index() -> None:
    refused = refusal(batch, [OK, {"type": "vm"}, OK, 7, {**OK, "object": {"name": "a", "tags": [1]}}])
    assert [fault.pointer for fault in refused.faults] == ["/1/event", "/3", "/4/object/tags/0"]
    assert refused.detail == "/1/event: is required (and 2 more)"


def test_an_empty_batch_is_refused() -> None:
    assert faults(batch, []) == [("", "there is no event in the batch")]


def test_a_refusal_lists_at_most_1000_faults() -> None:
    refused = refusal(batch, [7] * 1000)
    assert (len(refused.faults), refused.faults[-1].pointer) == (1000, "/999")
    assert refused.detail.endswith("(and 999 more)")
    refused = refusal(batch, [OK, {str(number): 1 for number in range(5000)}])
    assert len(refused.faults) == 1000
    assert refused.detail.endswith("(and at least 999 more)")


def test_only_the_first_faults_say_what_was_meant() -> None:
    messages = [message for _, message in faults(batch, [{**OK, "dta": 1}] * 6)]
    assert messages[4] == f'unknown field "dta"; did you mean "data"? {FIELDS}'
    assert messages[5] == 'unknown field "dta"'


NULLS: dict[str, Any] = {"object": None, "id": None, "time": None, "data": None}


def test_null_in_an_optional_field_is_as_good_as_missing() -> None:
    assert one(OK | NULLS) == one(OK)
    assert one(OK | {"type": "alarm", "event": "raised"} | NULLS, types=TYPES).object is None
    assert one(OK | NULLS, default_id="key").id == "key"
    given = OK | {"id": "a", "object": {"id": None, "name": "web-01", "tags": None}}
    assert one(given) == one(OK | {"id": "a", "object": {"name": "web-01"}})
    assert digest(OK | NULLS | {"id": "a"}) == digest(OK | {"id": "a"})
    [first] = decode_batch([OK | NULLS], types=None, make_id=made_id)
    assert first == one(OK)
    assert decode_trigger({"object": None, "data": None}) == decode_trigger({})


# The other bodies


@pytest.mark.parametrize(
    ("body", "decoded"),
    [
        ({}, (None, {})),
        ({"object": "a", "data": {"b": 1}}, (EventObject(name="a"), {"b": 1})),
        ({"object": {"id": "1", "tags": ["t"]}}, (EventObject(id="1", tags=("t",)), {})),
    ],
)
def test_a_trigger_has_an_object_and_data(body: Any, decoded: Any) -> None:
    assert decode_trigger(body) == decoded


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ([], [("", "the body must be an object, not an array")]),
        (
            {"type": "vm", "data": 1, "object": {}},
            [
                ("/type", 'unknown field "type"; valid: data, object'),
                ("/object", "must have an id or a name"),
                ("/data", "must be an object, not a number"),
            ],
        ),
    ],
)
def test_a_faulty_trigger_is_refused(body: Any, found: list[tuple[str, str]]) -> None:
    assert faults(decode_trigger, body) == found
    assert refusal(decode_trigger, body).title == "Invalid request"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, {"text": "Webhook"}),
        ({"message": "plain"}, "plain"),
        ({"message": {"a": "${NAME}"}}, {"a": "${NAME}"}),
        ({"message": [1]}, [1]),
    ],
)
def test_a_send_has_a_message(body: Any, message: Any) -> None:
    assert decode_send(body) == message


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("x", [("", "the body must be an object, not a string")]),
        ({"message": None}, [("/message", "must be a string, an object or an array, not null")]),
        (
            {"mesage": "x"},
            [("/mesage", 'unknown field "mesage"; did you mean "message"? valid: message')],
        ),
    ],
)
def test_a_faulty_send_is_refused(body: Any, found: list[tuple[str, str]]) -> None:
    assert faults(decode_send, body) == found
    assert refusal(decode_send, body).title == "Invalid request"


# RFC 3339


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02t03:04:05z",
        "2026-01-02T03:04:05.123456789Z",
        "2024-02-29T23:59:59+14:00",
        "2026-01-02T03:04:05-00:00",
        "1990-12-31T23:59:60Z",
        "1990-12-31T15:59:60-08:00",
        "1991-01-01T01:59:60.5+02:00",
        "0001-01-01T00:00:00+01:00",
    ],
)
def test_date_times_with_an_offset(text: str) -> None:
    assert is_date_time(text)
    assert one({**OK, "time": text}).time == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05,5Z",
        "2026-1-2T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "2026-13-01T03:04:05Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:60Z",
        "1990-12-31T23:59:60+01:00",
        "0001-01-01T00:00:60+01:00",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+01:60",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05Z\n",
        "0000-01-02T03:04:05Z",
        "٢٠٢٦-01-02T03:04:05Z",
        "2026-01-02T03:04:05." + "1" * 64 + "Z",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    assert not is_date_time(text)
