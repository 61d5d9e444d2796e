"""`hookd tail`: what happens, one line per fact, until Ctrl-C (spec 8).

Must never: print a fact twice, or hide that some were missed.
"""

import argparse
import os
import select
import stat
import sys
import threading
from datetime import UTC, datetime

from hookd.cli.client import address
from hookd.cli.client.follow import STATES, Following
from hookd.cli.filters import add_names, moment, require_known
from hookd.cli.main import PIPE_CLOSED
from hookd.cli.options import add_json, add_wide
from hookd.cli.output.tail_lines import line_of
from hookd.cli.output.terminal import as_json_line, terminal_width
from hookd.domain.text import printable

DESCRIPTION = """Print what happens as it happens, one line per fact: events accepted, deliveries made, attempts that
failed, deliveries that ended, webhooks parked and resumed, configs reloaded or rejected.

It goes on across restarts of the daemon: what happened meanwhile comes from the history, and standard error
says what is missing. With a filter, facts that have nothing to do with it are left out. Ctrl-C ends it.

On a terminal that is too narrow for a fact, its less important keys are left out and ids are shortened, so that
it takes one line. With --wide, or into a pipe, all is printed."""
EXAMPLE = """hookd tail --webhook ops-slack
  hookd tail --since 10m --json"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the filters and where to begin."""
    add_names(parser)
    parser.add_argument(
        "--state",
        choices=STATES,
        help="only what brings a delivery to this state: %(choices)s",
        metavar="STATE",
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=moment,
        help="begin with the deliveries made since then, from the history; an instant or a duration back",
    )
    add_json(parser)
    add_wide(parser)
    address.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Follow until interrupted; exit code 3 where the daemon is not reachable at the start."""
    client = address.from_options(options)
    given = {name: value for name in ("webhook", "task") if (value := getattr(options, name)) is not None}
    require_known(client, given)
    _end_with_reader()
    following = Following(client, {**given, **({"state": options.state} if options.state else {})}, _say)
    for fact in following.facts(since=options.since):
        line = as_json_line(fact) if options.json else line_of(fact, terminal_width(wide=options.wide))
        print(line, flush=True)
    return 0


def _say(note: str) -> None:
    """Report about the following itself, beside the facts."""
    clock = datetime.now(UTC).strftime("%H:%M:%SZ")
    print(printable(f"hookd: {clock} {note}"), file=sys.stderr, flush=True)


def _end_with_reader() -> None:
    """End when the reader of the output ends, also while nothing happens: `hookd tail | head -1`."""
    try:
        output = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(output).st_mode):
            return
    except (OSError, ValueError):
        return
    threading.Thread(target=_wait_for_end, args=(output,), daemon=True).start()


def _wait_for_end(output: int) -> None:
    poll = select.poll()
    poll.register(output, 0)
    poll.poll()
    os._exit(PIPE_CLOSED)
