"""The JSON Schemas of the configuration and its tests, and the validators built from them, one for each definition.

Must never: fetch a `$ref`; every reference is local and is replaced by what it names before it validates
anything.
"""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators

from hookd.config.schema_errors import ReportDiagnostic, Schema, word_errors
from hookd.config.yaml.cursor import Location

CONFIG = "hookd.schema.json"
"""The schema of the configuration."""
TESTS = "hookd.test.schema.json"
"""The schema of its test files."""

_DEFS = "#/$defs/"


def schema_text(name: str = CONFIG) -> str:
    """The text of `schema/NAME`, from the installed package or from a checkout."""
    installed = resources.files("hookd") / "schema" / name
    if installed.is_file():
        return installed.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "schema" / name).read_text(encoding="utf-8")


class Validators:
    """Checks definitions against the schema. Building it takes some milliseconds; do it once for a load."""

    def __init__(self, name: str = CONFIG) -> None:
        schema = json.loads(schema_text(name))
        self._kinds: Mapping[str, Any] = {
            name: _Validator(_inlined(definition, schema["$defs"]))
            for name, definition in schema["$defs"].items()
        }

    def check(self, kind: str, location: Location, report: ReportDiagnostic) -> None:
        """Reports what the schema finds wrong with a definition, and marks the places as broken.

        Args:
            kind: a name in the schema's `$defs`, such as `webhook`.
            location: the definition.
            report: takes each diagnostic.
        """
        errors = list(self._kinds[kind].iter_errors(location.node.plain()))
        if errors:
            word_errors(errors, location, report)


def _unique(
    _validator: Any,
    wanted: bool,
    items: Any,
    _schema: Schema,
) -> Iterator[ValidationError]:
    """`uniqueItems` among texts. The library's own compares each item with each where they cannot be sorted."""
    if wanted and isinstance(items, list):
        texts = [item for item in items if isinstance(item, str)]
        if len(set(texts)) < len(texts):
            yield ValidationError("an item stands in the list twice")


_Validator: Any = validators.extend(Draft202012Validator, {"uniqueItems": _unique})  # type: ignore[no-untyped-call]


def _inlined(schema: Any, definitions: Mapping[str, dict[str, Any]]) -> Any:
    """The schema with every `$ref` replaced by its target; what stands beside the `$ref` wins."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _inlined(definitions[schema["$ref"].removeprefix(_DEFS)] | beside, definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}
