"""A store whose thread dies in the middle of its work: the daemon ends, and the next one goes on."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver, answer, hang
from tests.kit.waiting import until

PROGRAM = Path(__file__).parents[2]
EVENT = {"type": "vm", "event": "up"}


@pytest.mark.promise
async def test_the_daemon_ends_with_1_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async with Receiver(hang(), answer()) as receiver:
        (tmp_path / "hookd.yaml").write_text(
            "daemon: {listen: [{unix: h.sock}], store: h.db, store_process: false, shutdown_grace: 1h}\n"
            f"webhooks: {{w: {{url: {receiver.url}, timeout: 120}}}}\n"
            "tasks: {t: {webhook: w}}\nevents: {e: {type: vm, event: up, task: t}}\n"
        )
        dies = tmp_path / "dies"
        env = {"PYTHONPATH": str(PROGRAM)}
        async with DaemonProcess(tmp_path, env=env, module=("tests.kit.deadly", str(dies))) as daemon:
            _, receipt = await daemon.post(EVENT)
            await until(lambda: len(receiver.requests) == 1)
            dies.touch()
            began = time.monotonic()
            assert await daemon.ended() == 1
            assert time.monotonic() - began < 5.0, "an attempt under way gets no grace: it cannot be recorded"
            [failed] = daemon.logged("store.failed")
            assert failed["exception"] == "MemoryError"
            assert "has ended (MemoryError)" in await asyncio.to_thread(daemon.log.read_text)
            daemon.module = ("hookd",)
            await daemon.start()
            await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered")
