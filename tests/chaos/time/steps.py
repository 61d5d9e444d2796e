"""Steps of the wall clock while the daemon runs, and while it is stopped or killed; small ones, and a slewing clock.

Must never: weaken a bound because a machine is slow: what is stuck waits an hour or a year, what floods comes all at
once. Called by: the package.
"""

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.proof import Findings
from tests.chaos.time.books import finish
from tests.chaos.time.scene import Scene, scene

HOUR_S = 3600.0
YEAR_S = 365 * 86_400.0

LEASE_S = 18.0
"""What was under way at a kill goes again so long after (timeout + 15 s, spec 14)."""

NOTICE_S = 20.0
"""More than any step takes to be noticed, on a machine that is busy."""


@dataclass(frozen=True)
class Step:
    """A step of the clock, while the daemon is `running`, or between `stop` or `kill` and its next start."""

    by_s: float
    how: str = "running"


async def steps(
    directory: Path, findings: Findings, name: str, some: list[Step], *, short: bool
) -> dict[str, int]:
    """Step the clock of a daemon with a backlog; returns what was counted."""
    killed = any(step.how == "kill" for step in some)
    async with scene(
        directory, findings, name, backoff_s=3 if short else 20, timeout_s=3 if killed else 120
    ) as made:
        await fill(made, many=20 if short else 400)
        for step in some:
            await _take(made, step)
        return {"steps": len(some), **await finish(made, reached_s=_furthest(some), restarts=_restarts(some))}


async def small_steps(directory: Path, findings: Findings, *, seed: int, short: bool) -> dict[str, int]:
    """Steps of half a second either way, then a clock that runs a fifth too slow, then a fifth too fast."""
    chance, count = random.Random(seed), 20 if short else 150
    async with scene(directory, findings, "small", backoff_s=3 if short else 20, timeout_s=120) as made:
        await fill(made, many=20 if short else 400)
        for by_s in [*(chance.uniform(-0.5, 0.5) for _ in range(count)), *[-0.02] * count, *[0.02] * count]:
            made.set_clock(by_s)
            await asyncio.sleep(0.1)
        await _goes_on(made, "small steps", within_s=made.backoff_s * 1.5 + NOTICE_S)
        return {"small_steps": 3 * count, **await finish(made, reached_s=0, restarts=0)}


async def fill(made: Scene, *, many: int) -> None:
    """Start the daemon and give it something of everything to wait for."""
    await made.stage.start()
    paused, _ = await made.stage.daemon.request("POST", "/v1/webhooks/paused/pause")
    made.expect(paused == 200, f"a pause was answered {paused}")
    for kind, count in (("broken", 12), ("retry", many), ("held", 5), ("paused", 5), ("hang", 20)):
        await made.post(kind, count)
    books = made.books
    await made.until(
        "the first attempts", lambda: all(books.came[one] for one in made.made["retry"]), within_s=60
    )
    await made.until("a Retry-After", lambda: bool(books.arrivals["held"]), within_s=60)
    await made.until("the breaker", lambda: _breaker_open(made), within_s=60)
    await made.post("limited", 60)
    await made.until(
        "attempts under way", lambda: all(books.came[one] for one in made.made["hang"]), within_s=60
    )


async def _breaker_open(made: Scene) -> bool:
    lanes = {lane["name"]: lane for lane in (await made.stage.daemon.get("/v1/webhooks"))["webhooks"]}
    return bool(lanes["broken"]["breaker"] == "open")


async def _take(made: Scene, step: Step) -> None:
    if step.how == "stop":
        await made.stage.stop()
    elif step.how == "kill":
        await made.stage.kill()
        made.answer.set()
    made.set_clock(step.by_s)
    if step.how != "running":
        made.ended_at.append(made.stepped_at)
        await made.stage.start()
    await made.post("limited", 20)
    lease_s = LEASE_S if step.how == "kill" else 0.0
    await _goes_on(made, f"{step}", within_s=made.backoff_s * 1.2 + lease_s + NOTICE_S)
    await _posted_again(made, step)
    await _ages(made, step)


async def _goes_on(made: Scene, what: str, *, within_s: float) -> None:
    """What was due soon still is, and so are the schedules."""
    books = made.books
    before = {one: len(books.came[one]) for one in made.made["retry"]}
    held, ticks = len(books.arrivals["held"]), books.fired_by("tick-second")

    def met() -> bool:
        again = all(len(books.came[one]) > count for one, count in before.items())
        return again and len(books.arrivals["held"]) > held and books.fired_by("tick-second") > ticks

    if not await made.until(f"another attempt and firing after {what}", met, within_s=within_s):
        stuck = sum(len(books.came[one]) <= count for one, count in before.items())
        made.expect(
            False,
            f"after {what}: {stuck} of {len(before)} retries stuck, held {len(books.arrivals['held']) - held},"
            f" ticks {books.fired_by('tick-second') - ticks}",
        )


async def _posted_again(made: Scene, step: Step) -> None:
    """An event is still known by its id, whatever the clock shows: retention has not forgotten it."""
    answered, receipt = await made.stage.daemon.post(made.events)
    fresh = [each["id"] for each in receipt.get("events", []) if not each["duplicate"]]
    made.expect(
        answered in (200, 202) and not fresh, f"after {step}: {len(fresh)} events were taken in twice"
    )


async def _ages(made: Scene, step: Step) -> None:
    ages = await made.metric("hookd_oldest_pending_age_seconds{")
    made.expect(ages and all(0 <= age < YEAR_S + HOUR_S for age in ages), f"after {step}: ages {ages}")


def _furthest(some: list[Step]) -> float:
    """How far ahead of its first time the clock has been, in seconds."""
    at = furthest = 0.0
    for step in some:
        at += step.by_s
        furthest = max(furthest, at)
    return furthest


def _restarts(some: list[Step]) -> int:
    return sum(step.how != "running" for step in some)
