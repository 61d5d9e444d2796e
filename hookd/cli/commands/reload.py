"""`hookd reload`: makes the daemon read its configuration again and waits for the verdict (spec 7).

Must never: read the configuration itself.
"""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from hookd.cli.client import address
from hookd.cli.options import add_json
from hookd.cli.output.generation_words import generation_words
from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

DESCRIPTION = """Make the daemon read its config again, and wait for the verdict. Prints what changed.

A config with errors is refused: the errors are printed, the exit code is 1, the old config stays in force."""
EXAMPLE = "hookd reload"

SIGNS = (("added", "+"), ("changed", "~"), ("removed", "-"))

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
    return [
        printable(f"in force: config {generation_words(answer)}"),
        *(changed or ["nothing changed"]),
        *restart_lines(answer["restart_needed"]),
    ]


def restart_lines(keys: Iterable[str]) -> list[str]:
    """The keys of `daemon:` that only a restart puts into force."""
    return [f"restart needed for {printable(key)}: `systemctl restart hookd`" for key in keys]


def section_head(section: str, counts: Mapping[str, int]) -> str:
    """`webhooks +1 ~2 -0`: how many of a section were added, changed and removed."""
    return " ".join([section, *(f"{sign}{counts.get(kind, 0)}" for kind, sign in SIGNS)])


def _section_lines(section: str, changes: Mapping[str, list[str]]) -> list[str]:
    counts = {kind: len(names) for kind, names in changes.items()}
    if not any(counts.values()):
        return []
    names = [f"  {sign} {printable(name)}" for kind, sign in SIGNS for name in changes.get(kind, ())]
    return [section_head(section, counts), *names]
