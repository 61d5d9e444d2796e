"""`hookd types`: the catalogue of events, and which rules are about each (spec 8).

Must never: talk to the daemon.
"""

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hookd.cli.config_option import add_config, read_config
from hookd.cli.failure import REFUSED
from hookd.cli.options import add_json
from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

if TYPE_CHECKING:
    from hookd.domain.definitions import Config, EventDef, TypeDef

DESCRIPTION = """List the types of events and, for each event, the rules that are about it.

The types are those of the catalogue (types:), or without one those that the rules name, and hookd's own. Read
from the config alone; the daemon is not asked."""
EXAMPLE = "hookd types"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which config."""
    add_config(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """List them."""
    config = read_config(options)
    if config is None:
        return REFUSED
    print(as_json(as_objects(config)) if options.json else "\n".join(listing_lines(config)))
    return 0


def as_objects(config: "Config") -> list[dict[str, Any]]:
    """The types for tools, each with its events and the rules on these."""
    from hookd.domain.operator_events import OWN_TYPES

    rules = _by_event(config)
    return [
        {
            "name": kind.name,
            "description": kind.description,
            "objects": kind.objects,
            "events": [
                {"name": event, "rules": [_rule_object(rule) for rule in rules.get((kind.name, event), ())]}
                for event in kind.events
            ],
        }
        for kind in [*_types(config), *OWN_TYPES.values()]
    ]


def listing_lines(config: "Config") -> list[str]:
    """The types for people."""
    from hookd.domain.operator_events import OWN_TYPES

    types, rules = _types(config), _by_event(config)
    lines = []
    if not types:
        lines = ["no types: the config has neither a catalogue (types:) nor event rules", ""]
    elif config.types is None:
        lines = ["no catalogue (types:); the rules name", ""]
    for kind in types:
        lines += _type_lines(kind, rules, config)
    lines += [*([""] if types else []), "hookd's own", ""]
    for kind in OWN_TYPES.values():
        lines += _type_lines(kind, rules, config)
    return [printable(line) for line in lines]


def _type_lines(
    kind: "TypeDef", rules: "Mapping[tuple[str, str], list[EventDef]]", config: "Config"
) -> Iterator[str]:
    generic = "" if kind.objects else " (generic: no object, no tags)"
    description = f": {kind.description}" if kind.description else ""
    yield f"{kind.name}{generic}{description}"
    for event in kind.events:
        yield f"  {event}"
        yield from _rule_lines(rules.get((kind.name, event), []), config)


def _types(config: "Config") -> "list[TypeDef]":
    """The types that are the operator's."""
    from hookd.domain.definitions import TypeDef
    from hookd.domain.operator_events import OWN
    from hookd.dryrun.explain import named_by_rules

    if config.types is not None:
        return list(config.types.values())
    return [
        TypeDef(name, events) for name, events in named_by_rules(config).items() if not name.startswith(OWN)
    ]


def _by_event(config: "Config") -> "dict[tuple[str, str], list[EventDef]]":
    found: dict[tuple[str, str], list[EventDef]] = {}
    for rule in config.event_rules():
        found.setdefault((rule.type, rule.event), []).append(rule)
    return found


def _rule_object(rule: "EventDef") -> dict[str, Any]:
    return {
        "place": rule.place,
        "tasks": list(rule.tasks),
        "object": rule.object,
        "tag": rule.tag,
        "where": rule.where,
        "enabled": rule.enabled,
    }


def _rule_lines(rules: "list[EventDef]", config: "Config") -> Iterator[str]:
    if not rules:
        yield "    no rule"
    for rule in rules:
        conditions = (("object", rule.object), ("tag", rule.tag), ("where", rule.where))
        asked = "".join(f", {word} {value}" for word, value in conditions if value is not None)
        off = "" if rule.enabled else " (not enabled)"
        tasks = ", ".join(
            name if config.tasks[name].enabled else f"{name} (not enabled)" for name in rule.tasks
        )
        yield f"    {rule.place}{off}{asked} -> {tasks}"
