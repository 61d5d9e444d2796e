"""`hookd store`: what the database of `daemon.store` is, and bringing its tables forward.

Must never: talk to the daemon.
"""

import argparse

from hookd.cli.config_option import add_config, read_config
from hookd.cli.failure import REFUSED
from hookd.cli.options import add_json
from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

DESCRIPTION = """Show the PostgreSQL database that the config's daemon.store names, or bring its tables forward.

status: server, role, and the version of the tables. migrate: make the tables, or bring them to this version; as a
role that may, where daemon.store has migrate: false. A store in an SQLite file needs neither."""
EXAMPLE = "hookd store status"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to do, and which config."""
    parser.add_argument("action", choices=("status", "migrate"), help="what to do")
    add_config(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Do it; 0 when it is done."""
    from hookd.domain.errors import StoreUnusable
    from hookd.store.open import migrate_store, store_status

    config = read_config(options)
    if config is None:
        return REFUSED
    store = config.daemon.store
    try:
        if options.action == "migrate":
            facts: dict[str, str | int | bool | None] = {"done": migrate_store(store)}
        else:
            facts = store_status(store)
    except StoreUnusable as error:
        print(printable(f"hookd: {error}"))
        return REFUSED
    if options.json:
        print(as_json({"target": store.target, **facts}))
    else:
        print(printable(store.target))
        for name, value in facts.items():
            print(printable(f"  {name.replace('_', ' ')}: {_shown(value)}"))
    return 0


def _shown(value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
