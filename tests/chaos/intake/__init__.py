"""The proof `intake`: overload, slow and vanishing clients, no descriptors, races for one id, framing tricks, fuzz.

Spec 2, 12 and 14 (Listener). Every part has a daemon of its own. Called by: `tests.chaos`.
"""

import asyncio

from tests.chaos.intake.framing import framing
from tests.chaos.intake.fuzz import fuzz
from tests.chaos.intake.overload import allow_descriptors, overload, pending_limit
from tests.chaos.intake.races import gone_clients, same_id
from tests.chaos.intake.slow import descriptors, pipelining, slow_clients
from tests.chaos.proof import Findings, Options

MEASURED = (overload, pipelining, descriptors)
"""One after the other."""

UNMEASURED = (pending_limit, slow_clients, gone_clients, same_id, framing, fuzz)
"""In the short version side by side: mostly they wait. What they promise does not depend on how busy the machine is."""

PARTS = (*MEASURED, *UNMEASURED)


async def prove(options: Options) -> Findings:
    """Run every part."""
    allow_descriptors()
    findings = Findings()
    for part in MEASURED if options.short else PARTS:
        await part(options, findings)
    if options.short:
        await asyncio.gather(*(part(options, findings) for part in UNMEASURED))
    return findings
