"""`hookd reload`: makes the daemon read its configuration again and waits for the verdict (spec 7).

Must never: read the configuration itself. Called by: `hookd.cli`, and a unit's `ExecReload`.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from hookd.cli import address
from hookd.cli.options import add_json
from hookd.cli.screen import as_json, visible

DESCRIPTION = """Make the daemon read its config again, and wait for the verdict. Prints what changed.

A config with errors is refused: the errors are printed, the exit code is 1, the old config stays in force."""
EXAMPLE = "hookd reload"

TIMEOUT_S = 180.0
"""A tree of many thousand definitions takes its time."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the daemon is."""
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Reload; 0 when the config on disk is in force."""
    answer = address.from_options(options).send("/v1/reload", timeout_s=TIMEOUT_S)
    print(as_json(answer) if options.json else "\n".join(change_lines(answer)))
    return 0


def change_lines(answer: Mapping[str, Any]) -> list[str]:
    """What a reload changed, section by section, by name."""
    changed = [
        line for section, changes in answer["changes"].items() for line in _section_lines(section, changes)
    ]
    needed = [
        f"restart needed for {visible(name)}: `systemctl restart hookd`" for name in answer["restart_needed"]
    ]
    return [
        f"in force: config number {answer['number']}, hash {visible(answer['hash'])}",
        *(changed or ["nothing changed"]),
        *needed,
    ]


def _section_lines(section: str, changes: Mapping[str, list[str]]) -> list[str]:
    signs = (("added", "+"), ("changed", "~"), ("removed", "-"))
    if not any(changes.get(kind) for kind, _ in signs):
        return []
    counts = " ".join(f"{sign}{len(changes.get(kind, ()))}" for kind, sign in signs)
    names = [f"  {sign} {visible(name)}" for kind, sign in signs for name in changes.get(kind, ())]
    return [f"{section} {counts}", *names]
