"""`hookd trigger`: runs a task on demand.

Must never: decide what the task sends.
"""

import argparse
import shlex

from hookd.cli.client import address
from hookd.cli.client.api_client import Refusal
from hookd.cli.client.wait import parked_lines
from hookd.cli.failure import Failure
from hookd.cli.options import add_json, add_occurrence, occurrence, text
from hookd.cli.output.receipts import receipt_lines
from hookd.cli.output.terminal import as_json

DESCRIPTION = (
    "Run a task now, whatever its rules say, even one that is not enabled. Prints the delivery it made.\n\n"
    "One that runs once only and has run is refused; `hookd rearm` lets it run once more."
)
EXAMPLE = 'hookd trigger nightly-report --data \'{"reason": "by hand"}\''


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a task and what its message is filled with."""
    parser.add_argument("task", metavar="TASK", type=text, help="the task's name")
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
    if options.json:
        print(as_json(answer))
        return 0
    print("\n".join(receipt_lines(answer)))
    for line in parked_lines(client, answer):
        print(line)
    return 0
