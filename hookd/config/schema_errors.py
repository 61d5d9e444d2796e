"""The validator's errors in hookd's own words: what is wrong, what is allowed, and what was probably meant.

Must never: show a value where the schema says `writeOnly` (a secret may stand there).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from jsonschema.exceptions import ValidationError

from hookd.config.yaml.cursor import Location, meant
from hookd.config.yaml.diagnostics import Steps, listed
from hookd.config.yaml.tree import Node, read_as
from hookd.domain.text import quoted

ReportDiagnostic = Callable[[int, int, Steps, str], None]
"""Takes a diagnostic: line, column, place, message."""


_TYPES = {
    "string": "text",
    "object": "a mapping",
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}
_NUMERIC = frozenset({"number", "integer"})
_VALUE_RULES = frozenset(
    {
        "type", "enum", "const", "pattern", "minimum", "maximum", "exclusiveMinimum",
        "minLength", "maxLength", "minItems",
    }
)  # fmt: skip


_MOST_MEANT = 1000
"""Unknown keys of one mapping that are compared with the known ones."""
_ONE_DURATION = "90m"
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def word_errors(errors: Iterable[ValidationError], top: Location, report: ReportDiagnostic) -> None:
    """Reports each error of a definition at its place in the file, one for each value at most."""
    said: set[tuple[Any, ...]] = set()
    for error in sorted(errors, key=lambda error: error.validator != "type"):
        path = tuple(error.absolute_path)
        at, key_location = _find(top.node, path, top.key_location)
        breach = _Breach(cast("Schema", error.schema), error.validator_value, error.instance)
        rule = None if error.validator in _VALUE_RULES else _RULES[str(error.validator)]
        once = (path, rule, () if rule is None else tuple(error.absolute_schema_path))
        if once in said:
            continue
        said.add(once)
        for place, more, message in (rule or _wrong_value)(breach, at, key_location):
            report(*place, (*top.steps, *path, *more), message)


Schema = Mapping[str, Any]
_LineColumn = tuple[int, int]
_Located = Iterator[tuple[_LineColumn, Steps, str]]


class _Breach(NamedTuple):
    """What an error is about: the schema that is not met, the value of its keyword, and what was found."""

    schema: Schema
    wanted: Any
    given: Any


def _find(top: Node, path: Iterable[str | int], key_location: _LineColumn) -> tuple[Node, _LineColumn]:
    """The value at this way below `top`, and the place of the key (or item) that holds it."""
    at = top
    for step in path:
        child = at.value[step]
        key_location = at.keys[step] if isinstance(step, str) else (child.line, child.column)
        at = child
    return at, key_location


def _wrong_value(breach: _Breach, at: Node, _home: _LineColumn) -> _Located:
    at.broken = True
    yield (at.line, at.column), (), _word_value(breach.schema, at)


def _word_value(schema: Schema, at: Node) -> str:
    message = f"must be {_expected(schema)}, not {_given(at, secret=bool(schema.get('writeOnly')))}"
    if isinstance(at.value, str):
        return message + meant(at.value, map(str, schema.get("enum", ()))) + _hint(schema, at.value)
    return message + _quote_hint(schema, at)


def _hint(schema: Schema, text: str) -> str:
    """What to write instead of a text: `; ` and a hint, for numbers in quotes, durations, or from `x-hints`."""
    types = schema.get("type", ())
    if _NUMBER.fullmatch(text) and not _NUMERIC.isdisjoint([types] if isinstance(types, str) else types):
        return "; write it without quotes"
    if re.search(schema.get("pattern", "$^"), _ONE_DURATION) and "number" in types:
        return f"; write one number and one unit, such as 90s or {_ONE_DURATION}"
    hints: Mapping[str, str] = schema.get("x-hints", {})
    return next((f"; {hint}" for pattern, hint in hints.items() if re.search(pattern, text)), "")


def _expected(schema: Schema) -> str:
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "enum" in schema:
        return "one of " + listed(schema["enum"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    text = " or ".join(_TYPES[kind] for kind in types if kind != "null")
    if "minimum" in schema:
        text += f" from {schema['minimum']} to {schema['maximum']}"
    if "minItems" in schema:
        return f"{text} with at least one entry"
    return f"{text} that is not empty" if "minLength" in schema else text


def _given(at: Node, *, secret: bool) -> str:
    value = at.value
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return f"{at.text} (null)" if at.text else "empty"
    if isinstance(value, str):
        return "empty text" if not value else "this text" if secret else quoted(value)
    if secret:
        return "true or false" if isinstance(value, bool) else "a number"
    return str(value).lower()


def _quote_hint(schema: Schema, at: Node) -> str:
    """Says to quote what YAML 1.1 did not read as the text that it looks like (spec 1)."""
    text_allowed = "enum" in schema or "string" in schema.get("type", ())
    if not text_allowed or not at.text or at.value is None:
        return ""
    if schema.get("writeOnly"):
        return "; quote it"
    if at.text == str(at.value) and not _NUMERIC.isdisjoint(schema.get("type", ())):
        return ""
    if not _fits(schema, at.text):
        return "" if at.text == str(at.value).lower() else f"; {read_as(at)}"
    return f"; {read_as(at)}, so quote it: {quoted(at.text)}"


def _fits(schema: Schema, text: str) -> bool:
    """Whether a text would be right here."""
    return text in schema.get("enum", (text,)) and re.search(schema.get("pattern", ""), text) is not None


def _unknown_keys(breach: _Breach, at: Node, _home: _LineColumn) -> _Located:
    known = sorted(breach.schema.get("properties", {}))
    misplaced = breach.schema.get("x-misplaced", {})
    ignored = tuple(breach.schema.get("patternProperties", ()))
    for number, key in enumerate(breach.given):
        if key in known or at.broken or any(re.search(pattern, key) for pattern in ignored):
            continue
        at.value[key].broken = True
        if key in misplaced:
            yield at.keys[key], (key,), misplaced[key]
            continue
        near = meant(key, known) if number < _MOST_MEANT else ""
        # Unquoted text in braces is a key; where a secret is expected, it is not repeated.
        more = () if "maxProperties" in breach.schema and not near else (key,)
        yield at.keys[key], more, f"unknown key{near} (known here: {listed(known)})"


def _missing_keys(breach: _Breach, at: Node, key_location: _LineColumn) -> _Located:
    for key in breach.wanted:
        if key not in at.value and not at.broken:
            choices = breach.schema.get("properties", {}).get(key, {}).get("enum")
            yield key_location, (), f"{key} is missing" + (f" ({listed(choices)})" if choices else "")


def _either(breach: _Breach, at: Node, key_location: _LineColumn) -> _Located:
    if at.broken:
        return
    # Which of its keys are wrong cannot be said before it is known which form it is to have.
    at.broken = "properties" not in breach.schema
    keys = [key for branch in breach.wanted for key in _keys_of(branch)]
    given = [key for key in keys if key in at.value]
    if not given:
        near = _first_meant(at.value, keys) if at.broken else ""
        yield key_location, (), f"{_choices(breach.wanted)}, and has {_NONE[len(breach.wanted)]}{near}"
    elif len(given) > 1:
        many = "both" if len(breach.wanted) == 2 else "all of them" if given == keys else " and ".join(given)
        yield key_location, (), f"{_choices(breach.wanted)}, not {many}"


_NONE = {2: "neither", 3: "none"}


def _keys_of(branch: Schema) -> list[str]:
    """The keys by which the forms of a value are told apart, of one form."""
    return [each["required"][0] for each in branch.get("anyOf", [branch])]


def _choices(branches: Sequence[Schema]) -> str:
    shapes = [str(branch.get("x-shape") or branch["required"][0]) for branch in branches]
    return (
        f"takes either {' or '.join(shapes)}"
        if len(shapes) == 2
        else f"takes exactly one of {listed(shapes)}"
    )


def _first_meant(given: Iterable[str], keys: Sequence[str]) -> str:
    return next((near for key in given if (near := meant(key, keys))), "")


def _one_property(breach: _Breach, at: Node, key_location: _LineColumn) -> _Located:
    if not at.broken:
        at.broken = True
        choices = ", ".join(breach.schema["properties"])
        yield key_location, (), f"takes exactly one of {choices}"


def _lonely_keys(breach: _Breach, at: Node, _home: _LineColumn) -> _Located:
    for key, needed in breach.wanted.items():
        missing = [other for other in needed if other not in at.value]
        if key in at.value and missing:
            at.value[key].broken = True
            yield at.keys[key], (key,), f"stands only together with {listed(missing)}"


def _excluded(breach: _Breach, at: Node, _home: _LineColumn) -> _Located:
    if not isinstance(
        at.value, dict
    ):  # what is no mapping lacks no key either, so the schema's `not` objects to it
        return
    first, second = breach.wanted["required"]
    at.value[first].broken = at.value[second].broken = True
    yield at.keys[second], (second,), f"{first} and {second} exclude each other; give one of them, or neither"


def _twice(_breach: _Breach, at: Node, _home: _LineColumn) -> _Located:
    seen: set[str] = set()
    for index, item in enumerate(at.value):
        if not isinstance(item.value, str):
            continue
        if item.value in seen:
            yield (item.line, item.column), (index,), f"{quoted(item.value)} stands in the list twice"
        seen.add(item.value)


_RULES: Mapping[str, Callable[[_Breach, Node, _LineColumn], _Located]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "oneOf": _either,
    "minProperties": _one_property,
    "maxProperties": _one_property,
    "dependentRequired": _lonely_keys,
    "not": _excluded,
    "uniqueItems": _twice,
}
