"""Minutes of probing in seconds: the daemon's clocks, the monotonic one too, go faster than the machine's.

libfaketime stands between the daemon and the system. A daemon that is asked for its lanes all the while looks at its
clock as often, so that no wait of the event loop, which the system measures by its own clock, is in the way. Where the
library is missing, a single probe is waited for in real time, in the long version.
"""

import asyncio
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Line, Request
from tests.chaos.isolation.scene import Answering, Scene
from tests.chaos.proof import Findings, Options
from tests.kit.wall_clock import library

PACE = 60
PAUSES_S = (30, 60, 120, 240, 480, 600, 600)
WEBHOOK: dict[str, Any] = {"backoff": [7200], "concurrency": 1, "timeout": 120}


class FastClock:
    """The clocks of a daemon: they go at the machine's pace while it starts, as loading has its time, then faster."""

    def __init__(self, file: Path, preload: str) -> None:
        self._file, self._ahead_s = file, 0
        self.env = {
            "LD_PRELOAD": preload,
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "NO_FAKE_STAT": "1",
        }
        self.start_at(0)

    def start_at(self, ahead_s: int) -> None:
        """So many seconds ahead of the machine's, for a daemon that is to be started."""
        self._ahead_s = ahead_s
        self._file.write_text(f"+{ahead_s}")

    def hurry(self) -> None:
        """Go faster from now on."""
        self._file.write_text(f"+{self._ahead_s} x{PACE}")


async def prove(options: Options) -> Findings:
    """How probes follow each other, and what becomes of one that is cut off."""
    findings = Findings()
    try:
        preload = str(library())
    except pytest.skip.Exception:
        findings.figures["skipped"] = "libfaketime is not installed"
        if not options.short:
            await _first_in_real_time(findings, options)
        return findings
    pauses = PAUSES_S[:3] if options.short else PAUSES_S
    clock = FastClock(options.directory / "pace", preload)
    async with Scene(options.place("doubling"), findings, {"w": WEBHOOK}, env=clock.env) as scene:
        clock.hurry()
        await _doubling(scene, pauses)
    for how in (signal.SIGKILL, signal.SIGTERM):
        clock.start_at(0)
        place = options.place(f"cut_off_{how.name}")
        async with Scene(place, findings, {"w": {**WEBHOOK, "timeout": 30}}, env=clock.env) as scene:
            clock.hurry()
            await _cut_off(scene, how, clock)
    if not options.short:
        await _first_in_real_time(findings, options)
    return findings


async def _doubling(scene: Scene, pauses: tuple[int, ...]) -> None:
    scene.behaves["w"] = load.refuse_service
    numbers = await scene.poster.post(["w"] * 20)
    watching = asyncio.create_task(_keep_looking(scene))
    try:
        await scene.until(lambda: len(scene.receivers.requests) >= 10 + len(pauses), within_s=60)
    finally:
        watching.cancel()
    at = [request.at for request in scene.receivers.requests][9 : 10 + len(pauses)]
    gaps = [(later - sooner) * PACE for sooner, later in pairwise(at)]
    scene.findings.figures["pauses_s"] = [round(gap, 1) for gap in gaps]
    scene.expect(len(gaps) == len(pauses), f"{len(gaps)} probes, not {len(pauses)}")
    for gap, pause in zip(gaps, pauses, strict=False):
        scene.expect(pause * 0.95 <= gap <= pause + 0.5 * PACE, f"a probe after {gap:.1f} s, not {pause} s")
    spent = await scene.spent("w")
    scene.expect(spent == 10, f"{spent} failures are counted, not the ten before it was parked")
    up = Answering()
    scene.behaves["w"] = up
    watching = asyncio.create_task(_keep_looking(scene))
    for each in await scene.records(
        "w"
    ):  # those that failed wait for two hours: by hand they are due at once
        await scene.daemon.request("POST", f"/v1/deliveries/{each['id']}/retry")
    scene.expect(
        len(scene.receivers.requests) == 10 + len(pauses), "a retry by hand did not wait for the probe"
    )
    await scene.all_arrive_once("w", numbers, up.answered)
    watching.cancel()


async def _cut_off(scene: Scene, how: signal.Signals, clock: FastClock) -> None:
    """A probe that hangs is cut off by the end of the daemon: nothing is lost, and it costs no retry."""
    scene.behaves["w"] = load.refuse_service
    numbers = await scene.poster.post(["w"] * 20)
    await scene.until_lane("w", breaker="open")
    probes: list[Request] = []

    def hang(_line: Line, request: Request) -> None:
        probes.append(request)

    scene.behaves["w"] = hang
    watching = asyncio.create_task(_keep_looking(scene))
    probed = await scene.until(lambda: bool(probes))
    watching.cancel()
    scene.expect(probed, f"{how.name}: no probe came")
    await (scene.daemon.kill() if how is signal.SIGKILL else scene.daemon.stop())
    up = Answering()
    scene.behaves["w"] = up
    clock.start_at(3600)  # later than the instant at which it ended
    await scene.start()
    clock.hurry()
    watching = asyncio.create_task(_keep_looking(scene))
    await _retry_all(scene)
    await scene.all_arrive_once("w", numbers, up.answered)
    watching.cancel()
    kept = await scene.records("w")
    cut = next((record for record in kept if probes and record["id"] == probes[0].id), None)
    scene.expect(cut and cut["failures"] <= 1, f"{how.name}: the probe that was cut off cost a retry: {cut}")


async def _retry_all(scene: Scene) -> None:
    """Those that failed wait for two hours: by hand they are due at once."""
    body = {"state": "pending", "webhook": "w"}
    status, answer = await scene.daemon.request("POST", "/v1/deliveries/retry", body=body)
    assert status == 200, answer


async def _keep_looking(scene: Scene) -> None:
    while True:
        await scene.daemon.get("/v1/webhooks")
        await asyncio.sleep(0.02)


async def _first_in_real_time(findings: Findings, options: Options) -> None:
    """Half of 200 receivers go down together and are probed together: what the healthy ones wait meanwhile."""
    down = [f"x{n}" for n in range(100)]
    webhooks: dict[str, dict[str, Any]] = {name: {"backoff": [7200]} for name in down}
    webhooks |= {f"h{n}": {} for n in range(20)}
    async with Scene(options.place("real_time"), findings, webhooks) as scene:
        for name in down:
            scene.behaves[name] = load.refuse_service
        opened_at = time.perf_counter()
        await scene.poster.post(down * 15)
        numbers = await scene.poster.steadily([f"h{n}" for n in range(20)], per_s=200, for_s=34)
        await asyncio.sleep(1)
        probes = [each for each in scene.receivers.requests if each.webhook in webhooks.keys() & {*down}]
        late = [each.at - opened_at for each in probes if each.at - opened_at > 15]
        waits = load.waits_s(scene.poster.posted, scene.receivers.requests, numbers)
        longest = max(waits.values(), default=0.0)
        findings.figures["probed_together"] = {
            "parked_webhooks": len(down),
            "probes": len(late),
            "first_probe_after_s": round(min(late, default=0), 1),
            "events_for_healthy": len(numbers),
            "longest_wait_ms": round(1000 * longest, 1),
        }
        scene.expect(len(late) == len(down), f"{len(late)} probes of {len(down)} parked webhooks")
        scene.expect(min(late, default=0) >= 30, "a probe before 30 s")
        scene.expect(longest < 1, f"a healthy webhook waited {longest:.2f} s beside the probes")
        scene.expect(len(waits) == len(numbers), f"{len(numbers) - len(waits)} never came")
