"""The soak: a daemon under load, a nemesis, and three books that must agree at the end.

The generator writes down each event before it is posted and each answer after; the receivers write down each request
before it is answered; hookd has its own list. Then everything settles, and the books are reconciled: nothing lost,
nothing unexpected, no request repeated without a cause.

Must never: repair what it finds. Called by: `tests.chaos`, the mutants, the test of the harness.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.proof import Findings, Options
from tests.chaos.soak import nemesis
from tests.chaos.soak.books import Reckoning, reconcile
from tests.chaos.soak.generator import Generator
from tests.chaos.soak.site import Site, open_site

SETTLE_S = 90.0


@dataclass
class Soak:
    """What one soak came to."""

    reckoning: Reckoning
    actions: Counter[str] = field(default_factory=Counter)
    posted: int = 0
    promised: int = 0
    requests: int = 0


async def prove(options: Options) -> Findings:
    chance = options.chance()
    plan = plan_of(chance, options.scale(short=16, long=160))
    soak = await run(options.directory, chance, plan)
    found = soak.reckoning
    return Findings(
        {
            "actions": dict(soak.actions),
            "events_posted": soak.posted,
            "deliveries_promised": soak.promised,
            "requests_received": soak.requests,
            "lost": found.lost,
            "unexpected": found.unexpected,
            "duplicates": dict(found.duplicates),
            "recovered": found.recovered,
            "ended": dict(found.states),
        },
        found.violations,
    )


def plan_of(chance: random.Random, length: int) -> list[str]:
    """So many actions in random order, each kind as often as the others."""
    names = nemesis.possible()
    rounds = -(-length // len(names))
    plan = [name for _ in range(rounds) for name in chance.sample(names, len(names))]
    return plan[:length]


async def run(
    directory: Path,
    chance: random.Random,
    plan: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    fail_fast: bool = False,
) -> Soak:
    """Carry out a plan under load and reconcile.

    Args:
        directory: an empty one.
        chance: decides everything that happens.
        plan: names of the nemesis's actions.
        env: environment of the daemon.
        fail_fast: end at the first violation that shows.
    """
    async with open_site(directory, chance, dict(env or {})) as site:
        generator = Generator(
            site.books, str(site.daemon.socket), f"http://127.0.0.1:{site.layout.port}", chance
        )
        posting = asyncio.create_task(generator.run())
        actions: Counter[str] = Counter()
        for name in plan:
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            await nemesis.ACTIONS[name](site, chance)
            actions[name] += 1
            if site.ended_by_itself(after=name):
                break
            if fail_fast and reconcile(site.books).violations:
                break
        generator.running.clear()
        await posting
        broken = fail_fast and reconcile(site.books).violations
        records = None if broken else await _settled(site)
        reckoning = reconcile(site.books, records)
        return Soak(
            reckoning,
            actions,
            posted=len(site.books.posted),
            promised=sum(1 for _ in site.books.acknowledged()),
            requests=len(site.books.arrivals),
        )


async def _settled(site: Site) -> dict[str, dict[str, object]]:
    """hookd's list once nothing waits any more; the receivers are good from now on, and the webhooks new."""
    for receiver in site.receivers.values():
        receiver.mode = "good"
    site.layout.generation += 1  # a corrected webhook is probed at once
    site.write_config()
    try:
        async with asyncio.timeout(SETTLE_S):
            while await site.unfinished():
                await asyncio.sleep(0.2)
    except TimeoutError:
        site.books.violations.append(
            f"lost: {await site.unfinished()} deliveries still wait after {SETTLE_S} s"
        )
    return await site.records()
