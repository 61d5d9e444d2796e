"""Too many deliveries waiting, and no room on the disk: refused before anything is half done, and over by itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running
from tests.kit.daemon import DaemonProcess
from tests.kit.disk import Disk, small_disk
from tests.kit.receiver import Receiver
from tests.kit.waiting import until

RULES = """
tasks:
  t: {webhook: w}
events:
  e: {type: vm, event: "on", task: t}
"""
OVER = "  say: {webhook: ops, triggers: [{type: hookd.store, event: recovered}]}\n"
EVENT = {"type": "vm", "event": "on"}


async def test_the_pending_limit(receiver: Receiver, running: Running) -> None:
    parked = f"webhooks:\n  w: {{url: '{receiver.url}', enabled: false}}\n{RULES}"
    daemon = await running(
        parked, daemon="daemon: {listen: [{unix: h.sock}], store: h.db, limits: {pending: 3}}\n"
    )
    assert [(await daemon.post(EVENT))[0] for _ in range(3)] == [202, 202, 202]
    answered, problem = await daemon.post(EVENT)
    assert (answered, "limits.pending" in problem["detail"]) == (503, True)
    assert (await daemon.post([EVENT, {"type": "vm", "event": "off"}]))[0] == 503, "a batch is refused whole"
    assert len((await daemon.get("/v1/events"))["events"]) == 3
    assert (await daemon.post({"type": "vm", "event": "off"}))[0] == 202, (
        "what makes no delivery needs no room"
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        yield disk


async def _until_refused(daemon: DaemonProcess, event: Any, taken: list[str]) -> tuple[int, Any]:
    while True:
        answered, answer = await daemon.post(event)
        if answered != 202:
            return answered, answer
        taken += [d["id"] for d in answer["deliveries"]]


async def test_a_full_disk(receiver: Receiver, disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "hookd.yaml").write_text(
        "daemon: {listen: [{unix: h.sock}], store: disk/h.db}\n"
        f"webhooks:\n  w: {{url: '{receiver.url}', backoff: [100ms]}}\n{RULES}"
    )
    taken: list[str] = []
    async with DaemonProcess(tmp_path) as daemon:
        big = {**EVENT, "data": {"text": "x" * 100_000}}
        refused = await _until_refused(daemon, big, taken)
        await asyncio.to_thread(disk.fill)
        await _until_refused(daemon, EVENT, taken)
        assert refused[0] == 503
        assert "nothing was stored" in refused[1]["detail"]
        await asyncio.to_thread(disk.make_room)

        async def ready() -> bool:
            return (await daemon.request("GET", "/readyz"))[0] == 200

        await until(ready)
        answered, answer = await daemon.post(EVENT)
        assert answered == 202
        for delivery in [*taken, answer["deliveries"][0]["id"]]:
            await daemon.delivery_when(delivery, "delivered")
        assert (await daemon.get("/v1/status"))["store"]["error"] is None
        await daemon.stop()
    assert sorted(r.id for r in receiver.requests) == sorted([*taken, answer["deliveries"][0]["id"]])


async def test_a_full_disk_is_told_of_and_over_though_nothing_waits(
    receiver: Receiver, disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / "hookd.yaml").write_text(
        "daemon: {listen: [{unix: h.sock}], store: disk/h.db, log: {format: json}}\n"
        f"webhooks:\n  w: {{url: '{receiver.url}'}}\n  ops: {{url: '{receiver.url}/ops'}}\n"
        + RULES.replace("events:", f"{OVER}events:")
    )
    async with DaemonProcess(tmp_path) as daemon:
        await asyncio.to_thread(disk.fill)
        await _until_refused(daemon, {**EVENT, "data": {"text": "x" * 100_000}}, [])
        await until(lambda: daemon.logged("store.unavailable"))
        assert await daemon.metric("hookd_store_writable") == 0
        await asyncio.to_thread(disk.make_room)
        await daemon.get_when("/v1/status", lambda now: now["store"]["error"] is None)
        await until(lambda: daemon.logged("store.recovered"))
        told = await until(lambda: receiver.at("/ops"))
        delivery = await daemon.get(f"/v1/deliveries/{told[0].id}")
        event = await daemon.get(f"/v1/events/{delivery['cause']['event_id']}")
        assert (event["type"], event["object"]["name"]) == ("hookd.store", str(disk.place / "h.db"))
        assert "disk is full" in event["data"]["error"]
