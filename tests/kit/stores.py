"""The engines that the store's contract is tested over."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from hookd.store.contract import Store
from hookd.store.sqlite.store import SqliteStore


@dataclass(frozen=True)
class Engine:
    """An engine under test.

    Attributes:
        open: opens the store of a directory, or makes it where there is none.
        is_shared: several processes may have one store open at once; of any other engine a second one is refused.
    """

    open: Callable[[Path], Awaitable[Store]]
    is_shared: bool


async def _open_sqlite(directory: Path) -> Store:
    return await SqliteStore.open(directory / "hookd.db")


async def _open_sqlite_in_process(directory: Path) -> Store:
    return await SqliteStore.open(directory / "hookd.db", in_process=True)


STORES = {
    "sqlite": Engine(_open_sqlite, is_shared=False),
    "sqlite in a process": Engine(_open_sqlite_in_process, is_shared=False),
}
