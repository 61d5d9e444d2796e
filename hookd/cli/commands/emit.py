"""`hookd emit`: posts one event, or a file of them.

Made for scripts and cron: its start-up time matters (spec 8).

Must never: import more than it needs, or judge an event; the daemon does.
"""

from __future__ import annotations

import argparse
import sys

from hookd.cli.client import address
from hookd.cli.failure import Failure
from hookd.cli.options import Parser, add_json, add_occurrence, duration, occurrence, sent_id, sent_text
from hookd.cli.output.receipts import receipt_lines
from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from typing import Any

    from hookd.cli.client.api_client import Client
    from hookd.cli.client.batches import Taken
    from hookd.cli.client.spool_writer import SpoolWriter

DESCRIPTION = """Post an event and wait until it is safely stored. Prints its id and the deliveries it made.

With --file, post a file of events: one JSON object a line, an array, or objects over several lines. It is sent in
parts of up to 500 events, each taken whole or not at all; the first part that is refused ends it, and its lines
are named.

With --wait, end when the deliveries have ended: exit code 0 if all were delivered or none was made, 1 if one is
dead or cancelled, 4 if one still waits when the time is up.

With --spool, if the daemon does not answer within 2 seconds, leave the event in a directory, from which the daemon
takes it in later, once."""
EXAMPLE = """hookd emit virtual_machine powered_on --object web-01 --tag production --data '{"host": "node2"}'
  hookd emit backup failed --object db-1 --wait=2m
  hookd emit backup failed --object db-1 --spool
  hookd emit --file events.ndjson"""


def arguments(parser: Parser) -> None:
    """Take an event, or a file."""
    parser.usage = "hookd emit TYPE EVENT [options]\n       hookd emit --file FILE [options]"
    parser.add_argument(
        "type",
        metavar="TYPE",
        nargs="?",
        type=sent_text("TYPE"),
        help="the event's type, such as virtual_machine",
    )
    parser.add_argument(
        "event", metavar="EVENT", nargs="?", type=sent_text("EVENT"), help="what happened, such as powered_on"
    )
    add_occurrence(parser)
    parser.add_argument(
        "--id",
        metavar="ID",
        type=sent_id,
        help="the event's id: posted again under the same id, it is taken once",
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="a file of events: one JSON object a line, an array, or pretty-printed; - is standard input",
    )
    _add_endings(parser)
    add_json(parser)
    address.add_options(parser)
    parser.set_defaults(refuse=parser.error)


def _add_endings(parser: Parser) -> None:
    parser.add_bare_or_valued(
        "--wait",
        "60s",
        metavar="[=TIME]",
        type=duration,
        help="wait until the deliveries have ended, or the time (default: 60s) is up",
    )
    parser.add_bare_or_valued(
        "--spool",
        "",
        metavar="[=DIR]",
        help="if the daemon does not answer, leave the event in DIR "
        "(default: $HOOKD_SPOOL, else the config's daemon.spool)",
    )


def run(options: argparse.Namespace) -> int:
    """Post; 0 when everything was taken, and with `--wait` delivered."""
    if options.wait is not None and options.spool is not None:
        options.refuse("--wait and --spool exclude each other: what is spooled has no deliveries yet")
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
        return _file(options)
    if options.type is None or options.event is None:
        options.refuse("TYPE and EVENT are required (or --file)")
    return _single(options)


def _single(options: argparse.Namespace) -> int:
    client, spool = _ways(options)
    event_id = options.id
    if spool and not event_id:
        from hookd.cli.client.spool_writer import fresh_id

        event_id = fresh_id()
    body = occurrence(options, type=options.type, event=options.event, id=event_id)
    answer = spool.send(body) if spool else client.post_event(body)
    if spool and answer is None:
        _say_spooled(spool)
        kept = {"id": event_id, "spooled": spool.kept[0]}
        print(as_json(kept) if options.json else f"{printable(event_id)}  (spooled)")
        return 0
    if options.wait is not None:
        from hookd.cli.client.wait import follow

        if not options.json:
            print("\n".join(receipt_lines(answer)), flush=True)
        return follow(client, [answer], options.wait, as_answer=answer if options.json else None)
    print(as_json(answer) if options.json else "\n".join(receipt_lines(answer)))
    return 0


def _file(options: argparse.Namespace) -> int:
    from hookd.cli.client.batches import Taken, post_file

    client, spool = _ways(options)
    waits = options.wait is not None
    taken = Taken(keep=options.json or waits)

    def send(body: bytes, media: str) -> Any:
        return spool.send(body, media) if spool else client.post_event(body, media=media)

    tells = not (waits and options.json)
    try:
        post_file(send, options.file, taken, fix_ids=spool is not None)
    except Failure:
        tells = True
        raise
    finally:
        if tells:
            print(_counted(taken, spool) if options.json else taken, flush=waits)
        if spool and spool.kept:
            _say_spooled(spool, taken.spooled)
    if not waits:
        return 0
    from hookd.cli.client.wait import follow

    whole = {"events": taken.answers} if options.json else None
    return follow(client, taken.answers, options.wait, as_answer=whole)


def _counted(taken: Taken, spool: SpoolWriter | None) -> str:
    return as_json({"events": taken.answers, **({"spooled": spool.kept} if spool else {})})


def _ways(options: argparse.Namespace) -> tuple[Client, SpoolWriter | None]:
    if options.spool is None:
        return address.from_options(options), None
    from hookd.cli.client.spool_writer import SpoolWriter

    client = address.from_options(options, or_default=True)
    return client, SpoolWriter(client, options.spool, options.config)


def _say_spooled(spool: SpoolWriter, events: int = 1) -> None:
    print(f"hookd: {printable(spool.remark(events))}", file=sys.stderr)
