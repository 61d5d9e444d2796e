"""A process that opens a store in a process of its own, says which, and waits to be killed.

`python -m tests.store.owning_process PATH` prints the process of the store.
"""

import asyncio
import sys
from pathlib import Path

from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import claim, enqueue, to


async def main() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]), in_process=True)
    await enqueue(store, to("w"))
    await claim(store)
    sys.stdout.write(f"{(await store.describe()).pid}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
