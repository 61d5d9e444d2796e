"""How a schema is put together: JSON Schema's words for what hookd takes and answers.

Must never: know a route, or a field.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

Schema = dict[str, Any]

_CONTROLS = r"\x00-\x1f\x7f-\x9f"
NO_CONTROL = f"[^{_CONTROLS}]"
NO_SPACE = f"[^ {_CONTROLS}]"
TRIMMED = f"{NO_SPACE}({NO_CONTROL}{{0,126}}{NO_SPACE})?"
TRIMMED_WITHOUT_DOT = f"[^ .{_CONTROLS}]([^.{_CONTROLS}]{{0,126}}[^ .{_CONTROLS}])?"
"""Parts of patterns: a character, and texts of up to 128 that begin and end with no space."""


def ref(name: str) -> Schema:
    """A schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(fields: Mapping[str, Schema], *, optional: Iterable[str] = (), **more: Any) -> Schema:
    """An object with these fields, which are there unless they are optional. More may come in later versions."""
    required = [name for name in fields if name not in set(optional)]
    return {"type": "object", "required": required, "properties": dict(fields), **more}


def request(fields: Mapping[str, Schema], *, required: Iterable[str] = (), **more: Any) -> Schema:
    """The body of a request: any other field is refused."""
    needs = {"required": list(required)} if required else {}
    return {"type": "object", **needs, "properties": dict(fields), "additionalProperties": False, **more}


def listed(items: Schema, **more: Any) -> Schema:
    """An array."""
    return {"type": "array", "items": items, **more}


def mapping(values: Schema, **more: Any) -> Schema:
    """An object whose keys are names."""
    return {"type": "object", "additionalProperties": values, **more}


def text(description: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": description, **more}


def printable(longest: int, description: str, *, pattern: str = f"{NO_CONTROL}*", **more: Any) -> Schema:
    """A string of printable characters: no controls, no line ends, no space but U+0020.

    The pattern says what portable ones can: what else does not print has hundreds of ranges, so `format` stands for it.
    """
    bounds = {"minLength": 1, "maxLength": longest, "pattern": f"^{pattern}$"}
    return text(description, format="printable", **bounds, **more)


def choice(words: Iterable[StrEnum], description: str, *, nullable: bool = False) -> Schema:
    """One of a closed set."""
    values: list[str | None] = [str(word) for word in words]
    kinds: Schema = {"type": ["string", "null"], "enum": [*values, None]} if nullable else {"enum": values}
    return {"type": "string", **kinds, "description": description}


def nullable(schema: Schema) -> Schema:
    """The schema's value, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def number(description: str) -> Schema:
    """A number that is not negative."""
    return {"type": "number", "minimum": 0, "description": description}


def count(description: str) -> Schema:
    """A whole number that is not negative."""
    return {"type": "integer", "minimum": 0, "description": description}


def instant(description: str) -> Schema:
    """RFC 3339."""
    return text(description, format="date-time")


def trace_id() -> Schema:
    """32 hex digits, or null."""
    return nullable(text("The trace it belongs to; null where none came with it", pattern="^[0-9a-f]{32}$"))


def flag(description: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description}
