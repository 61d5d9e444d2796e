"""The store's contract for several processes at once, as far as an engine allows them."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.kit.builders import enqueue, to
from tests.kit.stores import STORES, engines


async def opened_by_another(engine: str, directory: Path) -> str:
    """What another process says that opens the store."""
    command = (sys.executable, "-m", "tests.store.opening_process", engine, str(directory))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode().strip()


@pytest.mark.parametrize("engine", engines())
async def test_a_second_process_shares_the_store_or_is_refused(engine: str, tmp_path: Path) -> None:
    store = await STORES[engine].open(tmp_path)
    said = await opened_by_another(engine, tmp_path)
    if STORES[engine].is_shared:
        assert said == "opened"
    else:
        assert said.startswith("refused: ")
        assert str(os.getpid()) in said
    await enqueue(store, to("w"))  # whoever came second did no harm
    await store.close()
    assert await opened_by_another(engine, tmp_path) == "opened"
