"""200 deliveries to an nginx that limits its rate (`limit_req`): how long they take, and how many requests each.

Once with a limit that is reported as 503, nginx's own way, and once as 429; never with `Retry-After`. Everything else
is as hookd's defaults have it.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.nginx import limiting_nginx
from tests.kit.daemon import DaemonProcess

DELIVERIES = 200
RATE = 5
BURST = 2
GIVE_UP_S = 300.0

_CONFIG = """
daemon:
  listen: [{{unix: h.sock}}]
  store: h.db
webhooks:
  w: {{url: "{url}"}}
tasks:
  t: {{webhook: w, message: {{n: "${{data.n}}"}}}}
events:
  e: {{type: bench, event: tick, task: t}}
"""


def main(_asked: argparse.Namespace) -> dict[str, Any]:
    """Seconds, and requests a delivery, by the status that the receiver refuses with."""
    return {
        "deliveries": DELIVERIES,
        "receiver": f"nginx, limit_req rate={RATE}r/s burst={BURST} nodelay",
        "ideal_s": round((DELIVERIES - BURST - 1) / RATE, 1),
        **{str(status): asyncio.run(_measure(status)) for status in (503, 429)},
    }


async def _measure(status: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        directory = Path(name)
        with limiting_nginx(directory, rate=RATE, burst=BURST, status=status) as url:
            (directory / "hookd.yaml").write_text(_CONFIG.format(url=url))
            async with DaemonProcess(directory) as daemon:
                return await _deliver(daemon)


async def _deliver(daemon: DaemonProcess) -> dict[str, Any]:
    began = time.perf_counter()
    events = [{"type": "bench", "event": "tick", "data": {"n": n}} for n in range(DELIVERIES)]
    assert (await daemon.post(events))[0] == 202
    states: set[str | None] = set()
    while True:
        status = await daemon.status()
        took_s = time.perf_counter() - began
        states.add(status["webhooks"][0]["parked"])
        delivered = status["deliveries"]["delivered"]
        if delivered == DELIVERIES or took_s > GIVE_UP_S:
            break
        await asyncio.sleep(0.1)
    requests = sum(delivery["attempt"] for delivery in await daemon.listed())
    return {
        "delivered": delivered,
        "took_s": round(took_s, 1),
        "requests_per_delivery": round(requests / DELIVERIES, 2),
        "most_attempts": max(delivery["attempt"] for delivery in await daemon.listed()),
        "taken_for_down": "breaker" in states,
    }
