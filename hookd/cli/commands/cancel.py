"""`hookd cancel`: ends deliveries that wait.

Must never: decide which may be cancelled; the daemon does.
"""

import argparse

from hookd.cli.client import address
from hookd.cli.client.api_client import DeliveryData
from hookd.cli.client.delivery_ids import act
from hookd.cli.options import add_json, text

DESCRIPTION = """Cancel deliveries that wait: they are not attempted any more.

One that is finished, or whose attempt is under way, is refused. `hookd retry ID` takes it back."""
EXAMPLE = "hookd cancel dlv_0198f2c76f0e7c1b9d550a8e5b7f3c21"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take ids."""
    parser.add_argument(
        "ids",
        metavar="ID",
        nargs="+",
        type=text,
        help="the deliveries' ids, as `hookd deliveries` prints them, or their first 12 digits or more",
    )
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Cancel; 0 when all were."""
    client = address.from_options(options)
    return act(client, options.ids, "cancel", outcome=_outcome, as_answer=options.json)


def _outcome(delivery: DeliveryData) -> str:
    return f"{delivery['id']}  cancelled, it was for {delivery['webhook']}"
