"""A process that is killed between the commit of a one-shot and the answer to whoever asked for it.

`python -m tests.store.dying_process PATH`: nothing is printed, because nobody is answered.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from hookd.domain.events import Event, NewDelivery, Submission
from hookd.store.sqlite.store import SqliteStore


def die(_: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]), on_commit=die)
    delivery = NewDelivery("killed-delivery", "one-shot", "w", b"{}", one_shot_digest="v1")
    await store.enqueue([Submission(Event("killed-event"), (delivery,))], now=time.time(), limit=10)
    sys.stdout.write("answered")


if __name__ == "__main__":
    asyncio.run(main())
