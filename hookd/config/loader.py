"""A load from beginning to end: files, YAML, schema, meaning; every problem of every file at once (spec 1).

Must never: stop at the first problem, keep state between loads, or write anything.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hookd.config.build.daemon import build_daemon
from hookd.config.build.rules import (
    Known,
    KnownNames,
    build_event,
    build_named_schedule,
    build_task,
    build_type,
    trigger_place,
    triggers_of,
)
from hookd.config.build.schedules import Calendar
from hookd.config.build.webhooks import Built, build_webhook
from hookd.config.fingerprint import digest
from hookd.config.schema import Validators
from hookd.config.yaml.cursor import Cursor, Document, Location, Scope
from hookd.config.yaml.files import MAX_CONFIG_BYTES, Unreadable, list_tree, read_regular
from hookd.config.yaml.findings import Diagnostic, Loaded, Severity, listed, shown_path
from hookd.config.yaml.tree import Node, parse, read_as
from hookd.domain.clock import Clock
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    ScheduleDef,
    SourcePosition,
    TaskDef,
    TypeDef,
    WebhookDef,
)

Note = Callable[[str], None]
"""Is told the file that is worked on next."""

DAEMON = "daemon"
_KINDS = {
    "types": "type",
    "webhooks": "webhook",
    "tasks": "task",
    "events": "event",
    "schedules": "schedule",
}
_KNOWN = sorted([DAEMON, *_KINDS])
ANYWHERE: Mapping[str, str] = {"TZ": "UTC"}
"""The environment of a portable load: the same on every machine."""
MOST_FINDINGS = 10_000
"""As many findings leave a load; of more, the rest is counted."""
_LONGEST_NAME = dict.fromkeys(_KINDS, 128) | {"tasks": 64}


def load(
    path: Path,
    *,
    env: Mapping[str, str],
    now: float | None = None,
    portable: bool = False,
    note: Note = lambda _shown: None,
) -> Loaded:
    """Loads the configuration at `path`; see `hookd.config.load`."""
    scope = Scope(ANYWHERE if portable else env, portable=portable)
    return _Load(path, scope, Clock().now() if now is None else now, note).run()


@dataclass(slots=True)
class _Parts:
    """The definitions as they are found in the files, by section and name."""

    daemon: Cursor | None = None
    sections: dict[str, dict[str, Cursor]] = field(
        default_factory=lambda: {section: {} for section in _KINDS}
    )


class _Load:
    """One load; `run` is called once."""

    def __init__(self, path: Path, scope: Scope, now: float, note: Note) -> None:
        self._path = path
        self._now = now
        self._note = note
        self._scope = scope
        self._contents: list[tuple[Path, bytes]] = []
        self._complete = True
        self._parts = _Parts()

    def run(self) -> Loaded:
        for document in list(self._documents()):
            self._gather(document)
        self._validate()
        given = self._parts.daemon
        daemon = build_daemon(None if given is None or given.node.broken else given, self._scope.env)
        definitions = self._build(Calendar(daemon.timezone, self._now), daemon.pending)
        return self._result(daemon, definitions)

    def _documents(self) -> Iterator[Document]:
        listing = list_tree(self._path)
        for place, error in listing.refused:
            self._refuse(place, error)
        for file in listing.files:
            self._note(shown_path(file))
            try:
                content = read_regular(file, MAX_CONFIG_BYTES)
            except Unreadable as error:
                self._refuse(file, error)
                continue
            self._contents.append((file, content))
            document = Document(file, parse(content))
            self._report_yaml(document)
            yield document
        if not listing.files and not listing.refused:
            self._find(self._path, "holds no *.yaml or *.yml file")

    def _refuse(self, file: Path, error: Unreadable) -> None:
        self._complete = False
        self._contents.append((file, error.token))
        self._find(file, error.reason)

    def _find(self, file: Path, message: str) -> None:
        self._scope.findings.append(Diagnostic(shown_path(file), 1, 1, "file", Severity.ERROR, message))

    def _report_yaml(self, document: Document) -> None:
        top = Cursor(self._scope, document, Location(Node({}, 1, 1), ("yaml",), (1, 1)))
        for line, column, steps, message in document.tree.problems:
            top.report(line, column, steps or ("yaml",), message)
        self._complete = self._complete and document.tree.complete

    def _gather(self, document: Document) -> None:
        root = document.tree.root
        if root is None or root.broken or root.value is None:
            return
        top = Cursor(self._scope, document, Location(root, (), (root.line, root.column)))
        if not isinstance(root.value, dict):
            top.report(root.line, root.column, ("file",), f"must be a mapping with the keys {listed(_KNOWN)}")
            return
        for name, view in top.entries():
            if name == DAEMON:
                self._gather_daemon(view)
            elif name in _KINDS:
                self._gather_section(name, view)
            else:
                near = self._scope.meant(name, _KNOWN)
                view.error_at_key(f"unknown key{near} (known here: {listed(_KNOWN)})")

    def _gather_daemon(self, view: Cursor) -> None:
        if self._parts.daemon is not None:
            view.error_at_key(
                f"stands in one file only; it already stands at {_shown_place(self._parts.daemon)}"
            )
        elif view.value is not None:
            self._parts.daemon = view

    def _gather_section(self, section: str, view: Cursor) -> None:
        if view.value is None:
            return
        if not isinstance(view.value, dict):
            hint = f"; {read_as(view.node)}" if view.node.text else ""
            view.error(f"must be a mapping of names to {section}{hint}")
            return
        if section == "types" and not view.value and not self._said_of(view):
            # A catalogue is strict (spec 1): without a type it would refuse every event, or mean nothing.
            view.error("names no type; add one, or remove the key")
            return
        names = self._parts.sections[section]
        for name, definition in view.entries():
            _check_name(section, name, definition)
            if name in names:
                definition.error_at_key(f"already defined at {_shown_place(names[name])}")
            else:
                names[name] = definition

    def _said_of(self, view: Cursor) -> bool:
        """Whether the YAML of a section has a finding, such as a key that was dropped for it."""
        return any(steps[:1] == view.steps for _, _, steps, _ in view.document.tree.problems)

    def _validate(self) -> None:
        validators = Validators()
        if self._parts.daemon is not None:
            _validate(validators, DAEMON, self._parts.daemon)
        for section, names in self._parts.sections.items():
            for view in self._noted(names.values()):
                _validate(validators, _KINDS[section], view)

    def _build(self, calendar: Calendar, pending: int) -> dict[str, dict[str, Any]]:
        sections = self._parts.sections
        webhooks: dict[str, Built] = {
            name: build_webhook(name, view) for name, view in self._sound("webhooks")
        }
        types: dict[str, TypeDef | None] = dict.fromkeys(sections["types"])
        types |= {name: build_type(name, view) for name, view in self._sound("types")}
        names = KnownNames(
            calendar=calendar,
            pending=pending,
            webhooks=Known(sections["webhooks"], "webhooks") if self._complete else None,
            tasks=Known(sections["tasks"], "tasks") if self._complete else None,
            json_types={name: built.sends_json for name, built in webhooks.items()},
            types=types if types and self._complete else None,
        )
        return {
            "types": types,
            "webhooks": {name: built.webhook for name, built in webhooks.items()},
            "tasks": {name: build_task(name, view, names) for name, view in self._sound("tasks")},
            "events": {name: build_event(name, view, names) for name, view in self._sound("events")},
            "schedules": {
                name: build_named_schedule(name, view, names) for name, view in self._sound("schedules")
            },
        }

    def _sound(self, section: str) -> Iterator[tuple[str, Cursor]]:
        """The definitions of a section that are at least mappings."""
        names = self._parts.sections[section]
        for name, view in zip(names, self._noted(names.values()), strict=True):
            if not view.node.broken:
                yield name, view

    def _noted(self, views: Iterable[Cursor]) -> Iterator[Cursor]:
        file = ""
        for view in views:
            if view.document.shown != file:
                file = view.document.shown
                self._note(file)
            yield view

    def _result(self, daemon: DaemonDef, definitions: Mapping[str, Mapping[str, Any]]) -> Loaded:
        findings = _bounded(sorted(set(self._scope.findings), key=_order))
        sources = tuple(sorted(self._scope.sources))
        whole = digest(self._path, self._contents, self._scope.sources)
        if any(finding.severity is Severity.ERROR for finding in findings):
            return Loaded(None, findings, sources, whole)
        types: dict[str, TypeDef] = dict(definitions["types"])
        webhooks: dict[str, WebhookDef] = dict(definitions["webhooks"])
        tasks: dict[str, TaskDef] = dict(definitions["tasks"])
        events: dict[str, EventDef] = dict(definitions["events"])
        schedules: dict[str, ScheduleDef] = dict(definitions["schedules"])
        config = Config(
            path=str(self._path.absolute()),
            hash=whole,
            daemon=daemon,
            types=types or None,
            webhooks=webhooks,
            tasks=tasks,
            events=events,
            schedules=schedules,
            places=dict(self._places()),
            warnings=tuple(str(finding) for finding in findings),
            sources=sources,
        )
        return Loaded(config, findings, sources, whole)

    def _places(self) -> Iterator[tuple[str, SourcePosition]]:
        # A task may be called "a.triggers[0]": where two places have one name, the last one counts, and is the task's.
        for name, view in self._parts.sections["tasks"].items():
            for trigger in triggers_of(view):
                yield trigger_place(name, trigger), _place(trigger)
        for section in ("webhooks", "tasks", "events", "schedules"):
            for name, view in self._parts.sections[section].items():
                yield f"{section}.{name}", _place(view)


def _validate(validators: Validators, kind: str, view: Cursor) -> None:
    validators.check(kind, view.spot, view.report)


def _check_name(section: str, name: str, view: Cursor) -> None:
    most = _LONGEST_NAME[section]
    if not 1 <= len(name) <= most or not name.isprintable() or name != name.strip():
        view.error_at_key(f"a name has 1 to {most} printable characters and no space at either end")


def _place(view: Cursor) -> SourcePosition:
    return SourcePosition(str(view.document.absolute), *view.home)


def _shown_place(view: Cursor) -> str:
    line, column = view.home
    return f"{view.document.shown}:{line}:{column}"


def _bounded(findings: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The first of very many findings, errors before warnings where some are left out, and how many more there are."""
    if len(findings) <= MOST_FINDINGS:
        return tuple(findings)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    told = (errors or findings)[:MOST_FINDINGS]
    last, more = told[-1], len(findings) - len(told)
    message = f"and {more:,} more problems, which are not listed"
    return (*told, replace(last, where="file", message=message))


def _order(finding: Diagnostic) -> tuple[str, int, int, str, str]:
    return finding.path, finding.line, finding.column, finding.where, finding.message
