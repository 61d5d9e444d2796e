"""What keeps deliveries that were just made from being sent: their webhook is parked.

Must never: print, or fail; the deliveries are stored, so that not knowing is no failure.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hookd.cli.client.client import Client
from hookd.cli.client.delivery_ids import path_of
from hookd.cli.errors import Failure
from hookd.cli.output.health import parked_remedy
from hookd.domain.text import printable


def parked_lines(client: Client, answer: Mapping[str, Any]) -> Iterator[str]:
    """A line for each delivery of a receipt that waits for more than its turn: why, and what helps."""
    for made in answer["deliveries"]:
        try:
            delivery = client.get(path_of(made["id"]))
        except Failure:
            continue
        if delivery["parked"]:
            yield printable(f"  it waits: {parked_remedy(delivery['parked'], delivery['webhook'])}")
