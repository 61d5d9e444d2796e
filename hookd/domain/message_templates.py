"""Messages as `rules.templates` compiles them: what they are made of, and how values are written into them.

Instances are picklable, and hold no secret: only the names of those that are filled in at the attempt.

Must never: know how a variable is written or found.
"""

from dataclasses import field
from enum import StrEnum
from typing import TypeAlias

from hookd.domain.value_class import value_class


class Escaping(StrEnum):
    """How a variable's value is written into a message (spec 4)."""

    TEXT = "text"  # as text, byte for byte
    IN_STRING = "in_string"  # as text inside a JSON string: escaped for it
    STRING = "string"  # as a JSON string, quotes and all
    FORM = "form"  # percent-encoded, as in a form
    MARKUP = "markup"  # with `& < > " '` and what XML cannot hold as references, as in XML and HTML
    VALUE = "value"  # as a JSON value: data keeps its type, TIMESTAMP and RANDOM are numbers, the rest are strings


PathStep: TypeAlias = tuple[str, tuple[str, ...]]
"""A step of a path: its key, and those that may stand there instead, since keys may hold dots: joined with the steps
behind it, the longest first."""


@value_class
class Placeholder:
    """One `${…}` of a message.

    Attributes:
        name: `DATE`, `NAME`, …, `data` or `secret`.
        fill: how the value is written.
        path: the steps below `data`, or the name of the secret; empty for other variables.
        default: what stands in for a value that is missing, or None.
        prefix: `string`, `json` (the value is written as its JSON text), `raw`, or none.
        written: what stands between the braces.
        steps: what `path` means.
    """

    name: str
    fill: Escaping
    path: tuple[str, ...] = ()
    default: "str | Placeholder | None" = None
    prefix: str = ""
    written: str = ""
    steps: tuple[PathStep, ...] = field(default=(), repr=False)


class BodyFormat(StrEnum):
    """What a webhook's Content-Type makes of its messages (spec 4)."""

    JSON = "json"
    JSON_LINES = "json_lines"  # one JSON text a line
    JSON_SEQUENCE = "json_sequence"  # the same, each begun by a record separator (RFC 7464)
    FORM = "form"
    MARKUP = "markup"  # XML and HTML
    TEXT = "text"
    UNTYPED = "untyped"  # there is no Content-Type: text, or JSON where it is a mapping or a list


@value_class
class Template:
    """A compiled message: literal text and placeholders in any order; joined and encoded as UTF-8 they are the body.

    `secrets`: the names of those that are filled in at the attempt; a mark stands for each until then.
    """

    parts: tuple[str | Placeholder, ...]
    secrets: tuple[str, ...] = ()
