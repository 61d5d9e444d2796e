import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.domain.events import Event, EventObject
from hookd.rules.conditions import (
    LONGEST,
    VARIABLES,
    Condition,
    ConditionError,
    EvaluationError,
    Facts,
    compile_condition,
)

NOW = 1760629087.9  # 2025-10-16T15:38:07.9Z
WEB = EventObject(id="17", name="prod-web-01", tags=("production", "edge"))
DATA: Mapping[str, Any] = {
    "used_pct": 80,
    "level": "critical",
    "load": 2.5,
    "half": 2.0,
    "count": -3,
    "exact": 2**53 + 1,
    "uint": 2**63 + 5,
    "yes": True,
    "no": False,
    "nothing": None,
    "list": [1, 2.0, "three", None],
    "disks": [{"name": "sda", "free": 12}, {"name": "sdb", "free": 0.5}],
    "nested": {"a": {"b": [{"c": "deep"}]}},
    "odd key": "é漢😀",
    "control": "a\tb\x1b\x7f",
    "at": "2025-10-16T15:00:00Z",
    "empty": {},
    "if": 1,
}


def holds(
    text: str, data: Mapping[str, Any] = DATA, obj: EventObject | None = WEB, time: str | None = None
) -> bool:
    event = Event("e", type="virtual_machine", event="powered_on", object=obj, time=time, data=data)
    return compile_condition(text).holds(event, NOW)


def failure(text: str, data: Mapping[str, Any] = DATA, **event: Any) -> str:
    with pytest.raises(EvaluationError) as failed:
        holds(text, data, **event)
    return str(failed.value)


TRUE = [
    # thresholds and levels
    'data.used_pct >= 80 && object.name.startsWith("prod-")',
    "data.used_pct == 80.0 && !(data.used_pct != 80.0)",
    'data.level in ["critical", "error"]',
    'data.level == "critical" || data.used_pct > 95',
    "data.yes && !data.no",
    "data.yes",
    # the event itself
    'type == "virtual_machine" && event == "powered_on"',
    'object.id == "17" && has(object.name)',
    '"production" in object.tags && !("test" in object.tags)',
    'object.tags.exists(tag, tag.startsWith("pro"))',
    # patterns
    r'object.name.matches("^prod-[a-z]+-\\d+$")',
    'object.name.endsWith("01") && object.name.contains("web") && size(object.name) == 11',
    # numbers by value, whatever their type
    "1 < 1.5 && 1.5 > 1 && 1 <= 1.0 && 1u >= 0.5",
    "-1 < 1u && 1u > -1 && 1u == 1 && 1 == 1.0",
    "data.count < -2.5 && data.count < 1u && data.load > 2 && data.load < 3u",
    "2.0 in [1, 2] && 2 in [1.0, 2.0] && 2u in [1, 2] && !(2.5 in [1, 2])",
    "2 in data.list && 1.0 in data.list && data.half in [1, 2]",
    "1.0 in {1: true} && 2 in {2u: true}",
    "[1, 2] == [1.0, 2.0] && data.list == [1.0, 2, 'three', null]",
    '{"a": 1} == {"a": 1.0}',
    "data.half + 0.5 > 2 && data.used_pct + 1 > 80.5 && data.used_pct % 7 == 3.0",
    "data.used_pct * 1 == 80.0 && size(data.list) == 4.0",
    "double(data.used_pct) / 100.0 > 0.75",
    # whole numbers are exact beyond 2^53
    "data.exact == 9007199254740993 && data.exact != 9007199254740992 && data.exact > 9007199254740992",
    "data.uint > 9223372036854775807 && data.uint == 9223372036854775813u && data.uint > 1.0",
    # what is there and what is not
    "has(data.used_pct) && !has(data.missing) && has(data.nothing)",
    "has(data.nested.a) && !has(data.nested.z)",
    "data.nothing == null && data.used_pct != null",
    "!has(data.missing) || data.missing > 3",
    "data.missing > 3 || data.yes",
    # lists and maps
    "data.disks.exists(disk, disk.free < 1) && !data.disks.all(disk, disk.free < 1)",
    'data.disks.exists_one(disk, disk.name == "sda")',
    'data.disks.filter(disk, disk.free < 1).map(disk, disk.name) == ["sdb"]',
    'data.nested.a.b[0].c == "deep" && data["nested"]["a"].b[0]["c"] == "deep"',
    'data["odd key"] == "é漢😀" && size(data["odd key"]) == 3',
    '"used_pct" in data && !("missing" in data)',
    'data.control == "a\\tb\\u001b\\x7f"',
    "data.if == 1 && data.empty == {}",
    # variables of a comprehension may have any name
    "data.disks.exists(data, data.free < 1) && data.list.exists(type, type == 1)",
    # a value that is of another type is not equal
    'data.level != 1 && data.nothing != 0 && !(1 in ["1"])',
    "type(data.used_pct) == int && type(data.load) == double",
    # layout
    "data.yes &&\n  !data.no // that is all\n",
    "data.yes ? data.used_pct > 79 : data.missing",
]
FALSE = [
    "false",
    "data.used_pct > 80",
    'type == "Virtual_machine"',
    "1 > 1.5",
    "1 in [1.5, 2]",
    # a value that is not true does not match, whatever it is
    "data.used_pct",
    "data.level",
    "data.nothing",
    "data.list",
    "data.nested",
    '{"a": true}.a && data.no',
]


@pytest.mark.parametrize("text", TRUE)
def test_a_condition_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("text", FALSE)
def test_a_condition_does_not_hold(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "obj", "result"),
    [
        ("has(object.name)", EventObject(name="x"), True),
        ("has(object.id)", EventObject(name="x"), False),
        ("has(object.name)", EventObject(id="x"), False),
        ("has(object.name) || has(object.id)", None, False),
        ("object.tags == []", EventObject(id="x"), True),
        ("object.tags == []", None, True),
        ('has(object.name) && object.name == "x"', None, False),
    ],
)
def test_the_object_has_the_keys_that_the_event_gave(
    text: str, obj: EventObject | None, result: bool
) -> None:
    assert holds(text, obj=obj) is result


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        (None, "2025-10-16T15:38:07.900Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.5+05:30", "2026-01-01T21:34:05.500Z"),
        ("2026-01-02T03:04:05-00:00", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.123456789123Z", "2026-01-02T03:04:05.123456Z"),
        ("1960-01-02T03:04:05.25Z", "1960-01-02T03:04:05.250Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2017-01-01T01:59:60.5+02:00", "2016-12-31T23:59:59.500Z"),
        ("9999-12-31T23:59:60Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z"),
        ("9999-12-31T23:00:00-23:59", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:01Z"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:01Z"),
    ],
)
def test_the_time_is_the_events_own_else_now(time: str | None, shown: str) -> None:
    assert holds(f'time == timestamp("{shown}") && string(time) == "{shown}"', time=time)


@pytest.mark.parametrize(
    "text",
    [
        'time > timestamp("2020-01-01T00:00:00Z") && time < timestamp("2100-01-01T00:00:00+01:00")',
        'time - timestamp(data.at) > duration("30m") && time - duration("1h") < timestamp(data.at)',
        'time.getHours() == 15 && time.getHours("Europe/Berlin") == 17 && time.getDayOfWeek() == 4',
        "time.getFullYear() == 2025 && time.getMilliseconds() == 900",
    ],
)
def test_time_can_be_computed_with(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("beyond", [2**64, -(2**63) - 1, 10**30, -(10**30), 10**400, -(10**400)])
def test_an_integer_beyond_64_bits_is_a_float_and_spoils_nothing_else(beyond: int) -> None:
    data = {**DATA, "beyond": beyond, "list": [{"beyond": beyond}]}
    sign = ">" if beyond > 0 else "<"
    assert holds("data.used_pct >= 80", data)
    assert holds(f"data.beyond {sign} 0 && data.beyond {sign} {'-' if beyond < 0 else ''}9.2e18", data)
    assert holds(f"data.list[0].beyond {sign} 0", data)


def test_the_ends_of_64_bits_are_exact() -> None:
    data = {"low": -(2**63), "high": 2**63 - 1, "top": 2**64 - 1}
    assert holds("data.low == -9223372036854775808 && data.high == 9223372036854775807", data)
    assert holds("data.top == 18446744073709551615u && data.top > 18446744073709551614u", data)


def test_a_text_does_not_end_at_a_nul() -> None:
    obj = EventObject(name="prod\0x", tags=("a\0b",))
    data = {"text": "a\0b", "k\0x": 1, "k": 2, "list": [{"text": "\0"}]}
    assert holds('data.text != "a" && data.text == "a\\ufffdb" && size(data.text) == 3', data, obj)
    assert holds('data.k == 2 && size(data) == 4 && data.list[0].text != ""', data, obj)
    assert holds('object.name != "prod" && !("a" in object.tags)', data, obj)


def test_the_events_own_data_is_left_as_it_is() -> None:
    data = {"big": 2**70, "list": [2**70, "\0"]}
    assert holds("data.big > 1", data)
    assert data == {"big": 2**70, "list": [2**70, "\0"]}


FAILURES: list[tuple[str, Mapping[str, Any], str]] = [
    ("data.x > 1", {}, 'there is no "x"'),
    ('object[data.k] == "x"', {"k": "nam"}, 'there is no "nam"'),
    ("data.x.y == 1", {"x": {}}, 'there is no "y"'),
    ("has(data.x.y)", {}, 'there is no "x"'),
    ("{1: 2}[data.x] == 2", {"x": 5}, 'there is no "5"'),
    ("data[data.x] == 1", {"x": "a\nb"}, r'there is no "a\nb"'),
    ("data.x.y == 1", {"x": 3}, "a field is asked of a value that has no fields"),
    ("data.x.y.z == 1", {"x": None}, "a field is asked of a value that has no fields"),
    ("data.x > 1", {"x": "5"}, '">" does not take (string, int)'),
    ("data.x < data.y", {"x": None, "y": 1}, '"<" does not take (null, int)'),
    ("data.x < data.y", {"x": {}, "y": []}, '"<" does not take (map, list)'),
    ('data.x.startsWith("a")', {"x": 1}, '"startsWith" does not take (int, string)'),
    ("data.x.size() > 1", {"x": 1}, '"size" does not take (int)'),
    (
        "data.x * 1.5 > 2",
        {"x": 2},
        '"*" does not take (int, double); int(…) and double(…) make numbers one type',
    ),
    (
        "data.x + data.y > 2",
        {"x": 2**63, "y": 1},
        '"+" does not take (uint, int); int(…) and double(…) make numbers one type',
    ),
    (
        "time > data.x",
        {"x": "2025"},
        '">" does not take (timestamp, string); timestamp("2026-01-02T03:04:05Z") makes a time of text',
    ),
    ("time - time > data.x", {"x": 5}, '">" does not take (duration, int); duration("5m") is five minutes'),
    ("data.x in data.y", {"x": 1, "y": "abc"}, '"in" does not take such values'),
    ("data.x && data.y", {"x": 1, "y": True}, '"&&" does not take such values'),
    ("!data.x", {"x": 3}, '"!" does not take such values'),
    ("data.x ? true : false", {"x": 3}, "what stands before a ? is not true or false"),
    ("data.x.all(a, a > 1)", {"x": 3}, "a list or a map is needed where there is neither"),
    ("data.x / 0 == 1", {"x": 1}, "divide by zero"),
    ("data.x + 9223372036854775807 > 0", {"x": 1}, "integer overflow"),
    ("data.x[5] == 1", {"x": [1]}, "Index error: index=5 size=1"),
    ("timestamp(data.x) < time", {"x": "yesterday"}, "String to Timestamp conversion failed"),
    ("int(data.x) > 1", {"x": "12x"}, "cannot convert string to int"),
    (
        "data.x.matches(data.y)",
        {"x": "a", "y": "(\x1bm"},
        r"invalid regular expression: missing ): (\x1bm",
    ),
    ("{data.x: 1, data.x: 2} == {}", {"x": 1}, "duplicate key in map"),
]


@pytest.mark.parametrize(("text", "data", "message"), FAILURES)
def test_an_expression_without_a_value_says_why(text: str, data: Mapping[str, Any], message: str) -> None:
    assert failure(text, data) == message


@pytest.mark.parametrize(
    "data",
    [
        {"x": "\ud800"},
        {"\ud800": 1},
        {"x": object()},
        {"x": (1, 2)},
        {"x": {1, 2}},
        {"x": {None: 1, (1,): 2}},
    ],
)
def test_what_is_not_json_is_an_evaluation_error(data: Mapping[str, Any]) -> None:
    assert "\n" not in failure("data.x == 1", data)


def test_data_nested_beyond_all_bounds_is_an_evaluation_error() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert failure("has(data.x)", {"x": deep}) == "the event's data are nested deeper than 500 levels"


def test_data_nested_as_deep_as_an_event_may_be_is_seen() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = {"a": [deep]}
    assert holds("has(data.a) && data == data", deep)


def test_a_time_that_is_none_is_an_evaluation_error() -> None:
    assert failure("true", time="yesterday").startswith("Invalid isoformat string")


BIG = list(range(3000))


@pytest.mark.parametrize(
    "text",
    [
        "data.big.all(a, data.big.all(b, data.big.all(c, a + b + c >= 0)))",
        "data.big.all(a, data.big.exists(b, b == 2999))",
        "data.big.exists_one(a, data.big.exists_one(b, a == b))",
    ],
)
def test_nested_comprehensions_run_out_of_budget(text: str) -> None:
    assert failure(text, {"big": BIG}) == "it takes more steps than an evaluation may"


@pytest.mark.parametrize(
    "text", ["data.x.filter(a, a >= 0) == []", "data.x.map (a, a + 1) == [] || data.yes"]
)
def test_lists_are_built_from_short_ones_only(text: str) -> None:
    long, short = list(range(1201)), {"x": list(range(1000)), "yes": True}
    assert failure(text, {"x": long, "yes": True}).startswith(
        "it could take more than the work that one evaluation may (data.x: 1,201 entries"
    )
    holds(text, short)
    # How long other lists are does not count.
    holds(text, {**short, "other": [{"list": long}]}, EventObject(name="x", tags=tuple(map(str, long))))
    assert holds("data.x.exists(a, a == 1000)", {"x": long})


def test_a_hostile_pattern_takes_no_time() -> None:
    data = {"text": "a" * 100_000 + "b", "pattern": "((a*)*)*$" * 50, "wide": "(x{1000}){1000}"}
    assert not holds('data.text.matches("(a+)+$")', data)
    assert not holds('data.text.matches("^((a|a)*)*$")', data)
    assert holds("data.text.matches(data.pattern)", data)
    assert (
        failure("data.text.matches(data.wide)", data)
        == "invalid regular expression: invalid repetition size: {1000}"
    )


def test_an_error_is_short() -> None:
    assert len(failure("data[data.x] == 1", {"x": "y" * 10_000})) < 100
    assert len(failure("data.x.matches(data.x)", {"x": "(" + "y" * 10_000})) < 250


def test_one_set_of_facts_serves_many_conditions() -> None:
    facts = Facts(Event("e", data={"x": 1, "beyond": 2**70, "big": BIG}), NOW)
    endless = compile_condition("data.big.all(a, data.big.all(b, a >= 0))")
    fine = compile_condition("data.x == 1 && data.beyond > 5 && size(data.big) == 3000")
    missing = compile_condition("data.missing")
    for _ in range(3):
        assert fine.holds_for(facts)
        for condition in (endless, missing):
            with pytest.raises(EvaluationError):
                condition.holds_for(facts)


@pytest.mark.parametrize("text", ["data.x", "data.x == null", "data.missing", "data.list[0]", "data.list"])
def test_the_count_of_references_to_none_stays(text: str) -> None:
    condition, data = compile_condition(text), {"x": None, "list": [None]}
    before = sys.getrefcount(None)
    for _ in range(5000):
        evaluated(condition, data)
    assert abs(sys.getrefcount(None) - before) < 2500


NAMES = "(names: type, event, object, data, time)"
FOREIGN = f"if it is text, put it in quotes {NAMES}"
FIELDS = "(fields: id, name, tags)"
NO_END = "the text that begins here has no end, or a \\ that means nothing"
REFUSED: list[tuple[str, int, str]] = [
    # no expression
    ("", 0, "is empty; write an expression that is true or false, such as data.level > 3"),
    (" \n\t", 0, "is empty; write an expression that is true or false, such as data.level > 3"),
    ("// nothing", 0, "column 11: it ends where more is needed"),
    ("'" + "x" * LONGEST + "' == ''", 0, "has 100,008 characters; 100,000 are allowed"),
    ("data.x == '\ud800'", 0, "holds a lone surrogate, which UTF-8 cannot express"),
    # names
    ("dta.x > 1", 0, f'column 1: unknown name "dta"; did you mean "data"? {NAMES}'),
    ("data.x > 1 && DATA.y", 0, f'column 15: unknown name "DATA"; did you mean "data"? {NAMES}'),
    ('objects . name == "a"', 0, f'column 1: unknown name "objects"; did you mean "object"? {NAMES}'),
    ("type == virtual_machine", 0, f'column 9: unknown name "virtual_machine"; {FOREIGN}'),
    ('foo.bar["x"].baz == 1', 0, f'column 1: unknown name "foo"; {FOREIGN}'),
    ("has(foo.bar)", 0, f'column 5: unknown name "foo"; {FOREIGN}'),
    (".foo.bar", 0, f'column 2: unknown name "foo"; {FOREIGN}'),
    ("foo.bar(1)", 0, f'column 1: unknown name "foo"; {FOREIGN}'),
    ("foo.Bar{a: 1} == foo", 0, f'column 1: unknown name "foo"; {FOREIGN}'),
    ('"😀😀" == foo', 0, f'column 9: unknown name "foo"; {FOREIGN}'),
    ("x" * 100, 0, f'column 1: unknown name "{"x" * 60}…"; {FOREIGN}'),
    ("data.list.exists(v, w == v)", 0, f'column 21: unknown name "w"; {FOREIGN}'),
    ('name == "x"', 0, f'column 1: unknown name "name"; did you mean "object.name"? {NAMES}'),
    ("data.x == None", 0, f'column 11: unknown name "None"; did you mean "null"? {NAMES}'),
    ("data.x == True", 0, f'column 11: unknown name "True"; did you mean "true"? {NAMES}'),
    ("now > data.x", 0, f'column 1: unknown name "now"; did you mean "time"? {NAMES}'),
    # functions
    ("foo(1)", 0, 'column 1: unknown function "foo"'),
    ('data.x.startswith ("a")', 0, 'column 8: unknown function "startswith"; did you mean "startsWith"?'),
    ('type.lower() == "a"', 0, 'column 6: unknown function "lower"'),
    ("size(1, 2)", 0, "column 1: size() takes other arguments"),
    # fields of object
    ("object.nme == 'x'", 0, f'column 8: object has no "nme"; did you mean "name"? {FIELDS}'),
    ('data.x && object ["tag"] == []', 0, f'column 19: object has no "tag"; did you mean "tags"? {FIELDS}'),
    ("has(object.size)", 0, f'column 12: object has no "size" {FIELDS}'),
    ("object.`x-y` == 1", 0, f'column 8: object has no "x-y" {FIELDS}'),
    (
        '// é\n"""a\n""" == object. ID',
        2,
        f'line 3, column 16: object has no "ID"; did you mean "id"? {FIELDS}',
    ),
    # lines
    ("data.x == 1\n  && fop\n", 1, f'line 2, column 6: unknown name "fop"; {FOREIGN}'),
    ("data.x == 1 &&\n\n  && true", 2, 'line 3, column 3: unexpected "&&"'),
    ('"""a\nb""" == foo', 1, f'line 2, column 9: unknown name "foo"; {FOREIGN}'),
    ('"a\nb" == 1', 0, f"line 1, column 1: {NO_END}"),
    ("data.x >\n", 0, "column 9: it ends where more is needed"),
    # syntax
    ("data.x >", 0, "column 9: it ends where more is needed"),
    ("data.", 0, "column 6: it ends where more is needed"),
    ("data.x ? 1", 0, "column 11: it ends where more is needed"),
    ("(data.x == 1", 0, 'column 13: ")" is missing'),
    ("data.x == 1)", 0, 'column 12: unexpected ")"'),
    ('data["x"', 0, 'column 9: "]" is missing'),
    ("data..x", 0, 'column 6: unexpected "."'),
    ("data.in.x", 0, 'column 6: unexpected "in"'),
    ("data.x = 1", 0, 'column 8: unexpected "="; did you mean "=="?'),
    ("data.x=1", 0, 'column 7: unexpected "=1"; did you mean "=="?'),
    ("data.x => 1", 0, 'column 8: unexpected "=>"; did you mean ">="?'),
    ("data.x & 1", 0, 'column 8: unexpected "&"; did you mean "&&"?'),
    ("data.x | 1", 0, 'column 8: unexpected "|"; did you mean "||"?'),
    ("data.x AND data.y", 0, 'column 8: unexpected "AND"; did you mean "&&"?'),
    ("data.x or data.y", 0, 'column 8: unexpected "or"; did you mean "||"?'),
    ("${data.x} > 1", 0, 'column 1: unexpected "$"; write data.x, without ${ }'),
    ("data.x == 1 # remark", 0, 'column 13: unexpected "#"; a comment begins with //'),
    ('data.x == "a" "b"', 0, 'column 15: unexpected text "b"'),
    ("data.x == \u201ca\u201d", 0, "column 11: unexpected quote \u201c; quotes are \" or '"),
    ('data.x == "a', 0, f"column 11: {NO_END}"),
    ("data.x == 'a", 0, f"column 11: {NO_END}"),
    (r'data.x.matches("\d")', 0, f"column 16: {NO_END}"),
    ("foo\x1b[31m", 0, r'column 4: unexpected "\x1b"'),
    ("data\0", 0, "column 5: unexpected character"),
    ("if data.x", 0, 'column 1: "if" is a reserved word'),
    ("data.?x", 0, "column 1: unsupported syntax '.?'"),
    ("has(data)", 0, "column 5: has() argument must be a field selection"),
    ("18446744073709551616 > data.x", 0, "column 1: the number does not fit into 64 bits"),
    ("0xfffffffffffffffff > data.x", 0, "column 1: the number does not fit into 64 bits"),
    ("18446744073709551616u > data.x", 0, "column 1: the number does not fit into 64 bits"),
    # types
    ('data.x > 1 && 1 > "a"', 0, 'column 17: ">" does not take (int, string)'),
    ("type > 1", 0, 'column 6: ">" does not take (string, int)'),
    ("1 && true", 0, 'column 3: "&&" does not take (int, bool)'),
    ("!type", 0, 'column 1: "!" does not take (string)'),
    ("type[0] == 1", 0, 'column 5: "[]" does not take (string, int)'),
    ('true ? 1 : "a"', 0, 'column 6: "?:" does not take (bool, int, string)'),
    ('event in "on"', 0, 'column 7: "in" does not take (string, string)'),
    ("null > 1", 0, 'column 6: ">" does not take (null, int)'),
    ('data.startsWith("a")', 0, 'column 16: "startsWith" does not take (map(string, dyn), string)'),
    (
        "1 + 1.5 > 2",
        0,
        'column 3: "+" does not take (int, double); int(…) and double(…) make numbers one type',
    ),
    (
        'time > "2020-01-01"',
        0,
        'column 6: ">" does not take (timestamp, string); timestamp("2026-01-02T03:04:05Z") makes a time of text',
    ),
    (
        "time - time > 5",
        0,
        'column 13: ">" does not take (duration, int); duration("5m") is five minutes',
    ),
    ("type.x == 1", 0, "column 5: a value of type string has no fields"),
    ("time.x == 1", 0, "column 5: a value of type timestamp has no fields"),
    # results
    ("1 + 1", 0, "must be true or false, not int"),
    ("1u", 0, "must be true or false, not uint"),
    ("1.5", 0, "must be true or false, not double"),
    ("type", 0, "must be true or false, not string"),
    ('b"a"', 0, "must be true or false, not bytes"),
    ("null", 0, "must be true or false, not null"),
    ("data", 0, "must be true or false, not map"),
    ("[true]", 0, "must be true or false, not list"),
    ("time", 0, "must be true or false, not timestamp"),
    ("time - time", 0, "must be true or false, not duration"),
    ("int", 0, "must be true or false, not type"),
]


@pytest.mark.parametrize(("text", "line", "message"), REFUSED)
def test_what_cannot_be_used_is_refused_with_its_place(text: str, line: int, message: str) -> None:
    with pytest.raises(ConditionError) as refused:
        compile_condition(text)
    assert (refused.value.line, refused.value.message) == (line, message)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "data.object.nme == 1",
        "data['object'].nme == 1",
        "'object.nme' == type || \"\\\" object.nme\" == type || r'\\d' == 'object.nme'",
        '"""a" object.nme """ == type // object.nme',
        "data.`object.nme` == 1",
        "object['na' + 'me'] == 1 || object[data.k] == 1",
        "object.size() > 0 && object.exists(key, key == 'nme')",
        "data.list.exists(object, object.nme == 1)",
        "object\n. name == object['id'] || object.tags == []",
    ],
)
def test_what_may_be_no_field_of_object_is_let_through(text: str) -> None:
    assert isinstance(compile_condition(text), Condition)


NESTED = "is nested deeper than 32 levels; use fewer brackets, or fewer operators in a row (&& and || apart)"


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "true" + ")" * 5000,
        "[" * 40 + "]" * 40 + " == []",
        "data" + ".a" * 1000,
        "1 + " * 1000 + "1 == 1001",
        "true ? true : " * 1000 + "true",
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(ConditionError) as refused:
        compile_condition(text)
    assert refused.value.message == NESTED


def test_long_chains_of_and_and_or_are_no_nesting() -> None:
    assert holds(" || ".join(f"data.used_pct == {number}" for number in range(1000)))
    assert holds(" && ".join(["data.yes"] * 1000))
    assert holds("'" + "x" * (LONGEST - 10) + "' != ''")


def test_every_variable_is_declared_and_nothing_else() -> None:
    for name in VARIABLES:
        assert isinstance(compile_condition(f"{name} == {name}"), Condition)


def test_the_library_is_loaded_only_by_those_who_use_where() -> None:
    code = (
        "import sys, hookd.config.generation, hookd.rules.conditions as c\n"
        "assert 'cel_expr_python.cel' not in sys.modules and 'cel_expr_python' not in sys.modules\n"
        "c.compile_condition('true')\n"
        "assert any(name.startswith('cel_expr_python') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats()
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
LAW = [
    compile_condition(text)
    for text in (
        "data.x > 1",
        "data.x == data.y && data.x in [data.y]",
        "data.x.y.z",
        'data.x.startsWith("a") || data.x.matches(data.y)',
        "data.x.all(a, a > 1.5)",
        "data.x + data.y * data.x > data.y % data.x",
        "timestamp(data.x) < time || duration(data.y) > time - time",
        "data[data.x] ? data.x[data.y] : !data.x",
        "{data.x: data.y}.size() == 1 && string(data.x) == object.name",
        "data.map(key, data[key]).exists(value, value == data.x)",
        "data.x",
    )
]


def evaluated(condition: Condition, data: Mapping[str, Any]) -> bool | str:
    """The result, or the message of the failure."""
    try:
        return condition.holds(Event("e", object=WEB, data=data), NOW)
    except EvaluationError as error:
        return str(error)


@given(st.fixed_dictionaries({}, optional={"x": JSON, "y": JSON, "z": JSON}), st.sampled_from(LAW))
def test_evaluating_raises_nothing_but_evaluation_errors(data: dict[str, Any], condition: Condition) -> None:
    result = evaluated(condition, data)
    assert isinstance(result, bool) or (result.isprintable() and 0 < len(result) < 1000)


PIECES = 'data object type . ( ) [ ] { } == < && || ! ? : , "a" 1 2.5 x in has( .all( ". é'
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.lists(
    st.sampled_from([*PIECES.split(" "), "\n", " "]), max_size=20
).map("".join)


def refusal(text: str) -> ConditionError | None:
    try:
        compile_condition(text)
    except ConditionError as error:
        return error
    return None


@given(TEXTS)
def test_any_text_compiles_or_is_refused_in_one_line(text: str) -> None:
    refused = refusal(text)
    assert refused is None or refused.message.isprintable()
    assert refused is None or 0 <= refused.line <= text.count("\n")


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-(2**63), 2**64 - 1))
def test_whole_numbers_compare_as_they_do_in_arithmetic(left: int, right: int) -> None:
    data = {"l": left, "r": right}
    assert holds("data.l < data.r", data) is (left < right)
    assert holds("data.l <= data.r", data) is (left <= right)
    assert holds("data.l == data.r", data) is (left == right)
    assert holds("data.l in [data.r]", data) is (left == right)


@given(st.integers(-(2**53), 2**53), st.floats(allow_nan=False))
def test_a_whole_number_and_a_fraction_compare_by_value(left: int, right: float) -> None:
    data = {"l": left, "r": right}
    assert holds("data.l < data.r", data) is (left < right)
    assert holds("data.l >= data.r", data) is (left >= right)
    assert holds("data.l == data.r", data) is (left == right)
    assert holds("data.r in [data.l]", data) is (left == right)
