"""`storing`: the process of the store is killed, stopped past every lease, and runs out of memory, under load.

hookd itself lives on. Nothing that it acknowledged is lost, nothing that was delivered is sent again, and it takes in
and delivers again by itself.

Called by: `python -m tests.chaos storing`.
"""

import asyncio
import os
import random
import resource
import signal
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.chaos.crash.books import GONE, LEASE_S, TASKS, Books, body_of, write_config
from tests.chaos.crash.deep import damage
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import status_of, store_process
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import until

POSTERS = 8
PAUSE_S = 0.08
"""Between two posts of each: no more than can be delivered beside other proofs, or recovery would wait in a queue."""

MARGIN_S = 2.0
"""How much longer than its lease a delivery's store stands still."""

RECOVERY_S = 2.0
BUSY_S = 8.0
"""The same beside the tests of a CI, whose processes are as many again as there are cores."""

LARGE = "x" * 900_000
"""In an event, a hundred times more than there is memory for."""


@dataclass
class Scene:
    """One daemon under load, whose store something happens to."""

    daemon: DaemonProcess
    receiver: Receiver
    chance: random.Random
    books: Books = field(default_factory=Books)
    unanswered: list[dict[str, Any]] = field(default_factory=list)
    delivered: Counter[str] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)
    refused: int = 0
    _numbers: "count[int]" = field(default_factory=count)
    _answers: "count[int]" = field(default_factory=count)

    async def reply(self, request: Received) -> bytes:
        """Sometimes slow, and 503 to every fourth."""
        await asyncio.sleep(self.chance.choice([0, 0, 0.005, 0.02]))
        if next(self._answers) % 4 == 3:
            return response(503)
        self.delivered[request.id] += 1
        return response(200)

    async def store_pid(self) -> int:
        """The process of the store, waiting for the next one."""
        pid = await until(lambda: store_process(self.daemon.pid))
        assert pid is not None
        return pid

    async def post(self) -> None:
        """Post for ever; what was not taken in is asked for again where that makes no second event."""
        while True:
            number = next(self._numbers)
            events = [self.books.event(f"s{number}", given_id=number % 2 == 0)]
            if number % 10 == 0:
                events += [self.books.event(f"s{number}.{part}", given_id=True) for part in range(3)]
            await asyncio.sleep(PAUSE_S)
            with suppress(*GONE):
                if await self.books.post(self.daemon, *events) != 503:
                    continue
            self.refused += 1
            if len(events) == 1 and "id" in events[0]:
                self.unanswered.append(events[0])

    async def recovers(self) -> None:
        """Note how long it takes from now until an event that is posted from now on is taken in and arrives."""
        began, number = time.monotonic(), next(self._numbers)
        event = self.books.event(f"s{number}", given_id=True)
        while await self.books.post(self.daemon, event, again=True) == 503:
            await asyncio.sleep(0.01)
        body = body_of(event["data"]["mark"], TASKS[0])
        await until(lambda: any(each.body == body for each in reversed(self.receiver.requests)), within_s=60)
        self.recoveries_s.append(time.monotonic() - began)

    async def settle(self) -> list[Any]:
        """Ask again for what was not answered, and let it finish; returns what it has of all."""
        for event in self.unanswered:
            await self.books.post(self.daemon, event, again=True)
        await self.daemon.settled(within_s=LEASE_S + 60)
        return await self.daemon.listed()


async def killed(scene: Scene, times: int) -> None:
    """SIGKILL, at moments that nobody chose."""
    for _ in range(times):
        await asyncio.sleep(scene.chance.uniform(0.05, 0.6))
        pid = await scene.store_pid()
        os.kill(pid, signal.SIGKILL)
        await scene.recovers()


async def stopped(scene: Scene, times: int) -> None:
    """SIGSTOP, until every lease has ended."""
    for _ in range(times):
        await asyncio.sleep(0.3)
        pid = await scene.store_pid()
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(LEASE_S + MARGIN_S)
        os.kill(pid, signal.SIGCONT)
        await scene.recovers()


async def starved(scene: Scene, times: int) -> None:
    """No memory for what comes, until it is over: for a while, or because another process has taken its place."""
    for _ in range(times):
        await asyncio.sleep(0.3)
        pid = await scene.store_pid()
        now = int(status_of(pid, "VmSize")) * 1024
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (now + (1 << 20), resource.RLIM_INFINITY))
        large = {"type": "load", "event": "large", "data": {"text": LARGE}}
        for _ in range(5):
            await scene.daemon.request("POST", "/v1/events", body=large)
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await scene.recovers()


async def besiege(
    place: Path,
    happens: Callable[[Scene, int], Awaitable[None]],
    *,
    times: int,
    chance: random.Random,
    within_s: float,
) -> Findings:
    """Load a daemon while that happens to its store so often; returns the figures and what is wrong."""
    async with Receiver() as receiver:
        write_config(place, receiver.url, store_process="true")
        daemon = DaemonProcess(place)
        scene = Scene(daemon, receiver, chance)
        receiver.reply = scene.reply
        try:
            await daemon.start(within_s=60)
            posting = [asyncio.create_task(scene.post()) for _ in range(POSTERS)]
            try:
                await happens(scene, times)
            finally:
                for task in posting:
                    task.cancel()
                await asyncio.gather(*posting, return_exceptions=True)
            records = await scene.settle()
            code = await daemon.stop()
        finally:
            await daemon.close()
    return _judged(scene, records, code, times=times, within_s=within_s)


def _judged(scene: Scene, records: list[Any], code: int, *, times: int, within_s: float) -> Findings:
    books, arrived = scene.books, Counter(request.id for request in scene.receiver.requests)
    twice = [key for key, number in scene.delivered.items() if number > 1]
    found = Findings(
        {
            "times": times,
            "acknowledged": len(books.acknowledged),
            "lost": len(books.acknowledged.keys() - arrived.keys()),
            "delivered twice": len(twice),
            "refused": scene.refused,
            "recovery_s": round(statistics.median(scene.recoveries_s), 2),
            "slowest_s": round(max(scene.recoveries_s), 2),
        },
        books.audit(scene.receiver.requests, records) + damage(scene.daemon.directory / "h.db"),
    )
    found.expect(books.acknowledged, "nothing was acknowledged")
    found.expect(not twice, f"delivered more than once: {twice[:5]}")
    found.expect(code == 0, f"the daemon ended with {code}")
    slowest = max(scene.recoveries_s)
    found.expect(slowest <= within_s, f"it took {slowest:.1f} s until it took in and delivered again")
    return found


async def prove(options: Options) -> Findings:
    """Run all three parts; side by side in the short version, where most of it is waiting for leases to end."""
    within_s = BUSY_S if options.short else RECOVERY_S
    parts = {
        "killed": (killed, options.scale(short=8, long=200)),
        "stopped": (stopped, options.scale(short=1, long=5)),
        "out of memory": (starved, options.scale(short=3, long=50)),
    }
    sieges = [
        besiege(options.place(name), happens, times=times, chance=options.chance(), within_s=within_s)
        for name, (happens, times) in parts.items()
    ]
    results = await asyncio.gather(*sieges) if options.short else [await siege for siege in sieges]
    whole = Findings()
    for name, part in zip(parts, results, strict=True):
        whole.figures[name] = part.figures
        whole.violations += [f"{name}: {violation}" for violation in part.violations]
    return whole
