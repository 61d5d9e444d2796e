"""CloudEvents 1.0 as events: every attribute, every form of data, every fault at its place."""

import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.domain.definitions import TypeDef
from hookd.domain.errors import EventRejected
from hookd.domain.events import Event, EventObject
from hookd.domain.tracing import Trace
from hookd.intake import decode_binary, decode_cloudevent, decode_cloudevents
from hookd.intake.validation import MOST_FAULTS

OK = {"specversion": "1.0", "type": "com.example.vm.powered_on", "source": "/nodes/2", "id": "a-1"}
TYPES = {
    "vm": TypeDef("vm", events=("on", "off")),
    "alarm": TypeDef("alarm", events=("raised",), objects=False),
}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GENERIC = "the type alarm is generic: it has neither object nor tags"


def one(**attributes: Any) -> Event:
    return decode_cloudevent(OK | attributes, types=None)


def binary(
    body: bytes = b"", content_type: str | None = None, headers: tuple[tuple[str, str], ...] = (), **more: str
) -> Event:
    given = [(f"ce-{name}", value) for name, value in (OK | more).items()]
    return decode_binary([("Host", "h"), *given, *headers], content_type, body, types=None)


def faults(call: Callable[..., Any], *arguments: Any, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(EventRejected) as caught:
        call(*arguments, **options)
    assert caught.value.status == 422
    assert caught.value.title == "Invalid CloudEvent"
    return [(fault.pointer, fault.message) for fault in caught.value.faults]


def faults_of(value: Any, types: Any = None) -> list[tuple[str, str]]:
    return faults(decode_cloudevent, value, types=types)


# Attributes


def test_the_least() -> None:
    event = one()
    assert (event.id, event.type, event.event) == ("/nodes/2 a-1", "com.example.vm", "powered_on")
    assert (event.object, event.time, event.data, event.trace) == (None, None, {}, None)
    assert event.digest is not None


def test_the_most() -> None:
    event = one(
        subject="web-01",
        tags="production, web ,,",
        time="2026-01-02T03:04:05Z",
        data={"n": 1},
        datacontenttype="application/json",
        dataschema="https://example.com/s",
        number=5,
        truth=True,
        text="of others",
    )
    assert event.object == EventObject(name="web-01", tags=("production", "web"))
    assert (event.time, event.data) == ("2026-01-02T03:04:05Z", {"n": 1})


def test_tags_without_a_subject() -> None:
    assert one(tags="production").object == EventObject(tags=("production",))
    assert one(tags=" , ").object is None


@pytest.mark.parametrize("tags", ["", " , ", ","])
def test_tags_of_which_there_is_none_are_no_tags_of_a_generic_type(tags: str) -> None:
    assert decode_cloudevent(OK | {"type": "alarm.raised", "tags": tags}, types=TYPES).object is None


def test_a_header_is_decoded_so_a_space_in_it_is_sent_twice_encoded() -> None:
    assert faults(binary, source="/a%20b") == [("/source", NO_SPACE)]
    assert binary(source="/a%2520b").id == "/a%20b a-1"


def test_null_is_as_good_as_missing() -> None:
    assert one(subject=None, time=None, tags=None, Strange=None, datacontenttype=None) == one()
    assert one(data=None) == one()
    assert one(data=None, data_base64="aGk=").data == {"base64": "aGk="}


def test_the_content_is_what_is_kept_of_it() -> None:
    assert one(dataschema="x:y", other=1, traceparent=PARENT).digest == one().digest
    assert one(id="a-2").digest == one().digest
    assert len({one(**more).digest for more in ({}, {"subject": "s"}, {"data": 1}, {"type": "a.b"})}) == 4


@pytest.mark.parametrize(("length", "hashed"), [(247, False), (248, True), (60_000, True)])
def test_a_long_id_becomes_its_hash(length: int, hashed: bool) -> None:
    own = "x" * length
    whole = f"/nodes/2 {own}"
    assert one(id=own).id == (sha256(whole.encode()).hexdigest() if hashed else whole)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": {}}, {}),
        ({"data": "text"}, {"value": "text"}),
        ({"data": [1, 2]}, {"value": [1, 2]}),
        ({"data": 0}, {"value": 0}),
        ({"data": False}, {"value": False}),
        ({"data": None}, {}),
        ({"data": "<a/>", "datacontenttype": "application/xml"}, {"value": "<a/>"}),
        ({"data_base64": "AAH/"}, {"base64": "AAH/"}),
        ({"data_base64": ""}, {"base64": ""}),
        ({"data_base64": None}, {}),
        ({"data": 1, "data_base64": None}, {"value": 1}),
        ({"data": None, "data_base64": "AAH/"}, {"base64": "AAH/"}),
    ],
)
def test_data(data: dict[str, Any], kept: dict[str, Any]) -> None:
    assert one(**data).data == kept


def test_the_extension_for_tracing() -> None:
    trace = Trace(PARENT[3:35], "01", "rojo=1")
    assert one(traceparent=PARENT, tracestate="rojo=1").trace == trace
    assert binary(traceparent=PARENT, tracestate="rojo=1").trace == trace
    assert one(traceparent=PARENT, tracestate=5).trace is None
    assert one(traceparent="00-broken").trace is None
    assert one(tracestate="rojo=1").trace is None


def test_what_is_required() -> None:
    wanted = [(f"/{name}", "is required") for name in ("specversion", "id", "source", "type")]
    assert faults_of({}) == wanted
    assert faults_of(dict.fromkeys(OK)) == wanted


NOT_1 = 'must be "1.0", '
NO_DOT = "has no dot: before its last one stands the type, behind it the event"
PARTED = "before the last dot, must have 1 to 128 characters and no space at either end"
BEHIND = "behind the last dot, must have 1 to 128 characters and no space at either end"
TIME = "must be an RFC 3339 date-time with an offset, such as 2026-01-02T03:04:05Z"
NO_SPACE = "must be a URI reference, which holds no space; in a header %20 is one, and %2520 stands for %20"
SIMPLE = "must be a string, a boolean or a whole number of 32 bits"
MEDIA = "must be a media type, such as application/json"
URI = "must be a URI, such as https://example.com/schema"


@pytest.mark.parametrize(
    ("attributes", "pointer", "message"),
    [
        ({"specversion": "0.3"}, "/specversion", NOT_1 + 'not "0.3"'),
        ({"specversion": 1.0}, "/specversion", NOT_1 + "a string, not a number"),
        ({"specversion": ""}, "/specversion", NOT_1 + 'not ""'),
        ({"type": "poweron"}, "/type", f'"poweron" {NO_DOT}'),
        ({"type": ".on"}, "/type", f"the type, {PARTED}"),
        ({"type": "vm."}, "/type", f"the event, {BEHIND}"),
        ({"type": "vm. on"}, "/type", f"the event, {BEHIND}"),
        ({"type": "v" * 129 + ".on"}, "/type", f"the type, {PARTED}"),
        ({"type": ""}, "/type", "must have 1 to 65536 characters, not 0"),
        ({"type": 5}, "/type", "must be a string, not a number"),
        ({"type": ["a.b"]}, "/type", "must be a string, not an array"),
        ({"type": "a\n.b"}, "/type", 'must be printable characters only: "a\\n.b"'),
        ({"type": "hookd.dead"}, "/type", 'a type that begins with "hookd." is hookd\'s own'),
        ({"type": "hookd.delivery.dead"}, "/type", 'a type that begins with "hookd." is hookd\'s own'),
        ({"id": ""}, "/id", "must have 1 to 65536 characters, not 0"),
        ({"source": ""}, "/source", "must have 1 to 65536 characters, not 0"),
        ({"source": "a b"}, "/source", NO_SPACE),
        ({"subject": ""}, "/subject", "must have 1 to 256 characters, not 0"),
        ({"subject": {}}, "/subject", "must be a string, not an object"),
        ({"tags": ["a"]}, "/tags", "must be a string of tags with commas between them, not an array"),
        ({"tags": "a, b,a"}, "/tags", 'the tag "a" is there twice'),
        ({"tags": "a\tb"}, "/tags", 'must be printable characters only: "a\\tb"'),
        ({"tags": "a" * 129}, "/tags", "must have 1 to 128 characters, not 129"),
        ({"time": "yesterday"}, "/time", TIME),
        ({"time": "2026-01-02T03:04:05"}, "/time", TIME),
        ({"time": 5}, "/time", "must be a string, not a number"),
        ({"datacontenttype": 5}, "/datacontenttype", MEDIA),
        ({"datacontenttype": []}, "/datacontenttype", MEDIA),
        ({"datacontenttype": ""}, "/datacontenttype", MEDIA),
        ({"datacontenttype": "foo"}, "/datacontenttype", MEDIA),
        ({"datacontenttype": "a b/c"}, "/datacontenttype", MEDIA),
        ({"dataschema": 4}, "/dataschema", URI),
        ({"dataschema": ""}, "/dataschema", URI),
        ({"dataschema": "/relative"}, "/dataschema", URI),
        ({"dataschema": "https://a b"}, "/dataschema", URI),
        ({"other": 1.5}, "/other", SIMPLE + "; send another number as a string"),
        ({"other": 2**31}, "/other", SIMPLE + "; send another number as a string"),
        ({"other": -(2**31) - 1}, "/other", SIMPLE + "; send another number as a string"),
        ({"data": 1, "data_base64": "AA=="}, "/data_base64", "stands beside data; an event has one of them"),
        ({"data_base64": "AA"}, "/data_base64", "must be Base64 (RFC 4648, section 4)"),
        ({"data_base64": "A A="}, "/data_base64", "must be Base64 (RFC 4648, section 4)"),
        ({"data_base64": "é"}, "/data_base64", "must be Base64 (RFC 4648, section 4)"),
        ({"data_base64": 5}, "/data_base64", "must be a string, not a number"),
        ({"dataschema": {}}, "/dataschema", URI),
        ({"other": [1]}, "/other", SIMPLE + ", not an array"),
        ({"aB": 1}, "/aB", '"aB" names no attribute: lower-case letters and digits only'),
        ({"a/b": 1}, "/a~1b", '"a/b" names no attribute: lower-case letters and digits only'),
        ({"event": "on", "": 1}, "/", '"" names no attribute: lower-case letters and digits only'),
        (
            {"source": "schedules.nightly", "id": "x@2026-01-01T00:00:00Z"},
            "/id",
            "ids of this form belong to schedules' moments; choose another",
        ),
    ],
)
def test_one_fault(attributes: dict[str, Any], pointer: str, message: str) -> None:
    assert faults_of(OK | attributes) == [(pointer, message)]


def test_every_fault_is_told() -> None:
    wrong = OK | {"specversion": "2.0", "type": "on", "time": "x", "data_base64": 1}
    assert [pointer for pointer, _ in faults_of(wrong)] == ["/specversion", "/type", "/time", "/data_base64"]


def test_the_catalogue() -> None:
    assert decode_cloudevent(OK | {"type": "vm.on", "subject": "w"}, types=TYPES).type == "vm"
    assert faults_of(OK | {"type": "vmm.on"}, TYPES) == [
        ("/type", 'unknown type "vmm"; did you mean "vm"? valid: alarm, vm')
    ]
    assert faults_of(OK | {"type": "vm.of"}, TYPES) == [
        ("/type", 'unknown event of type vm "of"; did you mean "off"? valid: off, on')
    ]
    assert faults_of(OK | {"type": "alarm.raised", "subject": "w"}, TYPES) == [("/subject", GENERIC)]
    assert faults_of(OK | {"type": "alarm.raised", "tags": "w"}, TYPES) == [("/tags", GENERIC)]
    assert decode_cloudevent(OK | {"type": "alarm.raised"}, types=TYPES).object is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "a CloudEvent must be an object, not a number"),
        ([], "a CloudEvent must be an object; application/cloudevents-batch+json takes an array"),
    ],
)
def test_no_event_at_all(value: Any, message: str) -> None:
    assert faults_of(value) == [("", message)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"datacontenttype": "application/vnd.x+json ; charset=utf-8"},
        {"dataschema": "urn:example:schema"},
        {"other": 2**31 - 1},
        {"other": -(2**31)},
        {"other": 5.0},
        {"other": ""},
        {"other": False},
    ],
)
def test_what_is_left_out_may_be(attributes: dict[str, Any]) -> None:
    assert one(**attributes) == one()


# Batches


def test_a_batch_keeps_its_order() -> None:
    events = decode_cloudevents([OK, OK | {"id": "a-2"}], types=None)
    assert [event.id for event in events] == ["/nodes/2 a-1", "/nodes/2 a-2"]


def test_a_batch_may_be_empty() -> None:
    assert decode_cloudevents([], types=None) == []


def test_faults_of_a_batch() -> None:
    assert faults(decode_cloudevents, [OK, OK | {"id": None}, 5], types=None) == [
        ("/1/id", "is required"),
        ("/2", "a CloudEvent must be an object, not a number"),
    ]
    assert faults(decode_cloudevents, OK, types=None) == [
        ("", "a batch must be an array of CloudEvents, not an object")
    ]
    assert len(faults(decode_cloudevents, [5] * (MOST_FAULTS + 5), types=None)) == MOST_FAULTS


# Binary mode


def test_headers_are_the_attributes() -> None:
    event = binary(b'{"n": 1}', "application/json", subject="web-01", tags="a,b", time="2026-01-02T03:04:05Z")
    assert event == one(subject="web-01", tags="a,b", time="2026-01-02T03:04:05Z", data={"n": 1})


def test_names_of_headers_in_any_case() -> None:
    headers = [(f"CE-{name.title()}", value) for name, value in OK.items()]
    assert decode_binary(headers, None, b"", types=None) == one()


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ("%41%2F", "A/"),
        ("%2541", "%41"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ('"quoted text"', "quoted text"),
        (r'"a \"b\" \\ %41"', r'a "b" \ A'),
        ('"', '"'),
        ("a b", "a b"),
        ("é", "é"),
    ],
)
def test_values_are_unquoted_and_decoded_once(sent: str, meant: str) -> None:
    event = binary(subject=sent)
    assert event.object is not None
    assert event.object.name == meant


@pytest.mark.parametrize("sent", ["%C0%A0", "%ff", "a%E2%82", "\udcff"])
def test_values_that_are_not_utf_8(sent: str) -> None:
    assert faults(binary, subject=sent) == [("/subject", "is not UTF-8 when it is percent-decoded")]


@pytest.mark.parametrize(
    ("body", "content_type", "kept"),
    [
        (b"", None, {}),
        (b"", "application/json", {}),
        (b"", "text/plain", {}),
        (b'{"n": 1}', None, {"n": 1}),
        (b'{"n": 1}', "application/vnd.x+json; charset=utf-8", {"n": 1}),
        (b'{"n": 1}', "Application/JSON", {"n": 1}),
        (b"[1]", "text/json", {"value": [1]}),
        (b"null", "application/json", {}),
        ("hé".encode(), "text/plain", {"value": "hé"}),
        ("hé".encode(), 'TEXT/plain; Charset="UTF-8"', {"value": "hé"}),
        (b"<a/>", "text/xml", {"value": "<a/>"}),
        (b"h\xe9", "text/plain", {"base64": "aOk="}),
        (b"h\xe9", "text/plain; charset=iso-8859-1", {"base64": "aOk="}),
        (b"he", "text/plain; charset=iso-8859-1", {"base64": "aGU="}),
        (b'{"n": 1}', "application/octet-stream", {"n": 1}),
        (b'{"n": 1}', "application/x-www-form-urlencoded", {"n": 1}),
        (b" [1]", "Application/X-WWW-Form-URLEncoded; charset=UTF-8", {"value": [1]}),
        (b"n=1", "application/x-www-form-urlencoded", {"base64": "bj0x"}),
        (b'{"n": 1', "application/octet-stream", {"base64": "eyJuIjogMQ=="}),
        (b'{"a":1,"a":2}', "application/octet-stream", {"base64": "eyJhIjoxLCJhIjoyfQ=="}),
        (b"\xff", "application/octet-stream", {"base64": "/w=="}),
        (b'{"n": 1}', "application/vnd.x", {"base64": "eyJuIjogMX0="}),
        (b'{"n": 1}', "text/plain", {"value": '{"n": 1}'}),
        (b"<a/>", "application/xml", {"base64": "PGEvPg=="}),
        (b'{"n":1}', "application/x-ndjson", {"base64": "eyJuIjoxfQ=="}),
        (b" [1]", None, {"value": [1]}),
        (b"5", None, {"value": 5}),
        (b'"5"', None, {"value": "5"}),
        (b" ", None, {"value": " "}),
        (b"NaN", None, {"value": "NaN"}),
        ("hé: {}".encode(), None, {"value": "hé: {}"}),
        (b"h\xe9", None, {"base64": "aOk="}),
        (b"{\xff}", None, {"base64": "e/99"}),
    ],
)
def test_the_body_is_the_data(body: bytes, content_type: str | None, kept: dict[str, Any]) -> None:
    assert binary(body, content_type).data == kept


@pytest.mark.parametrize("body", [b"{", b"NaN", b'{"a":1,"a":2}', b"[" * 101 + b"]" * 101, b"\xff"])
def test_json_data_is_strict(body: bytes) -> None:
    with pytest.raises(EventRejected) as caught:
        binary(body, "application/json")
    assert (caught.value.status, caught.value.title) == (400, "Malformed JSON")


@pytest.mark.parametrize(
    "body", [b"{", b"\r\n\t [x]", b'{"a":1,"a":2}', b"[" * 101 + b"]" * 101, b"\xef\xbb\xbf{}"]
)
def test_what_looks_like_json_is_strict_without_a_content_type_and_the_remedy_is_told(body: bytes) -> None:
    with pytest.raises(EventRejected) as caught:
        binary(body)
    assert (caught.value.status, caught.value.title) == (400, "Malformed JSON")
    assert caught.value.detail.startswith("The body is not strict JSON: ")
    assert caught.value.detail.endswith(
        "; the request has no Content-Type, so the body is read as JSON; "
        "name the data's type, such as text/plain or application/octet-stream"
    )


@pytest.mark.parametrize(
    ("header", "pointer", "message"),
    [
        ("CE-Id", "/id", "the header ce-id is there twice"),
        ("ce-datacontenttype", "/datacontenttype", "in binary mode the Content-Type says it"),
        ("ce-data", "/data", "in binary mode the body is the data"),
        ("ce-data_base64", "/data_base64", "in binary mode the body is the data"),
        ("ce-a-b", "/a-b", '"a-b" names no attribute: lower-case letters and digits only'),
        ("ce-", "/", '"" names no attribute: lower-case letters and digits only'),
    ],
)
def test_headers_that_are_no_attribute(header: str, pointer: str, message: str) -> None:
    assert faults(binary, headers=((header, "x"),)) == [(pointer, message)]


def test_what_is_missing_in_headers() -> None:
    assert faults(decode_binary, [("ce-id", "1")], None, b"", types=None) == [
        (f"/{name}", "is required") for name in ("specversion", "source", "type")
    ]


def test_the_form_of_what_is_left_out_counts_in_headers_too() -> None:
    assert faults(binary, dataschema="x") == [("/dataschema", URI)]
    assert binary(dataschema="urn:x", other="1.5") == one()


@pytest.mark.parametrize("content_type", ["foo", "text/", "a b/c"])
def test_a_content_type_that_is_none_is_refused(content_type: str) -> None:
    for body in (b"x", b""):
        assert faults(binary, body, content_type) == [("/datacontenttype", MEDIA)]


def test_older_versions_are_known_by_their_attributes() -> None:
    message = "is required; this is a CloudEvent of an older version, and only 1.0 is taken"
    headers = [
        ("CE-CloudEventsVersion", "0.1"),
        ("CE-EventType", "a.b"),
        ("CE-EventID", "1"),
        ("CE-Source", "s"),
    ]
    assert faults(decode_binary, headers, None, b"", types=None)[0] == ("/specversion", message)
    assert faults_of({"cloudEventsVersion": "0.1", "eventType": "a.b"})[0] == ("/specversion", message)
    assert faults(binary, specversion="0.2") == [("/specversion", 'must be "1.0", not "0.2"')]


# Laws

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = ["id", "source", "specversion", "type", "subject", "tags", "time", "datacontenttype", "data"]
NAME = st.sampled_from([*NAMES, "data_base64", "traceparent", "tracestate", "dataschema", "other"]) | TEXT


@given(st.dictionaries(NAME, JSON | st.sampled_from([*OK.values(), PARENT]), max_size=10))
def test_nothing_in_the_json_format_raises_anything_else(value: dict[str, Any]) -> None:
    with suppress(EventRejected):
        event = decode_cloudevent(value, types=TYPES)
        assert 1 <= len(event.id) <= 256
    with suppress(EventRejected):
        decode_cloudevents([OK, OK | value], types=None)


@given(
    st.lists(st.tuples(NAME, TEXT | st.sampled_from([*OK.values()]))),
    st.none() | TEXT,
    st.binary(max_size=30),
)
def test_nothing_in_binary_mode_does(
    headers: list[tuple[str, str]], content_type: str | None, body: bytes
) -> None:
    given_headers = [(f"ce-{name}", value) for name, value in [*OK.items(), *headers]]
    with suppress(EventRejected):
        decode_binary(given_headers, content_type, body, types=None)


@given(
    st.dictionaries(TEXT, JSON, max_size=4), st.text(st.characters(categories=("L", "N", "P")), min_size=1)
)
def test_both_modes_mean_the_same(data: dict[str, Any], subject: str) -> None:
    sent = json.dumps(data, ensure_ascii=False).encode()
    assert binary(sent, "application/json", subject=quote(subject)) == one(data=data, subject=subject)
