"""From posting an event to the first byte at the receiver, at 500 events a second; builds take turns."""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import uvloop

from tests.bench import builds
from tests.bench.builds import Build
from tests.kit.daemon import DaemonProcess

RATE = 500
SECONDS = 10
ROUNDS = 3

_CONFIG = """
daemon:
  listen: [{{unix: {directory}/h.sock}}]
  store: {directory}/h.db
  {daemon}
webhooks:
  w: {{url: "http://127.0.0.1:{port}/"}}
tasks:
  t: {{webhook: w, message: {{n: "${{data.n}}"}}}}
events:
  e: {{type: bench, event: tick, task: t}}
"""


class _Receiver(asyncio.Protocol):
    """Notes when each message's first byte came and answers 204."""

    def __init__(self, arrived: dict[int, float]) -> None:
        self._arrived = arrived
        self._buffer = b""
        self._first_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self._first_at = time.perf_counter()
        self._buffer += data
        _, found, body = self._buffer.partition(b"\r\n\r\n")
        if found and body.endswith(b"}"):
            self._arrived[json.loads(body)["n"]] = self._first_at
            self._buffer = b""
            assert self._transport is not None
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def options(parser: argparse.ArgumentParser) -> None:
    """What it can be asked for."""
    builds.add_options(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS)


def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, medians over the rounds."""
    chosen = builds.asked_for(asked)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    for _ in range(asked.rounds):
        for name, build in chosen.items():
            rows[name].append(uvloop.run(_measure(build)))
    return {
        "events_per_s": RATE,
        "samples": RATE * (SECONDS - 1),
        "rounds": asked.rounds,
        **builds.medians(rows),
    }


async def _measure(build: Build) -> dict[str, float]:
    arrived: dict[int, float] = {}
    posted: dict[int, float] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Receiver(arrived), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        directory = Path(name)
        config = directory / "config" / "hookd.yaml"
        config.parent.mkdir()
        config.write_text(_CONFIG.format(port=port, directory=directory, daemon=build.daemon))
        async with DaemonProcess(directory, config=config, python=build.python) as daemon:
            await _post_at_rate(daemon, posted)
            while len(arrived) < len(posted):
                await asyncio.sleep(0.05)
    server.close()
    took_ms = sorted((arrived[n] - posted[n]) * 1000 for n in posted if n >= RATE)
    cuts = statistics.quantiles(took_ms, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


async def _post_at_rate(daemon: DaemonProcess, posted: dict[int, float]) -> None:
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for n in range(RATE * SECONDS):
            await asyncio.sleep(max(0.0, began + n / RATE - time.perf_counter()))
            posted[n] = time.perf_counter()
            group.create_task(daemon.post({"type": "bench", "event": "tick", "data": {"n": n}}))
