"""The store's promises on a disk that is full, fails, is read-only or slow; on a damaged file; on a migration cut off.

The daemon is the real one; disks are small file systems in memory, faults are injected into the system calls of its
storing thread. Needs root (mounts) and strace.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from tests.chaos.disk import damage, failing, full, migrations, slow
from tests.chaos.proof import Findings, Options


async def prove(options: Options) -> Findings:
    """Run all parts (see their modules): the one that measures alone, the others beside each other."""
    found = Findings()
    found.figures["slow_syncs"] = await slow.syncs(options, found)

    async def part(name: str, figures: Awaitable[dict[str, Any]]) -> None:
        found.figures[name] = await figures

    await asyncio.gather(
        part("full", full.again_and_again(options, found)),
        part("full_and_killed", full.killed_while_full(options, found)),
        part("failing", failing.injected(options, found)),
        _at_start(part, options, found),
    )
    return found


async def _at_start(part: Any, options: Options, found: Findings) -> None:
    await part("migrations", migrations.cut_off(options, found))
    await part("read_only_at_start", damage.read_only_at_start(options, found))
    await part("no_store", damage.no_stores(options, found))
    await part("damage", damage.files(options, found))
