"""`hookd version`.

Must never: import anything but the version.
"""

import argparse

from hookd import __version__

DESCRIPTION = "Print the version."
EXAMPLE = "hookd version"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command is called alike
    """Print it."""
    print(f"hookd {__version__}")
    return 0
