"""Test files to cases; everything that is wrong with a file is a diagnostic at its place (spec 8).

The YAML is read as the configuration's is, and an event is decoded as a posted one, against the same catalogue.

Must never: raise for what is in a file, or read anything but the file.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hookd import intake
from hookd.config.build.tasks_and_triggers import Known, check_name
from hookd.config.schema import TESTS, Validators
from hookd.config.yaml.cursor import Cursor, Document, Location, Scope
from hookd.config.yaml.diagnostics import Diagnostic, Severity, Steps, shown_path
from hookd.config.yaml.files import MAX_CONFIG_BYTES, Unreadable, read_regular
from hookd.config.yaml.tree import Node, parse
from hookd.domain.definitions import Config
from hookd.domain.errors import EventRejected
from hookd.domain.events import Event
from hookd.domain.text import quoted
from hookd.domain.times import is_date_time, read_seconds
from hookd.dryrun.case import DEFAULT_AT, Case, Expected
from hookd.dryrun.explain import EVENT_ID

_END = 253_370_764_800
"""9999-01-01T00:00:00Z: an instant before it has a date in every time zone."""


def read_cases(paths: Sequence[Path], config: Config) -> tuple[list[Case], list[Diagnostic]]:
    """The cases of test files, in order, and what is wrong with the files; a case with a diagnostic is left out.

    Args:
        paths: the files.
        config: the configuration that is tested: names are looked up in it, events are held against its catalogue.
    """
    reader = _CaseReader(config)
    cases = [case for path in paths for case in reader.file(path)]
    return cases, reader.diagnostics


class _CaseReader:
    """Reads test files, one after the other."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._validators = Validators(TESTS)
        self._known = {
            "task": Known(config.tasks, "tasks"),
            "webhook": Known(config.webhooks, "webhooks"),
            "rule": Known((rule.place for rule in config.event_rules()), "rules"),
        }
        self.diagnostics: list[Diagnostic] = []

    def file(self, path: Path) -> list[Case]:
        """The sound cases of a file."""
        scope = Scope({}, portable=True)
        try:
            document = Document(path, parse(read_regular(path, MAX_CONFIG_BYTES)))
        except Unreadable as error:
            self.diagnostics.append(Diagnostic(shown_path(path), 1, 1, "file", Severity.ERROR, error.reason))
            return []
        cases = self._cases(scope, document)
        self.diagnostics += sorted(set(scope.diagnostics), key=_order)
        return cases

    def _cases(self, scope: Scope, document: Document) -> list[Case]:
        root = document.tree.root
        root = Node({}, 1, 1) if root is None else root
        top = Cursor(scope, document, Location(root, (), (root.line, root.column)))
        faulty = _Faulty(top)
        for line, column, steps, message in document.tree.problems:
            faulty.report(line, column, steps or ("yaml",), message)
        if document.tree.complete and not root.broken:
            self._validators.check("file", top.location, faulty.report)
        cases = None if root.broken or not isinstance(root.value, dict) else top.get("cases")
        return [] if cases is None else list(self._sound(cases, faulty))

    def _sound(self, cases: Cursor, faulty: "_Faulty") -> Iterator[Case]:
        names: dict[str, int] = {}
        for cursor in cases.items():
            if not isinstance(cursor.value, dict):
                continue
            unique = _is_unique(cursor.get("name"), names)
            if unique and cursor.steps[1] not in faulty.cases and (case := self._case(cursor)) is not None:
                yield case

    def _case(self, cursor: Cursor) -> Case | None:
        """A case without a diagnostic so far; None where it has one now."""
        before = len(cursor.scope.diagnostics)
        name, given, expect = cursor.get("name"), cursor.get("event"), cursor.get("expect")
        if name is None or given is None or expect is None:
            # An alias of what has its diagnostic elsewhere.
            return None
        event = self._event(given)
        expected = tuple(self._expected(item) for item in expect.items())
        _check_once(expect)
        at = _read_at(cursor.get("at"))
        if event is None or len(cursor.scope.diagnostics) > before:
            return None
        return Case(cursor.document.shown, cursor.node.line, name.value, event, expected, at)

    def _event(self, cursor: Cursor) -> Event | None:
        """The event, by the rules of `POST /v1/events`."""
        try:
            value = intake.parse_json(json.dumps(cursor.node.plain()).encode())
            return intake.decode_event(
                value,
                index=None,
                types=self._config.types,
                default_id=None,
                make_id=lambda: EVENT_ID,
                own=True,
            )
        except EventRejected as rejected:
            for fault in rejected.faults:
                _pointed(cursor, fault.pointer).error(fault.message)
            if not rejected.faults:
                cursor.error(rejected.detail)
        return None

    def _expected(self, cursor: Cursor) -> Expected:
        for noun, known in self._known.items():
            if (named := cursor.get(noun)) is not None:
                check_name(named, known, noun)
        headers = cursor.get("headers")
        body = cursor.get("body")
        return Expected(
            **{name: cursor.plain(name, None) for name in ("task", "webhook", "rule", "method", "url")},
            headers=() if headers is None else tuple(_headers(headers)),
            body=None if body is None else body.node.plain(),
        )


class _Faulty:
    """Takes diagnostics about a file, and notes which cases they are in."""

    def __init__(self, top: Cursor) -> None:
        self._top = top
        self.cases: set[str | int] = set()

    def report(self, line: int, column: int, steps: Steps, message: str) -> None:
        if len(steps) > 1 and steps[0] == "cases":
            self.cases.add(steps[1])
        self._top.report(line, column, steps or ("file",), message)


def _order(diagnostic: Diagnostic) -> tuple[int, int, str, str]:
    return diagnostic.line, diagnostic.column, diagnostic.where, diagnostic.message


def _is_unique(name: Cursor | None, names: dict[str, int]) -> bool:
    """Whether a name is the first of its kind, which it then is; if not, that is reported."""
    if name is None:
        return True
    if name.value in names:
        name.error(f"{quoted(name.value)} is already the name of the case in line {names[name.value]}")
        return False
    names[name.value] = name.node.line
    return True


def _check_once(expect: Cursor) -> None:
    seen: dict[str, int] = {}
    for index, item in enumerate(expect.items()):
        task = item.get("task")
        if task is None:
            continue
        first = seen.setdefault(task.value, index)
        if first != index:
            task.error(f"expect[{first}] names this task already, and an event fires a task once")


def _read_at(cursor: Cursor | None) -> float:
    if cursor is None:
        return DEFAULT_AT
    if is_date_time(cursor.value):
        at = read_seconds(cursor.value)
        if not 0 <= at < _END:
            cursor.error(f"must be in the years 1970 to 9998, not {quoted(cursor.value)}")
        return at
    cursor.error(
        f"must be a date-time with an offset, such as 2026-01-02T03:04:05Z, not {quoted(cursor.value)}"
    )
    return DEFAULT_AT


def _headers(cursor: Cursor) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, value in cursor.entries():
        given: Any = value.node.plain()
        yield name, () if given is None else tuple(given) if isinstance(given, list) else (given,)


def _pointed(cursor: Cursor, pointer: str) -> Cursor:
    """The value at a JSON pointer below, or the nearest above it that is there."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(cursor.value, list):
            cursor = cursor.below((int(key),))
        elif isinstance(cursor.value, dict) and key in cursor.value:
            cursor = cursor.below((key,))
    return cursor
