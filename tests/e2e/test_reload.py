"""Reload under every way people save a file; each ends in exactly the final tree (spec 7)."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.config_files import unsettled
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver, held

DAEMON = "daemon: {listen: [{unix: ../h.sock}], store: ../h.db}\n"


def webhook(name: str, url: str = "http://127.0.0.1:9/") -> str:
    return f"webhooks:\n  {name}:\n    url: {url}\n"


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[tuple[Path, DaemonProcess]]:
    """A running daemon on a directory with one webhook `a`."""
    tree = tmp_path / "conf"
    tree.mkdir()
    (tree / "daemon.yaml").write_text(DAEMON)
    (tree / "w.yaml").write_text(webhook("a"))
    async with DaemonProcess(tmp_path, config=tree) as daemon:
        yield tree, daemon


async def names(daemon: DaemonProcess) -> set[str]:
    return set((await daemon.get("/v1/config"))["webhooks"])


async def becomes(daemon: DaemonProcess, wanted: set[str]) -> None:
    await daemon.get_when("/v1/config", lambda config: set(config["webhooks"]) == wanted)


async def rejected(daemon: DaemonProcess) -> Any:
    told = await daemon.get_when("/v1/status", lambda now: not now["config"]["last_reload"]["ok"])
    return told["config"]["last_reload"]


def git(tree: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *words],
        cwd=tree,
        check=True,
        capture_output=True,
    )


async def test_in_place(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    (conf / "w.yaml").write_text(webhook("b"))
    await becomes(daemon, {"b"})


async def test_a_store_whose_name_begins_the_configurations(tmp_path: Path) -> None:
    """Its own files are not watched, but `hookd.yaml` is none of them, though it begins with `hookd`."""
    config = tmp_path / "hookd.yaml"
    daemon = "daemon: {listen: [{unix: h.sock}], store: hookd}\n"
    config.write_text(daemon + webhook("a"))
    async with DaemonProcess(tmp_path) as running:
        for name in ("b", "c"):  # the first may be seen by the look that is taken when watching begins
            config.write_text(daemon + webhook(name))
            await becomes(running, {name})


async def test_atomic_rename_twice(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    for name in ("b", "c"):
        (conf / "w.yaml.tmp").write_text(webhook(name))
        (conf / "w.yaml.tmp").rename(conf / "w.yaml")
        await becomes(daemon, {name})


async def test_git_checkout_of_200_files_and_stash(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    (conf / "w.yaml").unlink()
    git(conf, "init", "-q", "-b", "one")
    for branch in ("one", "two"):
        for number in range(200):
            (conf / f"w{number}.yaml").write_text(webhook(f"{branch}-{number}"))
        git(conf, "add", "-A")
        git(conf, "commit", "-qm", branch)
        git(conf, "checkout", "-q", "-B", "two")
    for branch in ("one", "two"):
        git(conf, "checkout", "-q", branch)
        await becomes(daemon, {f"{branch}-{number}" for number in range(200)})
    (conf / "w0.yaml").write_text(webhook("changed"))
    await becomes(daemon, {f"two-{number}" for number in range(1, 200)} | {"changed"})
    git(conf, "stash", "-q")
    await becomes(daemon, {f"two-{number}" for number in range(200)})


async def test_symlink_swap(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hookd.yaml").write_text(DAEMON + webhook(name))
    link = tmp_path / "current"
    link.symlink_to("one")
    async with DaemonProcess(tmp_path, config=link / "hookd.yaml") as daemon:
        assert await names(daemon) == {"one"}
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(link)
        await becomes(daemon, {"two"})


async def test_directory_removed_and_made_again(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    conf.rename(conf.with_name("gone"))
    await rejected(daemon)
    assert await names(daemon) == {"a"}
    conf.mkdir()
    (conf / "daemon.yaml").write_text(DAEMON)
    (conf / "w.yaml").write_text(webhook("again"))
    await becomes(daemon, {"again"})


@pytest.mark.promise
async def test_invalid_leaves_the_old_one_in_force_and_says_so(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    (conf / "w.yaml").write_text(webhook("b") + "    tmeout: 5\n")
    last = await rejected(daemon)
    assert "did you mean" in last["faults"][0]
    assert "w.yaml:4:5: webhooks.b.tmeout:" in last["faults"][0]
    assert await names(daemon) == {"a"}
    answered, problem = await daemon.request("POST", "/v1/reload")
    assert answered == 422
    assert problem["errors"][0]["message"] == last["faults"][0]
    assert "config.rejected" in daemon.log.read_text()
    (conf / "w.yaml").write_text(webhook("b"))
    await becomes(daemon, {"b"})
    assert (await daemon.get("/v1/status"))["config"]["last_reload"]["ok"]


async def test_half_written_is_not_applied(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    whole = webhook("b", "http://127.0.0.1:9/whole/path")
    with (conf / "w.yaml").open("w") as file:
        for piece in (whole[:-5], whole[-5:]):
            file.write(piece)
            file.flush()
            await asyncio.sleep(0.3)
    await becomes(daemon, {"b"})
    assert (await daemon.get("/v1/status"))["config"]["number"] == 2


async def test_api_and_sighup_tell_what_changed(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    async with unsettled(conf):
        (conf / "w.yaml").write_text(webhook("a", "http://127.0.0.1:9/new") + webhook("b").split("\n", 1)[1])
        answered, answer = await daemon.request("POST", "/v1/reload")
    assert answered == 200
    assert answer["changes"]["webhooks"] == {"added": ["b"], "changed": ["a"], "removed": []}
    os.kill(daemon.pid, signal.SIGHUP)
    reloading = await daemon.notifications.wait_for("RELOADING")
    assert reloading["MONOTONIC_USEC"].isdigit()
    await daemon.notifications.wait_for("READY")


async def test_listen_and_store_need_a_restart(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    (conf / "daemon.yaml").write_text("daemon: {listen: [{unix: ../other.sock}], store: ../h.db}\n")
    _, answer = await daemon.request("POST", "/v1/reload")
    assert answer["restart_needed"] == ["daemon.listen"]
    assert (await daemon.get("/v1/status"))["config"]["restart_needed"] == ["daemon.listen"]


@pytest.mark.promise
async def test_a_slow_delivery_is_neither_cancelled_nor_repeated(tmp_path: Path, receiver: Receiver) -> None:
    release = asyncio.Event()

    receiver.reply = held(release)
    rules = "tasks:\n  t: {webhook: a}\nevents:\n  e: {type: x, event: y, task: t}\n"
    text = DAEMON.replace("../", "") + rules + webhook("a", receiver.url)
    (tmp_path / "hookd.yaml").write_text(text)
    async with DaemonProcess(tmp_path) as daemon:
        _, receipt = await daemon.post({"type": "x", "event": "y"})
        await receiver.wait_for(1)
        (tmp_path / "hookd.yaml").write_text(DAEMON.replace("../", "") + webhook("b"))
        await becomes(daemon, {"b"})
        release.set()
        record = await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered")
        assert len(record["attempts"]) == len(receiver.requests) == 1


async def test_a_webhook_that_disappears_parks_and_returns(tmp_path: Path, receiver: Receiver) -> None:
    rules = "tasks:\n  t: {webhook: a}\nevents:\n  e: {type: x, event: y, task: t}\n"
    daemon_part = DAEMON.replace("../", "")
    disabled = f"webhooks:\n  a: {{url: '{receiver.url}', enabled: false}}\n"
    (tmp_path / "hookd.yaml").write_text(daemon_part + rules + disabled)
    async with DaemonProcess(tmp_path) as daemon:
        _, receipt = await daemon.post({"type": "x", "event": "y"})
        delivery = receipt["deliveries"][0]["id"]
        assert (await daemon.get(f"/v1/deliveries/{delivery}"))["parked"] == "disabled"
        (tmp_path / "hookd.yaml").write_text(daemon_part)
        await becomes(daemon, set())
        assert (await daemon.get(f"/v1/deliveries/{delivery}"))["parked"] == "gone"
        assert not receiver.requests
        (tmp_path / "hookd.yaml").write_text(daemon_part + rules + webhook("a", receiver.url))
        await daemon.delivery_when(delivery, "delivered")


async def test_a_directory_that_cannot_be_looked_into_does_not_end_the_daemon(
    tree: tuple[Path, DaemonProcess],
) -> None:
    conf, daemon = tree
    at = os.open(conf, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(600):
        os.mkdir("directory", dir_fd=at)
        below = os.open("directory", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    assert "file name too long" in (await rejected(daemon))["faults"][0]
    assert await names(daemon) == {"a"}


async def test_a_file_that_never_stops_growing_is_refused_in_time(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree

    async def grow() -> None:
        with (conf / "grows.yaml").open("w") as file:
            while True:
                file.write("# more\n")
                file.flush()
                await asyncio.sleep(0.05)

    growing = asyncio.create_task(grow())
    last = await rejected(daemon)
    growing.cancel()
    assert "keep changing" in last["faults"][0]
    assert await names(daemon) == {"a"}


async def test_a_name_that_is_not_utf_8_does_not_end_the_daemon(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    async with asyncio.timeout(30):
        while "config.watch_failed" not in daemon.log.read_text():  # the watch may not have begun yet
            (conf / os.fsdecode(b"caf\xe9.txt")).write_text("")
            await asyncio.sleep(0.1)
    (conf / "w.yaml").write_text(webhook("b"))
    await becomes(daemon, {"b"})
    assert daemon.process is not None
    assert daemon.process.returncode is None


async def test_a_long_fault_does_not_keep_ready_from_systemd(tree: tuple[Path, DaemonProcess]) -> None:
    conf, daemon = tree
    names = "\n".join(f"  {chr(0x4E00 + n) * 128}: {{url: 'http://127.0.0.1:9/'}}" for n in range(30))
    (conf / "z.yaml").write_text(f"webhooks:\n{names}\ntasks: {{t2: {{webhook: nope}}}}\n")
    daemon.notifications.forget()
    assert (await daemon.request("POST", "/v1/reload"))[0] == 422
    told = await daemon.notifications.wait_for("READY")
    assert len(told["STATUS"].encode()) <= 1003, "systemd drops what has more than 4,096 bytes"
    assert told["STATUS"].endswith("…")
