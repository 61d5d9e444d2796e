"""The engines that the store's contract is tested over."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from hookd.domain.definitions import PostgresDef, Secret
from hookd.store.contract import Store
from hookd.store.postgres import PostgresStore
from hookd.store.sqlite.store import SqliteStore
from tests.kit import postgres


@dataclass(frozen=True)
class Engine:
    """An engine under test.

    Attributes:
        open: opens the store of a directory, or makes it where there is none.
        gives_seats: what is stored may be claimed in the same transaction.
        needs_server: a program that is no Python must be there.
        is_shared: several processes may have one store open at once; of any other engine a second one is refused.
    """

    open: Callable[[Path], Awaitable[Store]]
    is_shared: bool = False
    gives_seats: bool = True
    needs_server: bool = False


async def _open_sqlite(directory: Path) -> Store:
    return await SqliteStore.open(directory / "hookd.db")


async def _open_sqlite_in_process(directory: Path) -> Store:
    return await SqliteStore.open(directory / "hookd.db", in_process=True)


async def _open_postgres(directory: Path) -> Store:
    postgres.require()
    return await _opened(postgres.shared_cluster().url, directory)


async def _open_pooled(directory: Path) -> Store:
    postgres.require()
    return await _opened(postgres.shared_cluster().pooled_url, directory)


async def _opened(url: str, directory: Path) -> Store:
    schema = postgres.schema_of(directory)
    return await PostgresStore.open(PostgresDef(Secret(url), schema=schema, allow_unsafe=True))


STORES = {
    "sqlite": Engine(_open_sqlite),
    "sqlite in a process": Engine(_open_sqlite_in_process),
    "postgres": Engine(_open_postgres, is_shared=True, gives_seats=False, needs_server=True),
    "postgres-pgbouncer": Engine(_open_pooled, is_shared=True, gives_seats=False, needs_server=True),
}


def engines(*, gives_seats: bool = False) -> list[ParameterSet]:
    """The engines as parameters of a test, or those that give seats."""
    return [
        pytest.param(name, marks=pytest.mark.tools if engine.needs_server else ())
        for name, engine in STORES.items()
        if engine.gives_seats or not gives_seats
    ]
