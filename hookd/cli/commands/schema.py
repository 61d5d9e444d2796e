"""`hookd schema`: the JSON Schema of the configuration, for editors and other tools.

Must never: talk to the daemon. Called by: `hookd.cli`.
"""

import argparse

DESCRIPTION = (
    "Print the JSON Schema (draft 2020-12) of the config: editors complete and explain keys with it."
)
EXAMPLE = "hookd schema > hookd.schema.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command is called alike
    """Print it."""
    from hookd.config import schema_text

    print(schema_text().rstrip("\n"))
    return 0
