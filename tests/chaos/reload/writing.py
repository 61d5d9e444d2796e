"""Writers of every kind: what is in force is always one whole generation, and soon the last one (spec 7 and 14).

Must never: take what the machine made too slow for a fault of the daemon: a pause of the writer's that became longer
than the quiet time is counted apart. Used by: `reload`.
"""

import asyncio
import json
import os
import random
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.proof import Findings, Options
from tests.chaos.reload.generations import BEARABLE_S, Files, Generations, Pen, Place
from tests.chaos.reload.writers import BREAKERS, OF_MANY_FILES, WRITERS, Writer
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver

SOON_S = 12.0
"""The last state is in force this long after its writer ended; usually it is a little more than a second."""
REHASH_S = 45.0
"""Likewise where no watch is to be had at all: the content is compared every 30 s."""
EVENT_EVERY = 5
"""Looks at the configuration between two events."""

DAEMON = (
    "daemon: {{listen: [{{unix: {root}/h.sock}}], store: {root}/h.db, log: {{format: json, level: info}}}}\n"
    "webhooks: {{w: {{url: '{url}', concurrency: 100}}}}\n"
)
NO_WATCH = (
    "unshare",
    "-Ur",
    "sh",
    "-c",
    'echo 0 > /proc/sys/user/max_inotify_instances; "$@"; exit $?',
    "--",
)
"""A user namespace in which no inotify instance is to be had."""


@dataclass
class Tally:
    """What all stages saw together."""

    writers: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    delays_s: list[float] = field(default_factory=list)
    applied: int = 0
    wrong: list[str] = field(default_factory=list)
    overslept: int = 0
    events: int = 0
    bodies: int = 0
    refused: int = 0
    asked: int = 0


async def prove(options: Options, found: Findings) -> None:
    """Run the stages and judge."""
    chance, tally = options.chance(), Tally()
    place = options.place("w")
    await _Stage(place, chance, tally, found, most=40, firing=2).run(
        _round_robin(chance, WRITERS, options.scale(short=12, long=248)),
        breakers=options.scale(short=2, long=25),
    )
    await _Stage(options.place("m"), chance, tally, found, most=500, firing=25).run(
        _round_robin(chance, OF_MANY_FILES, options.scale(short=2, long=40))
    )
    await _Stage(options.place("o"), chance, tally, found, most=20, firing=2).overflow(
        options.scale(short=1, long=10)
    )
    if not options.short:
        await _Stage(options.place("n"), chance, tally, found, most=20, firing=2, wrap=NO_WATCH).run(
            [writer for writer in WRITERS if writer.__name__ != "directory_made_again"][:10]
        )
    _report(tally, found)


def _report(tally: Tally, found: Findings) -> None:
    delays_s = sorted(tally.delays_s)
    found.figures["writers"] = sum(tally.writers.values())
    found.figures["writers by kind"] = dict(tally.writers)
    found.figures["generations applied"] = tally.applied
    found.figures["wrong or mixed generations applied"] = f"{len(tally.wrong)} of {tally.applied}"
    found.figures["mixed where a writer's pause became too long"] = tally.overslept
    found.figures["in force after the last write, s"] = {
        "median": round(statistics.median(delays_s), 2),
        "longest": round(delays_s[-1], 2),
    }
    found.figures["broken states refused"] = tally.refused
    found.figures["SIGHUP and POST /v1/reload meanwhile"] = tally.asked
    found.figures["events rendered whole"] = f"{tally.events} of {tally.events}, {tally.bodies} messages"
    found.violations += tally.wrong


def _round_robin(chance: random.Random, writers: Sequence[Writer], count: int) -> list[Writer]:
    """So many, every kind as often as the others, in any order."""
    found: list[Writer] = []
    while len(found) < count:
        found += chance.sample(writers, len(writers))
    return found[:count]


class _Stage:
    """One daemon on one tree."""

    def __init__(
        self,
        root: Path,
        chance: random.Random,
        tally: Tally,
        found: Findings,
        *,
        most: int,
        firing: int,
        wrap: Sequence[str] = (),
    ) -> None:
        self._place = Place(root, chance)
        self._chance = chance
        self._tally = tally
        self._found = found
        self._receiver = Receiver()
        self._daemon = DaemonProcess(root, config=self._place.link, wrap=wrap)
        self._generations = Generations("", most, firing, chance)
        self._pen = Pen(chance)
        self._number = 0
        self._seen: set[str] = set()
        self._events: dict[str, int] = {}

    async def run(self, writers: Sequence[Writer], *, breakers: int = 0) -> None:
        """Let the writers write, several in a row now and then, and wait after each row."""
        left, breaking = list(writers), breakers
        async with self._receiver:
            await self._begin()
            looking = asyncio.create_task(self._look())
            try:
                while left:
                    if breaking and self._chance.random() < 2 * breakers / len(writers):
                        breaking -= 1
                        await self._break()
                    row = [left.pop() for _ in range(min(len(left), self._chance.choice((1, 2, 3))))]
                    await self._write(row)
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
                await self._end()

    async def overflow(self, rounds: int) -> None:
        """More changes than the kernel remembers while the daemon stands still, and then the one that counts."""
        async with self._receiver:
            await self._begin()
            try:
                for _ in range(rounds):
                    self._number, files = self._generations.next()
                    self._daemon.signal(signal.SIGSTOP)
                    await asyncio.to_thread(_flood, self._place, files)
                    self._daemon.signal(signal.SIGCONT)
                    self._tally.writers["overflow"] += 1
                    await self._in_force(REHASH_S)
            finally:
                self._daemon.signal(signal.SIGCONT)
                await self._end()

    async def _begin(self) -> None:
        self._generations.daemon = DAEMON.format(root=self._place.root, url=self._receiver.url)
        self._number, files = self._generations.next()
        self._place.begin(files)
        await self._daemon.start()

    async def _end(self) -> None:
        with suppress(TimeoutError):
            await self._receiver.wait_for(sum(self._events.values()), within_s=30)
        await self._daemon.stop()
        await self._daemon.close()
        self._judge_log()
        self._judge_bodies()

    async def _write(self, row: Sequence[Writer]) -> None:
        asking = asyncio.create_task(self._ask()) if self._chance.random() < 0.4 else None
        for writer in row:
            number, files = self._generations.next()
            self._pen = Pen(self._chance)
            self._number = number
            await asyncio.to_thread(writer, self._place, self._pen, files)
            self._tally.writers[writer.__name__] += 1
        await self._in_force(SOON_S)
        if asking is not None:
            await asking

    async def _in_force(self, within_s: float) -> None:
        """Wait until the last state is in force."""
        ended_at = time.monotonic()
        while time.monotonic() < ended_at + within_s:
            if self._generations.of(await self._config()) == self._number:
                self._tally.delays_s.append(time.monotonic() - ended_at)
                return
            await asyncio.sleep(0.02)
        self._found.expect(
            holds=False,
            violation=f"{self._place.root.name}: generation {self._number} not in force {within_s:g} s after "
            f"its writer ({dict(self._tally.writers)})",
        )

    async def _ask(self) -> None:
        """Reload by SIGHUP and by request while somebody writes; a verdict of either kind is right."""
        await asyncio.sleep(self._chance.uniform(0, 0.4))
        self._tally.asked += 1
        if self._chance.random() < 0.5:
            self._daemon.signal(signal.SIGHUP)
        else:
            status, answer = await self._daemon.request("POST", "/v1/reload")
            self._found.expect(status in {200, 422}, f"POST /v1/reload answered {status}: {answer}")

    async def _break(self) -> None:
        """A state that is no configuration: it is refused by the name of the file, and the old one stays."""
        breaker = self._chance.choice(BREAKERS)
        breaker(self._place)
        self._tally.writers[breaker.__name__] += 1
        try:
            async with asyncio.timeout(SOON_S):
                while True:
                    last = (await self._daemon.get("/v1/status"))["config"]["last_reload"]
                    if not last["ok"] and "broken.yaml" in last["faults"][0]:
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self._found.violations.append(f"{breaker.__name__}: no refusal that names the file: {last}")
            return
        self._tally.refused += 1
        now = self._generations.of(await self._config())
        self._found.expect(
            now == self._number, f"{breaker.__name__}: generation {now} instead of {self._number}"
        )

    async def _look(self) -> None:
        """See every configuration that is in force, and post events that all tasks answer."""
        looks = 0
        while True:
            await self._config()
            looks += 1
            if looks % EVENT_EVERY == 0:
                await self._emit(f"e{looks}")
            await asyncio.sleep(0.1)

    async def _config(self) -> Any:
        """The configuration in force, which must be a whole generation."""
        config = await self._daemon.get("/v1/config")
        if config["hash"] not in self._seen:
            self._seen.add(config["hash"])
            if self._generations.of(config) is None:
                self._mixed(f"in force is {sorted({t['description'] for t in config['tasks'].values()})[:5]}")
        return config

    def _mixed(self, what: str) -> None:
        if self._pen.longest_s > BEARABLE_S:
            self._tally.overslept += 1
        else:
            self._tally.wrong.append(
                f"{self._place.root.name}: {what} while {self._number} was written ({dict(self._tally.writers)})"
            )

    async def _emit(self, key: str) -> None:
        status, receipt = await self._daemon.post({"type": "tick", "event": "tock", "data": {"n": key}})
        self._found.expect(status == 202, f"an event was answered {status} during a reload: {receipt}")
        self._events[key] = len(receipt["deliveries"])

    def _judge_log(self) -> None:
        """Each configuration that was applied was also looked at."""
        lines = self._daemon.logged()
        hashes = [line["hash"] for line in lines if line["event"] == "config.reloaded"]
        self._tally.applied += len(hashes)
        unseen = set(hashes) - self._seen
        self._found.expect(not unseen, f"{len(unseen)} generations were in force too shortly to be looked at")
        crashes = [line for line in lines if "failed inside" in str(line)]
        self._found.expect(not crashes, f"a reload failed inside hookd: {crashes[:1]}")

    def _judge_bodies(self) -> None:
        """Whatever an event fired was rendered from one generation, all of it."""
        bodies: dict[str, list[int]] = defaultdict(list)
        for request in self._receiver.requests:
            body = json.loads(request.body)
            bodies[body["n"]].append(body["generation"])
        for key, count in self._events.items():
            numbers = bodies[key]
            whole = len(set(numbers)) == 1 and len(numbers) == count == self._generations.fires(numbers[0])
            self._tally.events += 1
            self._tally.bodies += len(numbers)
            if not whole and not self._tally.overslept:
                self._tally.wrong.append(
                    f"event {key}: {len(numbers)} of {count} messages, generations {set(numbers)}"
                )


def _flood(place: Place, files: Files) -> None:
    """Some 20,000 events that the kernel cannot put together, then the new state."""
    paths = [place.tree / name for name in files]
    for _ in range(20_000 // len(paths)):
        for path in paths:
            with suppress(FileNotFoundError):
                os.utime(path)
    for name, content in files.items():
        (place.tree / name).write_text(content)
    for path in place.tree.glob("t*.yaml"):
        if path.name not in files:
            path.unlink()
