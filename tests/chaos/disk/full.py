"""A full disk under load, again and again; and a kill while it is full."""

import asyncio
import random
from pathlib import Path
from typing import Any

from tests.chaos.disk.stage import (
    CONFIG,
    Load,
    kept,
    no_traceback,
    reconcile,
    resumed,
    until_ready,
)
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.disk import Disk, mounted
from tests.kit.receiver import Received, Receiver, response

QUIET_AFTER_S = 0.5
"""Attempts that were claimed before the disk was full may still begin for so long."""


def slow_receiver(chance: random.Random) -> Receiver:
    """Answers after some milliseconds, so that attempts are under way whenever something happens."""

    async def reply(_request: Received) -> bytes:
        await asyncio.sleep(chance.uniform(0.005, 0.06))
        return response(200)

    return Receiver(reply=reply)


async def again_and_again(options: Options, found: Findings) -> dict[str, Any]:
    """Fill the disk under load and make room again, several times in one life of the daemon."""
    place, rounds = options.place("full"), options.scale(short=2, long=12)
    waits: list[float] = []
    quiet = 0
    async with slow_receiver(options.chance()) as receiver:
        with mounted(place / "disk", megabytes=4) as disk:
            (place / "hookd.yaml").write_text(CONFIG.format(store="disk/h.db", url=receiver.url))
            async with DaemonProcess(place) as daemon:
                load = Load(daemon)
                for _ in range(rounds):
                    load.start()
                    await asyncio.sleep(options.chance().uniform(0.3, 0.8))
                    quiet += await _full(daemon, disk, load, receiver, found)
                    await asyncio.to_thread(disk.make_room)
                    waits.append(await resumed(daemon, receiver, "full", found))
                    await load.stop()
                    found.expect(
                        await daemon.settled(), "full: what was accepted is not delivered 60 s after room"
                    )
                    found.expect(
                        (await daemon.get("/v1/status"))["store"]["error"] is None,
                        "full: the status still tells of a fault after room",
                    )
                    await asyncio.to_thread(_back_to_small, disk)
                found.expect(await daemon.stop() == 0, "full: the daemon did not end cleanly")
            await asyncio.to_thread(disk.make_room)
            no_traceback("full", daemon, found)
            figures = reconcile("full", load, receiver, disk.place / "h.db", found)
    return {
        "rounds": rounds,
        **figures,
        "requests_while_nothing_could_be_recorded": quiet,
        "resumed_after_s_at_most": max(waits),
    }


def _back_to_small(disk: Disk) -> None:
    used = sum(file.stat().st_blocks * 512 for file in disk.place.iterdir())
    disk.shrink(used // 2**20 + 3)


async def _full(daemon: DaemonProcess, disk: Disk, load: Load, receiver: Receiver, found: Findings) -> int:
    """Fill until nothing can be recorded, and look on for a while; how many requests arrived in it."""
    await asyncio.to_thread(disk.fill)
    found.expect(await until_ready(daemon, 503) is not None, "full: never answered 503 on a full disk")
    await asyncio.to_thread(disk.fill)
    await until_ready(daemon, 503)
    await asyncio.sleep(QUIET_AFTER_S)
    sent, answered = len(receiver.requests), load.answers.copy()
    await asyncio.sleep(1.5)
    for path in ("/healthz", "/v1/status", "/v1/deliveries?limit=5", "/metrics"):
        code, _ = await daemon.request("GET", path)
        found.expect(code == 200, f"full: GET {path} is answered {code} on a full disk")
    accepted = load.answers[202] - answered[202]
    refused = load.answers[503] - answered[503]
    found.expect(refused > 0, f"full: no 503 in the window on a full disk ({accepted} accepted)")
    late = len(receiver.requests) - sent
    found.expect(late == 0 or accepted, f"full: {late} requests were made while nothing could be recorded")
    return late if not accepted else 0


async def killed_while_full(options: Options, found: Findings) -> dict[str, Any]:
    """SIGKILL on a full disk, a start on the full disk, then room."""
    place, kills = options.place("full-killed"), options.scale(short=1, long=4)
    async with slow_receiver(options.chance()) as receiver:
        with mounted(place / "disk", megabytes=4) as disk:
            (place / "hookd.yaml").write_text(CONFIG.format(store="disk/h.db", url=receiver.url))
            daemon = DaemonProcess(place)
            load = Load(daemon)
            unsettled = 0
            try:
                for _ in range(kills):
                    await daemon.start()
                    load.start()
                    await asyncio.sleep(0.4)
                    await asyncio.to_thread(disk.fill)
                    found.expect(
                        await until_ready(daemon, 503) is not None, "full, killed: never answered 503"
                    )
                    await asyncio.sleep(0.2)
                    await daemon.kill()
                    await load.stop()
                    unsettled += _unsettled(disk.place / "h.db", place)
                    await daemon.start()
                    found.expect(
                        await load.one() == 503, "full, killed: a start on a full disk takes an event in"
                    )
                    await asyncio.to_thread(disk.make_room)
                    found.expect(
                        await until_ready(daemon, 200) is not None, "full, killed: no recovery after room"
                    )
                    found.expect(await daemon.settled(), "full, killed: not delivered 60 s after room")
                    found.expect(await daemon.stop() == 0, "full, killed: no clean end")
                    await load.stop()
                    await asyncio.to_thread(_back_to_small, disk)
            finally:
                await daemon.close()
            await asyncio.to_thread(disk.make_room)
            no_traceback("full, killed", daemon, found)
            figures = reconcile("full, killed", load, receiver, disk.place / "h.db", found, crashes=True)
            found.expect(
                figures["duplicates"] <= unsettled,
                f"full, killed: {figures['duplicates']} duplicates of {unsettled} attempts cut off",
            )
    return {"kills": kills, **figures, "attempts_cut_off": unsettled}


def _unsettled(path: Path, place: Path) -> int:
    """How many attempts were under way or unrecorded at the kill, by a copy of the store."""
    copy = place / "copy.db"
    for ending in ("", "-wal"):
        source = Path(f"{path}{ending}")
        if source.exists():
            Path(f"{copy}{ending}").write_bytes(source.read_bytes())
    states = kept(copy).states
    for ending in ("", "-wal", "-shm"):
        Path(f"{copy}{ending}").unlink(missing_ok=True)
    return states[1]
