"""Whole-process time of `hookd emit`, against `python -c pass`."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.kit.daemon import DaemonProcess

RUNS = 15
_CONFIG = "daemon: {listen: [{unix: h.sock}], store: h.db}\n"


def main(_asked: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, medians of runs taken in turn."""
    return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        directory = Path(name)
        (directory / "hookd.yaml").write_text(_CONFIG)
        program = str(Path(sys.executable).parent / "hookd")
        async with DaemonProcess(directory) as daemon:
            emit = [program, "emit", "bench", "tick", "--socket", str(daemon.socket)]
            times: dict[str, list[float]] = {"emit": [], "pass": []}
            for _ in range(RUNS):
                times["emit"].append(await _time(emit))
                times["pass"].append(await _time([sys.executable, "-c", "pass"]))
    medians = {what: statistics.median(each) for what, each in times.items()}
    return {
        "emit_ms": round(medians["emit"], 1),
        "python_pass_ms": round(medians["pass"], 1),
        "ratio": round(medians["emit"] / medians["pass"], 2),
    }


async def _time(command: list[str]) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return (time.perf_counter() - began) * 1000
