"""A stop ends with 0 at any moment, however often it is asked for, and gives back what it has claimed (spec 11, 14)."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import catches, loaders, runs
from tests.kit.receiver import Receiver
from tests.kit.strace import Injection
from tests.kit.tools import needs
from tests.kit.waiting import until

RULES = """
webhooks: {{w: {{url: {url}, timeout: 60}}}}
tasks: {{t: {{webhook: w}}}}
events: {{e: {{type: vm, event: up, task: t}}}}
"""
EVENT = {"type": "vm", "event": "up"}


def write(directory: Path, url: str, grace: str = "2s") -> None:
    daemon = f"daemon: {{listen: [{{unix: h.sock}}], store: h.db, shutdown_grace: {grace}}}\n"
    (directory / "hookd.yaml").write_text(daemon + RULES.format(url=url))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_stop_while_starting(tmp_path: Path, number: signal.Signals) -> None:
    write(tmp_path, "http://127.0.0.1:9/")
    daemon = DaemonProcess(tmp_path)
    try:
        await daemon.launch()
        await until(lambda: catches(daemon.pid, signal.SIGTERM), every_s=0.001)
        daemon.signal(number)
        assert await daemon.ended() == 0
        assert not (tmp_path / "h.sock").exists()
    finally:
        await daemon.close()


@pytest.mark.promise
async def test_asked_to_stop_until_it_is_gone(tmp_path: Path) -> None:
    write(tmp_path, "http://127.0.0.1:9/")
    async with DaemonProcess(tmp_path) as daemon:
        process = daemon.process
        assert process is not None
        async with asyncio.timeout(20):
            while process.returncode is None:
                daemon.signal(signal.SIGTERM)
                await asyncio.sleep(0)
        assert process.returncode == 0


async def test_a_reload_under_way_does_not_hold_it_up(tmp_path: Path) -> None:
    write(tmp_path, "http://127.0.0.1:9/")
    config = tmp_path / "hookd.yaml"
    async with DaemonProcess(tmp_path) as daemon:
        pid = daemon.pid
        many = "\n".join(f"  t{n}: {{webhook: w, message: {{n: {n}}}}}" for n in range(20_000))
        config.write_text(
            config.read_text().replace("tasks: {t: {webhook: w}}", f"tasks:\n  t: {{webhook: w}}\n{many}")
        )
        daemon.signal(signal.SIGHUP)
        await daemon.notifications.wait_for("RELOADING")
        loading = await until(lambda: loaders(pid))
        assert await daemon.stop() == 0
        assert runs(loading[0]), "it waited for the files to be loaded"


@needs("strace")
async def test_what_is_claimed_during_a_stop_is_given_back_unsent(tmp_path: Path, receiver: Receiver) -> None:
    write(tmp_path, receiver.url)
    config = tmp_path / "hookd.yaml"  # what has a rate is never claimed in the transaction that stores it
    config.write_text(config.read_text().replace("timeout: 60", "timeout: 60, rate_limit: 100/s"))
    async with DaemonProcess(tmp_path) as daemon:
        async with Injection(daemon.pid, "fdatasync:delay_enter=700000"):
            answered, receipt = await daemon.post(EVENT)  # the claim that follows it is under way now
            assert answered == 202
            assert await daemon.stop() == 0
        assert receiver.requests == []
        await daemon.start()
        [made] = receipt["deliveries"]
        record = await daemon.delivery_when(made["id"], "delivered", within_s=15)
        assert [each["reason"] for each in record["attempts"]] == ["interrupted", "ok"]
        assert record["failures"] == 0
