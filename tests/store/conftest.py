"""Stores to test: the contract's tests run over each of them."""

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hookd.store.contract import Store
from hookd.store.sqlite import SqliteStore

OpenStore = Callable[[], Awaitable[Store]]


async def _open_sqlite(directory: Path) -> Store:
    return await SqliteStore.open(directory / "hookd.db")


STORES = {"sqlite": _open_sqlite}


@pytest.fixture(params=STORES)
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Opens the same store again and again; the one before must be closed."""
    async with AsyncExitStack() as stack:

        async def open_it() -> Store:
            store = await STORES[request.param](tmp_path)
            stack.push_async_callback(store.close)
            return store

        yield open_it


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no small file system can be mounted here: {tried.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)
