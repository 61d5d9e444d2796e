"""The first half: a task's message into a template.

Must never: accept what could not be sent later; whatever is wrong is a `TemplateError`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from hookd.domain.message_templates import Escaping, Placeholder, Template
from hookd.domain.text import is_utf8, shown
from hookd.rules.templates.json_template import MAX_DEPTH, json_text
from hookd.rules.templates.renderer import inside, json_string
from hookd.rules.templates.variables import Source, TemplateError, split

_LONGEST_EXAMPLE = 60
"""Characters of a message that an example still repeats."""


def compile_message(message: Any, *, json_type: bool) -> Template:
    """Compile a task's message.

    Args:
        message: a mapping or list (becomes JSON, key order kept), or a text.
        json_type: whether the webhook's Content-Type is a JSON type; a text is then a JSON template.

    Raises:
        TemplateError: a variable is unknown or does not end, the text cannot become valid JSON, or a mapping
            holds something JSON has no word for.
    """
    if not isinstance(message, str):
        return _template(_tree(message, ()))
    source = Source(message)
    if json_type:
        return _template(json_text(source))
    return _template(split(source, Escaping.TEXT))


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
    return Template(tuple(part for part in joined if part))


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
