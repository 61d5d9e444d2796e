"""A message written as a mapping for a webhook that sends a form (application/x-www-form-urlencoded).

Must never: let a value add a field to the form, or end one.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from hookd.domain.message_templates import Escaping, Placeholder
from hookd.domain.text import is_utf8, shown
from hookd.rules.templates.variables import Source, TemplateError, split


def form(message: Any) -> Iterator[str | Placeholder]:
    """Compile a mapping of names to texts, numbers, true, false or null.

    Raises:
        TemplateError: it is no mapping, or holds a value that a form has no place for.
    """
    if not isinstance(message, Mapping):
        raise TemplateError("a form is a mapping of names to values, not a list")
    for index, (name, value) in enumerate(message.items()):
        if not isinstance(name, str) or not is_utf8(name):
            raise TemplateError(f"the key {shown(str(name))} is not text; put it in quotes", (name,))
        yield f"{'&' if index else ''}{quote(name, safe='')}="
        yield from _value(name, value)


def _value(name: str, value: Any) -> Iterator[str | Placeholder]:
    if isinstance(value, Mapping | list | tuple):
        raise TemplateError(
            "a form has no nested values; give each a name of its own, or send JSON as text: ${json:data.…}",
            (name,),
        )
    if isinstance(value, str):
        for part in split(Source(value, (name,)), Escaping.FORM):
            yield quote(part, safe="") if isinstance(part, str) else part
    elif value is not None:
        yield quote(json.dumps(value), safe="")
