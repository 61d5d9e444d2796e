"""`crash`: hookd is killed at random and at every system call that matters, and loses nothing it acknowledged.

Three parts: kills at random moments (`kills`), kills at the K-th call of each kind (`calls`), and the order of row,
fsync and 202 in the daemon's system calls (`order`). Needs strace.

Called by: `python -m tests.chaos crash`.
"""

import asyncio
import shutil

from tests.chaos.crash.calls import kill_at_calls
from tests.chaos.crash.kills import kill_at_random
from tests.chaos.crash.order import watch_accepts
from tests.chaos.proof import Findings, Options


async def prove(options: Options) -> Findings:
    """Run all three parts; in the short version side by side, because most of it is waiting for leases to end."""
    if shutil.which("strace") is None:
        return Findings(
            violations=["strace is not installed (Debian: apt install strace): nothing was proven"]
        )
    chance = options.chance()
    parts = {
        "at system calls": kill_at_calls(
            options.place("calls"), short=options.short, chance=chance, at_once=options.scale(short=3, long=4)
        ),
        "at random": kill_at_random(
            options.place("kills"), kills=options.scale(short=8, long=200), chance=options.chance()
        ),
        "order": watch_accepts(options.place("order"), accepts=options.scale(short=300, long=1000)),
    }
    if options.short:
        results = await asyncio.gather(*parts.values())
    else:
        results = [await part for part in parts.values()]
    whole = Findings()
    for name, part in zip(parts, results, strict=True):
        whole.figures[name] = part.figures
        whole.violations += [f"{name}: {violation}" for violation in part.violations]
    return whole
