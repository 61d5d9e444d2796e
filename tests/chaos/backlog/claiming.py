"""A claim costs the same, however many wait (spec 6): at the store's seam, and from an event to its receiver.

Called by: `prove`.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

from hookd.domain.deliveries import ClaimRequest
from hookd.store.sqlite.store import SqliteStore
from tests.chaos.backlog.filling import LIMIT, settled, submission
from tests.chaos.backlog.stage import BacklogStage, silent_server
from tests.chaos.backlog.starting import START_S, expect_memory
from tests.chaos.backlog.traffic import Times, Traffic, p99
from tests.chaos.proof import Findings
from tests.kit.receiver import Receiver

AT_MOST = 2.0
"""How many times the p99 with few pending the p99 with a backlog may be."""

SEATS = 10
LEASE_S = 60.0


async def prove_claims(found: Findings, many: Path, few: Path, *, rounds: int, claims: int) -> None:
    """Claim and settle in turn from a store whose one lane has a backlog and from one with few pending."""
    stores = {"many": await SqliteStore.open(many), "few": await SqliteStore.open(few)}
    counts = {name: (await store.backlog()).pending for name, store in stores.items()}
    took: dict[str, list[float]] = {"many": [], "few": []}
    try:
        for store in stores.values():
            await _claims_ms(store, claims // 4)
        for _ in range(rounds):
            for name, store in stores.items():
                took[name].append(p99(await _claims_ms(store, claims)))
    finally:
        for store in stores.values():
            await store.close()
    _judge(found, "claim_p99", took, {"pending": counts, "claims_each_round": claims, "seats": SEATS})


async def _claims_ms(store: SqliteStore, claims: int) -> list[float]:
    """Milliseconds of each claim; what is delivered is replaced, so that as many wait afterwards."""
    took: list[float] = []
    for _ in range(claims):
        now = time.time()
        await store.enqueue([submission("lane", now) for _ in range(SEATS)], now=now, limit=LIMIT)
        began = time.perf_counter()
        leases = (await store.claim([ClaimRequest("lane", SEATS, LEASE_S)], now=now)).leases
        took.append((time.perf_counter() - began) * 1000)
        assert len(leases) == SEATS
        await asyncio.gather(*(store.settle(*settled(lease, now), now=now) for lease in leases))
    return took


async def prove_neighbour(
    found: Findings, many: BacklogStage, few: BacklogStage, *, rounds: int, rate: int, seconds: float
) -> None:
    """Post events of a healthy webhook while another, whose receiver never answers, holds a backlog, and without."""
    server, silent = await silent_server()
    async with Receiver() as receiver:
        traffic = Traffic(receiver)
        accepted: dict[str, list[float]] = {"many": [], "few": []}
        arrived: dict[str, list[float]] = {"many": [], "few": []}
        posted = 0
        for stage in (many, few):
            stage.configure(live=receiver.url, lane=silent)
            await stage.start_s()
            await traffic.run(stage.daemon, rate=rate, seconds=1)
        for _ in range(rounds):
            for name, stage in (("many", many), ("few", few)):
                times: Times = await traffic.run(stage.daemon, rate=rate, seconds=seconds)
                found.expect(not times.refused, f"{len(times.refused)} events refused: {set(times.refused)}")
                accepted[name].append(p99(times.accepted))
                arrived[name].append(p99(times.arrived))
                posted += len(times.accepted)
        for stage in (many, few):
            await stage.stop()
    server.close()
    context = {"events_per_s": rate, "events": posted}
    _judge(found, "post_to_202_p99", accepted, context)
    _judge(found, "post_to_receiver_p99", arrived, context)


async def prove_working_off(found: Findings, many: BacklogStage, *, seconds: float, idle_mib: float) -> None:
    """Work through the backlog for some seconds, be killed at it, and start again."""
    async with Receiver() as receiver:
        many.configure(live=receiver.url, lane=receiver.url)
        await many.start_s()
        most_mib, until = 0.0, time.monotonic() + seconds
        while time.monotonic() < until:
            most_mib = max(most_mib, many.rss_mib())
            await asyncio.sleep(0.1)
        sent = len(receiver.requests)
        await many.daemon.kill()
        again_s = await many.start_s()
        most_mib = max(most_mib, many.rss_mib())
        await many.stop()
    found.figures.setdefault("memory", {}).update(working_most_mib=most_mib, working_sent=sent)
    found.figures.setdefault("start", {}).update(after_kill_at_work_s=round(again_s, 2))
    found.expect(sent, "nothing of the backlog was sent")
    found.expect(again_s < START_S, f"the start after a kill at work took {again_s:.2f} s")
    expect_memory(found, "at work", most_mib, idle_mib)


def _judge(found: Findings, name: str, took: dict[str, list[float]], context: Mapping[str, object]) -> None:
    medians = {side: statistics.median(p99s) for side, p99s in took.items()}
    ratio = round(medians["many"] / medians["few"], 2)
    found.figures[name] = {
        **context,
        "rounds": len(took["many"]),
        "many_ms": round(medians["many"], 2),
        "few_ms": round(medians["few"], 2),
        "ratio": ratio,
    }
    found.expect(ratio <= AT_MOST, f"{name}: {ratio} times as long with a backlog: {medians}")
