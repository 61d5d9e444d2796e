"""Schedules as they are read: what their times mean, which never fire, and what makes a one-shot another one."""

import os
import pickle
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd import config
from hookd.config import Loaded, Severity
from hookd.domain.definitions import Config, ScheduleDef, TaskDef

GOOD = Path(__file__).parents[1] / "configs" / "good"
HOOK = "webhooks: {hook: {url: http://127.0.0.1:9099/}, other: {url: http://127.0.0.1:9099/}}\n"
TASK = HOOK + "tasks: {note: {webhook: hook}}\n"


def at(text: str) -> float:
    """The instant of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-06-15T12:00:00")


def load(tmp_path: Path, text: str, *, now: float = NOW) -> Loaded:
    file = tmp_path / "hookd.yaml"
    file.write_text(text, encoding="utf-8")
    return config.load(file, env={"TZ": "Europe/Berlin"}, now=now)


def loaded(tmp_path: Path, text: str) -> Config:
    result = load(tmp_path, text)
    assert result.config is not None, [str(diagnostic) for diagnostic in result.diagnostics]
    return result.config


def schedule(tmp_path: Path, keys: str) -> ScheduleDef:
    return loaded(tmp_path, f"{TASK}schedules: {{s: {{{keys}, task: note}}}}").schedules["s"]


@pytest.mark.parametrize(
    ("keys", "instant"),
    [
        ("at: 2099-12-24T18:00:00", "2099-12-24T17:00:00"),
        ("at: 2099-12-24T18:00", "2099-12-24T17:00:00"),
        ("at: 2099-12-24 18:00:00", "2099-12-24T17:00:00"),
        ("at: '2099-12-24T18:00:00'", "2099-12-24T17:00:00"),
        ("at: 2099-07-24T18:00:00", "2099-07-24T16:00:00"),
        ("at: 2099-12-24T18:00:00.25", "2099-12-24T17:00:00.250000"),
        ("at: 2099-12-24T18:00:00, timezone: America/New_York", "2099-12-24T23:00:00"),
        ("at: 2099-12-24T18:00:00Z, timezone: America/New_York", "2099-12-24T18:00:00"),
        ("at: 2099-12-24T18:00+05:30", "2099-12-24T12:30:00"),
        ("at: 2027-03-28T02:30:00", "2027-03-28T01:00:00"),  # skipped: the first instant after the gap
        ("at: 2026-10-25T02:30:00", "2026-10-25T00:30:00"),  # comes twice: its first occurrence
    ],
)
def test_at(keys: str, instant: str, tmp_path: Path) -> None:
    assert schedule(tmp_path, keys).at == at(instant)


@pytest.mark.parametrize(
    ("start", "instant"),
    [
        ("2026-01-01", "2025-12-31T23:00:00"),
        ("2026-07-01", "2026-06-30T22:00:00"),
        ("2026-01-01T08:00:00", "2026-01-01T07:00:00"),
        ("2026-01-01T08:00:00-08:00", "2026-01-01T16:00:00"),
        ("1970-01-01", "1969-12-31T23:00:00"),
        ("2024-02-29", "2024-02-28T23:00:00"),
    ],
)
def test_from(start: str, instant: str, tmp_path: Path) -> None:
    found = schedule(tmp_path, f"every: 15m, from: {start}")
    assert (found.starts_at, found.ends_at, found.every_s) == (at(instant), None, 900)


@pytest.mark.parametrize(
    ("end", "instant"),
    [
        ("2026-12-31", "2026-12-31T22:59:59.999999"),
        ("2026-10-25", "2026-10-25T22:59:59.999999"),  # a day of 25 hours
        ("2027-03-28", "2027-03-28T21:59:59.999999"),  # a day of 23
        ("2026-12-31T08:00:00", "2026-12-31T07:00:00"),
        ("2026-12-31T08:00:00Z", "2026-12-31T08:00:00"),
    ],
)
def test_until(end: str, instant: str, tmp_path: Path) -> None:
    found = schedule(tmp_path, f"every: 15m, until: {end}")
    assert found.starts_at is None
    assert found.ends_at == pytest.approx(at(instant), abs=2e-7)


@pytest.mark.parametrize("timezone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_last_day_of_the_calendar_may_stand_for_ever(timezone: str, tmp_path: Path) -> None:
    found = schedule(tmp_path, f"every: 1h, until: 9999-12-31, timezone: {timezone}")
    assert found.ends_at is not None
    assert found.ends_at > at("9999-12-31T00:00:00")


def test_a_day_is_a_window(tmp_path: Path) -> None:
    found = schedule(tmp_path, "every: 1h, from: 2099-01-01, until: 2099-01-01, timezone: UTC")
    assert found.starts_at == at("2099-01-01T00:00:00")
    assert found.ends_at == pytest.approx(at("2099-01-01T23:59:59.999999"), abs=1e-6)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("every: 14d, from: 2026-01-05T03:00:00", "2026-01-05T03:00:00"),
        ("every: 2w, from: 2026-01-05", "2026-01-05T00:00:00"),
        ("every: 1.5w, from: 2026-01-05", None),
        ("every: 24h, from: 2026-01-05T03:00", None),
        ("every: 86400, from: 2026-01-05T03:00", None),
        ("every: 1.5d, from: 2026-01-05", None),
        ("every: 14d, from: 2026-01-05T03:00:00+01:00", None),
        ("every: 14d, from: 2026-01-05T03:00:00Z", None),
        ("every: 14d", None),
        ('cron: "0 3 * * *", from: 2026-01-05', None),
    ],
)
def test_whole_days_from_a_local_time_are_counted_by_the_calendar(
    written: str, expected: str | None, tmp_path: Path
) -> None:
    assert schedule(tmp_path, written).days_from == expected


@pytest.mark.parametrize(
    ("written", "expression", "every_s"),
    [
        ("900", "900", 900),
        ("1_000", "1_000", 1000),
        ("1.5", "1.5", 1.5),
        ("15m", "15m", 900),
        ("1s", "1s", 1),
    ],
)
def test_every_is_kept_as_it_is_written(
    written: str, expression: str, every_s: float, tmp_path: Path
) -> None:
    found = schedule(tmp_path, f"every: {written}")
    assert (found.expression, found.every_s) == (expression, every_s)


def test_a_clock_time_is_no_duration_anywhere(tmp_path: Path) -> None:
    result = load(tmp_path, "daemon: {shutdown_grace: 12:30}")
    assert [diagnostic.message for diagnostic in result.diagnostics] == [
        "must be a duration of at most 1h, not 750; YAML reads 12:30 as the number 750"
    ]


PAST = "it is in the past; remove it, or correct the date"
OVER = "its window is over; remove it, or correct the date"
EMPTY = "its window holds no moment; remove it, or widen the window"
NO_DATE = "no date satisfies it; remove it, or correct the day or the month"


@pytest.mark.parametrize(
    ("keys", "key", "reason"),
    [
        ("at: 2026-06-15T13:59:59", "at", PAST),
        ("at: 2026-06-15T14:00:00", "at", PAST),  # now, to the second
        ("at: 2026-06-15T14:00:01", "", ""),
        ("at: 2026-06-15T11:59:59Z", "at", PAST),
        ("at: 2020-01-01T00:00:00, enabled: false", "", ""),
        ("at: 2027-01-01T00:00:00, until: 2026-12-31", "until", EMPTY),
        ("at: 2027-01-01T00:00:00, from: 2027-01-02", "from", EMPTY),
        ("every: 15m, until: 2026-06-14", "until", OVER),
        ("every: 15m, until: 2026-06-15", "", ""),
        ("every: 15m, from: 2026-06-16, until: 2026-06-16", "", ""),
        ('cron: "0 3 * * *", until: 2026-06-15T03:00:00', "until", OVER),
        ('cron: "0 3 * * *", until: 2026-06-15', "until", EMPTY),
        ('cron: "0 3 * * *", until: 2026-06-15, enabled: false', "", ""),
        ('cron: "0 3 1 1 *", from: 2027-02-01, until: 2027-03-01', "until", EMPTY),
        ("every: 3650d, from: 2026-01-01, until: 2030-01-01", "until", EMPTY),
        ('cron: "0 0 30 2 *"', "cron", NO_DATE),
        ('cron: "0 0 31 4,6 *", from: 2026-01-01', "cron", NO_DATE),
        ('cron: "0 0 29 2 *"', "", ""),
        ('cron: "0 0 30 2 *", enabled: false', "", ""),
    ],
)
def test_what_never_fires_is_told(keys: str, key: str, reason: str, tmp_path: Path) -> None:
    named = load(tmp_path, f"{TASK}schedules: {{s: {{{keys}, task: note}}}}")
    inline = load(tmp_path, f"{HOOK}tasks: {{note: {{webhook: hook, triggers: [{{{keys}}}]}}}}")
    for result, place in ((named, "schedules.s"), (inline, "tasks.note.triggers[0]")):
        assert result.config is not None
        told = [
            (diagnostic.severity, diagnostic.where, diagnostic.message) for diagnostic in result.diagnostics
        ]
        assert told == ([(Severity.WARNING, f"{place}.{key}", f"never fires: {reason}")] if key else [])
        assert result.config.warnings == tuple(map(str, result.diagnostics))


def test_the_clock_decides_what_is_past(tmp_path: Path) -> None:
    text = f"{TASK}schedules: {{s: {{at: 2026-06-15T14:00:00, task: note}}}}"
    assert not load(tmp_path, text, now=NOW - 0.001).diagnostics
    assert len(load(tmp_path, text, now=NOW).diagnostics) == 1
    file = tmp_path / "hookd.yaml"
    file.write_text(
        f"{TASK}schedules: {{a: {{at: 2020-01-01T00:00, task: note}}, b: {{at: 2999-01-01T00:00, task: note}}}}"
    )
    by_the_systems_clock = config.load(file, env={}).diagnostics
    assert [diagnostic.where for diagnostic in by_the_systems_clock] == ["schedules.a.at"]
    assert config.isolated_load(file).diagnostics == by_the_systems_clock
    assert not config.isolated_load(file, now=at("2019-01-01T00:00:00")).diagnostics
    assert len(config.isolated_load(file, now=at("3000-01-01T00:00:00")).diagnostics) == 2


def test_rules_come_across_from_the_child() -> None:
    path = GOOD / "rules.yaml"
    aside = config.isolated_load(path, now=NOW).config
    assert aside is not None
    assert aside == config.load(path, env=os.environ, now=NOW).config
    assert pickle.loads(pickle.dumps(aside)) == aside
    assert [rule.place for rule in aside.schedule_rules()] == [
        "schedules.last-friday",
        "schedules.all-of-it",
        "tasks.note.triggers[2]",
        "tasks.note.triggers[3]",
        "tasks.once.triggers[0]",
    ]


def test_many_schedules_come_in_small_frames(tmp_path: Path) -> None:
    file = tmp_path / "hookd.yaml"
    lines = "".join(f"  s{number}: {{every: {number + 1}s, task: note}}\n" for number in range(1050))
    file.write_text(f"{TASK}schedules:\n{lines}")
    found = config.isolated_load(file, now=NOW).config
    assert found is not None
    assert found == config.load(file, env=os.environ, now=NOW).config
    assert config.summary(found) == "2 webhooks, 1 task, 0 events, 1050 schedules"


@given(
    st.text(max_size=30)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2})?", fullmatch=True)
)
def test_any_text_for_a_time_is_judged(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    quoted = '"' + "".join(f"\\U{ord(char):08x}" for char in text if not "\ud800" <= char <= "\udfff") + '"'
    keys = f"at: {quoted}, from: {quoted}, until: {quoted}, timezone: {quoted}"
    folder = tmp_path_factory.getbasetemp()
    result = load(
        folder, f"{TASK}schedules: {{s: {{{keys}, task: note}}, t: {{cron: {quoted}, task: note}}}}"
    )
    assert result.config is None
    assert all(diagnostic.line for diagnostic in result.diagnostics)


# What makes a one-shot another one.

ONCE = """
tasks:
  once:
    description: Tells it once
    webhook: hook
    message:
      text: ${NAME}
      level: 3
    delete_after_running: true
    triggers:
      - {type: vm, event: started, object: web-01, where: data.level > 3, description: At start}
      - {every: 15m, from: 2026-01-01, enabled: true}
"""


def digest(tmp_path: Path, text: str = ONCE, more: str = "", task: str = "once") -> str:
    return loaded(tmp_path, HOOK + text + more).tasks[task].digest


def test_a_digest_is_a_sha256_and_every_task_has_one(tmp_path: Path) -> None:
    found: TaskDef = loaded(tmp_path, TASK).tasks["note"]
    # Stores keep it: it must be the same in the next version.
    assert found.digest == sha256(b'["hook",{"text":"Webhook"},false,[]]').hexdigest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("description: Tells it once", "description: Something else"),
        ("    description: Tells it once\n", "    enabled: false\n"),
        ("description: At start", "enabled: false"),
        (", description: At start", ""),
        ("enabled: true", "description: Often"),
        ("text: ${NAME}", 'text: "${NAME}" # a comment'),
        ("level: 3", "level: 0x3"),
        (
            "      text: ${NAME}\n      level: 3\n",
            "      {text: ${NAME}, level: 3}\n".replace("${NAME}", "'${NAME}'"),
        ),
        ("{every: 15m, from: 2026-01-01, enabled: true}", '{from: "2026-01-01", every: 900, missed: once}'),
        ("type: vm, event: started", '"event": started, type: vm'),
        ("where: data.level > 3", 'where: " data.level > 3 "'),
        ("every: 15m", "every: 0.25h"),
        ("once:", "twice:"),
    ],
)
def test_what_does_not_change_what_a_task_does(old: str, new: str, tmp_path: Path) -> None:
    assert ONCE.count(old) == 1
    task = "twice" if new == "twice:" else "once"
    assert digest(tmp_path, ONCE.replace(old, new), task=task) == digest(tmp_path)


def test_other_definitions_do_not_change_it(tmp_path: Path) -> None:
    before = digest(tmp_path)
    more = "  later: {webhook: other}\nevents: {e: {type: vm, event: stopped, task: once}}\n"
    assert digest(tmp_path, more=more + "daemon: {timezone: Asia/Tokyo}") == before
    content_type = "http://127.0.0.1:9098/, headers: {Content-Type: application/x+json}"
    changed = HOOK.replace("http://127.0.0.1:9099/", content_type, 1) + ONCE
    assert loaded(tmp_path, changed).tasks["once"].digest == before


def test_the_order_of_rules_does_not_change_it(tmp_path: Path) -> None:
    head, separator, tail = ONCE.partition("    triggers:\n")
    turned = "".join(reversed(tail.splitlines(keepends=True)))
    assert turned != tail
    assert digest(tmp_path, head + separator + turned) == digest(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("webhook: hook", "webhook: other"),
        ("text: ${NAME}", "text: ${ID}"),
        ("level: 3", "level: 4"),
        ("level: 3", 'level: "3"'),
        ("level: 3", "level: 3.0"),
        ("      text: ${NAME}\n      level: 3\n", "      level: 3\n      text: ${NAME}\n"),
        ("delete_after_running: true", "delete_after_running: false"),
        ("object: web-01", "object: web-02"),
        ("object: web-01", "tag: web-01"),
        ("data.level > 3", "data.level > 4"),
        ("event: started", "event: stopped"),
        ("every: 15m", "every: 16m"),
        ("every: 15m", 'cron: "*/15 * * * *"'),
        ("from: 2026-01-01", "from: 2026-01-02"),
        ("enabled: true", "missed: skip"),
        ("enabled: true", "timezone: UTC"),
        ("      - {every: 15m, from: 2026-01-01, enabled: true}\n", ""),
    ],
)
def test_what_changes_what_a_task_does(old: str, new: str, tmp_path: Path) -> None:
    assert ONCE.count(old) == 1
    assert digest(tmp_path, ONCE.replace(old, new)) != digest(tmp_path)


@pytest.mark.parametrize(
    ("trigger", "read_in_it"),
    [
        ("every: 15m", False),
        ('every: 15m, from: "2026-01-01T00:00:00Z"', False),
        ('every: 15m, from: "2026-01-01T00:00:00Z", until: "2099-01-01T00:00+02:00"', False),
        ('at: "2099-01-01T00:00:00Z"', False),
        ("every: 15m, from: 2026-01-01", True),
        ('every: 15m, from: "2026-01-01T00:00:00Z", until: 2099-01-01', True),
        ("at: 2099-01-01T00:00:00", True),
        ('cron: "0 3 * * *"', True),
    ],
)
def test_a_time_zone_counts_where_something_is_read_in_it(
    trigger: str, read_in_it: bool, tmp_path: Path
) -> None:
    plain, zoned = (
        digest(tmp_path, f"tasks: {{once: {{webhook: hook, triggers: [{{{trigger}{zone}}}]}}}}")
        for zone in ("", ", timezone: Asia/Tokyo")
    )
    assert (plain != zoned) is read_in_it


def test_the_default_message_is_a_message(tmp_path: Path) -> None:
    short = digest(tmp_path, "tasks: {once: {webhook: hook}}")
    assert digest(tmp_path, "tasks: {once: {webhook: hook, message: {text: Webhook}, triggers: []}}") == short
    assert digest(tmp_path, "tasks: {once: {webhook: hook, message: {text: Webhooks}}}") != short
    assert digest(tmp_path, """tasks: {once: {webhook: hook, message: '{"text": "Webhook"}'}}""") != short


def test_values_that_yaml_does_not_read_as_they_look_are_warned_of(tmp_path: Path) -> None:
    text = """
webhooks: {w: {url: "http://127.0.0.1:9098/"}}
tasks:
  t:
    webhook: w
    message:
      odd: [12:30, on, 012, 1_000]
      sound: [12, 0x1F, -1.5, 1.0e+9, true, False, null, "12:30", "on"]
"""
    result = load(tmp_path, text)
    assert result.config is not None
    assert [(diagnostic.where, diagnostic.message) for diagnostic in result.diagnostics] == [
        (
            f"tasks.t.message.odd[{index}]",
            f'YAML reads {written} as {read}; if it is meant as text, quote it: "{written}"',
        )
        for index, (written, read) in enumerate(
            [
                ("12:30", "the number 750"),
                ("on", "true"),
                ("012", "the number 10"),
                ("1_000", "the number 1000"),
            ]
        )
    ]


def test_a_task_keeps_its_place_though_a_trigger_has_the_same_name(tmp_path: Path) -> None:
    text = f"{HOOK}tasks:\n  a: {{webhook: hook, triggers: [{{every: 1h}}]}}\n  'a.triggers[0]': {{webhook: hook}}\n"
    places = loaded(tmp_path, text).places
    lines = text.splitlines()
    assert lines[places["tasks.a.triggers[0]"].line - 1].startswith("  'a.triggers[0]'")
    assert lines[places["tasks.a"].line - 1].startswith("  a:")


@pytest.mark.parametrize("types", ["types:", "types: null", "types: ~"])
def test_types_without_anything_is_no_catalogue(types: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, f"{types}\n{TASK}").types is None


def test_a_rule_may_name_as_many_tasks_as_deliveries_may_wait(tmp_path: Path) -> None:
    text = (
        "daemon: {limits: {pending: 2}}\n"
        f"{HOOK}tasks: {{a: {{webhook: hook}}, b: {{webhook: hook}}}}\n"
        "schedules: {s: {every: 1h, task: [a, b]}}\n"
    )
    assert loaded(tmp_path, text).schedules["s"].tasks == ("a", "b")


def test_what_looks_like_the_first_monday_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "webhooks:\n  a: {url: http://h/}\n"
        'tasks:\n  t: {webhook: a, triggers: [{cron: "0 3 1-7 * MON"}, {cron: "0 3 * * MON#1"}]}\n'
    )
    found = config.load(path, env={"TZ": "UTC"})
    assert found.config is not None
    assert [(one.line, "0 3 * * MON#1" in one.message) for one in found.diagnostics] == [(4, True)]
