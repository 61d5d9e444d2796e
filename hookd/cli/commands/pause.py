"""`hookd pause`: parks a webhook until it is resumed.

Must never: change the config.
"""

import argparse
import shlex

from hookd.cli.client import address
from hookd.cli.options import add_json, text
from hookd.cli.output.terminal import as_json
from hookd.domain.text import counted, printable

DESCRIPTION = """Pause a webhook: its deliveries wait, across restarts, until `hookd resume`.

Attempts under way go on to their end."""
EXAMPLE = "hookd pause ops-slack"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a webhook."""
    parser.add_argument("webhook", metavar="WEBHOOK", type=text, help="the webhook's name")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Pause it; 0 also where it was paused already."""
    from urllib.parse import quote

    lane = address.from_options(options).send(f"/v1/webhooks/{quote(options.webhook, safe='')}/pause")
    if options.json:
        print(as_json(lane))
        return 0
    waiting = counted(lane["pending"], "delivery waits", "deliveries wait")
    print(printable(f"{lane['name']} is paused; {waiting} until `hookd resume {shlex.quote(lane['name'])}`"))
    return 0
