"""`hookd rearm`: lets a task that runs once only run once more.

Must never: run it.
"""

import argparse

from hookd.cli.client import address
from hookd.cli.options import add_json, text
from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

DESCRIPTION = """Let a spent task (`delete_after_running: true`, and it has run) run once more, when it is fired next.

`hookd status` lists the spent ones."""
EXAMPLE = "hookd rearm first-boot"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a task."""
    parser.add_argument("task", metavar="TASK", type=text, help="the task's name")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Rearm it; 0 also where it was not spent."""
    from urllib.parse import quote

    answer = address.from_options(options).send(f"/v1/tasks/{quote(options.task, safe='')}/rearm")
    told = "runs once more when it is fired next" if answer["rearmed"] else "is not spent: nothing to do"
    print(as_json(answer) if options.json else printable(f"{answer['task']} {told}"))
    return 0
