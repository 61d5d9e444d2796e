"""`hookd diff`: what the config on disk would change, by name and field (spec 8).

The daemon compares: it alone has the environment, files and credentials that the config refers to.

Must never: show the value of a secret, or change anything.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from hookd.cli.client import address
from hookd.cli.commands.reload import SIGNS, restart_lines, section_head
from hookd.cli.failure import REFUSED
from hookd.cli.options import add_json
from hookd.cli.output.generation_words import generation_words
from hookd.cli.output.terminal import as_json, shortened
from hookd.domain.text import printable

DESCRIPTION = """Compare the config on disk with the one in force: by name and field, and how many deliveries wait for
each webhook that differs. Of a secret, only that it changed is shown. The daemon changes nothing.

A config with errors is reported as by `hookd check`, with exit code 1."""
EXAMPLE = "hookd diff --exit-code"

TIMEOUT_S = 60.0
LONGEST_VALUE = 300
"""Characters of a value that are shown; `--json` has all."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what the exit code says, and where the daemon is."""
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if anything differs")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Ask and print; 1 where the config on disk is invalid, or with `--exit-code` where it differs."""
    answer = address.from_options(options).send("/v1/config/diff", timeout_s=TIMEOUT_S)
    print(as_json(answer) if options.json else "\n".join(lines_of(answer)))
    return REFUSED if not answer["valid"] or (options.exit_code and answer["differs"]) else 0


def lines_of(answer: Mapping[str, Any]) -> list[str]:
    """The comparison for people."""
    if not answer["valid"]:
        return [diagnostic_line(diagnostic) for diagnostic in answer["findings"]]
    in_force, on_disk = answer["in_force"], answer["on_disk"]
    sections = groupby(answer["changes"], key=lambda change: change["section"])
    changed = [line for section, changes in sections for line in _section_lines(section, list(changes))]
    same = "nothing differs" if in_force["hash"] == on_disk["hash"] else "nothing differs but the files' text"
    return [
        printable(f"in force  {generation_words(in_force)}"),
        printable(f"on disk   {generation_words(on_disk)}"),
        *(changed or [same]),
        *restart_lines(answer["restart_needed"]),
    ]


def diagnostic_line(diagnostic: Mapping[str, Any]) -> str:
    """A diagnostic as `hookd check` prints it."""
    from hookd.config import Diagnostic, Severity

    return printable(str(Diagnostic(**{**diagnostic, "severity": Severity(diagnostic["severity"])})))


def _section_lines(section: str, changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    counts = {kind: sum(change["change"] == kind for change in changes) for kind, _ in SIGNS}
    signs = dict(SIGNS)
    yield section_head(section, counts)
    for change in changes:
        waiting = change.get("waiting", 0)
        wait = f" ({waiting} {'waits' if waiting == 1 else 'wait'})" if waiting else ""
        yield printable(f"  {signs[change['change']]} {change['name']}{wait}")
        for field in change["fields"]:
            yield printable(f"      {field['field']}: {_change(field['old'], field['new'])}")


def _change(old: Any, new: Any) -> str:
    was, now = _reference(old), _reference(new)
    if was is None or now is None:
        return f"{_shown(old)} → {_shown(new)}"
    if was != now:
        return f"changed ({was or 'literal'} → {now or 'literal'})"
    return f"changed (the value of {was})" if was else "changed"


def _reference(value: Any) -> str | None:
    """Where a secret comes from: `env NAME`, …, or nowhere, a literal; None for what is no secret."""
    if isinstance(value, dict) and value.keys() == {"secret"}:
        given = str(value["secret"])
        return given if " " in given else ""
    return None


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    shown = _shown_value(value)
    text = shown if isinstance(shown, str) and shown else json.dumps(shown, ensure_ascii=False)
    return shortened(text, LONGEST_VALUE)


def _shown_value(value: Any) -> Any:
    """The value with a few words in place of each secret."""
    if (reference := _reference(value)) is not None:
        return f"({reference or 'hidden'})"
    if isinstance(value, dict):
        return {key: _shown_value(each) for key, each in value.items()}
    return [_shown_value(each) for each in value] if isinstance(value, list) else value
