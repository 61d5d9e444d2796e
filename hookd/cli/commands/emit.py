"""`hookd emit`: posts one event, or a file of them.

Made for scripts and cron: its start-up time matters (spec 8).

Must never: import more than it needs, or judge an event; the daemon does. Called by: `hookd.cli`.
"""

import argparse

from hookd.cli import address
from hookd.cli.options import add_json, add_occurrence, occurrence, text
from hookd.cli.receipts import receipt_lines
from hookd.cli.screen import as_json

DESCRIPTION = """Post an event and wait until it is safely stored. Prints its id and the deliveries it made.

With --file, post a file of events, one JSON object a line. It is sent in parts of up to 500 events, each
taken whole or not at all; the first part that is refused ends it, and its lines are named."""
EXAMPLE = """hookd emit virtual_machine powered_on --object web-01 --tag production --data '{"host": "node2"}'
  hookd emit --file events.ndjson"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take an event, or a file."""
    parser.usage = "hookd emit TYPE EVENT [options]\n       hookd emit --file FILE [options]"
    parser.add_argument(
        "type", metavar="TYPE", nargs="?", type=text, help="the event's type, such as virtual_machine"
    )
    parser.add_argument(
        "event", metavar="EVENT", nargs="?", type=text, help="what happened, such as powered_on"
    )
    add_occurrence(parser)
    parser.add_argument(
        "--id",
        metavar="ID",
        type=text,
        help="the event's id: posted again under the same id, it is taken once",
    )
    parser.add_argument(
        "--file", metavar="FILE", help="a file of events, one JSON object a line; - is standard input"
    )
    add_json(parser)
    address.add_options(parser)
    parser.set_defaults(refuse=parser.error)


def run(options: argparse.Namespace) -> int:
    """Post; 0 when everything was taken."""
    single = (
        options.type,
        options.event,
        options.object,
        options.object_id,
        options.data,
        options.id,
        *options.tag,
    )
    if options.file is not None:
        if any(value is not None for value in single):
            options.refuse("--file stands alone: the events' fields are in the file")
        from hookd.cli.batches import post_file

        return post_file(address.from_options(options), options.file, as_answer=options.json)
    if options.type is None or options.event is None:
        options.refuse("TYPE and EVENT are required (or --file)")
    body = occurrence(options, type=options.type, event=options.event, id=options.id)
    answer = address.from_options(options).send("/v1/events", body)
    print(as_json(answer) if options.json else "\n".join(receipt_lines(answer)))
    return 0
