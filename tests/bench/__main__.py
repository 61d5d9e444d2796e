"""`python -m tests.bench NAME`: figures, as ratios within one run where there is something to compare, as JSON."""

import argparse
import json
import os
import sys
import tempfile

from tests.bench import (
    drain,
    emit,
    instructions,
    latency,
    listings,
    memory,
    peers,
    rate_limit,
    start,
    throughput,
    webhooks,
)

BENCHES = {
    "throughput": throughput,
    "instructions": instructions,
    "latency": latency,
    "memory": memory,
    "start": start,
    "drain": drain,
    "emit": emit,
    "peers": peers,
    "webhooks": webhooks,
    "rate_limit": rate_limit,
    "listings": listings,
}


def main() -> int:
    """Run one. A figure named `failed` says what is wrong, and ends with 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="NAME")
    for name, bench in BENCHES.items():
        command = commands.add_parser(
            name, help=(bench.__doc__ or "").splitlines()[0], description=bench.__doc__
        )
        command.set_defaults(main=bench.main)
        getattr(bench, "options", lambda _command: None)(command)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as compiled:
        # As those of an installed hookd are, and whatever this environment says of it.
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        found = asked.main(asked)
    print(json.dumps(found, indent=2))
    return 1 if "failed" in found else 0


if __name__ == "__main__":
    sys.exit(main())
