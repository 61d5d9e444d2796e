"""With a backlog hookd starts as soon and takes no more memory than without (spec 6); at the limit it says so (spec 2).

Called by: `prove`.
"""

import asyncio
import statistics
from typing import Any

from tests.bench.load import request_bytes
from tests.chaos.backlog.stage import MIB, BacklogStage
from tests.chaos.backlog.traffic import live_event
from tests.chaos.proof import Findings
from tests.kit.commands import hookd
from tests.kit.daemon import DaemonProcess

START_S = 3.0
RSS_MIB = 60.0

LOOKS = (
    "/v1/status",
    "/v1/webhooks",
    "/metrics",
    "/v1/deliveries?limit=500",
    "/v1/deliveries?state=pending&limit=500",
    "/v1/deliveries?state=sending",
    "/v1/deliveries?task=nobody",
    "/v1/events?limit=500",
)


async def prove_start(
    found: Findings, full: BacklogStage, empty: BacklogStage, *, pending: int, rounds: int
) -> float:
    """Start both again and again. The full store's log is that of a process that was killed.

    Returns:
        The memory of the idle daemon (empty store) after the same requests, in MiB.
    """
    for stage in (full, empty):
        stage.configure()
    log_mib = round(full.log.stat().st_size / MIB, 1)
    after_kill_s = await full.start_s()
    await full.stop()
    await empty.start_s()
    await empty.stop()
    starts: dict[str, list[float]] = {"full": [], "empty": []}
    rss: dict[str, list[float]] = {"full": [], "empty": []}
    for _ in range(rounds):
        for name, stage in (("empty", empty), ("full", full)):
            starts[name].append(await stage.start_s())
            rss[name].append(stage.rss_mib())
            for path in LOOKS:
                await stage.daemon.get(path)
            rss[name].append(stage.rss_mib())
            await _expect_waiting(found, stage.daemon, pending if stage is full else 0)
            await stage.stop()
    idle_mib = min(rss["empty"])
    found.figures["start"] = {
        "pending": pending,
        "starts_each": rounds,
        "empty_s": round(statistics.median(starts["empty"]), 2),
        "full_s": round(statistics.median(starts["full"]), 2),
        "full_slowest_s": round(max(starts["full"]), 2),
        "after_kill_s": round(after_kill_s, 2),
        "after_kill_log_mib": log_mib,
    }
    found.figures["memory"] = {"idle_mib": idle_mib, "full_most_mib": max(rss["full"])}
    found.expect(log_mib, "the killed process left no write-ahead log")
    found.expect(after_kill_s < START_S, f"the start after a kill took {after_kill_s:.2f} s")
    slowest_s = statistics.median(starts["full"])
    found.expect(slowest_s < START_S, f"a start with {pending} pending took {slowest_s:.2f} s")
    expect_memory(found, "after start and listings", max(rss["full"]), idle_mib)
    return idle_mib


def expect_memory(found: Findings, when: str, mib: float, idle_mib: float) -> None:
    """Note a violation where memory is more than it may be above the idle daemon's."""
    found.expect(mib <= idle_mib + RSS_MIB, f"{when}: {mib} MiB, idle {idle_mib} MiB")


async def _expect_waiting(found: Findings, daemon: DaemonProcess, pending: int) -> None:
    counts = (await daemon.get("/v1/status"))["deliveries"]
    waiting = counts["pending"] + counts["sending"]
    found.expect(waiting == pending, f"{waiting} wait after a start, {pending} were stored")


async def prove_limit(found: Findings, full: BacklogStage, *, pending: int, limit: int | None) -> None:
    """With exactly the limit pending: 503 with Retry-After, said in status; with one less the next is taken."""
    full.configure(limit=limit)
    await full.start_s()
    refusal = await _answer(full.daemon, live_event(0))
    found.expect(refusal.startswith(b"HTTP/1.1 503 "), f"at the limit: {refusal[:60]!r}")
    found.expect(b"\r\nretry-after: " in refusal.lower(), f"no Retry-After at the limit: {refusal!r}")
    said = await _hookd(full, "status")
    found.expect(f"{pending} deliveries wait, the limit is {pending}" in said, f"status at the limit: {said}")
    (waiting,) = (await full.daemon.get("/v1/deliveries?webhook=parked&state=pending&limit=1"))["deliveries"]
    cancelled, _ = await full.daemon.request("POST", f"/v1/deliveries/{waiting['id']}/cancel")
    taken, _ = await full.daemon.post({"type": "backlog", "event": "parked", "data": {"n": 0}})
    again = await _answer(full.daemon, live_event(0))
    found.expect((cancelled, taken) == (200, 202), f"below the limit: cancel {cancelled}, post {taken}")
    found.expect(again.startswith(b"HTTP/1.1 503 "), f"at the limit again: {again[:60]!r}")
    found.figures["limit"] = {
        "pending": pending,
        "default": limit is None,
        "at_the_limit": 503,
        "below": taken,
    }
    await full.stop()


async def _answer(daemon: DaemonProcess, event: Any) -> bytes:
    """The head of the answer to a posted event."""
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    writer.write(request_bytes(event))
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head


async def _hookd(stage: BacklogStage, *words: str) -> str:
    return (await hookd(*words, "--socket", stage.daemon.socket, cwd=stage.directory)).out
