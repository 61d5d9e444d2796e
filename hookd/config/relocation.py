"""A configuration as it would be if its files stood elsewhere: relative paths mean other places there (spec 8, `diff`).

Must never: look at the file system.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from hookd.domain.definitions import (
    Config,
    DaemonDef,
    HttpListen,
    SqliteDef,
    StoreDef,
    UnixListen,
    WebhookDef,
)


def relocated(config: Config, old: Path, new: Path, relative: Collection[str]) -> Config:
    """The configuration with its relative paths, which mean places from one directory, meaning them from another.

    Args:
        config: whose paths are absolute by now.
        old: the directory.
        new: the other one.
        relative: the paths that are written as relative ones.
    """

    def moved(path: str) -> str:
        return os.path.normpath(new / os.path.relpath(path, old)) if path in relative else path

    return _with_paths(config, moved)


def _with_paths(config: Config, change: Callable[[str], str]) -> Config:
    webhooks = {name: _webhook(webhook, change) for name, webhook in config.webhooks.items()}
    return replace(config, webhooks=webhooks, daemon=_daemon(config.daemon, change))


def _webhook(webhook: WebhookDef, change: Callable[[str], str]) -> WebhookDef:
    tls = webhook.tls
    moved = replace(
        tls, ca=_optional(tls.ca, change), cert=_optional(tls.cert, change), key=_optional(tls.key, change)
    )
    return webhook if moved == tls else replace(webhook, tls=moved)


def _daemon(daemon: DaemonDef, change: Callable[[str], str]) -> DaemonDef:
    return replace(
        daemon,
        listen=tuple(_listen(each, change) for each in daemon.listen),
        store=_store(daemon.store, change),
        spool=change(daemon.spool),
    )


def _store(store: StoreDef, change: Callable[[str], str]) -> StoreDef:
    return replace(store, path=change(store.path)) if isinstance(store, SqliteDef) else store


def _listen(listen: UnixListen | HttpListen, change: Callable[[str], str]) -> UnixListen | HttpListen:
    if isinstance(listen, UnixListen):
        return replace(listen, path=change(listen.path))
    return replace(listen, cert=_optional(listen.cert, change), key=_optional(listen.key, change))


def _optional(path: str | None, change: Callable[[str], str]) -> str | None:
    return None if path is None else change(path)
