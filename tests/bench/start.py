"""From the start of the process to READY, with three definitions; builds take turns."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import builds
from tests.bench.builds import Build
from tests.bench.workloads import PLAIN
from tests.kit.daemon import DaemonProcess

ROUNDS = 11


def options(parser: argparse.ArgumentParser) -> None:
    """What it can be asked for."""
    builds.add_options(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS)


def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Seconds, medians."""
    return {"rounds": asked.rounds, **asyncio.run(_measure(builds.asked_for(asked), asked.rounds))}


async def _measure(chosen: Mapping[str, Build], rounds: int) -> dict[str, Any]:
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        configs = {}
        for build in chosen:
            directory = Path(name) / build
            directory.mkdir()
            configs[build] = PLAIN.configure(directory, "http://127.0.0.1:9/", daemon=chosen[build].daemon)
        for number in range(rounds + 1):
            for build, config in configs.items():
                took_s = await _start(config, chosen[build])
                if number:  # the first reads the modules from the disk
                    rows[build].append({"ready_s": took_s})
    return builds.medians(rows)


async def _start(config: Path, build: Build) -> float:
    daemon = DaemonProcess(config.parents[1], config=config, python=build.python)
    began = time.perf_counter()
    await daemon.start()
    took_s = time.perf_counter() - began
    await daemon.close()
    return took_s
