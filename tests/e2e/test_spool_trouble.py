"""The spool where something is wrong with it: what is told, and that a cure needs no restart (spec 11)."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Running
from tests.e2e.spooled import (
    DAEMON,
    RULES,
    UNPRIVILEGED,
    UP,
    ids,
    left_in,
    put,
    until_empty,
    until_error,
    until_left,
    until_settled,
    until_there,
    write,
)
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import cpu_s, memory_mib
from tests.kit.receiver import Receiver
from tests.kit.waiting import until

MOST_MIB = 55 + 64
"""Idle memory, and what one user may cost."""


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


async def test_what_could_not_be_moved_is_moved_once_it_can_be(
    tmp_path: Path, spool: Path, receiver: Receiver
) -> None:
    (spool / "rejected").mkdir(0o500)
    write(tmp_path, receiver)
    async with DaemonProcess(tmp_path, wrap=UNPRIVILEGED) as daemon:
        await _what_could_not_be_moved(daemon, spool, receiver)


async def _what_could_not_be_moved(daemon: DaemonProcess, spool: Path, receiver: Receiver) -> None:
    put(spool, "a.json", b"{")
    put(spool, "b.json", b"{")
    await until_left(daemon, 2)
    remedy = "make rejected/ beside it a directory that hookd can write to, with room on its disk, or remove the file"
    told = await until_error(daemon, "a.json cannot be moved")
    assert told["error"] == f"a.json cannot be moved to rejected/: permission denied; {remedy}"
    assert told["waiting"] == 2
    put(spool, "b.json", {**UP, "id": "mended"})
    await receiver.wait_for(1)
    await until(
        lambda: left_in(spool) == [spool / "a.json"]
    )  # it goes once its events are stored, as they do
    assert daemon.log.read_text().count("spool.left") == 2
    (spool / "rejected").chmod(0o700)
    spooled = await until_settled(daemon, spool)
    assert left_in(spool / "rejected") == [spool / "rejected/a.json", spool / "rejected/a.json.reason"]
    assert spooled["error"] is None
    assert await daemon.metric('hookd_spool_files_total{result="rejected"}') == 1


async def test_two_daemons_do_not_empty_one_directory(
    tmp_path: Path, spool: Path, receiver: Receiver
) -> None:
    write(tmp_path, receiver)
    second = tmp_path / "second"
    second.mkdir()
    (second / "hookd.yaml").write_text(
        DAEMON.replace("spool: spool", f"spool: {spool}") + RULES.format(url=receiver.url)
    )
    async with DaemonProcess(second) as other:
        async with DaemonProcess(tmp_path) as first:
            # Whichever looked first has it; the other one says so.
            put(spool, "a.json", {**UP, "id": "a"})
            await receiver.wait_for(1)
            held = f"{spool} is emptied by another hookd; name another directory in daemon.spool"

            async def told() -> bool:
                return {(await each.status())["spool"]["error"] for each in (first, other)} == {None, held}

            await until(told)
        put(spool, "b.json", {**UP, "id": "b"})
        await receiver.wait_for(2)
        await until_empty(spool)
        assert (await other.get("/v1/events/b"))["id"] == "b"
    assert ids(receiver) == ["a", "b"]


async def test_what_is_no_directory_is_told(tmp_path: Path, receiver: Receiver, running: Running) -> None:
    (tmp_path / "spool").touch()
    daemon = await running(RULES.format(url=receiver.url), daemon=DAEMON)
    told = await until_error(daemon, "cannot be read")
    remedy = "fix that, or name another directory in daemon.spool"
    assert told["error"] == f"{tmp_path}/spool cannot be read: not a directory; {remedy}"


async def test_more_deliveries_than_may_ever_wait_are_rejected(
    spool: Path, receiver: Receiver, running: Running
) -> None:
    section = DAEMON.replace("spool: spool", "spool: spool, limits: {pending: 1}")
    await running(RULES.format(url=receiver.url), daemon=section)
    put(spool, "x.json", [{**UP, "id": "a"}, {**UP, "id": "b"}])
    await until_empty(spool)
    reason = (spool / "rejected/x.json.reason").read_text()
    assert reason.startswith("2 deliveries would be made; daemon.limits.pending is 1\n")


async def test_reasons_go_with_their_files(spool: Path, receiver: Receiver, running: Running) -> None:
    await running(RULES.format(url=receiver.url), daemon=DAEMON)
    rejected = spool / "rejected"
    for name in ("a.json", "b.json", "c.json"):
        put(spool, name, b"{")
        await until_there(rejected, name)
    shutil.move(rejected / "a.json.reason", spool)
    (rejected / "a.json").rename(spool / "a.json")
    (rejected / "b.json").unlink()
    await until(lambda: not (rejected / "b.json.reason").exists() and not left_in(spool))
    assert [file.name for file in left_in(rejected)] == [
        "a.json",
        "a.json.reason",
        "c.json",
        "c.json.reason",
    ]


async def test_halves_that_a_killed_writer_left_are_removed(
    spool: Path, receiver: Receiver, running: Running
) -> None:
    for name in (".old.json.part", ".new.json.part", ".old.json"):
        (spool / name).touch()
    long_ago = time.time() - 2 * 3600
    for name in (".old.json.part", ".old.json"):
        os.utime(spool / name, (long_ago, long_ago))
    await running(RULES.format(url=receiver.url), daemon=DAEMON)
    await until(lambda: not (spool / ".old.json.part").exists())
    assert {file.name for file in left_in(spool)} == {".new.json.part", ".old.json"}


async def test_very_many_entries_cost_the_others_little(
    tmp_path: Path, spool: Path, receiver: Receiver
) -> None:
    """A member of the group may make as many as there is room for, and nobody takes them away."""
    write(tmp_path, receiver)
    for number in range(100_000):
        (spool / f".{number:060d}").touch()
    for number in range(40_000):
        (spool / f"{number:060d}").mkdir()
    async with DaemonProcess(tmp_path) as daemon:
        await daemon.get_when("/v1/status", lambda status: status["spool"]["skipped"])
        before_s, begun = cpu_s(daemon.pid), time.monotonic()
        await asyncio.sleep(5)
        assert (cpu_s(daemon.pid) - before_s) / (time.monotonic() - begun) < 0.1
        assert memory_mib(daemon.pid, "VmHWM") < MOST_MIB
        put(spool, "a.json", {**UP, "id": "a"})
        await receiver.wait_for(1)
