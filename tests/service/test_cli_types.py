"""`hookd types`: the catalogue, or what the rules name, and the rules on each event."""

import argparse
import json
from pathlib import Path

import pytest

from hookd.cli.commands import types as command
from hookd.cli.options import Parser
from hookd.domain.operator_events import OWN_TYPES

CATALOGUE = """
types:
  virtual_machine: {events: [powered_on, powered_off], description: "Machines\\e[2J"}
  alarm: {events: [raised], objects: false}
"""
RULES = """
webhooks: {w: {url: "http://127.0.0.1:9/"}}
tasks:
  page:
    webhook: w
    triggers: [{type: virtual_machine, event: powered_on, where: "data.n > 3"}]
  keep: {webhook: w, enabled: false}
events:
  prod: {type: virtual_machine, event: powered_on, tag: production, task: [page, keep]}
  web: {type: virtual_machine, event: powered_on, object: web-01, task: keep, enabled: false}
  raised: {type: alarm, event: raised, task: page}
"""


def rule(place: str, *tasks: str, **fields: object) -> dict[str, object]:
    return {
        "place": place, "tasks": list(tasks), "object": None, "tag": None, "where": None, "enabled": True, **fields
    }  # fmt: skip


POWERED_ON = {
    "name": "powered_on",
    "rules": [
        rule("events.prod", "page", "keep", tag="production"),
        rule("events.web", "keep", object="web-01", enabled=False),
        rule("tasks.page.triggers[0]", "page", where="data.n > 3"),
    ],
}
OWN: list[dict[str, object]] = [
    {
        "name": kind.name,
        "description": kind.description,
        "objects": True,
        "events": [{"name": event, "rules": []} for event in kind.events],
    }
    for kind in OWN_TYPES.values()
]
OWN_LINES = [
    "hookd's own",
    "",
    *(
        line
        for kind in OWN_TYPES.values()
        for line in (f"{kind.name}: {kind.description}", *(f"  {e}\n    no rule" for e in kind.events))
    ),
]
RAISED = {"name": "raised", "rules": [rule("events.raised", "page")]}


def ran(path: Path, text: str, *words: str) -> int:
    path = path / "hookd.yaml"
    path.write_text(text)
    parser = Parser()
    command.arguments(parser)
    options: argparse.Namespace = parser.parse_args(["-c", str(path), *words])
    return command.run(options)


def test_the_catalogue_for_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(tmp_path, CATALOGUE + RULES, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "virtual_machine",
            "description": "Machines\x1b[2J",
            "objects": True,
            "events": [POWERED_ON, {"name": "powered_off", "rules": []}],
        },
        {"name": "alarm", "description": "", "objects": False, "events": [RAISED]},
        *OWN,
    ]


def test_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(tmp_path, CATALOGUE + RULES) == 0
    assert capsys.readouterr().out.splitlines() == [
        r"virtual_machine: Machines\x1b[2J",
        "  powered_on",
        "    events.prod, tag production -> page, keep (not enabled)",
        "    events.web (not enabled), object web-01 -> keep (not enabled)",
        "    tasks.page.triggers[0], where data.n > 3 -> page",
        "  powered_off",
        "    no rule",
        "alarm (generic: no object, no tags)",
        "  raised",
        "    events.raised -> page",
        "",
        *"\n".join(OWN_LINES).splitlines(),
    ]


def test_without_a_catalogue_what_the_rules_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(tmp_path, RULES, "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": "virtual_machine", "description": "", "objects": True, "events": [POWERED_ON]},
        {"name": "alarm", "description": "", "objects": True, "events": [RAISED]},
        *OWN,
    ]
    assert ran(tmp_path, RULES) == 0
    assert capsys.readouterr().out.startswith("no catalogue (types:); the rules name\n\nvirtual_machine\n")


def test_that_there_are_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(tmp_path, "events: {}") == 0
    none = "no types: the config has neither a catalogue (types:) nor event rules"
    assert capsys.readouterr().out.splitlines() == [none, "", *"\n".join(OWN_LINES).splitlines()]
    assert ran(tmp_path, "events: {}", "--json") == 0
    assert json.loads(capsys.readouterr().out) == OWN


@pytest.mark.parametrize("catalogue", [CATALOGUE, ""])
def test_hookds_own_types_stand_apart_with_their_rules(
    catalogue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = RULES + "  dead: {type: hookd.delivery, event: dead, object: w, task: page}\n"
    assert ran(tmp_path, catalogue + rules) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("hookd's own")
    dead = ["hookd.delivery: A delivery that will not be attempted again", "  dead"]
    assert lines[at + 2 : at + 5] == [*dead, "    events.dead, object w -> page"]
    assert not any(line.startswith("hookd.") for line in lines[:at])


def test_an_invalid_config_is_told_as_check_tells_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(tmp_path, CATALOGUE + RULES.replace("event: raised", "event: risen")) == 1
    assert "events.raised.event: " in capsys.readouterr().out
