"""Opens the store that the configuration names: the one module that knows which engines there are.

An engine is imported when it is asked for, so that nobody pays for another's driver.

Must never: be needed by who merely uses a store; that is `contract`'s.
"""

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from hookd.domain.definitions import SqliteDef, StoreDef
from hookd.store.contract import Store
from hookd.store.cores import usable_cores

ENOUGH_CORES = 2
"""From so many on that may be used, `auto` gives the store a process of its own."""


async def open_store(
    store: StoreDef, *, in_process: bool | str = False, on_commit: Callable[[float], None] | None = None
) -> Store:
    """Open the store, or make it where there is none.

    Args:
        store: which one.
        in_process: whether it works in a process of its own; `auto` where two cores or more may be used.
        on_commit: called in the loop after each commit with the seconds it took.

    Raises:
        StoreFailed: its process cannot be started.
        StoreUnusable: it cannot be used; the message says why and what to do.
    """
    match store:
        case SqliteDef(path):
            wanted = usable_cores() >= ENOUGH_CORES if in_process == "auto" else bool(in_process)
            from hookd.store.sqlite.store import SqliteStore

            return await SqliteStore.open(Path(path), on_commit=on_commit, in_process=wanted)
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
        case _:
            assert_never(store)
