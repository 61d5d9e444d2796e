"""`kill -9` at any moment: what was answered 202 arrives; duplicates only with the same id and bytes.

`HOOKD_KILLS=200 python -m pytest -m "" tests/e2e/test_kill.py` for more than the default 20.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.chaos.crash.kills import kill_at_random
from tests.e2e.conftest import Running
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import until

KILLS = int(os.environ.get("HOOKD_KILLS", "20"))


@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.promise), KILLS])
@pytest.mark.parametrize("store_process", ["false", "true"])
async def test_nothing_acknowledged_is_lost(tmp_path: Path, kills: int, store_process: str) -> None:
    found = await kill_at_random(tmp_path, kills=kills, chance=random.Random(7), store_process=store_process)
    print(found.figures)
    assert not found.violations


async def test_a_start_says_how_many_attempts_were_cut_off(
    tmp_path: Path, receiver: Receiver, running: Running
) -> None:
    hanging = asyncio.Event()

    async def hang(_: Received) -> bytes:
        await hanging.wait()
        return response(200)

    receiver.reply = hang
    rules = "tasks: {t: {webhook: w, triggers: [{type: a, event: b}]}}\n"
    daemon = await running(f"webhooks: {{w: {{url: '{receiver.url}'}}}}\n{rules}")
    for _ in range(3):
        await daemon.post({"type": "a", "event": "b"})
    await receiver.wait_for(3)
    await daemon.kill()
    assert daemon.logged("attempts.interrupted") == []
    hanging.set()
    await daemon.start()
    [said] = await until(lambda: daemon.logged("attempts.interrupted"))
    assert said["count"] == 3
    await receiver.wait_for(6)
    assert await daemon.stop() == 0
    await daemon.start()
    assert len(daemon.logged("attempts.interrupted")) == 1
