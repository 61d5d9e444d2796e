"""Events per second through the whole daemon, against a bare client loop sending the same requests, in one run."""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.load import flood
from tests.bench.nginx import nginx
from tests.bench.workloads import CONCURRENCY, PLAIN
from tests.kit.daemon import DaemonProcess

EVENTS = 20_000
CONNECTIONS = 64
ROUNDS = 3


def main(_asked: argparse.Namespace) -> dict[str, Any]:
    """Alternate both sides and print medians and their ratio."""
    rounds = []
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name, nginx(Path(name)) as url:
        for number in range(ROUNDS):
            directory = Path(name) / str(number)
            directory.mkdir()
            through = uvloop.run(_through_hookd(directory, url))
            bare = float(
                subprocess.check_output(
                    [sys.executable, "-m", "tests.bench.bare", url, str(EVENTS), str(CONCURRENCY)]
                )
            )
            rounds.append(
                {"hookd_per_s": round(through), "bare_per_s": round(bare), "ratio": round(through / bare, 3)}
            )
    return {
        "events": EVENTS,
        "connections": CONNECTIONS,
        "concurrency": CONCURRENCY,
        "rounds": rounds,
        "ratio": statistics.median(r["ratio"] for r in rounds),
    }


async def _through_hookd(directory: Path, url: str) -> float:
    config = PLAIN.configure(directory, url)
    async with DaemonProcess(directory, config=config) as daemon:
        await flood(str(daemon.socket), PLAIN.take(200), connections=4)
        await _delivered(daemon, 200)
        began = time.perf_counter()
        await flood(str(daemon.socket), PLAIN.take(EVENTS), connections=CONNECTIONS)
        await _delivered(daemon, 200 + EVENTS)
        return EVENTS / (time.perf_counter() - began)


async def _delivered(daemon: DaemonProcess, count: int) -> None:
    while (await daemon.get("/v1/status"))["deliveries"]["delivered"] < count:
        await asyncio.sleep(0.05)
