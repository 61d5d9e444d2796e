import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any
from urllib.parse import parse_qsl, quote
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.domain.events import Event, EventObject, Kind
from hookd.domain.message_templates import BodyFormat, Template
from hookd.rules import templates
from hookd.rules.templates import (
    MessageTooLarge,
    TemplateError,
    UnknownSecret,
    Values,
    compile_message,
    fill_secrets,
    is_missing,
    shown_body,
)

NEW_YORK = ZoneInfo("America/New_York")
MOMENT = 1760629087.9  # Thu, 16 Oct 2025 11:38:07 EDT, and nine tenths
FULL = EventObject(id="17", name="web-01", tags=("production", "edge"))
DATA: Mapping[str, Any] = {
    "text": 'say "hi"\\\n\u2028\x01😀',
    "number": 3,
    "float": 1.50,
    "yes": True,
    "no": False,
    "null": None,
    "object": {"b": [1, "é"], "a": None},
    "list": [{"x": "first"}, "second"],
    "empty": "",
    "12": {"0": "a key of digits"},
    "injection": '","evil":"${NAME}"}',
    "a:b c": "odd key",
    "labels": {"app.kubernetes.io/name": "api", "a.b": "longest", "a": {"b": {"c": "the only way"}}},
}


def values(
    *,
    obj: EventObject | None = FULL,
    data: Mapping[str, Any] = DATA,
    now: float = MOMENT,
    zone: tzinfo = NEW_YORK,
) -> Values:
    event = Event("evt_1", type="virtual_machine", event="powered_on", object=obj, data=data)
    return Values(event, task="notify", webhook="ops-slack", now=now, timezone=zone, random=2147483647)


def fill(template: Template, given: Values, limit: int = 64 << 20) -> bytes:
    return templates.fill(template, given, limit)


def as_json(message: Any, **given_values: Any) -> str:
    return fill(compile_message(message, body_format=BodyFormat.JSON), values(**given_values)).decode()


def as_text(message: str, **given_values: Any) -> str:
    return fill(compile_message(message, body_format=BodyFormat.UNTYPED), values(**given_values)).decode()


VARIABLES = [
    ("${DATE}", "Thu, 16 Oct 2025 11:38:07 EDT"),
    ("${TIME}", "2025-10-16T15:38:07.900Z"),
    ("${TIMESTAMP}", "1760629087"),
    ("${TIMESTAMP_MS}", "1760629087900"),
    ("${RANDOM}", "2147483647"),
    ("${NAME}", "web-01"),
    ("${ID}", "evt_1"),
    ("${TYPE}", "virtual_machine"),
    ("${EVENT}", "powered_on"),
    ("${OBJECT_ID}", "17"),
    ("${TAGS}", "production,edge"),
    ("${TASK}", "notify"),
    ("${WEBHOOK}", "ops-slack"),
]


@pytest.mark.parametrize(("variable", "value"), VARIABLES)
def test_every_variable_in_text_in_a_mapping_and_in_json_text(variable: str, value: str) -> None:
    assert as_text(f"<{variable}>") == f"<{value}>"
    assert json.loads(as_json({"v": variable})) == {"v": value}
    assert json.loads(as_json(f'{{"v": "{variable}"}}')) == {"v": value}
    whole = int(value) if value.isdigit() and variable != "${OBJECT_ID}" else value
    assert json.loads(as_json(f'{{"v": {variable}}}')) == {"v": whole}


@pytest.mark.parametrize(
    ("obj", "filled"),
    [
        (FULL, "web-01|17|production,edge"),
        (EventObject(id="17"), "17|17|"),
        (EventObject(name="web-01"), "web-01||"),
        (None, "notify||"),
    ],
)
def test_what_the_object_lacks_falls_back(obj: EventObject | None, filled: str) -> None:
    assert as_text("${NAME}|${OBJECT_ID}|${TAGS}", obj=obj) == filled


@pytest.mark.parametrize(
    ("now", "zone", "date"),
    [
        (0.0, UTC, "Thu, 01 Jan 1970 00:00:00 UTC"),
        (1767312245.0, ZoneInfo("Europe/Berlin"), "Fri, 02 Jan 2026 01:04:05 CET"),
        (1767312245.0, ZoneInfo("America/Sao_Paulo"), "Thu, 01 Jan 2026 21:04:05 -03"),
        (1767312245.0, timezone(timedelta(hours=3)), "Fri, 02 Jan 2026 03:04:05 UTC+03:00"),
        (1782863999.999, ZoneInfo("Europe/Berlin"), "Wed, 01 Jul 2026 01:59:59 CEST"),
    ],
)
def test_the_date_is_english_in_its_zone(now: float, zone: tzinfo, date: str) -> None:
    assert as_text("${DATE} ${TIMESTAMP}", now=now, zone=zone) == f"{date} {int(now)}"


@pytest.mark.parametrize(
    ("posted", "time"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02t03:04:05.120z", "2026-01-02T03:04:05.120Z"),
        ("2026-01-02T03:04:05.5+02:00", "2026-01-02T01:04:05.5Z"),
        ("2026-01-01T00:00:00+14:00", "2025-12-31T10:00:00Z"),
    ],
)
def test_the_time_is_the_event_s_own_in_utc(posted: str, time: str) -> None:
    given_values = replace(values(), event=Event("evt_1", time=posted))
    assert fill(compile_message("${TIME}", body_format=BodyFormat.UNTYPED), given_values).decode() == time


@pytest.mark.parametrize(
    ("variable", "filled"),
    [
        ("${data.text}", DATA["text"]),
        ("${data.number}", "3"),
        ("${data.float}", "1.5"),
        ("${data.yes} ${data.no}", "true false"),
        ("${data.null}", ""),
        ("${data.missing}", ""),
        ("${data.object}", '{"b":[1,"é"],"a":null}'),
        ("${data.object.b}", '[1,"é"]'),
        ("${data.object.b.1}", "é"),
        ("${data.list.0.x}", "first"),
        ("${data.list.01}", "second"),
        ("${data.list.2}", ""),
        ("${data.list.-1}", ""),
        ("${data.list.²}", ""),
        ("${data.list." + "9" * 5000 + "}", ""),
        ("${data.list.x}", ""),
        ("${data.number.x}", ""),
        ("${data.12.0}", "a key of digits"),
        ('${data["a:b c"]}', "odd key"),
        ("${data['a:b c']}", "odd key"),
        ("${data.labels.app.kubernetes.io/name}", "api"),
        ('${data.labels["app.kubernetes.io/name"]}', "api"),
        ('${data["labels"].app.kubernetes.io/name}', "api"),
        ('${data.labels["app"].kubernetes.io/name}', ""),
        ("${data.labels.a.b}", "longest"),
        ("${data.labels.a.b.c}", "the only way"),
        ("${data.labels.a.x:-none}", "none"),
        ('${data[""]:-none}', "none"),
        ("${data.missing:-none given}", "none given"),
        ("${data.missing:-}", ""),
        ("${data.missing:-a:-b}", "a:-b"),
        ("${data.missing:-a}b}", "ab}"),
        ("${data.missing:-two\nlines}", "two\nlines"),
        ("${data.missing:-{a}}", "{a}"),
        ("${data.missing:-$${a}}", "${a}"),
        ("${data.missing:-${data.number}}", "3"),
        ("${data.missing:-${NAME}}", "web-01"),
        ("${data.missing:-${data.also:-${data.none:-${data.list.1}}}}", "second"),
        ("${data.text:-${NAME}}", DATA["text"]),
        ("${string:data.number}", "3"),
        ("${json:data.text}", json.dumps(DATA["text"], ensure_ascii=False)),
        ("${json:data.missing}", "null"),
        ("${json:data.missing:-${data.empty}}", '""'),
        ("${json:NAME} ${json:TIMESTAMP}", '"web-01" 1760629087'),
        ("${data.null:-default}", ""),
        ("${data.empty:-default}", ""),
        ("${data.injection}", DATA["injection"]),
    ],
)
def test_data_inside_longer_text(variable: str, filled: str) -> None:
    assert as_text(f"<{variable}>") == f"<{filled}>"
    assert json.loads(as_json({"v": f"<{variable}>"})) == {"v": f"<{filled}>"}
    inside = json.dumps(f"<{variable}>", ensure_ascii=False)
    assert json.loads(as_json(f'{{"v": {inside}}}')) == {"v": f"<{filled}>"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("${data.text}", DATA["text"]),
        ("${data.number}", 3),
        ("${data.float}", 1.5),
        ("${data.yes}", True),
        ("${data.null}", None),
        ("${data.null:-default}", None),
        ("${data.missing}", None),
        ("${data.missing:-default}", "default"),
        ("${data.missing:-7}", "7"),
        ("${data.missing:-}", ""),
        ("${data.object}", DATA["object"]),
        ("${data.list}", DATA["list"]),
        ("${data.missing:-${data.list}}", DATA["list"]),
        ("${data.missing:-${NAME}}", "web-01"),
        ("${string:data.number}", "3"),
        ("${string:data.null}", ""),
        ("${string:data.missing:-${data.yes}}", "true"),
        ("${string:data.object}", '{"b":[1,"é"],"a":null}'),
        ("${data}", DATA),
        ("${data:-default}", DATA),
        ("${data.injection}", DATA["injection"]),
    ],
)
def test_a_string_that_is_one_data_variable_keeps_the_type(variable: str, value: object) -> None:
    assert json.loads(as_json({"v": [variable]})) == {"v": [value]}
    assert json.loads(as_json(f'{{"v": [{variable}]}}')) == {"v": [value]}


def test_one_variable_inside_a_json_text_s_string_stays_text() -> None:
    assert as_json('{"v": "${data.number}", "w": "${data.null}"}') == '{"v": "3", "w": ""}'


def test_data_that_is_no_variable_of_the_event_is_null_all_the_same() -> None:
    assert as_json(["${data.x}"], data={}) == "[null]"
    assert as_json("[${data.x}, ${data}]", data={}) == "[null, {}]"


def test_an_event_of_another_kind_fills_empty_names() -> None:
    event = Event("evt_2", kind=Kind.TRIGGER)
    filled = fill(
        compile_message({"v": "${TYPE}${EVENT}${NAME}"}, body_format=BodyFormat.JSON),
        Values(event, "", "w", MOMENT, UTC, 0),
    )
    assert filled == b'{"v": ""}'


@pytest.mark.parametrize(
    ("message", "body"),
    [
        ({"text": "Webhook"}, '{"text": "Webhook"}'),
        (
            {"b": 1, "a": [True, None, 1.5, "é😀"], "c": {}},
            '{"b": 1, "a": [true, null, 1.5, "é😀"], "c": {}}',
        ),
        ([], "[]"),
        ([[1, 2], ("x",)], '[[1, 2], ["x"]]'),
        ({"": ""}, '{"": ""}'),
        ({"${NAME}": "$${NAME} $5 {x} $", "$${k}": "}"}, '{"${NAME}": "${NAME} $5 {x} $", "$${k}": "}"}'),
        ({'k"\n': 'a"\n\\'}, '{"k\\"\\n": "a\\"\\n\\\\"}'),
    ],
)
def test_a_mapping_is_serialised_in_its_order_and_its_keys_are_not_filled(message: Any, body: str) -> None:
    assert as_json(message) == body
    assert fill(compile_message(message, body_format=BodyFormat.UNTYPED), values()).decode() == body


@pytest.mark.parametrize(
    ("message", "body"),
    [
        ('\n{"n" :${TIMESTAMP} ,\t"s":"\\u00e9"}\n', '\n{"n" :1760629087 ,\t"s":"\\u00e9"}\n'),
        ('{"${NAME}" : "${NAME}"}', '{"${NAME}" : "web-01"}'),
        ('{"$${k}"\n:1}', '{"$${k}"\n:1}'),
        ('"$${NAME} ${NAME}"', '"${NAME} web-01"'),
        ('"\\\\${NAME}\\u0024{NAME}"', '"\\\\web-01\\u0024{NAME}"'),
        ('"${data.missing:-a \\"b\\" \\u00e9}"', '"a \\"b\\" é"'),
        ('"${data[\\"a\\u003ab c\\"]}"', '"odd key"'),
        ('["${data.missing:-\\ud83d\\ude80}"]', '["🚀"]'),
        ('[${data.missing:-{"a": 1}}, ${data["a:b c"]}]', '["{\\"a\\": 1}", "odd key"]'),
        ("[${json:data.number}, ${string:data.number}, ${json:NAME}]", '[3, "3", "web-01"]'),
        ("${NAME}", '"web-01"'),
        ("[${data.missing:-a\n}\n]", '["a\\n"\n]'),
        ("1e400", "1e400"),
        ("[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
        ('[{"a": 1}, {"a": 2}]', '[{"a": 1}, {"a": 2}]'),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_json_text_keeps_its_bytes_apart_from_the_variables(message: str, body: str) -> None:
    assert as_json(message) == body


@pytest.mark.parametrize(
    ("message", "body"),
    [
        ("", ""),
        ("plain $ {text} é\r\n", "plain $ {text} é\r\n"),
        ("$${NAME} $$${NAME} $$$${NAME}", "${NAME} $${NAME} $$${NAME}"),
        ("${NAME}${NAME}", "web-01web-01"),
        ('{"not json', '{"not json'),
        ("${data.text}", DATA["text"]),
    ],
)
def test_a_plain_text_is_sent_as_it_is_apart_from_the_variables(message: str, body: str) -> None:
    assert as_text(message) == body


ENDLESS = "does not end: } is missing ($${ is a literal ${)"
NOT_JSON = "the message is not valid JSON: "
KNOWN = f"{', '.join(name[2:-1] for name, _ in VARIABLES)} and data.PATH"


@pytest.mark.parametrize(
    ("message", "path", "line", "complaint"),
    [
        ("${NAM}", (), 0, "unknown variable ${NAM}; did you mean ${NAME}?"),
        ("\n\n ${name}", (), 2, "unknown variable ${name}; did you mean ${NAME}?"),
        ("${ NAME }", (), 0, "unknown variable ${ NAME }; did you mean ${NAME}?"),
        ("${Data.a.b}", (), 0, "unknown variable ${Data.a.b}; did you mean ${data.a.b}?"),
        ("${zzz}", (), 0, f"unknown variable ${{zzz}}; known are {KNOWN}"),
        ("${object.name}", (), 0, f"unknown variable ${{object.name}}; known are {KNOWN}"),
        ("${}", (), 0, f"unknown variable ${{}}; known are {KNOWN}"),
        ("${NAME:-x}", (), 0, "the variable ${NAME} cannot have a default; only ${data.…} can"),
        ("${data.}", (), 0, "the variable ${data.} has an empty step in its path"),
        ("${data.a..b:-c}", (), 0, "the variable ${data.a..b} has an empty step in its path"),
        ("a\n${NAME\nb", (), 1, f"the variable ${{NAME {ENDLESS}"),
        ("${NAME and ${ID}", (), 0, f"the variable ${{NAME and  {ENDLESS}"),
        (
            {"a": ["x", {"b": "1\n${DAT}"}]},
            ("a", 1, "b"),
            1,
            "unknown variable ${DAT}; did you mean ${DATE}?",
        ),
        ({"a": {1: "x"}}, ("a",), 0, "the key 1 is not text; put it in quotes"),
        ({True: "x"}, (), 0, "the key True is not text; put it in quotes"),
        ({"a\ud800": 1}, (), 0, r"the key a\ud800 holds a lone surrogate"),
        (["\udfff"], (0,), 0, "the message holds a lone surrogate, which UTF-8 cannot express"),
        ({"a": float("nan")}, ("a",), 0, "JSON has no word for this value (float); put it in quotes"),
        ({"a": {1, 2}}, ("a",), 0, "JSON has no word for this value (set); put it in quotes"),
    ],
)
def test_a_wrong_message_is_refused_at_its_place(
    message: Any, path: tuple[str | int, ...], line: int, complaint: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_message(message, body_format=BodyFormat.UNTYPED)
    assert (caught.value.path, caught.value.line, caught.value.message) == (path, line, complaint)
    assert str(caught.value) == complaint


FOLLOW = 'only }, .key, ["key"] or :- and a default may follow'
AS_POSTED = "the event's data must hold the text as it is to be sent"
ONE_DEFAULT = "a default is a text without variables, or exactly one variable"


@pytest.mark.parametrize(
    ("variable", "column", "complaint"),
    [
        ("${data.msg:0:20}", 10, f"a variable has no substrings: {AS_POSTED}; {FOLLOW}"),
        ("${data.msg|upper}", 10, f"a variable has no filters: {AS_POSTED}; {FOLLOW}"),
        ("${data.msg | upcase}", 10, f"a variable has no filters: {AS_POSTED}; {FOLLOW}"),
        ("${data.msg%.*}", 10, f"a variable has no expansions as in a shell: {AS_POSTED}; {FOLLOW}"),
        ("${data.a//b}", 8, f"a variable has no expansions as in a shell: {AS_POSTED}; {FOLLOW}"),
        ("${data.list[0]}", 11, f"an item of a list is written ${{data.list.0}}; {FOLLOW}"),
        ("${data.list[1:3]}", 11, f"a variable has no slices: {AS_POSTED}; {FOLLOW}"),
        ("${data.list[-1]}", 11, f"items count from the beginning, from 0: ${{data.list.0}}; {FOLLOW}"),
        (
            "${data.list[]}",
            11,
            f"one variable is one value: ${{data.list}} is the whole list, ${{data.list.0}} its first item; {FOLLOW}",
        ),
        ("${data.m[app]}", 8, f'a key in brackets stands in quotes: ${{data.m["app"]}}; {FOLLOW}'),
        (
            "${data.msg:=x}",
            10,
            f"a default is written ${{data.msg:-text}}; there is no other form of it; {FOLLOW}",
        ),
        ("${data.x|default('a')}", 8, f"a default is written ${{data.x:-text}}; {FOLLOW}"),
        ('${data.x // "a"}', 8, f"a default is written ${{data.x:-text}}; {FOLLOW}"),
        (
            "${data.x?.y}",
            8,
            f"what is missing is empty or null; a default is written ${{data.x:-text}}; {FOLLOW}",
        ),
        (
            "${data.x:upper}",
            8,
            "a default is written ${data.x:-text}; a prefix (string:, json:, raw:) stands before the name; "
            + FOLLOW,
        ),
        ("${data.x }", 8, f"a variable has no spaces: ${{data.x}}; {FOLLOW}"),
        *(
            (
                text,
                6,
                'a key in brackets ends with the straight quote that it begins with, and ]: ${data["key"]}; '
                + FOLLOW,
            )
            for text in ('${data["msg"}', "${data['msg\"]}", "${data[\u201cmsg\u201d]}", '${data["msg]}')
        ),
        ("${data(x)}", 6, f"a key of the data follows a dot: ${{data.key}}; {FOLLOW}"),
        ("${data.$ref}", 6, f'a key with other characters stands in quotes: ${{data["$ref"]}}; {FOLLOW}'),
        ("${data.a b}", 8, f'a key with other characters stands in quotes: ${{data["a b"]}}; {FOLLOW}'),
        ("${{ data.x }}", 0, "unknown variable ${{ data.x }; did you mean ${data.x}?"),
        ("${NAME^^}", 6, '${NAME} is the whole variable: only } may follow its name, not "^^"'),
        ("${TIME:%H:%M}", 6, '${TIME} is the whole variable: only } may follow its name, not ":%H:%M"'),
        (
            "${date:TIME:%H:%M}",
            0,
            "unknown prefix date: (prefixes: string:, json:, raw:)",
        ),
        ("${sting:NAME}", 0, "unknown prefix sting:; did you mean string:? (prefixes: string:, json:, raw:)"),
        ("${data.a:-${data.b}x}", 19, f"{ONE_DEFAULT}: }} is expected"),
        ("${data.a:-x ${data.b}}", 12, ONE_DEFAULT),
        ("${data.a:-${data.b|upper}}", 18, f"a variable has no filters: {AS_POSTED}; {FOLLOW}"),
        (
            "${data.a:-${data.b:-${data.c:-${data.d:-${data.e}}}}}",
            40,
            "defaults are nested deeper than 3",
        ),
        ("${data.a:-{x}", 0, f"the variable ${{data.a:-{{x {ENDLESS}"),
        ("${data.a:-{x", 10, "the default's braces are not balanced: 1 more { than }"),
        ("${data" + ".a" * 33 + "}", 0, "the path has more than 32 steps"),
    ],
)
def test_whatever_is_not_in_the_grammar_is_refused_at_its_column(
    variable: str, column: int, complaint: str
) -> None:
    for message, shift in (({"a": [f"x{variable}"]}, 1), (f"x\n é{variable}", 2)):
        with pytest.raises(TemplateError) as caught:
            compile_message(message, body_format=BodyFormat.UNTYPED)
        assert (caught.value.message, caught.value.column) == (complaint, column + shift)
    if '"' not in variable:  # in a JSON string, behind escapes
        with pytest.raises(TemplateError) as caught:
            compile_message(f'{{"a": "\\u00e9\\n{variable}"}}', body_format=BodyFormat.JSON)
        assert (caught.value.message, caught.value.column) == (complaint, column + 15)


def test_what_is_raw_has_no_place_in_json() -> None:
    for message in ({"a": "${raw:data.x}"}, ["x${raw:NAME}"], "[${raw:data.x}]", '["${raw:data.x}"]'):
        with pytest.raises(TemplateError, match="raw: would let a value break the JSON"):
            compile_message(message, body_format=BodyFormat.JSON)
    assert as_text("<${raw:data.number}>") == "<3>"


@given(st.text(), st.sampled_from(["${data.x", "${data", "${", "${data.x:-"]))
def test_a_variable_compiles_to_what_it_says_or_is_refused(text: str, begin: str) -> None:
    message = f"{begin}{text}}}"
    for body_format in BodyFormat:
        try:
            in_json = body_format is BodyFormat.JSON
            template = compile_message(json.dumps(message) if in_json else message, body_format=body_format)
        except TemplateError:
            continue
        fill(template, values())


@pytest.mark.parametrize(
    ("message", "line", "complaint"),
    [
        ("", 0, NOT_JSON + "Expecting value"),
        ("Sync ${NAME}", 0, NOT_JSON + "Expecting value"),
        ('{"a":\n\n nope}', 2, NOT_JSON + "Expecting value"),
        ('{"a": 1,\n"b": ${data.x:-\n}\n"c": 1}', 3, NOT_JSON + "Expecting ',' delimiter"),
        ('{"a": 1\n}}', 1, NOT_JSON + "Extra data"),
        ("]", 0, NOT_JSON + "Expecting value"),
        ("{${NAME}: 1}", 0, NOT_JSON + "Expecting property name enclosed in double quotes"),
        ('"a": 1', 0, NOT_JSON + "Extra data"),
        ("[1${RANDOM}]", 0, NOT_JSON + "Expecting ',' delimiter"),
        ("[-${RANDOM}]", 0, NOT_JSON + "Expecting value"),
        ("[${RANDOM}1]", 0, NOT_JSON + "Expecting ',' delimiter"),
        ("[${NAME}${NAME}]", 0, NOT_JSON + "Expecting ',' delimiter"),
        ("[$${NAME}]", 0, NOT_JSON + "Expecting value"),
        ('"\\u00${NAME}41"', 0, NOT_JSON + "Invalid \\uXXXX escape"),
        ('"\\${NAME}"', 0, NOT_JSON + "Invalid \\escape"),
        ('"${data.x:-\\q}"', 0, NOT_JSON + "Invalid \\escape"),
        ('["a",\n"b\\"]', 1, NOT_JSON + "a string does not end"),
        ('["a\nb"]', 0, NOT_JSON + "Invalid control character"),
        ("[1,\nNaN]", 1, NOT_JSON + "NaN is not a JSON number"),
        ("-Infinity", 0, NOT_JSON + "Infinity is not a JSON number"),
        ('{"a": 1,\n"\\u0061" : 2}', 1, 'the message has the key "a" twice in one object'),
        ('{"\\q": 2}', 0, NOT_JSON + "Invalid \\escape"),
        ("[" * 101 + "]" * 101, 0, "the message is nested deeper than 100"),
        ("[" * 200_000, 0, "the message is nested deeper than 100"),
        ('"${data.x:-\\ud800}"', 0, "the default of ${data.x} holds a lone surrogate"),
        (
            '{"a": "${data.x:-"b"}"}',
            0,
            "the variable ${data.x:- does not end: } is missing ($${ is a literal ${)",
        ),
        ('\n{"a": ${NAM}}', 1, "unknown variable ${NAM}; did you mean ${NAME}?"),
        ("\ufeff{}", 0, NOT_JSON + "Unexpected UTF-8 BOM (decode using utf-8-sig)"),
    ],
)
def test_text_that_cannot_become_valid_json_is_refused_at_its_line(
    message: str, line: int, complaint: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_message(message, body_format=BodyFormat.JSON)
    assert caught.value.path == ()
    assert (caught.value.line, caught.value.message) == (line, complaint)


def nested(levels: int) -> Any:
    message: Any = "${NAME}"
    for _ in range(levels):
        message = [message]
    return message


def test_a_mapping_is_nested_at_most_100_deep() -> None:
    assert as_json(nested(100)) == "[" * 100 + '"web-01"' + "]" * 100
    with pytest.raises(TemplateError, match="nested deeper than 100"):
        compile_message(nested(101), body_format=BodyFormat.JSON)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TemplateError, match="nested deeper than 100"):
        compile_message(endless, body_format=BodyFormat.JSON)


def test_a_template_survives_pickling() -> None:
    template = compile_message({"a": "${data.x:-1} ${NAME}"}, body_format=BodyFormat.JSON)
    assert pickle.loads(pickle.dumps(template)) == template


# Laws

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(
        ['"', "\\", "\n", "\x00\x1f\x7f", "${NAME}", '","evil":1', "😀", "\u2028", "}", '"}', "\\u0022"]
    ),
)
NAMES = TEXTS.filter(bool)
LONG = st.builds(lambda text: text * 100_000, st.sampled_from(['"', "\\", "é", "😀"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={"x": TREES, "list": st.lists(TREES, max_size=2), "deep": st.fixed_dictionaries({"y": TREES})},
)
SLOTS = st.sampled_from(
    [name for name, _ in VARIABLES]
    + ["${data.x}", "${data.list.1}", "${data.deep.y}", "${data}", "${data.x:-none}", "$${NAME}"]
)
MARKED = st.lists(st.one_of(TEXTS.filter(lambda text: "${" not in text), SLOTS), max_size=4).map("".join)


def well_formed(text: str) -> bool:
    try:
        compile_message(text, body_format=BodyFormat.UNTYPED)
    except TemplateError:
        return False
    return True


TEMPLATES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        MARKED.filter(well_formed),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


def same_structure(template: Any, result: Any) -> bool:
    """Whether the result is the template but for what became of its strings."""
    if isinstance(template, str):
        return "${" in template or result == template
    if isinstance(template, dict):
        return (
            isinstance(result, dict)
            and list(result) == list(template)
            and all(same_structure(template[key], result[key]) for key in template)
        )
    if isinstance(template, list):
        return (
            isinstance(result, list)
            and len(result) == len(template)
            and all(map(same_structure, template, result))
        )
    return bool(result == template)


def hostile(name: str) -> EventObject:
    return EventObject(id=name, name=name, tags=(name, name))


@given(TEMPLATES, EVENTS, TEXTS)
def test_no_value_breaks_a_mapping(message: Any, data: dict[str, Any], name: str) -> None:
    if isinstance(message, str):
        message = [message]
    given_values = {"data": data, "obj": hostile(name)}
    assert same_structure(message, json.loads(as_json(message, **given_values)))


@given(TEMPLATES, EVENTS, TEXTS)
def test_no_value_breaks_a_json_text(message: Any, data: dict[str, Any], name: str) -> None:
    text = json.dumps(message, ensure_ascii=False, indent=1)
    given_values = {"data": data, "obj": hostile(name)}
    assert same_structure(message, json.loads(as_json(text, **given_values)))


@given(
    st.lists(SLOTS.filter(lambda slot: not slot.startswith("$$")), max_size=5), EVENTS, st.one_of(NAMES, LONG)
)
def test_no_value_breaks_a_json_text_from_outside_a_string(
    slots: list[str], data: dict[str, Any], name: str
) -> None:
    text = "[" + ",".join(f'{{"k": {slot}}}' for slot in slots) + "]"
    result = json.loads(as_json(text, data={**data, "x": name}, obj=hostile(name)))
    assert [list(item) for item in result] == [["k"]] * len(slots)
    assert all(
        item["k"] == name
        for slot, item in zip(slots, result, strict=True)
        if slot in ("${NAME}", "${data.x}")
    )


@given(st.one_of(TEXTS, LONG, TREES))
def test_a_value_arrives_as_it_was_sent(value: Any) -> None:
    assert json.loads(as_json({"v": "${data.x}"}, data={"x": value})) == {"v": value}
    if isinstance(value, str):
        assert json.loads(as_json({"v": "<${data.x}>"}, data={"x": value})) == {"v": f"<{value}>"}
        assert json.loads(as_json('{"v": "<${data.x}>"}', data={"x": value})) == {"v": f"<{value}>"}
        assert as_text("<${data.x}>", data={"x": value}) == f"<{value}>"


@given(TEXTS)
def test_json_text_compiles_to_json_or_is_refused(text: str) -> None:
    try:
        body = as_json(text)
    except TemplateError:
        return
    json.loads(body)


# Other types than JSON


def as_body(message: Any, body_format: BodyFormat, **given_values: Any) -> str:
    return fill(compile_message(message, body_format=body_format), values(**given_values)).decode()


SPECIAL = {"m": "a&b=c%+ <é>\"'\n", "n": 7, "o": {"k": "&"}}


@pytest.mark.parametrize(
    ("body_format", "message", "body"),
    [
        (
            BodyFormat.FORM,
            "text=${data.m}&to=a+b",
            "text=a%26b%3Dc%25%2B%20%3C%C3%A9%3E%22%27%0A&to=a+b",
        ),
        (BodyFormat.FORM, "o=${data.o}&x=${data.x}", "o=%7B%22k%22%3A%22%26%22%7D&x="),
        (BodyFormat.FORM, "${raw:data.m}", SPECIAL["m"]),
        (
            BodyFormat.FORM,
            {"to[]": "a&b ${data.n}", "n": 1.5, "yes": True, "none": None, "m": "${json:data.n}"},
            "to%5B%5D=a%26b%207&n=1.5&yes=true&none=&m=7",
        ),
        (BodyFormat.FORM, {}, ""),
        (BodyFormat.MARKUP, "<a>${data.m}</a>", "<a>a&amp;b=c%+ &lt;é&gt;&quot;&#39;&#10;</a>"),
        (BodyFormat.MARKUP, "<a>${raw:data.m}&amp;</a>", f"<a>{SPECIAL['m']}&amp;</a>"),
        (BodyFormat.TEXT, "<a>${data.m}</a>", f"<a>{SPECIAL['m']}</a>"),
        (BodyFormat.UNTYPED, "<a>${data.m}</a>", f"<a>{SPECIAL['m']}</a>"),
        (BodyFormat.UNTYPED, ["${data.n}"], "[7]"),
        (BodyFormat.JSON_LINES, '{"a": ${data.n}}\n\n{"b": "${data.m}"}\n', '{"a": 7}\n\n{"b": "a&b=c%+ <é>\\"\'\\n"}\n'),  # noqa: E501
        (BodyFormat.JSON_LINES, {"a": "${data.n}"}, '{"a": 7}\n'),
        (BodyFormat.JSON_LINES, [{"a": "${data.n}"}, "x\ny"], '{"a": 7}\n"x\\ny"\n'),
        (BodyFormat.JSON_SEQUENCE, [1, 2], "\x1e1\n\x1e2\n"),
        (BodyFormat.JSON_SEQUENCE, '\x1e{"a": ${data.n}}\n', '\x1e{"a": 7}\n'),
        (BodyFormat.TEXT, {"text": "Webhook"}, '{"text": "Webhook"}'),
        (BodyFormat.FORM, {"text": "Webhook"}, "text=Webhook"),
    ],
)  # fmt: skip
def test_the_content_type_decides_how_values_are_escaped(
    body_format: BodyFormat, message: Any, body: str
) -> None:
    assert as_body(message, body_format, data=SPECIAL) == body


@pytest.mark.parametrize(
    ("body_format", "message", "path", "line", "complaint"),
    [
        (BodyFormat.FORM, {"a": {"b": 1}}, ("a",), 0, "a form has no nested values; give each a name"),
        (BodyFormat.FORM, {"a": [1]}, ("a",), 0, "a form has no nested values; give each a name"),
        (BodyFormat.FORM, [1], (), 0, "a form is a mapping of names to values, not a list"),
        (BodyFormat.FORM, {1: "a"}, (1,), 0, "the key 1 is not text; put it in quotes"),
        (BodyFormat.TEXT, {"a": 1}, (), 0, "a mapping is sent as JSON or as a form, but the webhook's"),
        (BodyFormat.MARKUP, ["a"], (), 0, "a list is sent as JSON or as a form, but the webhook's"),
        (BodyFormat.JSON_LINES, '{"a": 1}\n{"b":\n1}', (), 1, NOT_JSON + "Expecting value"),
        (BodyFormat.JSON_LINES, '{"a": 1}\n{"b": ${NAM}}', (), 1, "unknown variable ${NAM}; did you mean"),
    ],
)
def test_what_a_type_has_no_form_for_is_refused(
    body_format: BodyFormat, message: Any, path: tuple[Any, ...], line: int, complaint: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_message(message, body_format=body_format)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert caught.value.message.startswith(complaint)


PLAIN = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(PLAIN, PLAIN, max_size=4), PLAIN, SCALARS)
def test_a_form_parses_back_to_the_values_that_went_in(names: dict[str, str], one: str, other: Any) -> None:
    data = {"one": one, "other": other}
    filled = as_body("a=${data.one}&b=x${data.other}", BodyFormat.FORM, data=data)
    written = as_text("${data.other}", data=data)
    assert parse_qsl(filled, keep_blank_values=True, strict_parsing=True) == [
        ("a", one),
        ("b", f"x{written}"),
    ]
    mapping = {name: value.replace("${", "$${") for name, value in names.items()} | {"v": "${data.one}"}
    filled = as_body(mapping, BodyFormat.FORM, data=data)
    assert parse_qsl(filled, keep_blank_values=True) == list((names | {"v": one}).items())


@given(PLAIN)
def test_xml_parses_back_to_the_values_that_went_in(value: str) -> None:
    filled = as_body("<a v=\"${data.x}\" w='${data.x}'>${data.x}</a>", BodyFormat.MARKUP, data={"x": value})
    kept = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", value)
    element = ET.fromstring(filled)
    assert (element.get("v"), element.get("w"), element.text or "") == (kept, kept, kept)


@given(EVENTS, TEXTS)
def test_a_sequence_of_json_lines_stays_one(data: dict[str, Any], name: str) -> None:
    given_values = {"data": data, "obj": hostile(name)}
    text = '{"a": ${data.x}, "b": "${NAME}${data.x}"}\n[${data}, ${json:NAME}, ${string:data.deep}]\n'
    for message in (text, [{"a": "${data.x}", "b": "${NAME}"}, ["${data}", "${json:data.x}"]]):
        filled = as_body(message, BodyFormat.JSON_LINES, **given_values)
        assert [type(json.loads(line)) for line in filled.split("\n")[:-1]] == [dict, list]


# Secrets

HOSTILE = 'k&e"y<\\\n é%'


@pytest.mark.parametrize(
    ("body_format", "message", "expected"),
    [
        (BodyFormat.JSON, {"k": "${secret.K}", "in": "<${secret.K}>"}, {"k": HOSTILE, "in": f"<{HOSTILE}>"}),
        (BodyFormat.JSON, '{"k": ${secret.K}, "in": "<${secret.K}>"}', {"k": HOSTILE, "in": f"<{HOSTILE}>"}),
        (BodyFormat.FORM, "k=${secret.K}", f"k={quote(HOSTILE, safe='')}"),
        (BodyFormat.FORM, {"k": "${secret.K}"}, f"k={quote(HOSTILE, safe='')}"),
        (BodyFormat.FORM, "k=${raw:secret.K}", f"k={HOSTILE}"),
        (BodyFormat.MARKUP, "<k>${secret.K}</k>", "<k>k&amp;e&quot;y&lt;\\&#10; é%</k>"),
        (BodyFormat.TEXT, "${secret.K} ${NAME}", f"{HOSTILE} web-01"),
    ],
)
def test_a_secret_is_filled_at_the_attempt_and_escaped_as_any_value(
    body_format: BodyFormat, message: Any, expected: Any
) -> None:
    template = compile_message(message, body_format=body_format)
    stored = fill(template, values())
    assert template.secrets == ("K",)
    assert HOSTILE.encode() not in stored
    assert "${secret.K}" in shown_body(stored)
    sent = fill_secrets(stored, {"K": HOSTILE, "other": "x"}).decode()
    assert (json.loads(sent) if body_format is BodyFormat.JSON else sent) == expected
    with pytest.raises(UnknownSecret, match=r"\AK\Z"):
        fill_secrets(stored, {"other": "x"})


@given(EVENTS, TEXTS)
def test_no_event_makes_a_mark_of_a_secret(data: dict[str, Any], name: str) -> None:
    marks = ["${secret.K}", "\xfftext:K\xfe", "\\xfftext:K", *data.values()]
    body = as_json({"v": "${data.v}", "n": "${NAME}"}, data={"v": marks}, obj=hostile(name)).encode()
    assert fill_secrets(body, {"K": "leaked"}) == body
    template = compile_message({"v": "${data.v}", "k": "${secret.K}"}, body_format=BodyFormat.JSON)
    sent = json.loads(fill_secrets(fill(template, values(data={"v": marks})), {"K": "known"}))
    assert sent == {"v": marks, "k": "known"}


def test_a_mark_cannot_be_made_of_what_utf8_cannot_express() -> None:
    template = compile_message("${secret.K} ${data.v}", body_format=BodyFormat.TEXT)
    with pytest.raises(UnicodeEncodeError):
        fill(template, values(data={"v": "\udcfftext:K\udcfe"}))


@given(EVENTS, st.integers(1, 400), st.sampled_from(list(BodyFormat)))
def test_a_message_is_made_within_its_limit_or_not_at_all(
    data: dict[str, Any], limit: int, body_format: BodyFormat
) -> None:
    message = json.dumps({"v": "${data.v}", "w": "${data.w} ${data.v} ${NAME}"})
    if body_format is BodyFormat.FORM:
        message = "v=${data.v}&w=${data.w}"
    template = compile_message(message, body_format=body_format)
    given_values = values(data=data)
    whole, bounded = fill(template, given_values), fill(template, given_values, limit)
    assert is_missing(bounded) == (len(whole) > limit)
    if is_missing(bounded):
        assert shown_body(bounded) == ""
        with pytest.raises(MessageTooLarge) as refused:
            fill_secrets(bounded, {})
        assert refused.value.limit == limit
    else:
        assert bounded == whole


@pytest.mark.parametrize(("limit", "missing"), [(40, True), (200, False)])
def test_the_marks_of_secrets_count_as_well(limit: int, missing: bool) -> None:
    template = compile_message({"a": "${secret.K}" * 4, "b": "x"}, body_format=BodyFormat.JSON)
    assert is_missing(fill(template, values(), limit)) == missing
