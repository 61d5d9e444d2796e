"""The configuration: YAML files to a frozen, compiled `Config`, or to diagnostics with their places (spec 1).

Importing this package is cheap; the validator and TLS are imported by a load, and the daemon loads in
a child process (`isolated_load`), so that a hostile or merely huge file can neither stop the intake nor kill the
daemon (spec 7).

Must never: fetch anything, or show the value of a secret.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookd.config.yaml.files import default_path

if TYPE_CHECKING:
    from hookd.config.fingerprint import tree_hash, watch_dirs
    from hookd.config.git import revision_of
    from hookd.config.isolated import isolated_load
    from hookd.config.quick_lookup import first_unix_socket, names_at, spool_directory, why_unread
    from hookd.config.yaml.diagnostics import Diagnostic, Loaded, Severity
    from hookd.domain.definitions import Config

__all__ = [
    "Diagnostic",
    "Loaded",
    "Severity",
    "default_path",
    "first_unix_socket",
    "isolated_load",
    "load",
    "names_at",
    "revision_of",
    "schema_text",
    "spool_directory",
    "summary",
    "tree_hash",
    "watch_dirs",
    "why_unread",
]


_LATER = {
    "Diagnostic": "yaml.diagnostics",
    "Loaded": "yaml.diagnostics",
    "Severity": "yaml.diagnostics",
    "first_unix_socket": "quick_lookup",
    "isolated_load": "isolated",
    "names_at": "quick_lookup",
    "revision_of": "git",
    "spool_directory": "quick_lookup",
    "tree_hash": "fingerprint",
    "watch_dirs": "fingerprint",
    "why_unread": "quick_lookup",
}


def __getattr__(name: str) -> Any:
    """Import when it is first asked for (PEP 562) what not all need: `emit` is quick, the daemon reads no YAML."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


def load(path: Path, *, env: Mapping[str, str], now: float | None = None, portable: bool = False) -> "Loaded":
    """Loads the configuration at `path` in this process.

    Args:
        path: a file, or a directory with `*.yaml` and `*.yml` files.
        env: the environment that `{env: …}`, `$CREDENTIALS_DIRECTORY` and the defaults are read from.
        now: seconds since the epoch, for the warnings of schedules that never fire; default: the system's clock.
        portable: what only the machine that runs it has is not looked at: each secret reference stands for itself
            (`env:NAME`, `file:PATH`, `credential:NAME`), certificates and groups are not looked for, and the default
            time zone is UTC. For checks and tests; never to be run.

    Returns:
        The configuration, or None in its place where there are errors; and every diagnostic, by file and line.
    """
    from hookd.config import loader  # noqa: PLC0415 - the validator and TLS cost start-up time

    return loader.load(path, env=env, now=now, portable=portable)


def schema_text(*, tests: bool = False) -> str:
    """The JSON Schema (draft 2020-12) of the configuration, or of its test files, as it is installed."""
    from hookd.config import schema  # noqa: PLC0415 - likewise

    return schema.schema_text(schema.TESTS if tests else schema.CONFIG)


def summary(config: "Config") -> str:
    """`3 webhooks, 4 tasks, 5 events, 1 schedule` (spec 8); rules written on tasks are not counted."""
    from hookd.domain.text import counted  # noqa: PLC0415 - likewise

    sections = (
        (config.webhooks, "webhook"),
        (config.tasks, "task"),
        (config.events, "event"),
        (config.schedules, "schedule"),
    )
    return ", ".join(counted(len(section), noun) for section, noun in sections)
