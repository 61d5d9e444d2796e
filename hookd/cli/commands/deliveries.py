"""`hookd deliveries`: lists deliveries, newest first.

Must never: hold more than a page in memory, so that a backlog of a million can be listed.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial

from hookd.cli.client import address
from hookd.cli.client.api_client import DeliveryData
from hookd.cli.client.delivery_ids import with_event
from hookd.cli.client.listing import pages
from hookd.cli.filters import add_filters, chosen, require_known
from hookd.cli.options import add_json, add_wide, whole_number
from hookd.cli.output.terminal import (
    UNBOUNDED,
    Table,
    as_json_line,
    short_id,
    terminal_width,
    to_the_second,
)

DESCRIPTION = """List deliveries, newest first.

--since and --until compare when a delivery was made; both take an instant (2026-01-02T03:04:05Z) or a
duration back from now (10m, 2h, 7d). In a long history it goes on until it has found --limit deliveries or has
seen all, and says so on standard error.

On a terminal, ids are shortened, and columns that it is too narrow for are left out; every command takes such an id.
With --wide, or into a pipe, all is printed."""
EXAMPLE = "hookd deliveries --state dead --webhook ops-slack --since 2h"

STATES = ("pending", "sending", "delivered", "dead", "cancelled")
TITLES = ("ID", "STATE", "WEBHOOK", "TASK", "ATTEMPTS", "CREATED", "NEXT OR LAST")
SHRINKABLE = (2, 3, 6)
DROPPABLE = (5, 4, 3)
"""Columns that a narrow terminal goes without, the least important first: an id begins with the time anyway."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the filters of spec 8."""
    add_filters(parser, STATES)
    parser.add_argument(
        "--limit", metavar="N", type=whole_number, default=50, help="at most N (default 50; 0: all)"
    )
    add_json(parser)
    add_wide(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """List them; 0 also where none match, but not of an event that there is not."""
    client = address.from_options(options)
    given = with_event(client, chosen(options))
    listing = pages(client, given, limit=options.limit, say=partial(print, file=sys.stderr))
    width = terminal_width(wide=options.wide)
    any_listed = _print_json(listing) if options.json else _print_table(listing, width)
    if not any_listed:
        require_known(client, given)
    return 0


def _print_json(listing: Iterator[tuple[list[DeliveryData], bool]]) -> bool:
    """Print a JSON array, an element a line; whether there was any."""
    opening = "["
    for page, _ in listing:
        for delivery in page:
            print(opening, as_json_line(delivery), sep="\n", end="")
            opening = ","
    print("[]" if opening == "[" else "\n]")
    return opening == ","


def _print_table(listing: Iterator[tuple[list[DeliveryData], bool]], width: int) -> bool:
    """Print a table; whether there was any delivery."""
    table: Table | None = None
    more = False
    for page, more in listing:  # noqa: B007 - what the last page says is told below
        if page:
            rows = [_fitting(table_row(delivery), width) for delivery in page]
            table = table or _headed(rows, width)
            print("\n".join(map(table.row, rows)))
    if table is None:
        print("no deliveries match")
    elif more:
        print("there may be more: --limit 0 lists all", file=sys.stderr)
    return table is not None


def _fitting(row: tuple[str, ...], width: int) -> tuple[str, ...]:
    """The row as it is, or with a short id for a terminal."""
    return row if width == UNBOUNDED else (short_id(row[0]), *row[1:])


def _headed(rows: list[tuple[str, ...]], width: int) -> Table:
    """A table laid out for these rows, its head already printed."""
    table = Table(TITLES, rows, shrinkable=SHRINKABLE, width=width, droppable=DROPPABLE)
    print(table.head())
    return table


def table_row(delivery: DeliveryData) -> tuple[str, ...]:
    """A delivery as a row under `TITLES`."""
    state = delivery["state"] + (f" ({delivery['parked']})" if delivery["parked"] else "")
    return (
        delivery["id"],
        state,
        delivery["webhook"],
        delivery["task"] or "-",
        str(delivery["attempt"]),
        to_the_second(delivery["created_at"]),
        outlook(delivery),
    )


def outlook(delivery: DeliveryData) -> str:
    """What comes next for a delivery, or how it ended, with the last answer."""
    last = str(delivery["last_status"] or delivery["last_error"] or "")
    match delivery["state"]:
        case "pending" if delivery["parked"]:
            return _joined("waits", last and f"last: {last}")
        case "pending" if delivery.get("held_until"):
            return _joined(f"held until {to_the_second(delivery['held_until'])}", last and f"last: {last}")
        case "pending":
            return _joined(f"next {to_the_second(delivery['due_at'])}", last and f"last: {last}")
        case "sending":
            return "under way"
        case "dead":
            return delivery["detail"] or last
        case _:
            return _joined(to_the_second(delivery["finished_at"]), last)


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
