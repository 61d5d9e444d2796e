"""`types:`, `tasks:` and `events:` to their definitions, with the references between them checked (spec 1).

Must never: compile a message itself; that is `render`'s. Used by `loading`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hookd import render
from hookd.config.finding import Steps, listed, quoted
from hookd.config.view import View
from hookd.defs import EventDef, TaskDef, Template, TypeDef

_OWN_PREFIX = "hookd."
_DEFAULT_MESSAGE = {"text": "Webhook"}


class Known:
    """The names that a kind of reference may point to, and how a message lists them."""

    def __init__(self, names: Iterable[str], noun: str) -> None:
        self.names = frozenset(names)
        self.shown = _shown(sorted(self.names), noun)


@dataclass(frozen=True, slots=True)
class Names:
    """What references may point to. None: not every file could be read, so nothing can be said to be missing.

    Attributes:
        json_types: webhooks whose Content-Type is known, and whether it is a JSON type.
        types: the catalogue, if there is one; a type that has findings of its own is None.
    """

    webhooks: Known | None
    tasks: Known | None
    json_types: Mapping[str, bool] = field(default_factory=dict)
    types: Mapping[str, TypeDef | None] | None = None


def build_type(name: str, view: View) -> TypeDef | None:
    """One entry of the catalogue, or None where its events are wrong."""
    if name.startswith(_OWN_PREFIX):
        view.error_at_key("types that begin with hookd. are hookd's own")
    events = view.get("events")
    if events is None:
        return None
    return TypeDef(
        name,
        tuple(item.value for item in events.items()),
        description=view.plain("description", ""),
        objects=view.plain("objects", default=True),
    )


def build_task(name: str, view: View, names: Names) -> TaskDef | None:
    """One entry of `tasks:`, or None where it cannot be built; what is wrong is reported."""
    webhook = view.get("webhook")
    if webhook is not None:
        _check_name(webhook, names.webhooks, "webhook")
    json_type = None if webhook is None else names.json_types.get(webhook.value)
    template = _compile(view, json_type)
    once = view.get("delete_after_running")
    if once is not None and once.value:
        once.warn("this version does not delete tasks yet: the task fires each time")
    if webhook is None or template is None:
        return None
    return TaskDef(
        name,
        webhook.value,
        template,
        description=view.plain("description", ""),
        enabled=view.plain("enabled", default=True),
        delete_after_running=view.plain("delete_after_running", default=False),
    )


def build_event(name: str, view: View, names: Names) -> EventDef | None:
    """One entry of `events:`, or None where it cannot be built; what is wrong is reported."""
    kind, event, task = view.get("type"), view.get("event"), view.get("task")
    if kind is not None:
        _check_catalogue(view, kind, event, names.types)
    tasks = () if task is None else tuple(task.items()) if isinstance(task.value, list) else (task,)
    for item in tasks:
        _check_name(item, names.tasks, "task")
    if kind is None or event is None or task is None:
        return None
    return EventDef(
        name,
        kind.value,
        event.value,
        tuple(item.value for item in tasks),
        description=view.plain("description", ""),
        object=view.plain("object", None),
        tag=view.plain("tag", None),
        enabled=view.plain("enabled", default=True),
    )


def _check_name(view: View, known: Known | None, noun: str) -> None:
    if known is None or view.value in known.names:
        return
    near = view.scope.meant(view.value, known.names)
    view.error(f"there is no {noun} {quoted(view.value)}{near} {known.shown}")


def _check_catalogue(
    view: View, kind: View, event: View | None, types: Mapping[str, TypeDef | None] | None
) -> None:
    if kind.value.startswith(_OWN_PREFIX):
        kind.error("types that begin with hookd. are hookd's own; no rule can name them")
        return
    if types is None:
        return
    if kind.value not in types:
        near = kind.scope.meant(kind.value, types)
        kind.error(f"there is no type {quoted(kind.value)}{near} {_shown(sorted(types), 'types')}")
        return
    found = types[kind.value]
    if found is None:
        return
    if event is not None and event.value not in found.events:
        near = event.scope.meant(event.value, found.events)
        choices = _shown(found.events, f"events of {found.name}")
        event.error(f"the type {quoted(found.name)} has no event {quoted(event.value)}{near} {choices}")
    if not found.objects:
        _check_generic(view, found)


def _check_generic(view: View, found: TypeDef) -> None:
    for key in ("object", "tag"):
        if key in view.node.value:
            view.below((key,)).error_at_key(
                f"the type {quoted(found.name)} is generic: its events have no object and no tag"
            )


def _shown(names: Sequence[str], noun: str) -> str:
    return f"({noun}: {listed(names)})" if names else f"(there are no {noun})"


def _compile(view: View, json_type: bool | None) -> Template | None:
    """The compiled message. With an unknown Content-Type only the variables of a text can be checked."""
    message = view.get("message")
    if message is None:
        return render.compile_message(_DEFAULT_MESSAGE, json_type=True)
    plain = message.node.plain()
    if json_type is None:
        json_type = not isinstance(plain, str)
    try:
        return render.compile_message(plain, json_type=json_type)
    except render.TemplateError as error:
        _report_faults(message, plain, error)
        return None


def _report_faults(view: View, message: Any, first: render.TemplateError) -> None:
    """Reports what stopped the compilation and what would stop it next, one fault a line or string."""
    faults = {(first.path, first.line): first.message}
    for path, line, piece in _pieces(message):
        try:
            render.compile_message(piece, json_type=False)
        except render.TemplateError as error:
            faults.setdefault((path, line + error.line), error.message)
    for (path, line), text in faults.items():
        view.below(path).error_in_text(line, text)


def _pieces(message: Any, path: Steps = ()) -> Iterator[tuple[Steps, int, str]]:
    """The lines of a text, or the strings of a mapping or list, each with its way and line."""
    if isinstance(message, str):
        lines = message.split("\n") if not path else [message]
        yield from ((path, index, line) for index, line in enumerate(lines))
    elif isinstance(message, dict):
        for key, value in message.items():
            yield from _pieces(value, (*path, key))
    elif isinstance(message, list):
        for index, value in enumerate(message):
            yield from _pieces(value, (*path, index))
