"""Opens the store that the configuration names: the one module that knows which engines there are.

An engine is imported when it is asked for, so that nobody pays for another's driver.

Must never: be needed by who merely uses a store; that is `contract`'s.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import assert_never

from hookd.domain.definitions import PostgresDef, SqliteDef, StoreDef
from hookd.domain.errors import StoreUnusable
from hookd.store.contract import Store
from hookd.store.cores import usable_cores

ENOUGH_CORES = 2
"""From so many on that may be used, `auto` gives the store a process of its own."""


async def open_store(
    store: StoreDef,
    *,
    in_process: bool | str = False,
    on_commit: Callable[[float], None] | None = None,
    stopping: asyncio.Event | None = None,
) -> Store:
    """Open the store, or make it where there is none.

    Args:
        store: which one.
        in_process: whether it works in a process of its own; `auto` where two cores or more may be used.
        on_commit: called in the loop after each commit with the seconds it took.
        stopping: set when nobody wants it any more: a server that does not answer is waited for no longer.

    Raises:
        StoreFailed: its process cannot be started.
        StoreUnreachable: its server does not answer.
        StoreUnusable: it cannot be used; the message says why and what to do.
    """
    match store:
        case SqliteDef(path):
            wanted = usable_cores() >= ENOUGH_CORES if in_process == "auto" else bool(in_process)
            from hookd.store.sqlite.store import SqliteStore

            return await SqliteStore.open(Path(path), on_commit=on_commit, in_process=wanted)
        case PostgresDef():
            opened: Store = await _postgres().PostgresStore.open(
                store, on_commit=on_commit, stopping=stopping
            )
            return opened
        case _:
            assert_never(store)


def check_store(store: StoreDef) -> list[str]:
    """Look at everything in a store that no daemon uses; returns what is wrong, or nothing.

    Raises:
        StoreUnusable: there is no such store, it is in use, or it is none of hookd's.
    """
    match store:
        case SqliteDef(path):
            from hookd.store.sqlite.open import deep_check

            return deep_check(Path(path))
        case PostgresDef():
            found: list[str] = _postgres().check(store)
            return found
        case _:
            assert_never(store)


def migrate_store(store: StoreDef) -> str:
    """Bring a store's schema to this program's version; says what was done.

    Raises:
        StoreUnusable: it cannot be; the message says why and what to do.
    """
    match store:
        case SqliteDef(path):
            raise StoreUnusable(f"{path} is an SQLite file, which `hookd run` brings forward by itself")
        case PostgresDef():
            done: str = _postgres().migrate(store)
            return done
        case _:
            assert_never(store)


def store_status(store: StoreDef) -> dict[str, str | int | bool | None]:
    """What a store is, as it can be told without a daemon.

    Raises:
        StoreUnusable: it cannot be reached.
    """
    match store:
        case SqliteDef():
            return {"engine": "SQLite"}
        case PostgresDef():
            facts: dict[str, str | int | bool | None] = _postgres().status(store)
            return facts
        case _:
            assert_never(store)


def _postgres() -> ModuleType:
    try:
        from hookd.store import postgres
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreUnusable("a store in PostgreSQL needs asyncpg: pip install 'hookd[postgres]'") from error
    return postgres
