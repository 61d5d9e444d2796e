"""A stop ends with 0 at any moment, however often it is asked for, and gives back what it has claimed (spec 11, 14)."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.chaos.stop import catches
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver
from tests.kit.tools import needs

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
        async with asyncio.timeout(20):
            while not catches(daemon.pid, signal.SIGTERM):
                await asyncio.sleep(0.001)
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
        async with asyncio.timeout(10):
            while not (loading := _children_of(pid)):
                await asyncio.sleep(0.01)
        assert await daemon.stop() == 0
        assert _is_there(loading[0]), "it waited for the files to be loaded"


def _children_of(pid: int) -> list[str]:
    """The children that any thread of a process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def _is_there(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


@needs("strace")
async def test_what_is_claimed_during_a_stop_is_given_back_unsent(tmp_path: Path, recorder: Receiver) -> None:
    write(tmp_path, recorder.url)
    async with DaemonProcess(tmp_path) as daemon:
        tracer = await asyncio.create_subprocess_exec(
            "strace", "-f", "-o", os.devnull, "-e", "trace=fdatasync",
            "-e", "inject=fdatasync:delay_enter=700000", "-p", str(daemon.pid), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert tracer.stderr is not None
        await tracer.stderr.readline()
        answered, receipt = await daemon.post(EVENT)  # the claim that follows it is under way now
        assert answered == 202
        assert await daemon.stop() == 0
        await tracer.communicate()
        assert recorder.requests == []
        await daemon.start()
        [made] = receipt["deliveries"]
        record = await daemon.delivery_when(made["id"], "delivered", within_s=15)
        assert [each["reason"] for each in record["attempts"]] == ["interrupted", "ok"]
        assert record["failures"] == 0
