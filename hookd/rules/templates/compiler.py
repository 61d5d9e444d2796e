"""The first half: a task's message into a template.

Must never: accept what could not be sent later; whatever is wrong is a `TemplateError`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from hookd.domain.json_text import json_string
from hookd.domain.message_templates import BodyFormat, Escaping, Placeholder, Template
from hookd.domain.text import is_utf8, shown
from hookd.rules.templates.escapes import inside
from hookd.rules.templates.form_template import form
from hookd.rules.templates.json_template import MAX_DEPTH, json_lines, json_text
from hookd.rules.templates.renderer import SECRET
from hookd.rules.templates.variables import Source, TemplateError, split

DEFAULT_MESSAGE: Final = {"text": "Webhook"}
"""What a task without a message sends, whatever the Content-Type."""

_LONGEST_EXAMPLE = 60
"""Characters of a message that an example still repeats."""


def compile_message(message: Any, *, body_format: BodyFormat) -> Template:
    """Compile a task's message.

    Args:
        message: a mapping or list (becomes JSON, key order kept, or a form), or a text.
        body_format: of the webhook; a text is a JSON template where it is JSON.

    Raises:
        TemplateError: a variable is wrong, the text cannot become valid JSON, a mapping holds something that JSON or a
            form has no word for, or it is sent as neither.
    """
    if isinstance(message, str):
        return _template(_text(Source(message), body_format))
    match body_format:
        case BodyFormat.FORM:
            return _template(form(message))
        case BodyFormat.JSON_LINES | BodyFormat.JSON_SEQUENCE:
            return _template(_records(message, "\x1e" if body_format is BodyFormat.JSON_SEQUENCE else ""))
        case BodyFormat.JSON | BodyFormat.UNTYPED:
            return _template(_tree(message, ()))
        case _ if message == DEFAULT_MESSAGE:  # also of a task that gives none
            return _template(_tree(message, ()))
    kind = "mapping" if isinstance(message, Mapping) else "list"
    raise TemplateError(
        f"a {kind} is sent as JSON or as a form, but the webhook's Content-Type is neither; write the message as text, "
        "or give the webhook another Content-Type"
    )


def _text(source: Source, body_format: BodyFormat) -> Iterable[str | Placeholder]:
    match body_format:
        case BodyFormat.JSON:
            return json_text(source)
        case BodyFormat.JSON_LINES | BodyFormat.JSON_SEQUENCE:
            return json_lines(source)
        case BodyFormat.FORM:
            return split(source, Escaping.FORM)
        case BodyFormat.MARKUP:
            return split(source, Escaping.MARKUP)
        case _:
            return split(source, Escaping.TEXT)


def _records(message: Any, begin: str) -> Iterator[str | Placeholder]:
    """Each item of a list in a line of its own; anything else is one."""
    items = enumerate(message) if isinstance(message, list | tuple) else [(None, message)]
    for index, item in items:
        yield begin
        yield from _tree(item, () if index is None else (index,))
        yield "\n"


def advice(message: Any, error: TemplateError) -> str:
    """What to write in place of plain text for a webhook that sends JSON; empty where that is not the fault."""
    if not (isinstance(message, str) and "is not valid JSON" in error.message):
        return ""
    if message.lstrip().startswith(("{", "[")):
        return ""  # meant as JSON
    plain = len(message) <= _LONGEST_EXAMPLE and message[:1] not in ("", '"')
    example = json.dumps({"text": message if plain else "hello"}, ensure_ascii=False)
    return f"; the webhook sends JSON: write {example}"


def _template(parts: Iterable[str | Placeholder]) -> Template:
    """Join neighbouring literals."""
    joined: list[str | Placeholder] = []
    for literal, run in groupby(parts, key=lambda part: isinstance(part, str)):
        if literal:
            joined.append("".join(map(str, run)))
        else:
            joined.extend(run)
    secrets = {part.path[0] for part in joined if isinstance(part, Placeholder) and part.name == SECRET}
    return Template(tuple(part for part in joined if part), tuple(sorted(secrets)))


def _tree(node: Any, path: tuple[str | int, ...]) -> Iterator[str | Placeholder]:
    """The JSON of a message's node, in the style of `json.dumps`, with slots inside."""
    if len(path) >= MAX_DEPTH and isinstance(node, Mapping | list | tuple):
        raise TemplateError(f"the message is nested deeper than {MAX_DEPTH}", path)
    if isinstance(node, str):
        yield from _tree_string(Source(node, path))
    elif isinstance(node, Mapping):
        yield from _tree_object(node, path)
    elif isinstance(node, list | tuple):
        yield "["
        for index, item in enumerate(node):
            yield ", " if index else ""
            yield from _tree(item, (*path, index))
        yield "]"
    else:
        yield _scalar(node, path)


def _tree_object(node: Mapping[Any, Any], path: tuple[str | int, ...]) -> Iterator[str | Placeholder]:
    yield "{"
    for index, (key, value) in enumerate(node.items()):
        if not isinstance(key, str):
            raise TemplateError(f"the key {shown(str(key))} is not text; put it in quotes", path)
        if not is_utf8(key):
            raise TemplateError(f"the key {shown(key)} holds a lone surrogate", path)
        yield f"{', ' if index else ''}{json_string(key)}: "
        yield from _tree(value, (*path, key))
    yield "}"


def _tree_string(source: Source) -> Iterator[str | Placeholder]:
    parts = [part for part in split(source, Escaping.IN_STRING) if part]
    match parts:
        case [Placeholder(name="data") as alone]:
            yield _whole(alone)
        case _:
            yield '"'
            for part in parts:
                yield inside(part) if isinstance(part, str) else part
            yield '"'


def _whole(slot: Placeholder) -> Placeholder:
    """A variable that is all of a string: data keeps its JSON type, unless a prefix makes it text."""
    default = _whole(slot.default) if isinstance(slot.default, Placeholder) else slot.default
    keeps_type = slot.name == "data" and not slot.prefix
    return replace(slot, fill=Escaping.VALUE if keeps_type else Escaping.STRING, default=default)


def _scalar(node: Any, path: tuple[str | int, ...]) -> str:
    try:
        return json.dumps(node, allow_nan=False)
    except (TypeError, ValueError):
        kind = type(node).__name__
        raise TemplateError(f"JSON has no word for this value ({kind}); put it in quotes", path) from None
