"""The soak: a daemon under load, a nemesis, and three books that must agree at the end.

The generator writes down each event before it is posted and each answer after; the receivers write down each request
before it is answered; hookd has its own list. Then everything settles, and the books are reconciled: nothing lost,
nothing unexpected, no request repeated without a cause.

Must never: repair what it finds. Called by: `tests.chaos`, the mutants, the test of the harness.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.proof import Findings, Options
from tests.chaos.soak import nemesis
from tests.chaos.soak.books import Reckoning, reconcile
from tests.chaos.soak.generator import Generator
from tests.chaos.soak.site import DoesNotStart, Site, open_site

SETTLE_S = 60.0


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
    plan = plan_of(chance, options.scale(short=17, long=170))
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
    until: re.Pattern[str] | None = None,
    settle_s: float = SETTLE_S,
) -> Soak:
    """Carry out a plan under load and reconcile.

    Args:
        directory: an empty one.
        chance: decides everything that happens.
        plan: names of the nemesis's actions.
        env: environment of the daemon.
        until: end when a violation that this finds has shown.
        settle_s: how long nothing may end at the end, while something waits, in seconds.
    """
    async with open_site(directory, chance, dict(env or {})) as site:
        generator = Generator(
            site.books, str(site.daemon.socket), f"http://127.0.0.1:{site.layout.port}", chance
        )
        posting = asyncio.create_task(generator.run())
        actions = await _suffered(site, chance, plan, until)
        records = None
        if site.is_alive() and not _has_shown(site, until):
            generator.running.clear()
            await posting
            try:
                records = await _settled(site, settle_s)
            except AssertionError as error:  # what it answered instead
                site.books.violations.append(f"lost: hookd does not serve any more: {error}")
        posting.cancel()
        await asyncio.wait([posting])
        return Soak(
            reconcile(site.books, records),
            actions,
            posted=len(site.books.posted),
            promised=sum(1 for _ in site.books.acknowledged()),
            requests=len(site.books.arrivals),
        )


async def _suffered(
    site: Site, chance: random.Random, plan: Sequence[str], until: re.Pattern[str] | None
) -> Counter[str]:
    """Carry out the plan as far as the daemon lives; how often each action was taken."""
    actions: Counter[str] = Counter()
    for name in plan:
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        actions[name] += 1
        try:
            await site.suffer(name, nemesis.ACTIONS[name], chance)
        except DoesNotStart:
            break
        except AssertionError as error:
            site.books.violations.append(f"lost: hookd does not serve any more, after {name}: {error}")
            break
        if site.ended_by_itself(after=name) or _has_shown(site, until):
            break
    return actions


def _has_shown(site: Site, until: re.Pattern[str] | None) -> bool:
    return until is not None and any(map(until.search, reconcile(site.books).violations))


async def _settled(site: Site, within_s: float) -> dict[str, dict[str, object]]:
    """hookd's list once nothing waits any more; the receivers are good from now on, and the webhooks new."""
    for receiver in site.receivers.values():
        receiver.mode = "good"
    site.layout.generation += 1  # a corrected webhook is probed at once
    site.write_config()
    loop = asyncio.get_running_loop()
    least, give_up_at = await site.daemon.unfinished(), loop.time() + within_s
    while least and loop.time() < give_up_at:
        await asyncio.sleep(0.2)
        if (now := await site.daemon.unfinished()) < least:
            least, give_up_at = now, loop.time() + within_s
    if least:
        site.books.violations.append(
            f"lost: {least} deliveries still wait, and in {within_s} s none has ended"
        )
    return await site.records()
