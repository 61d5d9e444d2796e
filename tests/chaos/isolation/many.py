"""Thousands of webhooks: what a delivery costs the daemon with 2,000 of them busy or parked, against 20.

What is judged is its processor time, which depends little on what else the machine does.
All rounds are of one daemon that knows all the webhooks; which of them are busy or have something waiting differs.
"""

import asyncio
import statistics

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Poster, Receivers
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import cpu_s

FEW = [f"h{n}" for n in range(20)]
BATCH = 200
MOST_RATIO = 2.5


async def prove(options: Options) -> Findings:
    """Rounds with few and with many alternate; then the same with many parked ones beside."""
    findings = Findings()
    many = [f"m{n}" for n in range(options.scale(short=400, long=2000))]
    parked = [f"p{n}" for n in range(len(many))]
    rounds, events = options.scale(short=2, long=3), options.scale(short=1_200, long=6_000)
    async with Receivers() as receivers:
        place = options.place("many")
        webhooks = {name: {"url": f"{receivers.url}/{name}"} for name in [*FEW, *many, *parked]}
        for name in parked:
            webhooks[name] |= {"enabled": False}  # type: ignore[dict-item]
        (place / "hookd.yaml").write_text(load.definitions(webhooks))
        async with DaemonProcess(place) as daemon:
            poster = Poster(str(daemon.socket))
            await _cpu_ms(daemon, poster, receivers, FEW, events)
            costs: dict[str, list[float]] = {"few": [], "many": [], "few_beside_parked": []}
            for _ in range(rounds):
                costs["few"].append(await _cpu_ms(daemon, poster, receivers, FEW, events))
                costs["many"].append(await _cpu_ms(daemon, poster, receivers, many, events))
            await poster.post(parked)
            for _ in range(rounds):
                costs["few_beside_parked"].append(await _cpu_ms(daemon, poster, receivers, FEW, events))
    medians = {kind: statistics.median(each) for kind, each in costs.items()}
    findings.figures = {
        "webhooks": {"few": len(FEW), "many": len(many), "parked": len(parked)},
        "events_in_a_round": events,
        "cpu_ms_per_event": {kind: [round(each, 3) for each in seen] for kind, seen in costs.items()},
    }
    for kind in ("many", "few_beside_parked"):
        ratio = medians[kind] / medians["few"]
        findings.figures[f"{kind}_ratio"] = round(ratio, 2)
        findings.expect(
            ratio <= MOST_RATIO, f"{kind}: a delivery costs {ratio:.2f} times what it costs with few"
        )
    return findings


async def _cpu_ms(
    daemon: DaemonProcess, poster: Poster, receivers: Receivers, names: list[str], events: int
) -> float:
    """Milliseconds of the daemon's processor time for each event, until all have come to their receivers."""
    receivers.requests.clear()
    before_s = cpu_s(daemon.pid)
    for start in range(0, events, BATCH):
        await poster.post([names[n % len(names)] for n in range(start, start + BATCH)])
    async with asyncio.timeout(120):
        while len(receivers.requests) < events:
            await asyncio.sleep(0.005)
    return 1000 * (cpu_s(daemon.pid) - before_s) / events
