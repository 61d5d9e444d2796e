"""Two hundred webhooks, of which a hundred hang: how long any of the healthy hundred ever waits.

Default limits: 200 attempts in flight, 10 to each webhook. The hundred hang all at the same moment, each with a burst
waiting for it, so that they want five times the seats there are.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Poster, Receivers
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess

HEALTHY = [f"h{n}" for n in range(100)]
HANGING = [f"x{n}" for n in range(100)]
BURST = 10  # for each of the hanging
PER_S = 400
LONGEST_S = 1.0
"""A healthy lane always gets a seat within a second (spec 14)."""


async def prove(options: Options) -> Findings:
    """From the start of the daemon, then again from one moment to the next, and through timeouts and probes."""
    findings = Findings()
    kinds = {"at_work_for_50_ms": 50} if options.short else {"prompt": 0, "at_work_for_50_ms": 50}
    for name, work_ms in kinds.items():
        place = options.place(f"crowd_{name}")
        await _run(findings, name, place, work_ms=work_ms, for_s=options.scale(short=2, long=15))
    return findings


async def _run(findings: Findings, name: str, place: Path, *, work_ms: int, for_s: float) -> None:
    async with Receivers() as healthy, Receivers(behaves=load.hang) as odd:
        healthy.behaves = load.after(work_ms / 1000)
        webhooks: dict[str, dict[str, Any]] = {each: {"url": f"{healthy.url}/{each}"} for each in HEALTHY}
        webhooks |= {each: {"url": f"{odd.url}/{each}", "timeout": 5} for each in HANGING}
        (place / "hookd.yaml").write_text(load.definitions(webhooks))
        async with DaemonProcess(place) as daemon:
            poster = Poster(str(daemon.socket))
            wanted = await _burst(poster)  # they hang from the beginning
            wanted += await _load(poster, for_s)
            odd.behaves = load.answer
            odd.release()
            wanted += await _load(poster, 1)
            odd.behaves = load.hang  # and again, all at the same moment
            wanted += await _burst(poster)
            wanted += await _load(poster, for_s)
            await _arrived(healthy, wanted)
            waits = load.waits_s(poster.posted, healthy.requests, wanted)
            longest = max(waits.values(), default=0.0)
            findings.figures[name] = {
                "events_for_healthy": len(wanted),
                "never_came": len(wanted) - len(waits),
                "longest_wait_ms": round(1000 * longest, 1),
                "p99_ms": round(1000 * load.p99(list(waits.values())), 1),
                "most_hanging_at_once": max(odd.most.values()),
            }
            findings.expect(longest < LONGEST_S, f"{name}: a healthy webhook waited {longest:.2f} s")
            findings.expect(len(waits) == len(wanted), f"{name}: {len(wanted) - len(waits)} never came")
            findings.expect(odd.requests, f"{name}: nothing hung, so nothing was shown")


async def _burst(poster: Poster) -> list[int]:
    """As much as the hanging ones can take and more, and one for each healthy one behind it."""
    await poster.post(HANGING * BURST)
    return await poster.post(HEALTHY)


async def _load(poster: Poster, for_s: float) -> list[int]:
    turns = [name for pair in zip(HEALTHY, HANGING, strict=True) for name in pair]
    numbers = await poster.steadily(turns, per_s=PER_S, for_s=for_s)
    return numbers[::2]


async def _arrived(healthy: Receivers, wanted: list[int]) -> None:
    deadline, awaited = time.monotonic() + 5, set(wanted)
    while time.monotonic() < deadline and awaited - {request.n for request in healthy.requests}:
        await asyncio.sleep(0.05)
