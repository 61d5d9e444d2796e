"""Overload: five times what the daemon can take; the limit of waiting deliveries, reached under load (spec 2).

Called by: the proof.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.intake import pressure
from tests.chaos.intake.pressure import batch
from tests.chaos.intake.scene import Scene, judge_log, post, quantile, scene, wrong_refusal
from tests.chaos.proof import Findings, Options
from tests.kit.procfs import forget_peak, memory_mib

BATCH = 20
"""Events in a request: enough that two cores can offer many times what one of them can take."""

TIMES = 5
MOST_RSS_MIB = 700
PROMPT_S = 20.0
"""Less than clients wait; on a machine that is busy otherwise, too."""


async def overload(options: Options, findings: Findings) -> None:
    """Find the capacity, offer five times that on both sockets, and reconcile what was accepted with what arrived."""
    directory = options.place("overload")
    async with scene(directory) as stage:
        capacity = await _capacity(stage, seconds=options.scale(short=2, long=8))
        forget_peak(stage.daemon.pid)
        seconds = options.scale(short=4, long=20)
        rate = capacity * TIMES / 2
        both = await asyncio.gather(
            _press(directory, str(stage.daemon.socket), rate, seconds, "u"),
            _press(directory, f"127.0.0.1:{stage.port}", rate, seconds, "t"),
        )
        total = _Total().add(*both)
        healthy = await stage.daemon.request("GET", "/readyz")
        accepted = [f"{name}-{number}" for name in total.accepted for number in range(BATCH)]
        missing = await stage.until_delivered(accepted, within_s=120)
        peak = memory_mib(stage.daemon.pid, "VmHWM")
        _judge_overload(findings, stage, total, missing)
        findings.expect(peak < MOST_RSS_MIB, f"overload: the daemon took {peak} MiB")
        findings.expect(healthy[0] == 200, f"overload: not ready after it: {healthy}")
        findings.figures["overload"] = {
            "capacity_events_per_s": round(capacity * BATCH),
            "offered_events_per_s": round(total.outcomes.total() * BATCH / seconds),
            "requests": dict(total.outcomes),
            "accepted_events": len(accepted),
            "accepted_not_delivered": len(missing),
            "accepted_p50_s": round(quantile(total.accepted_s, 0.5), 3),
            "accepted_p99_s": round(quantile(total.accepted_s, 0.99), 3),
            "refused_p99_s": round(quantile(total.refused_s, 0.99), 3),
            "most_connections": total.most_open,
            "peak_rss_mib": peak,
        }
        judge_log(stage, findings, "overload")


def _judge_overload(findings: Findings, stage: Scene, total: "_Total", missing: list[str]) -> None:
    odd = {name: count for name, count in total.outcomes.items() if name not in ("202", "503")}
    findings.expect(not odd, f"overload: neither accepted nor refused by 503 with Retry-After: {odd}")
    findings.expect(total.outcomes["503"], "overload: nothing was refused, so it was no overload")
    findings.expect(total.outcomes["202"], "overload: nothing was accepted")
    findings.expect(
        not missing, f"overload: {len(missing)} accepted events never arrived, such as {missing[:3]}"
    )
    twice = [each for each, count in stage.count.deliveries.items() if count > 1]
    findings.expect(not twice, f"overload: {len(twice)} deliveries arrived twice")
    slowest = quantile(total.accepted_s, 0.99)
    findings.expect(
        slowest < PROMPT_S, f"overload: accepted, but p99 of the answers is {slowest:.1f} s after its moment"
    )


async def _capacity(stage: Scene, *, seconds: float) -> float:
    """Requests a second that are taken in while two closed loops of 32 connections push, deliveries included."""
    loop, done = asyncio.get_running_loop(), 0
    end_at = loop.time() + seconds

    async def push(number: int) -> None:
        nonlocal done
        client = await stage.client(number)
        async with client:
            turn = 0
            while loop.time() < end_at:
                answered = await client.ask(batch(f"c{number}-{turn}", BATCH))
                assert answered.status == 202, answered
                turn, done = turn + 1, done + 1

    await asyncio.gather(*(push(number) for number in range(64)))
    taken = [f"c{number}-0-0" for number in range(64)]
    assert not await stage.until_delivered(taken)
    return done / seconds


@dataclass
class _Total:
    """The books of all load processes."""

    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    most_open: int = 0

    def add(self, *reports: dict[str, Any]) -> "_Total":
        for report in reports:
            self.outcomes.update(report["outcomes"])
            self.accepted += report["accepted"]
            self.accepted_s += report["accepted_s"]
            self.refused_s += report["refused_s"]
            self.most_open += report["most_open"]
        return self


async def _press(directory: Path, address: str, rate: float, seconds: float, prefix: str) -> dict[str, Any]:
    """One load process."""
    report = directory / f"{prefix}.json"
    words = (address, str(rate), str(seconds), str(BATCH), prefix, str(report))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(pressure.__file__)), *words, preexec_fn=allow_descriptors
    )
    assert await process.wait() == 0, "the load process failed"
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def allow_descriptors() -> None:
    """Let this process have as many connections as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def pending_limit(options: Options, findings: Findings) -> None:
    """Reach `limits.pending` with many clients at once: never passed, refused by 503; what leaves makes room."""
    limit, clients = 100, options.scale(short=40, long=200)
    async with scene(options.place("pending"), pending=limit) as stage:
        statuses: Counter[int] = Counter()
        wrong: list[str] = []

        async def push(number: int) -> None:
            async with await stage.client(number) as client:
                for turn in range(10):
                    answered = await client.ask(
                        post({"type": "vm", "event": "off", "id": f"p{number}-{turn}"})
                    )
                    statuses[answered.status] += 1
                    if answered.status != 202 and (fault := wrong_refusal(answered)):
                        wrong.append(fault)

        await asyncio.gather(*(push(number) for number in range(clients)))
        waiting = (await stage.daemon.get("/v1/status"))["deliveries"]["pending"]
        listed = (await stage.daemon.get("/v1/deliveries?state=pending&limit=500"))["deliveries"]
        findings.expect(not wrong, f"pending: {wrong[:3]}")
        findings.expect(
            statuses[202] == waiting == len(listed) == limit,
            f"pending: the limit is {limit}; accepted {statuses[202]}, waiting {waiting}, listed {len(listed)}",
        )
        findings.expect(
            statuses.keys() == {202, 503}, f"pending: answered {dict(statuses)} where 202 or 503 was due"
        )
        quiet, _ = await stage.daemon.post({"type": "quiet", "event": "on"})
        findings.expect(quiet == 202, f"pending: an event without deliveries needs no room, but got {quiet}")
        for each in listed[:10]:
            await stage.daemon.request("POST", f"/v1/deliveries/{each['id']}/cancel")
        again = Counter(
            [(await stage.daemon.post({"type": "vm", "event": "off", "id": f"q{n}"}))[0] for n in range(15)]
        )
        findings.expect(
            again == {202: 10, 503: 5}, f"pending: ten left; of fifteen more were answered {again}"
        )
        findings.figures["pending_limit"] = {"limit": limit, "posts": statuses.total(), **_named(statuses)}
        judge_log(stage, findings, "pending")


def _named(statuses: Counter[int]) -> dict[str, int]:
    return {str(status): count for status, count in sorted(statuses.items())}
