"""`hookd check`: finds what is wrong with a configuration, and with a store.

Must never: talk to the daemon, or change anything.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

if TYPE_CHECKING:
    from hookd.config.yaml.diagnostics import Diagnostic
    from hookd.domain.definitions import Config, StoreDef

DESCRIPTION = """Find everything that is wrong with a config, each with its place.

Ends with `ok:` and exit code 0 when there is no error. Warnings are printed, and count as errors only with --strict."""
EXAMPLE = "hookd check --strict /etc/hookd"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a path and how strict to be."""
    path = parser.add_mutually_exclusive_group()
    path.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        help="file or directory (default: $HOOKD_CONFIG, else ./hookd.yaml, else /etc/hookd/hookd.yaml)",
    )
    path.add_argument("-c", "--config", metavar="PATH", type=Path, help="the same as PATH")
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text, or json for tools")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--store", action="store_true", help="also read the whole store and check it; hookd must be stopped"
    )
    where.add_argument(
        "--portable",
        action="store_true",
        help="do not read secrets, certificates and groups, which another machine may lack; for git hooks and CI",
    )


def run(options: argparse.Namespace) -> int:
    """Check; 0 when there is nothing wrong."""
    from hookd.config import default_path, isolated_load

    loaded = isolated_load(options.path or options.config or default_path(), portable=options.portable)
    in_store = store_diagnostics(loaded.config.daemon.store) if options.store and loaded.config else ()
    found = [*loaded.diagnostics, *in_store]
    config = None if in_store else loaded.config
    if options.format == "json":
        print(as_json([diagnostic_object(diagnostic) for diagnostic in found]))
    else:
        _print_text(found, config, store_checked=options.store)
    return 1 if config is None or (options.strict and found) else 0


def store_diagnostics(store: "StoreDef") -> "list[Diagnostic]":
    """What is wrong with the store, in the form of what is wrong with the config."""
    from hookd.config.yaml.diagnostics import Diagnostic, Severity
    from hookd.domain.errors import StoreUnusable
    from hookd.store.open import check_store

    try:
        faults = check_store(store)
    except StoreUnusable as error:
        faults = [str(error)]
    return [Diagnostic(store.target, 1, 1, "daemon.store", Severity.ERROR, fault) for fault in faults]


def _print_text(found: "Sequence[Diagnostic]", config: "Config | None", *, store_checked: bool) -> None:
    from hookd.config import summary

    for diagnostic in found:
        print(printable(str(diagnostic)))
    if config is None:
        return
    if store_checked:
        print(printable(f"{config.daemon.store.target}: the store is sound"))
    print(f"ok: {summary(config)}")


def diagnostic_object(diagnostic: "Diagnostic") -> dict[str, str | int]:
    """A diagnostic for tools (spec 8)."""
    return {
        "path": diagnostic.path,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "where": diagnostic.where,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
    }
