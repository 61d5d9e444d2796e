"""`hookd show`: one delivery with its body and its attempts.

Must never: print anything of a delivery that is not escaped for a terminal.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from hookd.cli.client import address
from hookd.cli.client.api_client import Refusal
from hookd.cli.client.delivery_ids import RecentIds, path_of, with_id
from hookd.cli.options import add_json, text
from hookd.cli.output.generation_words import generation_words
from hookd.cli.output.health import hold_remedy
from hookd.cli.output.terminal import as_json, pretty_body, to_the_second, visible_block
from hookd.domain.text import printable

DESCRIPTION = (
    "Show a delivery: what caused it, how it stands, each attempt and what was answered, and its body."
)
EXAMPLE = "hookd show dlv_0198f2c76f0e7c1b9d550a8e5b7f3c21"

UNCOUNTED = {"ok", "interrupted", "local"}
"""The reasons of attempts that never count as failed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a delivery's id."""
    parser.add_argument(
        "id",
        metavar="ID",
        type=text,
        help="the delivery's id, as `hookd deliveries` and `hookd emit` print it, or its first 12 digits or more",
    )
    add_json(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Show it."""
    client = address.from_options(options)
    try:
        delivery = with_id(options.id, lambda each: client.get(path_of(each)))
    except Refusal as refusal:
        raise RecentIds(client).explained(refusal, options.id) from None
    print(as_json(delivery) if options.json else "\n".join(delivery_lines(delivery)))
    return 0


def delivery_lines(delivery: Mapping[str, Any]) -> list[str]:
    """A delivery for people."""
    facts = [f"{name:<11}{printable(value)}" for name, value in _facts(delivery) if value]
    attempts = [line for attempt in delivery["attempts"] for line in _attempt_lines(attempt)]
    return [
        *facts,
        "",
        "attempts" if attempts else "attempts   none yet",
        *attempts,
        "",
        "body",
        *visible_block(pretty_body(delivery["body"])),
    ]


def _facts(delivery: Mapping[str, Any]) -> list[tuple[str, str]]:
    parked = f" (parked: {delivery['parked']})" if delivery["parked"] else ""
    return [
        ("delivery", delivery["id"]),
        ("state", delivery["state"] + parked),
        ("why", delivery["detail"]),
        ("webhook", delivery["webhook"]),
        ("task", delivery["task"]),
        ("", delivery["task_description"]),
        ("cause", _cause(delivery["cause"])),
        ("trace", delivery["trace_id"] or ""),
        ("created", to_the_second(delivery["created_at"])),
        ("due", to_the_second(delivery["due_at"]) if delivery["state"] == "pending" else ""),
        ("", hold_remedy(delivery["held_until"], delivery["webhook"]) if delivery.get("held_until") else ""),
        ("finished", to_the_second(delivery["finished_at"]) if delivery["finished_at"] else ""),
        ("counted", _counted(delivery)),
    ]


def _counted(delivery: Mapping[str, Any]) -> str:
    """How many attempts count as failed; a retry by hand forgets those before it."""
    failed = sum(attempt["reason"] not in UNCOUNTED for attempt in delivery["attempts"])
    since = " since the last retry by hand" if delivery["failures"] < failed else ""
    return f"{delivery['failures']} of {delivery['attempt']} attempts count as failed{since}"


def _cause(cause: Mapping[str, str]) -> str:
    """What made the delivery: an event by a rule, a schedule's moment, or a person."""
    match cause["kind"]:
        case "trigger" | "send":
            return f"{cause['kind']} by hand, {cause['event_id']}"
        case "schedule":
            return f"schedule {cause['event_id']}"  # the id is the schedule's place and its moment
        case _:
            return " ".join(filter(None, (cause["kind"], cause["event_id"], cause["rule"])))


def _attempt_lines(attempt: Mapping[str, Any]) -> list[str]:
    verdict = attempt["status"] if attempt["status"] is not None else attempt["reason"]
    insecure = "  certificate not checked" if attempt["insecure"] else ""
    resent = "  sent twice" if attempt.get("resent") else ""
    begun = to_the_second(attempt["started_at"])
    error = f"  {attempt['error']}" if attempt["error"] else ""
    first = (
        f"  {attempt['number']}  {begun}  {attempt['duration_s']:.3f}s  {verdict}{insecure}{resent}{error}"
    )
    made_by = attempt.get("generation")
    config = [printable(f"     config {generation_words(made_by)}")] if made_by else []
    return [
        printable(first),
        *config,
        *(visible_block(attempt["response"], "     | ") if attempt["response"] else ()),
    ]
