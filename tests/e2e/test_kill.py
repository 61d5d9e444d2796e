"""`kill -9` at any moment under load: what was answered 202 arrives; duplicates only with the same id and bytes.

`HOOKD_KILLS=200 python -m pytest tests/e2e/test_kill.py` for more than the default 20.
"""

import asyncio
import os
import random
from collections import defaultdict
from pathlib import Path

import aiohttp

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.recorder import Received, Recorder, status

KILLS = int(os.environ.get("HOOKD_KILLS", "20"))
POSTERS = 8

CONFIG = """
daemon: {{listen: [{{unix: h.sock}}], store: h.db, log: {{level: warning}}}}
webhooks:
  w: {{url: {url}, timeout: 3, backoff: [100ms], concurrency: 20}}
tasks:
  t: {{webhook: w, message: {{n: "${{data.n}}"}}}}
events:
  e: {{type: load, event: tick, task: t}}
"""


async def test_nothing_acknowledged_is_lost(tmp_path: Path, recorder: Recorder) -> None:
    chance = random.Random(7)

    async def sometimes_slow(request: Received) -> bytes:
        await asyncio.sleep(chance.choice([0, 0, 0.005, 0.02]))
        return status(chance.choice([200, 200, 200, 503]))

    recorder.reply = sometimes_slow
    (tmp_path / "hookd.yaml").write_text(CONFIG.format(url=recorder.url))
    daemon = DaemonProcess(tmp_path)
    acknowledged: set[str] = set()
    try:
        for _ in range(KILLS):
            await daemon.start()
            posting = [asyncio.create_task(_post_until_killed(daemon, acknowledged)) for _ in range(POSTERS)]
            await asyncio.sleep(chance.uniform(0.02, 0.3))
            await daemon.kill()
            await asyncio.gather(*posting)
        await daemon.start()
        await _settled(daemon)
        assert (await daemon.get("/v1/status"))["deliveries"]["dead"] == 0
    finally:
        await daemon.close()
    seen: dict[str, set[bytes]] = defaultdict(set)
    for request in recorder.requests:
        seen[request.id].add(request.body)
    lost = acknowledged - seen.keys()
    print(
        f"{len(lost)} lost of {len(acknowledged)} acknowledged in {KILLS} kills, {len(recorder.requests)} requests"
    )
    assert acknowledged
    assert not lost, f"{len(lost)} lost of {len(acknowledged)} acknowledged in {KILLS} kills"
    assert all(len(bodies) == 1 for bodies in seen.values())


async def _post_until_killed(daemon: DaemonProcess, acknowledged: set[str]) -> None:
    number = 0
    while True:
        number += 1
        try:
            answered, receipt = await daemon.post({"type": "load", "event": "tick", "data": {"n": number}})
        except (OSError, RuntimeError, aiohttp.ClientError):  # what a killed server looks like
            return
        assert answered == 202
        acknowledged.update(d["id"] for d in receipt["deliveries"])


async def _settled(daemon: DaemonProcess) -> None:
    async with asyncio.timeout(60):
        while True:
            counts = (await daemon.get("/v1/status"))["deliveries"]
            if counts["pending"] + counts["sending"] == 0:
                return
            await asyncio.sleep(0.1)
