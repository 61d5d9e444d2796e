"""`python -m tests.store.opening_process ENGINE DIRECTORY`: opens a store and says whether it could."""

import asyncio
import sys
from pathlib import Path

from hookd.domain.errors import StoreUnusable
from tests.kit.stores import STORES


async def main() -> str:
    try:
        store = await STORES[sys.argv[1]].open(Path(sys.argv[2]))
    except StoreUnusable as error:
        return f"refused: {error}"
    await store.close()
    return "opened"


if __name__ == "__main__":
    print(asyncio.run(main()))
