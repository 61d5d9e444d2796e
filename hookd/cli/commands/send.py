"""`hookd send`: sends a message to a webhook, to try it out.

Must never: make the request itself; it goes the way of every delivery.
"""

import argparse
import json

from hookd.cli.client import address
from hookd.cli.client.wait import print_made
from hookd.cli.options import add_json, sent_text

DESCRIPTION = """Send a message to a webhook through the real path: stored, signed, retried. Prints its delivery.

The message is what a task's `message: TEXT` would be: for a webhook that sends JSON a JSON template, for any other
plain text; variables such as ${DATE} are filled in. Without --message it is {"text": "Webhook"}."""
EXAMPLE = """hookd send ops-slack
  hookd send ops-slack --message '{"text": "a test at ${DATE}"}'"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a webhook and a message."""
    parser.add_argument("webhook", metavar="WEBHOOK", type=sent_text("WEBHOOK"), help="the webhook's name")
    parser.add_argument("--message", metavar="TEXT", type=sent_text("--message"), help="what to send")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Send it; 0 once it is safely stored."""
    from urllib.parse import quote

    client = address.from_options(options)
    body = {} if options.message is None else {"message": options.message}
    path = f"/v1/webhooks/{quote(options.webhook, safe='')}/send"
    answer = client.make_delivery(path, json.dumps(body).encode())
    print_made(client, answer, as_answer=options.json)
    return 0
