"""How long the loop's thread is at work without a turn for others.

Measured in its own processor time, so that other programs and threads do not count.
"""

import asyncio
import gc
import time
from typing import Self


class Lag:
    """The longest time for which the loop's thread was at work without a turn for others."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.turns = 0

    async def __aenter__(self) -> Self:
        gc.collect()
        gc.freeze()  # what the tests before have left is no concern of the collector while time is taken
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        self._task.cancel()
        gc.unfreeze()

    async def _watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            self.longest_s = max(self.longest_s, time.thread_time() - before)
            self.turns += 1
