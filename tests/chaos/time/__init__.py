"""The proof `time`: steps of the wall clock with a backlog, and a process that is frozen.

Contract: spec 1 (schedules), 5, 14, and docs/delivery.md (clocks). Nothing that waits is stuck or pruned, nothing
floods a receiver, nothing is attempted twice, no moment fires twice. The scenes run at once, each with a daemon, a
clock and a receiver of its own. Must never: step the machine's own clock. Called by: `tests.chaos`.
"""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

from tests.chaos.proof import Findings, Options
from tests.chaos.time.freeze import freeze
from tests.chaos.time.steps import HOUR_S, YEAR_S, Step, small_steps, steps

SHORT_STEPS = {
    "year": [Step(YEAR_S), Step(-YEAR_S)],
    "back": [Step(-HOUR_S), Step(HOUR_S)],
    "stopped": [Step(YEAR_S, "stop"), Step(-YEAR_S, "stop")],
    "corrected": [Step(YEAR_S), Step(-YEAR_S, "kill")],
}
STEPS = {
    "hour": [Step(HOUR_S), Step(-HOUR_S)],
    "year": [Step(YEAR_S), Step(-YEAR_S)],
    "back": [Step(-HOUR_S), Step(HOUR_S), Step(-YEAR_S), Step(YEAR_S)],
    "stopped": [Step(YEAR_S, "stop"), Step(-YEAR_S, "stop"), Step(-HOUR_S, "stop"), Step(HOUR_S, "stop")],
    "killed": [Step(YEAR_S, "kill"), Step(-YEAR_S, "kill")],
    "corrected": [Step(YEAR_S), Step(-YEAR_S, "kill")],
}
"""By scene. Those of an hour come before those of a year where both stand in one."""


async def prove(options: Options) -> Findings:
    """Run every scene and gather what they saw."""
    findings = Findings()
    scenes = SHORT_STEPS if options.short else STEPS
    places: dict[str, Path] = {name: options.place(name) for name in (*scenes, "small", "frozen")}
    runs = [
        *(steps(places[name], findings, name, some, short=options.short) for name, some in scenes.items()),
        small_steps(places["small"], findings, seed=options.seed, short=options.short),
        freeze(places["frozen"], findings, short=options.short),
    ]
    some_at_once = asyncio.Semaphore(len(runs) if options.short else 3)

    async def in_turn(run: Awaitable[dict[str, int]]) -> dict[str, int]:
        async with some_at_once:
            return await run

    seen = await asyncio.gather(*map(in_turn, runs))
    totals: dict[str, int] = {}
    for counts in seen:
        for name, count in counts.items():
            totals[name] = totals.get(name, 0) + count
    findings.figures = dict(sorted(totals.items()))
    return findings
