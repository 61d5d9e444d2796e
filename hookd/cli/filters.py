"""The options that choose deliveries from the history, and what is said where a name in them is not known.

Must never: print.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from hookd.cli.client.api_client import Client
from hookd.cli.client.listing import pages
from hookd.cli.failure import Failure
from hookd.cli.options import duration, text
from hookd.domain.text import near
from hookd.domain.times import date_time, is_date_time, read_seconds

FILTERS = ("state", "webhook", "task", "event", "since", "until")
NAMED = {"webhook": "webhooks", "task": "tasks"}
"""The filters that take a name, and the section of the config it comes from."""


def add_filters(parser: argparse.ArgumentParser, states: Sequence[str]) -> None:
    """Add the filters of spec 8; `states` are those that may be asked for."""
    parser.add_argument(
        "--state", choices=states, help="only those in this state: %(choices)s", metavar="STATE"
    )
    add_names(parser)
    parser.add_argument("--event", metavar="ID", type=text, help="only those of the event with this id")
    parser.add_argument("--since", metavar="WHEN", type=moment, help="only those made then or later")
    parser.add_argument("--until", metavar="WHEN", type=moment, help="only those made before")
    parser.set_defaults(refuse=parser.error)


def add_names(parser: argparse.ArgumentParser) -> None:
    """Add `--webhook` and `--task`."""
    parser.add_argument("--webhook", metavar="NAME", type=text, help="only those to this webhook")
    parser.add_argument("--task", metavar="NAME", type=text, help="only those of this task")


def moment(value: str) -> str:
    """An argument that is an instant or a duration back from now."""
    try:
        return parse_moment(value, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_moment(value: str, now: float) -> str:
    """A date-time in UTC from one with any offset, with `T` or a space in it, or from a duration back from `now`.

    Raises:
        ValueError: it is neither.
    """
    written = value.replace(" ", "T", 1)
    try:
        at = read_seconds(written) if is_date_time(written) else now - duration(value)
        return date_time(at, "auto")
    except (argparse.ArgumentTypeError, OverflowError):
        raise ValueError(
            f"{value!r} is neither an instant such as 2026-01-02T03:04:05Z nor a duration such as 10m or 2h"
        ) from None


def chosen(options: argparse.Namespace) -> dict[str, str]:
    """The filters that were given, as the API takes them; ends with exit code 2 where nothing can match."""
    given = {name: getattr(options, name) for name in FILTERS if getattr(options, name) is not None}
    since, until = given.get("since"), given.get("until")
    if since and until and datetime.fromisoformat(since) > datetime.fromisoformat(until):
        options.refuse(f"--since ({since}) is later than --until ({until}): swap the two")
    return given


def require_known(client: Client, given: Mapping[str, str]) -> None:
    """Refuse an event that is not kept, and names that neither the config nor the history has. Raises Failure."""
    if "event" in given:
        from urllib.parse import quote

        client.get(f"/v1/events/{quote(given['event'], safe='')}")
    for kind, name, meant in _strangers(client, given):
        if not any(page for page, _ in pages(client, {kind: name}, limit=1)):
            hint = (f"did you mean: {', '.join(meant)}",) if meant else ()
            raise Failure(f"there is no {kind} {name!r}, in the config or in the history", *hint)


def notes(client: Client, given: Mapping[str, str]) -> list[str]:
    """What may be why nothing matches: names that the config in force does not have, with the near ones."""
    try:
        strangers = list(_strangers(client, given))
    except Failure:
        return []
    return [
        f"note: the config has no {kind} {name!r}" + (f"; did you mean: {', '.join(meant)}" if meant else "")
        for kind, name, meant in strangers
    ]


def _strangers(client: Client, given: Mapping[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    """The names asked for that the config in force does not have, each with its kind and the near ones."""
    if NAMED.keys().isdisjoint(given):
        return
    config = client.get("/v1/config")
    for kind, section in NAMED.items():
        name = given.get(kind)
        if name is not None and name not in config[section]:
            yield kind, name, near(name, config[section], most=3, cutoff=0.5)
