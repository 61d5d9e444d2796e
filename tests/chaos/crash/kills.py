"""`SIGKILL` at moments nobody chose: under load, while recovering from the last one, right after READY.

Called by: the proof `crash`, `tests/e2e/test_kill.py`.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any

from tests.chaos.crash.books import GONE, LEASE_S, Books, write_config
from tests.chaos.crash.deep import damage
from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response

POSTERS = 8

LONGEST_START_S = 0.8
"""A kill while starting comes at any moment up to here; later it finds a daemon that runs, which is as good."""


class Moment(StrEnum):
    """When a kill comes."""

    LOAD = "under load"
    START = "while starting"
    READY = "right after READY"


@dataclass
class Siege:
    """One store, killed again and again."""

    daemon: DaemonProcess
    chance: random.Random
    books: Books = field(default_factory=Books)
    unanswered: list[dict[str, Any]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)
    _answers: "count[int]" = field(default_factory=count)

    async def reply(self, _request: Received) -> bytes:
        """Sometimes slow, and 503 to every fourth."""
        await asyncio.sleep(self.chance.choice([0, 0, 0.005, 0.02]))
        return response(503 if next(self._answers) % 4 == 3 else 200)

    async def round(self, moment: Moment, requests: list[Received]) -> None:
        """One start and one kill."""
        if moment is Moment.START:
            await self.daemon.launch()
            await asyncio.sleep(self.chance.uniform(0, LONGEST_START_S))
            await self.daemon.kill()
            return
        await self.daemon.start(within_s=60)
        for event in self.unanswered:  # a client that was not answered asks again
            await self.books.post(self.daemon, event, again=True)
        self.unanswered.clear()
        posting = [asyncio.create_task(self._post_until_killed()) for _ in range(POSTERS)]
        if moment is Moment.LOAD:
            await asyncio.sleep(self.chance.uniform(0.02, 0.3))
            self.books.note_recorded(
                (await self.daemon.get("/v1/deliveries?limit=500"))["deliveries"], requests
            )
        await self.daemon.kill()
        await asyncio.gather(*posting)

    async def _post_until_killed(self) -> None:
        while True:
            number = next(self._numbers)
            events = [self.books.event(f"k{number}", given_id=number % 2 == 0)]
            if number % 10 == 0:
                events += [self.books.event(f"k{number}.{part}", given_id=True) for part in range(3)]
            try:
                await self.books.post(self.daemon, *events)
            except GONE:
                if len(events) == 1 and "id" in events[0]:
                    self.unanswered.append(events[0])
                return


async def kill_at_random(
    directory: Path, *, kills: int, chance: random.Random, store_process: str = "auto"
) -> Findings:
    """Kill a daemon so often, then let it finish what it has; returns the figures and what is wrong."""
    async with Receiver() as receiver:
        write_config(directory, receiver.url, store_process=store_process)
        daemon = DaemonProcess(directory)
        siege = Siege(daemon, chance)
        receiver.reply = siege.reply
        moments = [*Moment, *chance.choices(list(Moment), weights=(3, 1, 1), k=max(0, kills - len(Moment)))]
        try:
            for moment in moments:
                await siege.round(moment, receiver.requests)
            await daemon.start(within_s=60)
            await daemon.settled(within_s=LEASE_S + 60)
            records = await daemon.listed()
            code = await daemon.stop()
        finally:
            await daemon.close()
    arrived = Counter(request.id for request in receiver.requests)
    violations = siege.books.audit(receiver.requests, records) + damage(directory / "h.db")
    found = Findings(
        {
            "kills": dict(Counter(map(str, moments))),
            "acknowledged": len(siege.books.acknowledged),
            "lost": len(siege.books.acknowledged.keys() - arrived.keys()),
            "requests": len(receiver.requests),
        },
        violations,
    )
    found.expect(siege.books.acknowledged, "nothing was acknowledged between the kills")
    found.expect(code == 0, f"the daemon ended with {code} after the kills")
    return found
