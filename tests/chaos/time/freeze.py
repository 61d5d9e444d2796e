"""A process that is frozen (SIGSTOP) with two hundred attempts under way, and goes on as if nothing had been.

The answers come while it is frozen, after which their time is up; they are there to be read, so none is asked for
again. Must never: freeze anything but its own daemon. Called by: the package.
"""

import asyncio
import signal
from pathlib import Path

from tests.chaos.proof import Findings
from tests.chaos.time.books import finish
from tests.chaos.time.scene import Scene, scene
from tests.chaos.time.steps import NOTICE_S, fill

UNDER_WAY = 200


async def freeze(directory: Path, findings: Findings, *, short: bool) -> dict[str, int]:
    """Freeze a daemon that has a backlog for longer than any of its timeouts; returns what was counted."""
    frozen_s = 12.0 if short else 150.0
    async with scene(
        directory, findings, "frozen", backoff_s=3 if short else 20, timeout_s=10 if short else 60
    ) as made:
        await fill(made, many=20 if short else 400)
        await made.post("hang", UNDER_WAY - len(made.made["hang"]))
        hang = made.made["hang"]
        await made.until(
            "attempts under way",
            lambda: all(made.books.came[one] for one in hang),
            within_s=9 if short else 30,
        )
        ticks = made.books.fired_by("tick-second")
        made.stage.daemon.signal(signal.SIGSTOP)
        made.steps += 1
        await asyncio.sleep(1)
        made.answer.set()
        await asyncio.sleep(frozen_s - 1)
        made.began_at += frozen_s
        made.stage.daemon.signal(signal.SIGCONT)
        await _after(made, ticks)
        return {
            "frozen_s": int(frozen_s),
            "under_way": len(hang),
            **await finish(made, reached_s=0, restarts=0),
        }


async def _after(made: Scene, ticks: int) -> None:
    hang, books = made.made["hang"], made.books
    retried = {one: len(books.came[one]) for one in made.made["retry"]}
    await asyncio.sleep(3)
    fired = books.fired_by("tick-second") - ticks
    made.expect(fired <= 3 + 5, f"{fired} firings of every second within 3 s of a freeze")
    again = [one for one in hang if len(books.came[one]) > 1]
    made.expect(not again, f"{len(again)} of {len(hang)} attempts answered in the freeze were made again")
    await made.until(
        "retries after the freeze",
        lambda: all(len(books.came[one]) > count for one, count in retried.items()),
        within_s=made.backoff_s * 1.2 + NOTICE_S,
    )
