"""`hookd run`: the daemon itself.

Must never: do anything of the daemon's; it hands over. Called by: `hookd.cli`.
"""

import argparse

from hookd.cli.offline import add_config

DESCRIPTION = """Run the daemon in the foreground until SIGTERM or Ctrl-C.

Exit codes: 0 stopped as asked, 78 the config is invalid, 74 the store cannot be used."""
EXAMPLE = "hookd run --config /etc/hookd"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the config's path."""
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Run it; its exit code."""
    from hookd.config import default_path
    from hookd.daemon import run as run_daemon

    return run_daemon(options.config or default_path())
