"""Retention at work is not felt, and gives the space back (spec 6, 14).

Called by: `prove`.
"""

import asyncio
import statistics

from tests.chaos.backlog.stage import BacklogStage
from tests.chaos.backlog.traffic import Traffic, p99
from tests.chaos.proof import Findings
from tests.kit.receiver import Receiver

AT_MOST = 1.5
"""How many times the p99 without retention the p99 while it is at work may be, in the median of the rounds."""

KEEP_ALL, KEEP_LITTLE = "3650d", "1d"
SHRUNK_S = 120.0
LOG_MIB = 33.0
"""What the write-ahead log may keep (`journal_size_limit`), and a little for the empty tables."""

ROOM_MIB = 1.5 / 1024
"""What one delivery with a small body takes, with its event, attempt and index entries."""


async def prove_retention(
    found: Findings, stage: BacklogStage, *, expired: int, rounds: int, rate: int, seconds: float
) -> None:
    """Live traffic, in turn without retention and while it deletes what expired; then wait until all of it is gone."""
    sides = {"without": KEEP_ALL, "with": KEEP_LITTLE}
    accepted: dict[str, list[float]] = {side: [] for side in sides}
    arrived: dict[str, list[float]] = {side: [] for side in sides}
    before_mib, deleted, posted, sent = stage.disk_mib(), 0, 0, 0
    async with Receiver() as receiver:
        traffic = Traffic(receiver)
        for _ in range(rounds):
            for side, keep in sides.items():
                stage.configure(live=receiver.url, keep=keep)
                await stage.start_s()
                sent += len((await traffic.run(stage.daemon, rate=rate, seconds=0.5)).accepted)
                kept = await _delivered(stage)
                times = await traffic.run(stage.daemon, rate=rate, seconds=seconds)
                gone = kept + len(times.accepted) - await _delivered(stage)
                found.expect(not times.refused, f"{len(times.refused)} events refused: {set(times.refused)}")
                found.expect((gone > 0) == (side == "with"), f"{side} retention {gone} deliveries went")
                accepted[side].append(p99(times.accepted))
                arrived[side].append(p99(times.arrived))
                deleted, posted, sent = (
                    deleted + gone,
                    posted + len(times.accepted),
                    sent + len(times.accepted),
                )
                if side == "without" or len(accepted["with"]) < rounds:
                    await stage.stop()
        await _shrunk(stage, sent)
        await stage.stop()
    figures: dict[str, object] = {
        "expired": expired,
        "deleted_under_load": deleted,
        "events_per_s": rate,
        "events": posted,
    }
    figures |= {"rounds": rounds}
    for name, took in (("post_to_202", accepted), ("post_to_receiver", arrived)):
        medians = {side: round(statistics.median(p99s), 2) for side, p99s in took.items()}
        ratio = round(medians["with"] / medians["without"], 2)
        figures[name] = {f"p99_{side}_ms": value for side, value in medians.items()} | {"ratio": ratio}
        found.expect(ratio <= AT_MOST, f"{name}: {ratio} times as long while retention is at work: {medians}")
    after_mib = stage.disk_mib()
    found.figures["retention"] = figures | {"disk_before_mib": before_mib, "disk_after_mib": after_mib}
    left_mib = LOG_MIB + sent * ROOM_MIB
    found.expect(after_mib <= left_mib, f"{after_mib} MiB on the disk when all is gone but {sent} deliveries")


async def _delivered(stage: BacklogStage) -> int:
    counts: dict[str, int] = (await stage.daemon.get("/v1/status"))["deliveries"]
    return counts["delivered"]


async def _shrunk(stage: BacklogStage, posted: int) -> None:
    """Wait until nothing that expired is left; live traffic has ended."""
    async with asyncio.timeout(SHRUNK_S):
        while await _delivered(stage) > posted:
            await asyncio.sleep(0.1)
