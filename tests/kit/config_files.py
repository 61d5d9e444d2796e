"""The files of a daemon's configuration, while a test changes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def unsettled(directory: Path) -> AsyncIterator[None]:
    """Keep a directory from being reloaded by the watch, for more than two seconds: it does not get quiet.

    What goes on changing is no file of the configuration, so each look at those finds the same. So a test can change
    one and ask for something before the watch does.
    """

    async def write() -> None:
        for number in range(1000):
            (directory / "noise.txt").write_text(f"{number}\n")
            await asyncio.sleep(0.1)

    writing = asyncio.create_task(write())
    try:
        await asyncio.sleep(0.1)
        yield
    finally:
        writing.cancel()
