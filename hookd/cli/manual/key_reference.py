"""The configuration's keys as values: what each takes, its default and its meaning, read from the JSON SchemaNode.

The man page and docs/configuration.md list them from these, so neither can drift from what is validated.

Must never: validate anything.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hookd.domain.value_class import value_class

SchemaNode = Mapping[str, Any]

_DEFS = "#/$defs/"


@value_class
class Key:
    """A key of the configuration.

    Attributes:
        path: dotted from the top, `NAME` where a definition is named, `[]` for each item of a list.
        takes: what may stand there.
        default: as YAML in one line; empty where there is none.
        required: whether it must be there.
    """

    path: str
    takes: str
    default: str
    required: bool
    meaning: str


@value_class
class Section:
    """A key of the first level, and the keys below it."""

    name: str
    meaning: str
    keys: tuple[Key, ...]


def key_sections(schema_text: str) -> tuple[Section, ...]:
    """Every section of the configuration, in the order of the schema."""
    schema = json.loads(schema_text)
    reader = _Reader(schema["$defs"])
    return tuple(
        Section(name, _meaning(reader.whole(given)), tuple(reader.below(name, given)))
        for name, given in schema["properties"].items()
    )


@value_class
class _Reader:
    definitions: Mapping[str, SchemaNode]

    def whole(self, schema: SchemaNode) -> SchemaNode:
        """A schema with what its `$ref` names; what stands beside the `$ref` wins."""
        if "$ref" not in schema:
            return schema
        return {**self.whole(self.definitions[schema["$ref"].removeprefix(_DEFS)]), **schema}

    def below(self, path: str, given: SchemaNode) -> Iterator[Key]:
        """The keys below a place, in order."""
        schema = self.whole(given)
        if "propertyNames" in schema:
            yield from self.below(f"{path}.NAME", schema["additionalProperties"])
            return
        for name, inner in schema.get("properties", {}).items():
            yield from self._key(
                f"{path}.{name}", self.whole(inner), required=name in schema.get("required", ())
            )
        for part in schema.get("allOf", ()):
            yield from self._variant(path, self.whole(part["then"]), part["title"])

    def _key(self, path: str, schema: SchemaNode, *, required: bool, when: str = "") -> Iterator[Key]:
        yield Key(path, self._takes(schema), _default(schema), required, when + _meaning(schema))
        if _is_mapping(schema):
            yield from self.below(path, schema)
        elif _is_mapping(items := self.whole(schema.get("items", {}))):
            yield from self.below(f"{path}[]", items)

    def _takes(self, schema: SchemaNode) -> str:
        if "x-expected" in schema:
            return str(schema["x-expected"])
        if "enum" in schema:
            return ", ".join(map(str, schema["enum"]))
        match schema.get("type"):
            case "boolean":
                return "true or false"
            case "integer":
                return f"a whole number from {schema['minimum']:,} to {schema['maximum']:,}"
            case "array":
                return f"a list; each item {self._takes(self.whole(schema['items']))}"
            case _:
                return "a mapping"

    def _variant(self, path: str, schema: SchemaNode, kind: str) -> Iterator[Key]:
        """The keys that one value of `type` brings."""
        for name, inner in schema["properties"].items():
            if name != "type":
                required = name in schema.get("required", ())
                yield from self._key(
                    f"{path}.{name}", self.whole(inner), required=required, when=f"With `type: {kind}`: "
                )


def _is_mapping(schema: SchemaNode) -> bool:
    """Whether it is a mapping and nothing else: of what may also be text, the meaning says all."""
    return schema.get("type") == "object" and "properties" in schema


def _meaning(schema: SchemaNode) -> str:
    return str(schema.get("description", ""))


def _default(schema: SchemaNode) -> str:
    if "default" not in schema:
        return ""
    value = schema["default"]
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return value if isinstance(value, str) and value else json.dumps(value)
