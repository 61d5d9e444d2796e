"""What a daemon delivers a second that starts with 1,000,000 pending deliveries, beside what it takes in and delivers.

Only the first deliveries of the backlog are waited for: it is as large at their end as at their start, nearly.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import builds
from tests.bench.builds import Build
from tests.bench.throughput import Receiver, delivered, receiver, through
from tests.bench.workloads import PLAIN
from tests.chaos.backlog.filling import Lane, fill
from tests.kit.daemon import DaemonProcess

PENDING = 1_000_000
DRAINED = 40_000
ROUNDS = 3


def options(parser: argparse.ArgumentParser) -> None:
    """What it can be asked for."""
    builds.add_options(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--pending", type=int, default=PENDING)
    parser.add_argument("--drained", type=int, default=DRAINED)


def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Deliveries a second, medians over the rounds."""
    chosen = builds.asked_for(asked)
    if "base" in chosen:
        raise SystemExit("an older build cannot read this build's store: leave --base out")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name, receiver(Path(name), PLAIN) as to:
        stores = {}
        for build in chosen:
            stores[build] = Path(name) / build
            stores[build].mkdir()
            PLAIN.configure(stores[build], to.url, daemon=chosen[build].daemon)
            asyncio.run(fill(stores[build] / "h.db", Lane("w", asked.pending)))
        for number in range(asked.rounds):
            for build, directory in stores.items():
                fresh = directory / f"fresh-{number}"
                fresh.mkdir()
                rows[build].append(_round(chosen[build], directory, fresh, to, asked.drained))
    return {"pending": asked.pending, "drained": asked.drained, **builds.medians(rows)}


def _round(build: Build, full: Path, fresh: Path, to: Receiver, count: int) -> dict[str, float]:
    drained = uvloop.run(_drain(build, full, count))
    taken = uvloop.run(through(build, PLAIN, fresh, to, count))["per_s"]
    return {"drain_per_s": drained, "fresh_per_s": taken, "drain_to_fresh": drained / taken}


async def _drain(build: Build, directory: Path, count: int) -> float:
    config = directory / "config" / "hookd.yaml"
    async with DaemonProcess(directory, config=config, python=build.python) as daemon:
        before = (await daemon.status())["deliveries"]["delivered"]
        began = time.perf_counter()
        await delivered(daemon, before + count)
        took_s = time.perf_counter() - began
        after = (await daemon.status())["deliveries"]["delivered"]
        return float(after - before) / took_s
