"""Stores to test: the contract's tests run over each of them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hookd.store.contract import Store
from tests.kit.disk import Disk, small_disk
from tests.kit.stores import STORES, engines

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(params=engines())
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Opens the same store again and again; the one before must be closed."""
    async with AsyncExitStack() as stack:

        async def open_it() -> Store:
            store = await STORES[request.param].open(tmp_path)
            stack.push_async_callback(store.close)
            return store

        yield open_it


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        yield disk
