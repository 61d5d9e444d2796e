"""A load from beginning to end: files, YAML, schema, meaning; every problem of every file at once (spec 1).

Must never: stop at the first problem, keep state between loads, or write anything.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hookd.config.build.daemon_settings import build_daemon
from hookd.config.build.schedules import Calendar
from hookd.config.build.tasks_and_triggers import (
    Known,
    KnownNames,
    build_event,
    build_named_schedule,
    build_task,
    build_type,
    trigger_place,
    triggers_of,
)
from hookd.config.build.webhooks import Built, build_webhook
from hookd.config.fingerprint import digest
from hookd.config.schema import Validators
from hookd.config.yaml.cursor import Cursor, Document, Location, Scope
from hookd.config.yaml.diagnostics import Diagnostic, Loaded, Severity, listed, shown_path
from hookd.config.yaml.files import MAX_CONFIG_BYTES, Unreadable, list_tree, read_regular
from hookd.config.yaml.owners import doubt_of_spool
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
_IGNORED = "x-"
"""What a key of the first level begins with that only holds anchors for others, as in compose files."""
_KNOWN = sorted([DAEMON, *_KINDS])
_ELSEWHERE = {
    **dict.fromkeys(
        ("limits", "listen", "log", "retention", "shutdown_grace", "spool", "store", "timezone"),
        "; it stands under daemon",
    ),
    "secrets": "; secrets stand in the webhook that needs them",
    "include": "; give hookd the directory, whose files are all read",
}
ANYWHERE: Mapping[str, str] = {"TZ": "UTC"}
"""The environment of a portable load: the same on every machine."""
MOST_DIAGNOSTICS = 10_000
"""As many diagnostics leave a load; of more, the rest is counted."""
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
class _ConfigParts:
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
        self._parts = _ConfigParts()

    def run(self) -> Loaded:
        for document in list(self._documents()):
            self._gather(document)
        self._validate()
        given = self._parts.daemon
        daemon = build_daemon(None if given is None or given.node.broken else given, self._scope.env)
        self._doubt_spool(daemon.spool)
        definitions = self._build(Calendar(daemon.timezone, self._now), daemon.pending)
        return self._result(daemon, definitions)

    def _documents(self) -> Iterator[Document]:
        listing = list_tree(self._path)
        for place, error in listing.refused:
            self._refuse(place, error)
        read = []
        for file in listing.files:
            self._note(shown_path(file))
            try:
                content = read_regular(file, MAX_CONFIG_BYTES)
            except Unreadable as error:
                self._refuse(file, error)
                continue
            self._contents.append((file, content))
            read.append(file)
            document = Document(file, parse(content))
            self._report_yaml(document)
            yield document
        if not listing.files and not listing.refused:
            self._find(self._path, "holds no *.yaml or *.yml file")
        if read and self._scope.doubts is not None:
            for place, doubt in self._scope.doubts.of_tree(self._path, read, listing.directories):
                self._find(place, doubt, Severity.WARNING)

    def _refuse(self, file: Path, error: Unreadable) -> None:
        self._complete = False
        self._contents.append((file, error.token))
        self._find(file, error.reason)

    def _find(self, file: Path, message: str, severity: Severity = Severity.ERROR) -> None:
        self._scope.diagnostics.append(Diagnostic(shown_path(file), 1, 1, "file", severity, message))

    def _doubt_spool(self, spool: str) -> None:
        """Warns of a spool in which others could do more than leave files, at its key, else at the configuration."""
        doubt = None if self._scope.portable else doubt_of_spool(Path(spool))
        if doubt is None:
            return
        given = self._parts.daemon
        named = None if given is None or given.node.broken else given.get("spool")
        if named is not None:
            named.warn(f"{spool}: {doubt}")
        else:
            self._find(self._path, f"the spool {spool}: {doubt}", Severity.WARNING)

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
        for name, cursor in top.entries():
            if name == DAEMON:
                self._gather_daemon(cursor)
            elif name in _KINDS:
                self._gather_section(name, cursor)
            elif not name.startswith(_IGNORED):
                near = _ELSEWHERE.get(name) or self._scope.meant(name, _KNOWN)
                cursor.error_at_key(f"unknown key{near} (known here: {listed(_KNOWN)})")

    def _gather_daemon(self, cursor: Cursor) -> None:
        if self._parts.daemon is not None:
            cursor.error_at_key(
                f"stands in one file only; it already stands at {_shown_place(self._parts.daemon)}"
            )
        elif cursor.value is not None:
            self._parts.daemon = cursor

    def _gather_section(self, section: str, cursor: Cursor) -> None:
        if cursor.value is None:
            return
        if not isinstance(cursor.value, dict):
            hint = f"; {read_as(cursor.node)}" if cursor.node.text else ""
            cursor.error(f"must be a mapping of names to {section}{hint}")
            return
        if section == "types" and not cursor.value and not self._said_of(cursor):
            # A catalogue is strict (spec 1): without a type it would refuse every event, or mean nothing.
            cursor.error("names no type; add one, or remove the key")
            return
        names = self._parts.sections[section]
        for name, definition in cursor.entries():
            _check_name(section, name, definition)
            if name in names:
                definition.error_at_key(f"already defined at {_shown_place(names[name])}")
            else:
                names[name] = definition

    def _said_of(self, cursor: Cursor) -> bool:
        """Whether the YAML of a section has a diagnostic, such as a key that was dropped for it."""
        return any(steps[:1] == cursor.steps for _, _, steps, _ in cursor.document.tree.problems)

    def _validate(self) -> None:
        validators = Validators()
        if self._parts.daemon is not None:
            _validate(validators, DAEMON, self._parts.daemon)
        for section, names in self._parts.sections.items():
            for cursor in self._noted(names.values()):
                _validate(validators, _KINDS[section], cursor)

    def _build(self, calendar: Calendar, pending: int) -> dict[str, dict[str, Any]]:
        sections = self._parts.sections
        webhooks: dict[str, Built] = {
            name: build_webhook(name, cursor) for name, cursor in self._sound("webhooks")
        }
        types: dict[str, TypeDef | None] = dict.fromkeys(sections["types"])
        types |= {name: build_type(name, cursor) for name, cursor in self._sound("types")}
        names = KnownNames(
            calendar=calendar,
            pending=pending,
            webhooks=Known(sections["webhooks"], "webhooks") if self._complete else None,
            tasks=Known(sections["tasks"], "tasks") if self._complete else None,
            body_formats={name: built.body_format for name, built in webhooks.items()},
            secrets={name: built.secrets for name, built in webhooks.items()},
            must_be_json=frozenset(name for name, built in webhooks.items() if built.must_be_json),
            types=types if types and self._complete else None,
        )
        return {
            "types": types,
            "webhooks": {name: built.webhook for name, built in webhooks.items()},
            "tasks": {name: build_task(name, cursor, names) for name, cursor in self._sound("tasks")},
            "events": {name: build_event(name, cursor, names) for name, cursor in self._sound("events")},
            "schedules": {
                name: build_named_schedule(name, cursor, names) for name, cursor in self._sound("schedules")
            },
        }

    def _sound(self, section: str) -> Iterator[tuple[str, Cursor]]:
        """The definitions of a section that are at least mappings."""
        names = self._parts.sections[section]
        for name, cursor in zip(names, self._noted(names.values()), strict=True):
            if not cursor.node.broken:
                yield name, cursor

    def _noted(self, cursors: Iterable[Cursor]) -> Iterator[Cursor]:
        file = ""
        for cursor in cursors:
            if cursor.document.shown != file:
                file = cursor.document.shown
                self._note(file)
            yield cursor

    def _result(self, daemon: DaemonDef, definitions: Mapping[str, Mapping[str, Any]]) -> Loaded:
        diagnostics = _bounded(sorted(set(self._scope.diagnostics), key=_order))
        sources = tuple(sorted(self._scope.sources))
        whole = digest(self._path, self._contents, self._scope.sources)
        read, relative = digest(self._path, self._contents, {}), frozenset(self._scope.relative)
        if any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics):
            return Loaded(None, diagnostics, sources, whole, read, relative)
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
            warnings=tuple(str(diagnostic) for diagnostic in diagnostics),
            sources=sources,
        )
        return Loaded(config, diagnostics, sources, whole, read, relative)

    def _places(self) -> Iterator[tuple[str, SourcePosition]]:
        # A task may be called "a.triggers[0]": where two places have one name, the last one counts, and is the task's.
        for name, cursor in self._parts.sections["tasks"].items():
            for trigger in triggers_of(cursor):
                yield trigger_place(name, trigger), _place(trigger)
        for section in ("webhooks", "tasks", "events", "schedules"):
            for name, cursor in self._parts.sections[section].items():
                yield f"{section}.{name}", _place(cursor)


def _validate(validators: Validators, kind: str, cursor: Cursor) -> None:
    validators.check(kind, cursor.location, cursor.report)


def _check_name(section: str, name: str, cursor: Cursor) -> None:
    most = _LONGEST_NAME[section]
    if not 1 <= len(name) <= most or not name.isprintable() or name != name.strip():
        cursor.error_at_key(f"a name has 1 to {most} printable characters and no space at either end")


def _place(cursor: Cursor) -> SourcePosition:
    return SourcePosition(str(cursor.document.absolute), *cursor.key_location)


def _shown_place(cursor: Cursor) -> str:
    line, column = cursor.key_location
    return f"{cursor.document.shown}:{line}:{column}"


def _bounded(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The first of very many, errors before warnings where some are left out, and how many more there are."""
    if len(diagnostics) <= MOST_DIAGNOSTICS:
        return tuple(diagnostics)
    errors = [diagnostic for diagnostic in diagnostics if diagnostic.severity is Severity.ERROR]
    told = (errors or diagnostics)[:MOST_DIAGNOSTICS]
    last, more = told[-1], len(diagnostics) - len(told)
    message = f"and {more:,} more problems, which are not listed"
    return (*told, replace(last, where="file", message=message))


def _order(diagnostic: Diagnostic) -> tuple[str, int, int, str, str]:
    return diagnostic.path, diagnostic.line, diagnostic.column, diagnostic.where, diagnostic.message
