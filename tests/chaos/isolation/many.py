"""Thousands of webhooks: what the daemon delivers in a second with 2,000 of them busy or parked, against 20.

All rounds are of one daemon that knows all the webhooks; which of them are busy or have something waiting differs.
"""

import asyncio
import statistics
import time

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Poster, Receivers
from tests.chaos.proof import Findings, Options
from tests.e2e.daemon_process import DaemonProcess

FEW = [f"h{n}" for n in range(20)]
BATCH = 200
LEAST_RATIO = 0.5


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
            await _delivered_per_s(poster, receivers, FEW, events)
            rates: dict[str, list[float]] = {"few": [], "many": [], "few_beside_parked": []}
            for _ in range(rounds):
                rates["few"].append(await _delivered_per_s(poster, receivers, FEW, events))
                rates["many"].append(await _delivered_per_s(poster, receivers, many, events))
            await poster.post(parked)
            for _ in range(rounds):
                rates["few_beside_parked"].append(await _delivered_per_s(poster, receivers, FEW, events))
    medians = {kind: statistics.median(each) for kind, each in rates.items()}
    findings.figures = {
        "webhooks": {"few": len(FEW), "many": len(many), "parked": len(parked)},
        "events_in_a_round": events,
        "delivered_per_s": {kind: [round(each) for each in seen] for kind, seen in rates.items()},
    }
    for kind in ("many", "few_beside_parked"):
        ratio = medians[kind] / medians["few"]
        findings.figures[f"{kind}_ratio"] = round(ratio, 2)
        findings.expect(ratio >= LEAST_RATIO, f"{kind}: {ratio:.2f} of the throughput with few webhooks")
    return findings


async def _delivered_per_s(poster: Poster, receivers: Receivers, names: list[str], events: int) -> float:
    receivers.requests.clear()
    began = time.perf_counter()
    for start in range(0, events, BATCH):
        await poster.post([names[n % len(names)] for n in range(start, start + BATCH)])
    async with asyncio.timeout(120):
        while len(receivers.requests) < events:
            await asyncio.sleep(0.005)
    return events / (time.perf_counter() - began)
