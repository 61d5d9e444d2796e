"""`hookd retry`: makes deliveries due now, one by one or by a filter.

Must never: decide which may be retried; the daemon does.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial

from hookd.cli.client import address
from hookd.cli.client.api_client import Client, DeliveryData
from hookd.cli.client.delivery_ids import act, with_event
from hookd.cli.client.listing import retry_all
from hookd.cli.failure import Failure
from hookd.cli.filters import add_filters, chosen, notes
from hookd.cli.options import add_json, text
from hookd.cli.output.health import what_holds
from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

DESCRIPTION = """Send deliveries again: those with these ids, or all that match a filter.

Dead, cancelled and delivered ones are sent again, under the same webhook-id; one that waits is due now.
By filter, dead ones are taken unless --state says otherwise. --since and --until compare when a delivery was
made; both take an instant (2026-01-02T03:04:05Z) or a duration back from now (10m, 2h, 7d). A long history is
gone through part by part, the newest deliveries first."""
EXAMPLE = """hookd retry dlv_0198f2c76f0e7c1b9d550a8e5b7f3c21
  hookd retry --state dead --webhook ops-slack --since 2h --dry-run"""

MOST_NOTES = 5
"""Webhooks of which it is said why they wait."""

STATES = ("dead", "cancelled", "delivered", "pending")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take ids, or filters."""
    parser.usage = "hookd retry ID... [options]\n       hookd retry --state dead [filters] [options]"
    parser.add_argument(
        "ids",
        metavar="ID",
        nargs="*",
        type=text,
        help="the deliveries' ids, as `hookd deliveries` prints them, or their first 12 digits or more",
    )
    add_filters(parser, STATES)
    parser.add_argument("--dry-run", action="store_true", help="with filters: only print how many match")
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Retry; 0 when nothing was refused, also where nothing matches."""
    given = chosen(options)
    if options.ids and (given or options.dry_run):
        options.refuse("ids cannot be combined with filters or --dry-run")
    if not options.ids and not given:
        options.refuse("which deliveries? Ids, or a filter such as --state dead")
    client = address.from_options(options)
    if options.ids:
        return act(client, options.ids, "retry", outcome=_outcome, as_answer=options.json)
    given = with_event(client, given)
    counts = retry_all(
        client, {"state": "dead", **given, "dry_run": options.dry_run}, say=partial(print, file=sys.stderr)
    )
    print(as_json(counts) if options.json else _counts(counts, dry_run=options.dry_run))
    if counts["retried"]:
        for note in _waiting(client, given.get("webhook")):
            print(printable(note), file=sys.stderr)
    if not counts["matched"]:
        for note in notes(client, given):
            print(printable(note), file=sys.stderr)
    return 0


def _waiting(client: Client, webhook: str | None) -> Iterator[str]:
    """Which of the webhooks concerned do not send now, and what helps; nothing where that cannot be learnt."""
    try:
        found = client.get("/v1/webhooks")["webhooks"]
    except Failure:
        return
    lanes = [lane for lane in found if webhook in (None, lane["name"])]
    held = [lane for lane in lanes if lane["pending"] and (lane["parked"] or lane["held_until"])]
    for lane in held[:MOST_NOTES]:
        yield f"{lane['name']} waits: {what_holds({**lane, 'webhook': lane['name']})}"
    if len(held) > MOST_NOTES:
        yield f"and {len(held) - MOST_NOTES} more webhooks wait: `hookd status`"


def _outcome(delivery: DeliveryData) -> str:
    if waits := what_holds(delivery):
        return f"{delivery['id']}  waits: {waits}"
    return f"{delivery['id']}  due now, to {delivery['webhook']}"


def _counts(counts: dict[str, int], *, dry_run: bool) -> str:
    if dry_run:
        return f"{counts['matched']} would be retried"
    left = counts["matched"] - counts["retried"]
    return f"{counts['retried']} retried" + (f", {left} more had changed meanwhile" if left else "")
