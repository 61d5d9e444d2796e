"""User instructions of the daemon for one event, from its bytes in to its outcome stored, counted by valgrind.

They vary by a few percent where times vary by half, so they tell what a change costs. The daemon runs under callgrind,
which counts from when it is warm; client and receiver run outside. A wave of events comes at once, and the next after
all of it was received: so the commits are as large as under load, and about as many in each run. What the daemon does
in the same time without an event is subtracted.

Fails where an event costs 5 % more, twice, than the figure kept in `instructions.json` for this version of Python.
"""

import argparse
import asyncio
import json
import platform
import re
import shutil
import statistics
import tempfile
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

from tests.bench.builds import ONE_PROCESS, STORE_PROCESS, Build
from tests.bench.load import Waves
from tests.bench.receiver import CountingReceiver, counting_receiver
from tests.bench.workloads import WORKLOADS, Workload
from tests.kit import procfs
from tests.kit.daemon import DaemonProcess

KEPT = Path(__file__).with_name("instructions.json")
TOLERATED = 1.05

MEASURED = {
    "plain": (WORKLOADS["plain"], ONE_PROCESS),
    "varied": (WORKLOADS["varied"], ONE_PROCESS),
    "plain_store_process": (WORKLOADS["plain"], STORE_PROCESS),
}
WAVE = 20
"""Events at once: under load from 64 connections a commit has about as many."""

WARM_WAVES = 2
WAVES = 3
PARTS = 5
"""The figure is the median of so many parts of `WAVES` waves each."""

THREADS = ("main", "others", "children")
"""The daemon's main thread, its other threads (the store), and its child processes."""

SETTLE_S = 1.0
IDLE_S = 3.0
START_S = 300.0

_VALGRIND = (
    "valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
    "--trace-children=yes", "--trace-children-skip-by-arg=*isolated_child*",
)  # fmt: skip
_NAME = re.compile(r"callgrind\.(?P<pid>\d+)\.\d+-(?P<thread>\d+)")
_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)


def options(parser: argparse.ArgumentParser) -> None:
    """What it can be asked for."""
    parser.add_argument("--update", action="store_true", help="keep what is measured")


def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Instructions an event, by load and by thread, beside the figure kept."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is needed: apt-get install valgrind")
    python = platform.python_version()
    kept = json.loads(KEPT.read_text())
    found = asyncio.run(_measure_all())
    if asked.update:
        kept[python] = {name: row["instructions"] for name, row in found.items()}
        KEPT.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    elif _worse(
        found, kept.get(python, {})
    ):  # a busy machine makes more wake-ups of the same events: look twice
        again = asyncio.run(_measure_all())
        found = {name: min(row, again[name], key=itemgetter("instructions")) for name, row in found.items()}
    return {
        "python": python,
        "kept": kept.get(python),
        **found,
        **_failure(_worse(found, kept.get(python, {}))),
    }


def _worse(found: dict[str, dict[str, int]], kept: dict[str, int]) -> list[str]:
    return [
        f"{name}: {row['instructions']:,} instructions an event where {kept[name]:,} are kept"
        for name, row in found.items()
        if name in kept and row["instructions"] > kept[name] * TOLERATED
    ]


def _failure(worse: list[str]) -> dict[str, str]:
    if not worse:
        return {}
    todo = "find what costs them, or keep the new figure with `python -m tests.bench instructions --update`"
    return {"failed": "; ".join([*worse, todo])}


async def _measure_all() -> dict[str, dict[str, int]]:
    rows = await asyncio.gather(*(_measure(*measured) for measured in MEASURED.values()))
    return dict(zip(MEASURED, rows, strict=True))


async def _measure(workload: Workload, build: Build) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        async with counting_receiver(own_ids=workload.own_ids) as receiver:
            daemon = _Counted(Path(name), workload, build, receiver)
            try:
                return await daemon.measure()
            finally:
                await daemon.end()


class _Counted:
    """A daemon under callgrind, and those it talks to."""

    def __init__(self, directory: Path, workload: Workload, build: Build, receiver: CountingReceiver) -> None:
        self._directory = directory
        self._receiver = receiver
        self._requests = iter(workload.take(WAVE * (2 * WARM_WAVES + WAVES * PARTS)))
        self._daemon = DaemonProcess(
            directory,
            config=workload.configure(directory, receiver.url, daemon=build.daemon),
            env={"PYTHONHASHSEED": "0"},
            wrap=(*_VALGRIND, f"--callgrind-out-file={directory}/callgrind.%p"),
        )
        self._waves = Waves(str(self._daemon.socket), WAVE)

    async def measure(self) -> dict[str, int]:
        """Instructions an event, by thread as well."""
        await self._daemon.start(within_s=START_S)
        await self._send(WARM_WAVES)
        await self._control("--instr=on")
        await self._send(WARM_WAVES)
        await self._daemon.settled()
        await asyncio.sleep(SETTLE_S)
        await self._counted()
        idle = await self._per_second()
        parts = [await self._per_event(idle) for _ in range(PARTS)]
        return {
            "instructions": round(statistics.median(sum(part.values()) for part in parts)),
            **{thread: round(statistics.median(part[thread] for part in parts)) for thread in THREADS},
        }

    async def end(self) -> None:
        """Kill it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._daemon.close()

    @property
    def _process(self) -> asyncio.subprocess.Process:
        process = self._daemon.process  # valgrind becomes what it runs
        assert process is not None
        return process

    async def _per_second(self) -> dict[str, float]:
        began = time.perf_counter()
        await asyncio.sleep(IDLE_S)
        counted = await self._counted()
        took_s = time.perf_counter() - began
        return {thread: counted[thread] / took_s for thread in THREADS}

    async def _per_event(self, idle: dict[str, float]) -> dict[str, float]:
        began = time.perf_counter()
        await self._send(WAVES)
        counted = await self._counted()
        took_s = time.perf_counter() - began
        return {thread: (counted[thread] - idle[thread] * took_s) / (WAVES * WAVE) for thread in THREADS}

    async def _send(self, waves: int) -> None:
        for _ in range(waves):
            goal = self._receiver.came + WAVE
            await self._waves.post([next(self._requests) for _ in range(WAVE)])
            while self._receiver.came < goal:
                await asyncio.sleep(0.005)

    async def _counted(self) -> dict[str, int]:
        """Instructions by thread since the last call."""
        await self._control("--dump")
        counted = dict.fromkeys(THREADS, 0)
        for path in self._directory.glob("callgrind.*"):
            name, total = _NAME.fullmatch(path.name), _TOTAL.search(path.read_text())
            if name is None or total is None:
                continue
            own = int(name["pid"]) == self._process.pid
            counted[("main" if name["thread"] == "01" else "others") if own else "children"] += int(total[1])
            path.unlink()
        return counted

    async def _control(self, *words: str) -> None:
        """Have callgrind do something, in the daemon and its children."""
        children = [pid for pid in procfs.children(self._process.pid) if "callgrind" in procfs.program(pid)]
        for pid in (self._process.pid, *children):
            asked = await asyncio.create_subprocess_exec(
                "callgrind_control", *words, str(pid),
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert await asked.wait() == 0, f"callgrind_control {words} failed"
