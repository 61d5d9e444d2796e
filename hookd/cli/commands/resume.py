"""`hookd resume`: ends the pause of a webhook, and a hold that its receiver asked for.

Must never: change the config.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from hookd.cli.client import address
from hookd.cli.options import add_json, text
from hookd.cli.output.health import parked_remedy
from hookd.cli.output.terminal import as_json
from hookd.domain.text import counted, printable

DESCRIPTION = """End the pause of a webhook: what waits for it is sent.

A pause that its receiver asked for (`Retry-After`) ends as well. A receiver that is down is probed at once."""
EXAMPLE = "hookd resume ops-slack"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a webhook."""
    parser.add_argument("webhook", metavar="WEBHOOK", type=text, help="the webhook's name")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Resume it; 0 also where it was not paused."""
    from urllib.parse import quote

    lane = address.from_options(options).send(f"/v1/webhooks/{quote(options.webhook, safe='')}/resume")
    print(as_json(lane) if options.json else printable(_told(lane)))
    return 0


def _told(lane: Mapping[str, Any]) -> str:
    if lane["parked"]:
        return f"{lane['name']} is not paused, but parked: {parked_remedy(lane['parked'], lane['name'])}"
    waiting = counted(lane["pending"], "delivery goes", "deliveries go")
    return f"{lane['name']} is not paused" + (f"; {waiting} on" if lane["pending"] else "")
