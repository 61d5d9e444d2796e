"""Reload: no writer's half state is applied, no delivery is touched, and no file stops the daemon (spec 7, 12, 14).

Must never: change a setting of the machine. Called by: `tests.chaos`.
"""

import asyncio

from tests.chaos.proof import Findings, Options
from tests.chaos.reload import flight, hostile, writing


async def prove(options: Options) -> Findings:
    """Writers of every kind beside reloads with deliveries in flight; then hostile files, with the lag they cause."""
    found = Findings()
    await asyncio.gather(writing.prove(options, found), flight.prove(options, found))
    await hostile.prove(options, found)
    return found
