"""A backlog costs nothing: not at the start, not in memory, not at a claim; and retention is not felt (spec 6, 14).

Stores are filled through the store's own calls with deliveries of 1 KiB, in a process of its own; the daemon is then
measured beside the same daemon without a backlog. Called by: `tests.chaos`.
"""

from tests.chaos.backlog import asking, claiming, retention, starting
from tests.chaos.backlog.filling import DEAD, DELIVERED, LATER, Lane, fill
from tests.chaos.backlog.stage import BacklogStage
from tests.chaos.proof import Findings, Options

MILLION = 1_000_000
"""Also the default of `limits.pending`."""

FEW = 1_000
TWO_DAYS_S = 2 * 86_400.0


async def prove(options: Options) -> Findings:
    """Fill, measure, compare."""
    found = Findings()
    pending = options.scale(short=20_000, long=MILLION)
    rounds = options.scale(short=1, long=3)
    idle_mib = await _prove_parked(found, options, pending, rounds)
    await _prove_due(found, options, pending, idle_mib)
    await _prove_dead(found, options, pending)
    await _prove_retention(found, options)
    return found


async def _prove_parked(found: Findings, options: Options, pending: int, rounds: int) -> float:
    """Deliveries that wait for many reasons: start, memory, limit, listings."""
    full, empty = BacklogStage(options.place("parked")), BacklogStage(options.place("empty"))
    share = pending // 4
    kinds = Lane("parked", share), Lane("gone", share), Lane("later", share, LATER), Lane("lane", share)
    await fill(full.store, *kinds, kill=True)
    idle_mib = await starting.prove_start(found, full, empty, pending=pending, rounds=rounds)
    limit = None if pending == MILLION else pending
    await starting.prove_limit(found, full, pending=pending, limit=limit)
    cancels = options.scale(short=200, long=1_000)
    await asking.prove_looks(found, full, rounds=rounds, cancels=cancels, idle_mib=idle_mib)
    await _done(full, empty)
    return idle_mib


async def _prove_due(found: Findings, options: Options, pending: int, idle_mib: float) -> None:
    """One lane holds all of it, due."""
    many, few = BacklogStage(options.place("many")), BacklogStage(options.place("few"))
    await fill(many.store, Lane("lane", pending))
    await fill(few.store, Lane("lane", FEW))
    claims = options.scale(short=150, long=500)
    await claiming.prove_claims(found, many.store, few.store, rounds=5, claims=claims)
    seconds = options.scale(short=1, long=8)
    await claiming.prove_neighbour(found, many, few, rounds=3, rate=200, seconds=seconds)
    working_s = options.scale(short=1, long=10)
    await claiming.prove_working_off(found, many, seconds=working_s, idle_mib=idle_mib)
    await _done(many, few)


async def _prove_dead(found: Findings, options: Options, dead: int) -> None:
    stage = BacklogStage(options.place("dead"))
    await fill(stage.store, Lane("parked", dead, DEAD))
    await asking.prove_retry_of_dead(found, stage, dead=dead)
    await _done(stage)


async def _prove_retention(found: Findings, options: Options) -> None:
    stage = BacklogStage(options.place("retention"))
    expired = options.scale(short=60_000, long=300_000)
    await fill(stage.store, Lane("lane", expired, DELIVERED, TWO_DAYS_S))
    seconds = options.scale(short=1, long=6)
    await retention.prove_retention(found, stage, expired=expired, rounds=3, rate=300, seconds=seconds)
    await _done(stage)


async def _done(*stages: BacklogStage) -> None:
    """Remove what takes room; the directories go with the proof's own."""
    for stage in stages:
        await stage.daemon.close()
        for path in (stage.store, stage.log):
            path.unlink(missing_ok=True)
