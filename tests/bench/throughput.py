"""Events per second through the whole daemon, against a bare client loop sending the same requests, in one run."""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.load import flood, request_bytes
from tests.bench.nginx import nginx
from tests.kit.daemon import DaemonProcess

EVENTS = 20_000
CONNECTIONS = 64
CONCURRENCY = 130
ROUNDS = 3

EVENT = {
    "type": "virtual_machine",
    "event": "powered_on",
    "object": {"id": "42", "name": "web-01", "tags": ["production"]},
    "data": {"used_pct": 81, "note": "hello"},
}

_CONFIG = """
daemon:
  listen: [{{unix: h.sock}}]
  store: h.db
  log: {{level: info, format: json}}
webhooks:
  w:
    url: {url}
    concurrency: {concurrency}
tasks:
  t: {{webhook: w, message: {{text: "${{NAME}} is on at ${{DATE}}", used: "${{data.used_pct}}"}}}}
events:
  e: {{type: virtual_machine, event: powered_on, tag: production, task: t}}
"""


def main() -> dict[str, Any]:
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
    (directory / "hookd.yaml").write_text(_CONFIG.format(url=url, concurrency=CONCURRENCY))
    async with DaemonProcess(directory) as daemon:
        await flood(str(daemon.socket), request_bytes(EVENT), count=200, connections=4)
        await _delivered(daemon, 200)
        began = time.perf_counter()
        await flood(str(daemon.socket), request_bytes(EVENT), count=EVENTS, connections=CONNECTIONS)
        await _delivered(daemon, 200 + EVENTS)
        return EVENTS / (time.perf_counter() - began)


async def _delivered(daemon: DaemonProcess, count: int) -> None:
    while (await daemon.get("/v1/status"))["deliveries"]["delivered"] < count:
        await asyncio.sleep(0.05)
