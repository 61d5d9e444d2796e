"""`hookd trigger`: runs a task on demand.

Must never: decide what the task sends.
"""

import argparse
import shlex

from hookd.cli.client import address
from hookd.cli.client.api_client import Refusal
from hookd.cli.client.wait import print_made
from hookd.cli.failure import Failure
from hookd.cli.options import add_json, add_occurrence, occurrence, sent_text

DESCRIPTION = (
    "Run a task now, whatever its rules say, even one that is not enabled. Prints the delivery it made.\n\n"
    "One that runs once only and has run is refused; `hookd rearm` lets it run once more."
)
EXAMPLE = 'hookd trigger nightly-report --data \'{"reason": "by hand"}\''


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a task and what its message is filled with."""
    parser.add_argument("task", metavar="TASK", type=sent_text("TASK"), help="the task's name")
    add_occurrence(parser)
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Trigger it."""
    from urllib.parse import quote

    client = address.from_options(options)
    path = f"/v1/tasks/{quote(options.task, safe='')}/trigger"
    try:
        answer = client.make_delivery(path, occurrence(options))
    except Refusal as refusal:
        if refusal.status != 409:
            raise
        remedy = f"that is: `hookd rearm {shlex.quote(options.task)}`"
        raise Failure(*refusal.lines, remedy, code=refusal.code) from None
    print_made(client, answer, as_answer=options.json)
    return 0
