"""Which config a command reads, and what is said where it is invalid (spec 8).

Must never: talk to the daemon.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hookd.domain.text import printable

if TYPE_CHECKING:
    from hookd.domain.definitions import Config


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "-c",
        "--config",
        metavar="PATH",
        type=Path,
        help="file or directory (default: $HOOKD_CONFIG, else ./hookd.yaml, else /etc/hookd/hookd.yaml)",
    )


def read_config(options: argparse.Namespace, *, portable: bool = False) -> "Config | None":
    """The config, or None where it is invalid; then its diagnostics have been printed as `hookd check` prints them.

    With `--json` they go to standard error, so that standard output is JSON or nothing. `portable` is as `load` takes
    it.
    """
    from hookd.config import default_path, isolated_load

    loaded = isolated_load(options.config or default_path(), portable=portable)
    if loaded.config is None:
        for diagnostic in loaded.diagnostics:
            print(printable(str(diagnostic)), file=sys.stderr if options.json else sys.stdout)
    return loaded.config
