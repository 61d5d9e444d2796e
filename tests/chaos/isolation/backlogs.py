"""Backlogs of some webhooks beside fresh deliveries of another: those go out as if there were no backlog.

Fifty thousand retries that are due, of webhooks whose receivers answer 404 (alive, so that no breaker spares the daemon
the work) or 503; and a hundred thousand deliveries of a webhook whose receiver takes a second for each. Pausing and
resuming the webhooks of a backlog alternates rounds with and without it in one run.
"""

import asyncio
import statistics
from typing import Any

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Line, Poster, Receivers, Request
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess

FAILING = [f"missing{n}" for n in range(5)] + [f"down{n}" for n in range(5)]
BATCH = 500
PER_S = 100
LONGEST_S = 1.0
MOST_RATIO = 1.5


async def prove(options: Options) -> Findings:
    """First the slow webhook, which costs next to nothing, then the retries, which keep the daemon at work."""
    findings = Findings()
    async with Receivers() as fresh, Receivers(behaves=_misbehave) as odd:
        place = options.place("backlogs")
        webhooks: dict[str, dict[str, Any]] = {"fresh": {"url": f"{fresh.url}/fresh"}}
        webhooks["slow"] = {"url": f"{odd.url}/slow"}
        for name in FAILING:
            webhooks[name] = {"url": f"{odd.url}/{name}", "backoff": [0.1], "retries": 100}
        (place / "hookd.yaml").write_text(load.definitions(webhooks, level="error"))
        async with DaemonProcess(place) as daemon:
            backlogs = _Backlogs(daemon, Poster(str(daemon.socket)), fresh, odd)
            await backlogs.pause(["slow", *FAILING])
            await backlogs.fill(["slow"], options.scale(short=2_000, long=100_000))
            slow = await backlogs.compare(["slow"], options)
            await backlogs.fill(FAILING, options.scale(short=1_500, long=50_000))
            await backlogs.begin_retries(options)
            retries = await backlogs.compare(FAILING, options)
    findings.figures = {"slow": slow, "retries": retries}
    for name, seen in findings.figures.items():
        longest = seen["longest_wait_ms"]
        findings.expect(longest < 1000 * LONGEST_S, f"{name}: a fresh delivery waited {longest} ms")
        findings.expect(not seen["never_came"], f"{name}: {seen['never_came']} fresh ones never came")
        findings.expect(seen["waiting_at_the_end"] > 0, f"{name}: no backlog was left, so nothing was shown")
    findings.expect(
        slow["p99_ratio"] <= MOST_RATIO, f"slow: p99 of fresh deliveries rose {slow['p99_ratio']} times"
    )
    return findings


def _misbehave(line: Line, request: Request) -> None:
    if request.webhook == "slow":
        asyncio.get_running_loop().call_later(1.0, line.answer, request)
    else:
        (load.missing if request.webhook.startswith("missing") else load.refuse_service)(line, request)


class _Backlogs:
    def __init__(self, daemon: DaemonProcess, poster: Poster, fresh: Receivers, odd: Receivers) -> None:
        self._daemon, self._poster, self._fresh, self._odd = daemon, poster, fresh, odd

    async def pause(self, names: list[str], what: str = "pause") -> None:
        for name in names:
            await self._daemon.request("POST", f"/v1/webhooks/{name}/{what}")

    async def fill(self, names: list[str], count: int) -> None:
        """Let so much wait."""
        for start in range(0, count, BATCH):
            await self._poster.post([names[n % len(names)] for n in range(start, start + BATCH)])

    async def begin_retries(self, options: Options) -> None:
        """Let many first attempts fail, so that what follows are mostly retries that are due."""
        await self.pause(FAILING, "resume")
        await asyncio.sleep(options.scale(short=1, long=20))
        await self.pause(FAILING)

    async def compare(self, names: list[str], options: Options) -> dict[str, Any]:
        """Rounds without and with the backlog of these webhooks at work."""
        without: list[float] = []
        beside: list[float] = []
        waits: list[float] = []
        events = 0
        self._odd.requests.clear()
        for _ in range(options.scale(short=2, long=4)):
            without.append(load.p99((await self._round(options))[0]))
            await self.pause(names, "resume")
            seen, count = await self._round(options)
            await self.pause(names)
            beside.append(load.p99(seen))
            waits += seen
            events += count
        lanes = (await self._daemon.get("/v1/webhooks"))["webhooks"]
        return {
            "waiting_at_the_end": sum(lane["pending"] for lane in lanes if lane["name"] in names),
            "attempts_meanwhile": len(self._odd.requests),
            "fresh": events,
            "never_came": events - len(waits),
            "longest_wait_ms": round(1000 * max(waits), 1),
            "p99_ms": {
                "without": round(1000 * statistics.median(without), 2),
                "beside": round(1000 * statistics.median(beside), 2),
            },
            "p99_ratio": round(statistics.median(beside) / statistics.median(without), 2),
        }

    async def _round(self, options: Options) -> tuple[list[float], int]:
        numbers = await self._poster.steadily(["fresh"], per_s=PER_S, for_s=options.scale(short=1, long=5))
        deadline, awaited = asyncio.get_running_loop().time() + 5, set(numbers)
        while awaited - {request.n for request in self._fresh.requests}:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        waits = load.waits_s(self._poster.posted, self._fresh.requests, numbers)
        self._fresh.requests.clear()
        return list(waits.values()), len(numbers)
