"""Resident memory of the idle daemon, and with 100,000 pending deliveries of 1 KiB."""

import argparse
import asyncio
import tempfile
from itertools import repeat
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.load import flood, request_bytes
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import memory_mib

PENDING = 100_000

_CONFIG = """
daemon:
  listen: [{{unix: h.sock}}]
  store: h.db
webhooks:
  w: {{url: "http://127.0.0.1:{port}/", timeout: 120}}
tasks:
  t: {{webhook: w, message: {{text: "${{data.text}}"}}}}
events:
  e: {{type: bench, event: tick, task: t}}
"""


def main(_asked: argparse.Namespace) -> dict[str, Any]:
    """MiB."""
    return uvloop.run(_measure())


async def _measure() -> dict[str, Any]:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)  # never answers
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        directory = Path(name)
        (directory / "hookd.yaml").write_text(_CONFIG.format(port=port))
        event = {"type": "bench", "event": "tick", "data": {"text": "x" * 1010}}
        async with DaemonProcess(directory) as daemon:
            await daemon.get("/v1/status")
            idle = memory_mib(daemon.pid)
            await flood(str(daemon.socket), repeat(request_bytes(event), PENDING), connections=16)
            totals = (await daemon.get("/v1/status"))["deliveries"]
            full = memory_mib(daemon.pid)
        async with DaemonProcess(directory) as daemon:
            await daemon.get("/v1/status")
            restarted = memory_mib(daemon.pid)
    return {
        "pending": totals["pending"] + totals["sending"],
        "idle_mib": idle,
        "with_backlog_mib": full,
        "difference_mib": round(full - idle, 1),
        "restarted_with_backlog_mib": restarted,
    }
