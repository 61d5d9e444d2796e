"""The JSON Schema itself: complete, closed, documented, and the same thing as what `load` accepts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hookd import config
from hookd.config.yaml.tree import parse

TOP = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads(config.schema_text())


def subschemas(schema: Any, place: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each schema within the schema, with its place."""
    yield place, schema
    for key in ("properties", "$defs"):
        for name, child in schema.get(key, {}).items():
            yield from subschemas(child, f"{place}/{key}/{name}")
    for key in ("items", "additionalProperties", "propertyNames", "not", "if", "then", "else"):
        if isinstance(schema.get(key), dict):
            yield from subschemas(schema[key], f"{place}/{key}")
    for key in ("oneOf", "anyOf", "allOf"):
        for index, child in enumerate(schema.get(key, ())):
            yield from subschemas(child, f"{place}/{key}/{index}")


ALL = dict(subschemas(SCHEMA))


def test_it_is_valid_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_every_subschema_explains_itself() -> None:
    for place, schema in ALL.items():
        assert schema["title"], place
        ends = schema["description"].endswith((".", "none", "bearer", "apikey", "basic"))
        assert ends or "const" in schema, place


def test_definitions_are_closed() -> None:
    kinds = ("webhook", "task", "event", "daemon", "schedule", "trigger")
    for place, schema in ALL.items():
        if place.casefold().endswith(kinds) and "properties" in schema:
            assert schema["additionalProperties"] is False, place


def test_every_mapping_says_what_else_it_takes() -> None:
    for place, schema in ALL.items():
        if "properties" in schema and not place.endswith(("/if", "/auth")):
            assert "additionalProperties" in schema, place


def test_references_are_local() -> None:
    for schema in ALL.values():
        if "$ref" in schema:
            assert schema["$ref"].removeprefix("#/$defs/") in SCHEMA["$defs"]


def test_examples_and_defaults_are_valid() -> None:
    for place, schema in ALL.items():
        validator = Draft202012Validator({**schema, "$defs": SCHEMA["$defs"]})
        for value in [*schema.get("examples", ()), *([schema["default"]] if "default" in schema else ())]:
            assert validator.is_valid(value), (place, value)


GOOD = [*(TOP / "tests" / "configs" / "good").glob("*.yaml"), TOP / "config.example.yaml"]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: str(path.name))
def test_an_editor_finds_nothing_wrong_with_what_loads(path: Path) -> None:
    root = parse(path.read_bytes()).root
    assert root is not None
    Draft202012Validator(SCHEMA).validate(root.plain())


@pytest.mark.parametrize(
    "trigger",
    [
        {},
        {"type": "vm"},
        {"type": "vm", "event": "on", "cron": "0 3 * * *"},
        {"type": "vm", "event": "on", "task": "t"},
        {"cron": "0 3 * * *", "every": "1h"},
        {"cron": "0 3 * * *", "tag": "production"},
        {"at": "2099-12-24"},
        {"every": 0.5},
    ],
    ids=str,
)
def test_an_editor_marks_a_trigger_that_does_not_load(trigger: dict[str, Any]) -> None:
    document = {"tasks": {"t": {"webhook": "h", "triggers": [trigger]}}}
    assert not Draft202012Validator(SCHEMA).is_valid(document)


TESTS: dict[str, Any] = json.loads(config.schema_text(tests=True))
ALL_OF_TESTS = dict(subschemas(TESTS))


def test_the_schema_of_tests_is_as_good() -> None:
    Draft202012Validator.check_schema(TESTS)
    for place, schema in ALL_OF_TESTS.items():
        assert schema["title"], place
        assert schema["description"].endswith("."), place
        assert "properties" not in schema or schema["additionalProperties"] is False, place
        if "$ref" in schema:
            assert schema["$ref"].removeprefix("#/$defs/") in TESTS["$defs"]
        defaults = [schema["default"]] if "default" in schema else []
        for value in [*schema.get("examples", ()), *defaults]:
            Draft202012Validator({**schema, "$defs": TESTS["$defs"]}).validate(value)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"cases": []},
        {"cases": [{"name": "n", "event": {"type": "t", "event": "e"}}]},
        {"cases": [{"name": "n", "event": {"type": "t"}, "expect": []}]},
        {"cases": [{"name": "n", "event": {"type": "t", "event": True}, "expect": []}]},
        {"cases": [{"name": "n", "event": {"type": "t", "event": "e"}, "expect": [{"bodi": 1}]}]},
        {"cases": [{"name": "n", "event": {"type": "t", "event": "e"}, "expect": [{"body": 1}]}]},
    ],
    ids=str,
)
def test_an_editor_marks_a_test_file_that_is_wrong(document: dict[str, Any]) -> None:
    assert not Draft202012Validator(TESTS).is_valid(document)


def test_it_is_the_file_in_the_checkout() -> None:
    tests = (TOP / "schema" / "hookd.test.schema.json").read_text(encoding="utf-8")
    assert config.schema_text(tests=True) == tests
    assert config.schema_text() == (TOP / "schema" / "hookd.schema.json").read_text(encoding="utf-8")


def test_the_example_shows_every_key() -> None:
    text = (TOP / "config.example.yaml").read_text(encoding="utf-8")
    keys = {name for schema in ALL.values() for name in schema.get("properties", {})}
    assert not {key for key in keys if f"{key}:" not in text}
