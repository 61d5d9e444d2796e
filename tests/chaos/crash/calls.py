"""`SIGKILL` at the K-th system call of a kind, for K = 1, 2, …: strace kills hookd as a thread of it enters that call.

Each point has a store of its own: a first start from nothing, a small workload (an event alone, one with an id and
again, a batch and again, answers 503, a reload, an event after it), a clean stop. Then a second start, without strace
and without help, must find everything in order.

Calls that Python makes by the thousand while it starts (`read`, `write`) are counted from READY on.

Called by: the proof `crash`.
"""

import asyncio
import random
import re
import shutil
from collections import Counter
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.chaos.crash.books import GONE, LEASE_S, Books, write_config
from tests.chaos.crash.deep import damage
from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import threads
from tests.kit.receiver import Received, Receiver, response
from tests.kit.strace import Injection, under

NAMED = ("fdatasync", "pwrite64", "sendto", "recvfrom", "connect", "accept4", "unlink")
"""What the promise names."""

FROM_START = (*NAMED, "fsync", "ftruncate", "rename", "bind", "listen", "chmod")
"""Counted from the process's beginning."""

FROM_READY = ("read", "readv", "recvmsg", "write", "writev", "sendmsg")
"""Counted from READY on: how libuv reads and writes its sockets, and how the store's thread wakes the loop."""

BATCH = ("batch0", "batch1")

SETTLED_S = LEASE_S + 60


@dataclass(frozen=True, slots=True)
class Point:
    """Where to kill: at the K-th `call` of whichever thread gets there first."""

    call: str
    nth: int

    def __str__(self) -> str:
        return f"{self.call} {self.nth}"

    @property
    def fault(self) -> str:
        return f"{self.call}:signal=SIGKILL:when={self.nth}"


@dataclass
class Sweep:
    """All points, with what they came to; `starts` and `works` keep the machine from being asked for too much.

    Attributes:
        reached: of each call, the numbers at which hookd was killed.
        counts: acknowledged, requests and the like, over all points.
        litter: names of files that were left beside the store and the socket.
    """

    directory: Path
    busy: asyncio.Semaphore
    reached: dict[str, list[int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    litter: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    async def run(self, points: Iterable[Point]) -> None:
        """Kill at each of the points, several at a time."""
        async with asyncio.TaskGroup() as group:
            for point in points:
                group.create_task(self.kill_at(point))

    async def kill_at(self, point: Point) -> bool:
        """Kill at one point and see what is left; returns whether the workload got there."""
        place = new(self.directory / str(point).replace(" ", "-"))
        killed = False
        async with Scene(place, Receiver()) as scene:
            try:
                async with self.busy:
                    killed = await scene.work_until(point)
                    await scene.restart()
                wrong = await scene.finish()
            except (AssertionError, TimeoutError, *GONE) as exc:
                wrong = [f"it did not come back: {exc!r}"]
        if killed:
            self.reached.setdefault(point.call, []).append(point.nth)
        self.violations += [f"killed at {point}: {what}" for what in wrong]
        self.counts.update(
            points=1,
            acknowledged=len(scene.books.acknowledged),
            lost=sum("lost" in what for what in wrong),
            requests=len(scene.receiver.requests),
        )
        self.litter.update(re.sub(r"\d+", "N", path.name) for path in place.iterdir())
        shutil.rmtree(place)
        return killed


@dataclass
class Scene:
    """One store and what happens to it."""

    place: Path
    receiver: Receiver
    books: Books = field(default_factory=Books)

    async def __aenter__(self) -> Self:
        await self.receiver.__aenter__()
        self.receiver.reply = self._reply
        write_config(self.place, self.receiver.url, store_process="false")
        self.daemon = DaemonProcess(self.place)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.daemon.close()
        await self.receiver.__aexit__(None, None, None)

    async def _reply(self, request: Received) -> bytes:
        """503 where a delivery of the event "named" arrives the first time, 200 otherwise."""
        again = sum(earlier.id == request.id for earlier in self.receiver.requests) > 1
        return response(503 if b'"named"' in request.body and not again else 200)

    async def work_until(self, point: Point) -> bool:
        """Run the workload with hookd being killed at the point; returns whether it was."""
        if point.call in FROM_READY:
            return await self._work_attached(point)
        self.daemon.wrap = under(point.fault)
        with suppress(AssertionError):  # killed while starting
            await self.daemon.start(within_s=SETTLED_S)
            await self._work()
        return await self._ended() != 0

    async def _work_attached(self, point: Point) -> bool:
        await self.daemon.start(within_s=SETTLED_S)
        pid = self.daemon.pid
        async with Injection(pid, point.fault, threads=threads(pid)):
            await self._work()
            return await self._ended() != 0

    async def _ended(self) -> int:
        """The exit code of the first daemon, 0 if it stopped cleanly."""
        assert self.daemon.process is not None
        async with asyncio.timeout(SETTLED_S):
            return await self.daemon.process.wait()

    async def _work(self) -> None:
        with suppress(*GONE):
            await self._use()
            await self.daemon.stop()

    async def _use(self) -> None:
        books, daemon = self.books, self.daemon
        reload = asyncio.create_task(daemon.request("POST", "/v1/reload"))
        try:
            await books.post(daemon, books.event("alone"), close=True)
            await books.post(daemon, books.event("named", given_id=True), close=True)
            await books.post(daemon, books.event("named", given_id=True), again=True, close=True)
            batch = [books.event(mark, given_id=True) for mark in BATCH]
            await books.post(daemon, *batch, close=True)
            await books.post(daemon, *batch, again=True)
            await reload
            await books.post(daemon, books.event("after"))
            await self._until_delivered()
        finally:
            reload.cancel()
            with suppress(asyncio.CancelledError, *GONE):
                await reload

    async def _until_delivered(self) -> None:
        while True:
            records = (await self.daemon.get("/v1/deliveries?limit=500"))["deliveries"]
            self.books.note_recorded(records, self.receiver.requests)
            if all(record["state"] == "delivered" for record in records):
                return
            await asyncio.sleep(0.02)

    async def restart(self) -> None:
        """Start again without strace, and ask again as a client does that was not answered."""
        self.daemon.wrap = ()
        await self.daemon.kill()
        await self.daemon.start(within_s=SETTLED_S)
        for marks in (["named"], BATCH):
            if self.books.posted >= set(marks):
                events = [self.books.event(mark, given_id=True) for mark in marks]
                await self.books.post(self.daemon, *events, again=True)
        await self.books.post(self.daemon, self.books.event("healthy"))

    async def finish(self) -> list[str]:
        """Let it end what it has, stop it, and look at everything; returns what is wrong."""
        await self.daemon.settled(within_s=SETTLED_S)
        records = await self.daemon.listed()
        code = await self.daemon.stop()
        wrong = self.books.audit(self.receiver.requests, records) + damage(self.place / "h.db")
        return wrong + ([] if code == 0 else [f"the second daemon ended with {code}"])


def new(place: Path) -> Path:
    """The directory, made."""
    place.mkdir()
    return place


async def count_calls(place: Path) -> dict[str, int]:
    """How often the busiest thread makes each call in the workload, from the start or from READY on."""
    out = place.with_name(f"{place.name}.trace")  # not in the directory that hookd watches
    async with Scene(place, Receiver()) as scene:
        scene.daemon.wrap = [
            "strace", "-f", "--seccomp-bpf", "-qq", "-o", str(out), "-s", "16", "-e",
            f"trace={','.join(FROM_START + FROM_READY)}", "--",
        ]  # fmt: skip
        await scene.daemon.start()
        running = {str(thread) for thread in threads(scene.daemon.pid)}
        await scene._work()
        await scene._ended()
    return most_by_one_thread(out.read_text(), running)


def most_by_one_thread(trace: str, threads: Container[str]) -> dict[str, int]:
    """From an strace output, how often the busiest of the threads makes each call; some are counted from READY on."""
    before, ready, after = trace.partition('"READY=1')
    assert ready, "the daemon never said READY"
    per_thread = Counter(
        (match[2], match[1])
        for text, calls in ((before + after, FROM_START), (after, FROM_READY))
        for match in re.finditer(r"^(\d+) +(\w+)\(", text, re.MULTILINE)
        if match[1] in threads and match[2] in calls
    )
    most: dict[str, int] = dict.fromkeys((*FROM_START, *FROM_READY), 0)
    for (call, _), number in per_thread.items():
        most[call] = max(most[call], number)
    return most


async def kill_at_calls(directory: Path, *, short: bool, chance: random.Random, at_once: int) -> Findings:
    """Kill at every call that matters; in the short version at a few of each."""
    most = await count_calls(new(directory / "counting"))
    sweep = Sweep(directory, asyncio.Semaphore(at_once))
    if short:
        await sweep.run(_sampled(most, chance))
    else:
        await sweep.run(Point(call, nth) for call, number in most.items() for nth in range(1, number + 1))
        for call, number in most.items():
            if number:
                await _go_on(sweep, call, number + 1)
    return _findings(sweep, most, short=short)


async def _go_on(sweep: Sweep, call: str, nth: int) -> None:
    """Further points of a call, until the workload does not get there any more."""
    while await sweep.kill_at(Point(call, nth)):
        nth += 1


def _sampled(most: dict[str, int], chance: random.Random) -> list[Point]:
    """One point of each call that the promise or a socket's life depends on, and two more of those that write."""
    points = [
        Point(call, chance.randint(1, number))
        for call, number in most.items()
        if number and call not in {"bind", "listen", "chmod", "ftruncate"}
    ]
    for call in ("fdatasync", "pwrite64"):
        rest = [nth for nth in range(1, most[call] + 1) if Point(call, nth) not in points]
        points += [Point(call, nth) for nth in chance.sample(rest, 2)]
    return points


def _findings(sweep: Sweep, most: dict[str, int], *, short: bool) -> Findings:
    killed = {call: len(numbers) for call, numbers in sweep.reached.items()}
    figures: dict[str, Any] = {
        "killed at": killed,
        "kills": sum(killed.values()),
        **sweep.counts,
        "never made": [call for call, number in most.items() if not number],
        "left in the directory": dict(sweep.litter),
    }
    found = Findings(figures, list(sweep.violations))
    made = {call for call, number in most.items() if number}
    found.expect({"fdatasync", "pwrite64", "unlink", "connect", "accept4"} <= made, f"not made: {most}")
    if not short:
        found.expect(killed.keys() == made, f"no kill at {sorted(made - killed.keys())}")
    return found
