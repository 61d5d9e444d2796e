"""Test files: what is read, what is wrong with them, and in what a case and the config differ."""

from pathlib import Path
from typing import Any

import pytest

from hookd import config
from hookd.config.generation import Generation
from hookd.domain.definitions import Config
from hookd.dryrun import Case, Mismatch, judge, read_cases
from hookd.dryrun.compare import document

CONFIG = """
types:
  vm: {events: [powered, stopped]}
  alarm: {events: [raised], objects: false}
webhooks:
  hook:
    url: {env: HOOK_URL}
    method: PUT
    auth: {type: bearer, token: {file: token}}
    headers: {X-Route: [a, b], X-Key: {credential: key}}
    signing: {secret: {env: SIGNING}}
  get: {url: "http://127.0.0.1:9/x", method: GET, auth: {type: bearer, token: l1teral}}
  text: {url: "http://127.0.0.1:9/t", headers: {Content-Type: text/plain}}
  parked: {url: "http://127.0.0.1:9/p", enabled: false}
tasks:
  json: {webhook: hook, message: {n: "${data.n}", at: "${TIMESTAMP}", "on": "${DATE}", r: "${RANDOM}", id: "${ID}"}}
  got: {webhook: get}
  lines: {webhook: text, message: "one\\ntwo ${NAME}\\n"}
  line: {webhook: text, message: "hello ${NAME}"}
  wait: {webhook: parked}
  idle: {webhook: hook, enabled: false}
events:
  json: {type: vm, event: powered, tag: production, task: json}
  idle: {type: vm, event: powered, tag: production, task: idle}
  got: {type: vm, event: powered, object: get, task: got}
  text: {type: vm, event: powered, object: text, task: [lines, line]}
  wait: {type: vm, event: powered, object: wait, task: wait}
  alarm: {type: alarm, event: raised, task: json}
"""
PRODUCTION = "event: {type: vm, event: powered, object: {name: w, tags: [production]}, data: {n: 1.5}}"


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    Path("hookd.yaml").write_text(CONFIG)
    found = config.load(Path("hookd.yaml"), env={}, portable=True)
    assert found.config is not None, [str(diagnostic) for diagnostic in found.diagnostics]
    return found.config


def read(text: str, loaded: Config) -> tuple[list[Case], list[str]]:
    path = Path("x.test.yaml")
    path.write_text(text)
    cases, diagnostics = read_cases([path], loaded)
    return cases, [str(diagnostic).removeprefix("x.test.yaml:") for diagnostic in diagnostics]


def differences(expect: str, loaded: Config, event: str = PRODUCTION, **fields: str) -> list[Mismatch]:
    more = "".join(f"\n    {name}: {value}" for name, value in fields.items())
    cases, diagnostics = read(f"cases:\n  - name: n{more}\n    {event}\n    expect: {expect}\n", loaded)
    assert diagnostics == []
    return list(judge(cases[0], Generation.of(loaded, number=1, now=0)).differences)


def on(name: str) -> str:
    return f"event: {{type: vm, event: powered, object: {name}}}"


def test_extensions_are_ignored_and_hold_anchors(loaded: Config) -> None:
    cases, diagnostics = read(
        "x-event: &event {type: alarm, event: raised, object: null, id: null, time: null, data: null}\n"
        "cases:\n  - {name: n, event: *event, expect: []}\n",
        loaded,
    )
    assert diagnostics == []
    assert [case.event.object for case in cases] == [None]
    _, diagnostics = read("x-a: 1\ny-a: 1\ncases: []\n", loaded)
    assert diagnostics[0].startswith("2:1: y-a: unknown key")


BODY = "{n: 1.5, at: '1767225600', 'on': 'Thu, 01 Jan 2026 00:00:00 UTC', r: '4', id: evt_example}"


@pytest.mark.parametrize(
    "expect",
    [
        "[{}]",
        "[{task: json}]",
        "[{task: json, webhook: hook, rule: events.json, method: PUT, url: 'env:HOOK_URL'}]",
        f"[{{body: {BODY}}}]",
        "[{headers: {x-route: [a, b], X-KEY: 'credential:key', Authorization: 'Bearer file:token'}}]",
        "[{headers: {X-None: null, content-type: application/json, webhook-timestamp: '1767225600'}}]",
        "[{headers: {webhook-id: dlv_example, webhook-signature: (made for each attempt)}}]",
    ],
)
def test_what_is_sent_passes(expect: str, loaded: Config) -> None:
    assert differences(expect, loaded) == []


def test_the_clock_is_the_cases(loaded: Config) -> None:
    assert (
        differences(
            "[{body: {n: 1.5, at: '1767323046', 'on': 'Fri, 02 Jan 2026 03:04:06 UTC', r: '4', id: e}}]",
            loaded,
            "event: {id: e, type: vm, event: powered, object: {name: w, tags: [production]}, data: {n: 1.5}}",
            at="2026-01-02T05:04:06+02:00",
        )
        == []
    )


def test_other_requests_pass_as_well(loaded: Config) -> None:
    assert differences("[{method: GET, body: '', headers: {content-type: null}}]", loaded, on("get")) == []
    assert (
        differences('[{task: lines, body: "one\\ntwo text\\n"}, {body: hello text}]', loaded, on("text"))
        == []
    )
    assert differences("[]", loaded, on("nobody")) == []
    assert differences("[{task: json}]", loaded, "event: {type: alarm, event: raised}") == []


def test_a_named_task_stands_for_its_request_and_the_others_in_order(loaded: Config) -> None:
    for expect in (
        "[{task: line}, {task: lines}]",
        "[{}, {body: hello text}]",
        '[{body: "one\\ntwo text\\n"}, {}]',
        "[{}, {task: lines}]",
        "[{body: hello text}, {task: lines}]",
        "[{webhook: text}, {rule: events.text}]",
    ):
        assert differences(expect, loaded, on("text")) == [], expect
    [one] = differences("[{}, {body: x}]", loaded, on("text"))
    assert (one.where, one.about) == ("expect[1]", 'task "line", webhook "text"')


def changed(lines: tuple[str, ...]) -> list[str]:
    """The lines of a diff that are only on one side, without what surrounds them."""
    assert lines[:2] == ("--- expected", "+++ got")
    return [line for line in lines[2:] if line.startswith(("-", "+"))]


@pytest.mark.parametrize(
    ("expect", "lines"),
    [
        ("{webhook: text, task: json}", ['-  "webhook": "text"', '+  "webhook": "hook"']),
        ("{task: json, rule: events.got}", ['-  "rule": "events.got"', '+  "rule": "events.json"']),
        ("{method: POST}", ['-  "method": "POST"', '+  "method": "PUT"']),
        ("{url: 'http://h'}", ['-  "url": "http://h"', '+  "url": "env:HOOK_URL"']),
        (
            "{headers: {X-Route: a}}",
            ['-    "X-Route": "a"', '+    "X-Route": [', '+      "a",', '+      "b"', "+    ]"],
        ),
        ("{headers: {X-Route: [b, a]}}", ['+      "a",', '-      "b",', '-      "a"', '+      "b"']),
        ("{headers: {X-Key: null}}", ['-    "X-Key": null', '+    "X-Key": "credential:key"']),
        ("{headers: {X-No: ''}}", ['-    "X-No": ""', '+    "X-No": null']),
        ("{body: hello}", None),
    ],
)
def test_each_field_is_compared(expect: str, lines: list[str] | None, loaded: Config) -> None:
    [one] = differences(f"[{expect}]", loaded)
    assert (one.where, one.about) == ("expect[0]", 'task "json", webhook "hook"')
    assert (
        changed(one.lines)[0] == '-  "body": "hello"'
        if lines is None
        else set(changed(one.lines)) == set(lines)
    )


def test_a_request_differs_by_lines(loaded: Config) -> None:
    body = BODY.replace("1.5", "2").replace(", id: evt_example", "")
    [one] = differences(f"[{{method: POST, body: {body}}}]", loaded)
    assert one.lines == (
        "--- expected",
        "+++ got",
        "@@ -1,9 +1,10 @@",
        " {",
        '   "body": {',
        '     "at": "1767225600",',
        '-    "n": 2,',
        '+    "id": "evt_example",',
        '+    "n": 1.5,',
        '     "on": "Thu, 01 Jan 2026 00:00:00 UTC",',
        '     "r": "4"',
        "   },",
        '-  "method": "POST"',
        '+  "method": "PUT"',
        " }",
    )


def test_a_body_that_is_not_json_or_not_there(loaded: Config) -> None:
    [one] = differences("[{task: line, body: {a: 1}}, {task: lines}]", loaded, on("text"))
    assert changed(one.lines) == ['-  "body": {', '-    "a": 1', "-  }", '+  "body": "hello text"']
    [one] = differences("[{body: [1]}]", loaded, on("get"))
    assert changed(one.lines) == ['-  "body": [', "-    1", "-  ]", '+  "body": ""']
    [one] = differences("[{body: x}]", loaded, on("get"))
    assert changed(one.lines) == ['-  "body": "x"', '+  "body": ""']
    [one] = differences('[{task: lines, body: "one\\ntwo text"}, {task: line}]', loaded, on("text"))
    assert changed(one.lines) == ['-    "two text"', '+    "two text",', '+    ""']


def test_a_literal_credential_is_not_shown(loaded: Config) -> None:
    assert differences("[{headers: {Authorization: Bearer l1teral}}]", loaded, on("get")) == []
    [one] = differences("[{headers: {Authorization: Bearer x}}]", loaded, on("get"))
    assert '+      "not shown": "Bearer ***"' in one.lines or '+      "not shown": "***"' in one.lines
    assert "l1teral" not in "".join(one.lines)


def test_missing_and_unexpected_requests(loaded: Config) -> None:
    missing, extra = differences("[{task: idle, webhook: hook}]", loaded)
    assert (missing.where, missing.about, missing.lines) == ("expect[0]", 'task "idle", webhook "hook"', ())
    assert missing.reasons == ('events.idle: the task "idle" is not enabled',)
    assert (extra.where, extra.about) == ("", 'task "json", webhook "hook"')
    assert extra.rule == "events.json"
    [missing] = differences("[{task: json}]", loaded, on("nobody"))
    assert missing.reasons == ('events.json: asks for the tag "production", the event has no tags',)
    [missing] = differences("[{}]", loaded, "event: {type: vm, event: stopped}")
    assert missing.reasons == ("no rule that would fire it comes near this event",)


def test_what_would_wait_is_not_sent(loaded: Config) -> None:
    assert differences("[]", loaded, on("wait")) == []
    [missing] = differences("[{webhook: parked}]", loaded, on("wait"))
    assert missing.reasons == ('the webhook "parked" is not enabled',)


def test_a_request_that_is_named_is_nobody_elses(loaded: Config) -> None:
    [one] = differences("[{webhook: text}, {task: lines, method: PUT}]", loaded, on("text"))
    assert (one.where, changed(one.lines)[0]) == ("expect[1]", '-  "method": "PUT"')
    both = "event: {type: vm, event: powered, object: {name: get, tags: [production]}}"
    found = differences("[{method: POST}, {webhook: hook, method: POST}]", loaded, both)
    assert [(one.where, changed(one.lines)[1]) for one in found] == [
        ("expect[0]", '+  "method": "GET"'),
        ("expect[1]", '+  "method": "PUT",'),
    ]
    [one] = differences("[{method: PUT}, {webhook: text}]", loaded, on("text"))
    assert (one.where, changed(one.lines)[0]) == ("expect[0]", '-  "method": "PUT"')


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": [1, {}]}, {"b": [1, {}], "a": 1}, True),
        ([1, 2], [2, 1], False),
        (1, 1.0, False),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("1", 1, False),
        ({"a": None}, {}, False),
        ([1], [1, 1], False),
        ({"a": [{"b": 1.0}]}, {"a": [{"b": 1}]}, False),
    ],
)
def test_types_are_exact(one: Any, other: Any, same: bool) -> None:
    assert (document(one) == document(other)) is same


CASE = "cases:\n- name: n\n  event: {type: alarm, event: raised}\n  expect: "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["1:1: file: cases is missing"]),
        ("- a", ["1:1: file: must be a mapping with the key cases, not a list"]),
        ("cases: []", ["1:8: cases: must be a list with at least one entry, not an empty list"]),
        ("cases: [", [("2:1: yaml: not valid YAML: did not find expected node content"
                      "; close each bracket; quote text that begins with : or #"
                      " (while parsing a flow node that begins in line 2)")]),
        ("cases:\n- {}", ["2:3: cases[0]: event is missing", "2:3: cases[0]: expect is missing",
                          "2:3: cases[0]: name is missing"]),
        (f"{CASE}[]\n  nmae: x", [('5:3: cases[0].nmae: unknown key; did you mean "name"?'
                                  " (known here: at, event, expect, name)")]),
        (f"{CASE}[]\n  name: x", ["5:3: cases[0].name: stands here a second time; the first is in line 2"]),
        (f"{CASE}[]\n- name: n\n  event: {{type: alarm, event: raised}}\n  expect: []",
         ['5:9: cases[1].name: "n" is already the name of the case in line 2']),
        (f"{CASE}{{}}", ["4:11: cases[0].expect: must be a list of expected requests ([] is none), not a mapping"]),
        (f"{CASE}[{{method: PSOT}}]", [("4:21: cases[0].expect[0].method: must be one of POST, PUT, PATCH, GET, DELETE,"
                                       ' not "PSOT"; did you mean "POST"?')]),
        (f"{CASE}[{{task: jsno}}]", [('4:19: cases[0].expect[0].task: there is no task "jsno"; did you mean "json"?'
                                     " (tasks: got, idle, json, line, lines, wait)")]),
        (f"{CASE}[{{webhook: x}}]", [('4:22: cases[0].expect[0].webhook: there is no webhook "x"'
                                     " (webhooks: get, hook, parked, text)")]),
        (f"{CASE}[{{rule: events.jso}}]", [('4:19: cases[0].expect[0].rule: there is no rule "events.jso";'
                                           ' did you mean "events.json"? (rules: events.alarm, events.got,'
                                           " events.idle, events.json, events.text, events.wait)")]),
        (f"{CASE}[{{task: json}}, {{task: json}}]",
         [("4:33: cases[0].expect[1].task: expect[0] names this task already,"
                                                     " and an event fires a task once")]),
        (f"{CASE}[{{url: {{env: X}}}}]", [("4:18: cases[0].expect[0].url: must be text (for a reference to a secret"
                                          " env:NAME, file:PATH or credential:NAME), not a mapping")]),
        (f"{CASE}[{{body: 5}}]", [("4:19: cases[0].expect[0].body: must be a mapping, a list or text, not 5;"
                                  ' YAML reads 5 as the number 5, so quote it: "5"')]),
        (f"{CASE}[]\n  at: 2026-01-01", [("5:7: cases[0].at: must be a date-time with an offset, such as"
                                         ' 2026-01-02T03:04:05Z, not "2026-01-01"')]),
        (f"{CASE}[]\n  at: 9999-01-01T00:00:00Z",
         ['5:7: cases[0].at: must be in the years 1970 to 9998, not "9999-01-01T00:00:00Z"']),
        (f"{CASE}[]\n  at: 2026-02-30T00:00:00Z", [("5:7: cases[0].at: must be a date-time with an offset, such as"
                                                   ' 2026-01-02T03:04:05Z, not "2026-02-30T00:00:00Z"')]),
    ],
)  # fmt: skip
def test_says_exactly_what_is_wrong_with_a_file(text: str, told: list[str], loaded: Config) -> None:
    cases, diagnostics = read(text, loaded)
    assert diagnostics == told
    assert len(cases) == ("is already the name" in told[0])


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("{type: vm}", "3:3: cases[0].event: event is missing"),
        ("{type: vm, event: on}", ("3:28: cases[0].event.event: must be text that is not empty, not true;"
                                  ' YAML reads on as true, so quote it: "on"')),
        ("{type: vm, event: powerd}", ('3:28: cases[0].event.event: unknown event of type vm "powerd";'
                                      ' did you mean "powered"? valid: powered, stopped')),
        ("{type: v, event: powered}",
         '3:17: cases[0].event.type: unknown type "v"; did you mean "vm"? valid: alarm, vm'),
        ("{type: hookd.stor, event: y}", ('3:17: cases[0].event.type: unknown type "hookd.stor"; did you mean'
          ' "hookd.store"? valid: hookd.config, hookd.daemon, hookd.delivery, hookd.schedule, hookd.store,'
          ' hookd.webhook')),
        ("{type: alarm, event: raised, object: o}", ("3:47: cases[0].event.object: the type alarm is generic:"
                                                    " it has neither object nor tags")),
        ("{type: vm, event: powered, object: {tags: [a, a]}}",
         "3:45: cases[0].event.object: must have an id or a name"),
        ("{type: vm, event: powered, object: {id: i, tags: [a, a]}}",
         '3:63: cases[0].event.object.tags[1]: the tag "a" is there twice'),
        ("{type: vm, event: powered, time: now}", ("3:43: cases[0].event.time: must be an RFC 3339 date-time with an"
                                                  " offset, such as 2026-01-02T03:04:05Z")),
        ("{type: vm, event: powered, color: red}", ("3:37: cases[0].event.color: unknown key"
                                                   " (known here: data, event, id, object, time, type)")),
        ("{type: vm, event: powered, data: [1]}", "3:43: cases[0].event.data: must be a mapping, not a list"),
    ],
)  # fmt: skip
def test_an_event_is_judged_as_a_posted_one(event: str, told: str, loaded: Config) -> None:
    text = f"cases:\n- name: n\n  event: {event}\n  expect: []"
    cases, diagnostics = read(text, loaded)
    assert told in diagnostics
    assert not cases


def test_sound_cases_run_beside_faulty_ones(loaded: Config) -> None:
    cases, diagnostics = read(
        "cases:\n- {name: a, event: {type: vm, event: stopped}, expect: [], x: 1}\n"
        "- {name: b, event: {type: vm, event: stopped}, expect: []}\n"
        "- {name: c, event: &a .inf, expect: []}\n"
        "- {name: d, event: *a, expect: *a}\n"
        "- {name: e, name: e, event: {type: vm, event: stopped}, expect: [*no]}\n",
        loaded,
    )
    assert [case.name for case in cases] == ["b"]
    assert len(diagnostics) == 4


def test_a_file_that_cannot_be_read_is_named(loaded: Config) -> None:
    path = Path("x.test.yaml")
    path.touch()
    path.chmod(0o666)
    why = f"it belongs to {path.owner()}:{path.group()}, its mode is 0666; fix: chmod o-w x.test.yaml"
    assert [str(diagnostic) for diagnostic in read_cases([path, Path("y.test.yaml")], loaded)[1]] == [
        f"x.test.yaml:1:1: file: is world-writable, so anybody could change it ({why})",
        "y.test.yaml:1:1: file: does not exist",
    ]
