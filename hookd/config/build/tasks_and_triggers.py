"""`types:`, `tasks:`, `events:` and `schedules:` to their definitions, the references between them checked (spec 1).

Must never: compile a message itself; that is `rules.templates`'.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from typing import Any

from hookd.config.build.message_values import check_values
from hookd.config.build.schedules import Calendar, build_schedule, has_local_times, is_schedule
from hookd.config.build.signed_bodies import warn_of_message
from hookd.config.build.unfilled import check_word
from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.diagnostics import Steps, listed
from hookd.domain.definitions import EventDef, Missed, ScheduleDef, TaskDef, Timing, TypeDef
from hookd.domain.durations import parse_duration
from hookd.domain.message_templates import BodyFormat, Template
from hookd.domain.operator_events import ABOUT_WEBHOOKS, OWN, OWN_TYPES
from hookd.domain.text import quoted
from hookd.domain.value_class import value_class
from hookd.rules import templates
from hookd.rules.conditions import ConditionError, compile_condition

_JSON = frozenset(
    {None, BodyFormat.JSON, BodyFormat.JSON_LINES, BodyFormat.JSON_SEQUENCE, BodyFormat.UNTYPED}
)
"""Of these a text is JSON, or may be."""


class Known:
    """The names that a kind of reference may point to, and how a message lists them."""

    def __init__(self, names: Iterable[str], noun: str) -> None:
        self.names = frozenset(names)
        self.shown = _shown(sorted(self.names), noun)


@value_class
class KnownNames:
    """What references may point to. None: not every file could be read, so nothing can be said to be missing.

    Attributes:
        calendar: what schedules are judged by.
        pending: most deliveries that may wait at once (`daemon.limits.pending`).
        secrets: the names that webhooks declare, of those that could be read.
        body_formats: of the webhooks whose Content-Type is known.
        must_be_json: the webhooks whose bodies are parsed by those who verify them.
        types: the catalogue, if there is one; a type that has diagnostics of its own is None.
    """

    calendar: Calendar
    pending: int
    webhooks: Known | None
    tasks: Known | None
    body_formats: Mapping[str, BodyFormat] = field(default_factory=dict)
    secrets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    must_be_json: frozenset[str] = frozenset()
    types: Mapping[str, TypeDef | None] | None = None


def build_type(name: str, cursor: Cursor) -> TypeDef | None:
    """One entry of the catalogue, or None where its events are wrong."""
    if name.startswith(OWN):
        cursor.error_at_key("types that begin with hookd. are hookd's own; choose another prefix")
    events = cursor.get("events")
    if events is None:
        return None
    for item in events.items():
        check_word(item)
    return TypeDef(
        name,
        tuple(item.value for item in events.items()),
        description=cursor.plain("description", ""),
        objects=cursor.plain("objects", default=True),
    )


def build_task(name: str, cursor: Cursor, names: KnownNames) -> TaskDef | None:
    """One entry of `tasks:`, or None where it cannot be built; what is wrong is reported."""
    webhook = cursor.get("webhook")
    if webhook is not None:
        check_name(webhook, names.webhooks, "webhook")
    body_format = None if webhook is None else names.body_formats.get(webhook.value)
    message = _message(cursor, body_format)
    template = _compile(cursor, message, body_format)
    _warn_of_foreign_variables(cursor, message)
    if webhook is not None and template is not None and webhook.value in names.secrets:
        _check_secrets(cursor, message, webhook.value, names.secrets[webhook.value])
    if webhook is not None and body_format is BodyFormat.UNTYPED and webhook.value in names.must_be_json:
        warn_of_message(cursor, message)
    triggers = _build_triggers(name, cursor, names)
    if webhook is None or template is None or triggers is None:
        return None
    once = cursor.plain("delete_after_running", default=False)
    return TaskDef(
        name,
        webhook.value,
        template,
        description=cursor.plain("description", ""),
        enabled=cursor.plain("enabled", default=True),
        delete_after_running=once,
        triggers=triggers,
        digest=_digest([webhook.value, message, once, sorted(map(_deed, triggers_of(cursor)))]),
    )


def build_event(name: str, cursor: Cursor, names: KnownNames) -> EventDef | None:
    """One entry of `events:`, or None where it cannot be built; what is wrong is reported."""
    return _build_rule(f"events.{name}", cursor, _read_tasks(cursor, names), names)


def build_named_schedule(name: str, cursor: Cursor, names: KnownNames) -> ScheduleDef | None:
    """One entry of `schedules:`, or None where it cannot be built; what is wrong is reported."""
    tasks = _read_tasks(cursor, names)
    schedule = build_schedule(f"schedules.{name}", cursor, tasks or (), names.calendar)
    return None if tasks is None else schedule


def triggers_of(task: Cursor) -> Iterator[Cursor]:
    """The rules written on a task that have no diagnostic as a whole."""
    triggers = task.get("triggers")
    return iter(()) if triggers is None else triggers.items()


def trigger_place(task: str, trigger: Cursor) -> str:
    """What names a rule written on a task: `tasks.NAME.triggers[N]`."""
    return f"tasks.{task}.triggers[{trigger.steps[-1]}]"


def _build_triggers(
    name: str, cursor: Cursor, names: KnownNames
) -> tuple[EventDef | ScheduleDef, ...] | None:
    """The rules on a task in order, or None where one of them cannot be built."""
    built = [
        build_schedule(trigger_place(name, trigger), trigger, (name,), names.calendar)
        if is_schedule(trigger)
        else _build_rule(trigger_place(name, trigger), trigger, (name,), names)
        for trigger in triggers_of(cursor)
    ]
    sound = tuple(rule for rule in built if rule is not None)
    return sound if len(sound) == len(built) else None


def _build_rule(
    place: str, cursor: Cursor, tasks: tuple[str, ...] | None, names: KnownNames
) -> EventDef | None:
    kind, event, where = cursor.get("type"), cursor.get("event"), cursor.get("where")
    for key in ("type", "event", "object", "tag"):
        check_word(cursor.get(key))
    if kind is not None:
        _check_catalogue(cursor, kind, event, names.types)
        _check_webhook(cursor, kind, names.webhooks)
    if where is not None:
        _check_where(where)
    if kind is None or event is None or tasks is None:
        return None
    return EventDef(
        place,
        kind.value,
        event.value,
        tasks,
        description=cursor.plain("description", ""),
        object=cursor.plain("object", None),
        tag=cursor.plain("tag", None),
        where=None if where is None else where.value,
        enabled=cursor.plain("enabled", default=True),
    )


def _read_tasks(cursor: Cursor, names: KnownNames) -> tuple[str, ...] | None:
    task = cursor.get("task")
    if task is None:
        return None
    tasks = tuple(task.items()) if isinstance(task.value, list) else (task,)
    for item in tasks:
        check_name(item, names.tasks, "task")
    if len(tasks) > names.pending:
        task.error(
            f"names {len(tasks):,} tasks, but daemon.limits.pending lets {names.pending:,} deliveries wait at once, "
            "so that they could never be stored; name fewer tasks, or raise the limit"
        )
    return tuple(item.value for item in tasks)


def _check_where(cursor: Cursor) -> None:
    try:
        compile_condition(cursor.value)
    except ConditionError as error:
        cursor.error_in_text(error.line, error.message)


def _digest(deed: Any) -> str:
    return hashlib.sha256(json.dumps(deed, separators=(",", ":")).encode()).hexdigest()


def _deed(trigger: Cursor) -> str:
    """What a rule on a task does, in one text: as it is written, but the same for all that means the same.

    The default time zone is not part of it, since that is written elsewhere; nor is one that nothing is read in.
    """
    plain = trigger.node.plain()
    plain.pop("description", None)
    plain.pop("enabled", None)
    if Timing.EVERY in plain:
        plain[Timing.EVERY] = parse_duration(plain[Timing.EVERY])
    if Timing.CRON in plain:
        plain[Timing.CRON] = plain[Timing.CRON].split()
    if "where" in plain:
        plain["where"] = plain["where"].strip()
    if is_schedule(trigger):
        plain.setdefault("missed", Missed.ONCE)
        if not has_local_times(plain):
            plain.pop("timezone", None)
    return json.dumps(plain, sort_keys=True)


def check_name(cursor: Cursor, known: Known | None, noun: str) -> None:
    """Report a name that is not among the known ones, with the near one and the valid ones."""
    if missing := _missing(cursor, known, noun):
        cursor.error(missing)


def _missing(cursor: Cursor, known: Known | None, noun: str) -> str:
    """What to say of a name that is not among the known ones; empty for one that is."""
    if known is None or cursor.value in known.names:
        return ""
    near = cursor.scope.meant(cursor.value, known.names)
    return f"there is no {noun} {quoted(cursor.value)}{near} {known.shown}"


def _check_webhook(cursor: Cursor, kind: Cursor, webhooks: Known | None) -> None:
    """Warn of a rule about a webhook that is not there; no error: facts about one that left are reported as well."""
    named = cursor.get("object") if kind.value in ABOUT_WEBHOOKS else None
    if named is not None and (missing := _missing(named, webhooks, "webhook")):
        named.warn(missing)


def _check_catalogue(
    cursor: Cursor, kind: Cursor, event: Cursor | None, types: Mapping[str, TypeDef | None] | None
) -> None:
    own = kind.value.startswith(OWN)
    types, noun = (OWN_TYPES, "hookd's own types") if own else (types, "types")
    if types is None:
        return
    if kind.value not in types:
        near = kind.scope.meant(kind.value, {**types, **OWN_TYPES})
        kind.error(f"there is no type {quoted(kind.value)}{near} {_shown(sorted(types), noun)}")
        return
    found = types[kind.value]
    if found is None:
        return
    if event is not None and event.value not in found.events:
        near = event.scope.meant(event.value, found.events)
        choices = _shown(found.events, f"events of {found.name}")
        event.error(f"the type {quoted(found.name)} has no event {quoted(event.value)}{near} {choices}")
    if not found.objects:
        _check_generic(cursor, found)
    if own and "tag" in cursor.node.value:
        cursor.below(("tag",)).error_at_key("hookd's own events have no tags; name an object, or nothing")


def _check_generic(cursor: Cursor, found: TypeDef) -> None:
    for key in ("object", "tag"):
        if key in cursor.node.value:
            cursor.below((key,)).error_at_key(
                f"the type {quoted(found.name)} is generic: its events have no object and no tag"
            )


def _shown(names: Sequence[str], noun: str) -> str:
    return f"({noun}: {listed(names)})" if names else f"(there are no {noun})"


def _message(cursor: Cursor, body_format: BodyFormat | None) -> Any:
    """The message as it is written; the default where there is none."""
    message = cursor.get("message")
    if message is None:
        return templates.DEFAULT_MESSAGE
    check_values(message, is_json_text=body_format in _JSON)
    return message.node.plain()


def _compile(cursor: Cursor, message: Any, body_format: BodyFormat | None) -> Template | None:
    """The compiled message. With an unknown Content-Type only the variables of a text can be checked."""
    try:
        return templates.compile_message(message, body_format=body_format or BodyFormat.UNTYPED)
    except templates.TemplateError as error:
        _report_faults(cursor.below(("message",)), message, error)
        return None


def _report_faults(cursor: Cursor, message: Any, first: templates.TemplateError) -> None:
    """Reports what stopped the compilation, and every other variable that would stop it."""
    text = first.message + templates.advice(message, first)
    faults = {(first.path, first.line, first.message): (text, first.column)}
    for source in _texts(message):
        for error in templates.wrong_variables(source):
            faults.setdefault((error.path, error.line, error.message), (error.message, error.column))
    for (path, line, _), (text, column) in faults.items():
        place = cursor.below(path)
        if isinstance(place.value, str):
            place.error_in_text(line, text, column)
        else:
            place.error(text)


def _warn_of_foreign_variables(cursor: Cursor, message: Any) -> None:
    for source in _texts(message):
        for sentence in templates.foreign_variables(source):
            cursor.below(("message", *source.path)).warn(sentence)


def _check_secrets(cursor: Cursor, message: Any, webhook: str, declared: frozenset[str]) -> None:
    """Reports each secret that the webhook does not declare."""
    for source in _texts(message):
        for name, line, column in templates.named_secrets(source):
            if name not in declared:
                near = cursor.scope.meant(name, declared)
                cursor.below(("message", *source.path)).error_in_text(
                    line,
                    f"the webhook {quoted(webhook)} has no secret {quoted(name)}{near} "
                    f"(to declare it, write secrets: {{{name}: {{env: {name}}}}} in the webhook)",
                    column,
                )


def _texts(message: Any, path: Steps = ()) -> Iterator[templates.Source]:
    """The strings of a message, each with its way."""
    if isinstance(message, str):
        with suppress(templates.TemplateError):  # told as what stopped the compilation
            yield templates.Source(message, path)
    elif isinstance(message, dict):
        for key, value in message.items():
            yield from _texts(value, (*path, key))
    elif isinstance(message, list):
        for index, value in enumerate(message):
            yield from _texts(value, (*path, index))
