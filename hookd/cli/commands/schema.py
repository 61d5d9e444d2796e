"""`hookd schema`: the JSON Schemas of the configuration and of its tests, for editors and other tools.

Must never: talk to the daemon.
"""

import argparse

DESCRIPTION = """Print the JSON Schema (draft 2020-12) of the config: editors complete and explain keys with it.

With --test, print that of the config's tests, the *.test.yaml."""
EXAMPLE = "hookd schema > hookd.schema.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which one."""
    parser.add_argument("--test", action="store_true", help="the schema of *.test.yaml")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    from hookd.config import schema_text

    print(schema_text(tests=options.test).rstrip("\n"))
    return 0
