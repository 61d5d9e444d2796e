"""Memory of the idle daemon and of its child process, by build; and with 100,000 pending deliveries of 1 KiB."""

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import builds
from tests.bench.builds import Build
from tests.bench.load import flood, request_bytes
from tests.kit import procfs
from tests.kit.daemon import DaemonProcess

PENDING = 100_000

_CONFIG = """
daemon:
  listen: [{{unix: h.sock}}]
  store: h.db
  {daemon}
webhooks:
  w: {{url: "http://127.0.0.1:{port}/", timeout: 120}}
tasks:
  t: {{webhook: w, message: {{text: "${{data.text}}"}}}}
events:
  e: {{type: bench, event: tick, task: t}}
"""


def options(parser: argparse.ArgumentParser) -> None:
    """What it can be asked for."""
    builds.add_options(parser)


def main(asked: argparse.Namespace) -> dict[str, Any]:
    """MiB."""
    return uvloop.run(_measure(builds.asked_for(asked)))


async def _measure(chosen: Mapping[str, Build]) -> dict[str, Any]:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)  # never answers
    port = server.sockets[0].getsockname()[1]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        for build in chosen:
            directory = Path(name) / build
            directory.mkdir()
            (directory / "hookd.yaml").write_text(_CONFIG.format(port=port, daemon=chosen[build].daemon))
            found[build] = await _measure_one(directory, chosen[build])
    return {"pending": PENDING, **found}


async def _measure_one(directory: Path, build: Build) -> dict[str, Any]:
    event = {"type": "bench", "event": "tick", "data": {"text": "x" * 1010}}
    async with DaemonProcess(directory, python=build.python) as daemon:
        await daemon.status()
        idle = _memory(daemon)
        await flood(str(daemon.socket), repeat(request_bytes(event), PENDING), connections=16)
        assert await daemon.unfinished() == PENDING
        full = _memory(daemon)
    async with DaemonProcess(directory, python=build.python) as daemon:
        await daemon.status()
        restarted = _memory(daemon)
    return {"idle": idle, "with_backlog": full, "restarted_with_backlog": restarted}


def _memory(daemon: DaemonProcess) -> dict[str, dict[str, float]]:
    """Of the daemon, and of the store's process where there is one."""
    children = procfs.children(daemon.pid)
    parts = {"daemon": procfs.memory_parts_mib(daemon.pid)}
    return parts | {f"child_{number}": procfs.memory_parts_mib(pid) for number, pid in enumerate(children, 1)}
