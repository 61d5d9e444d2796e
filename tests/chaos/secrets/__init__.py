"""The proof `secrets`: canaries through every error path, doors that are shut, addresses that are never called.

Contract: spec 1 (Secrets), 12, 14 (Echoed secrets, Never called). Must never: call an address of the real network; what
is never called is looked for in a network of its own. Called by: `tests.chaos`.
"""

import asyncio

from tests.chaos.proof import Findings, Options
from tests.chaos.secrets.canaries import canaries
from tests.chaos.secrets.doors import doors
from tests.chaos.secrets.mode import mode
from tests.chaos.secrets.never import never


async def prove(options: Options) -> Findings:
    """Run every part and gather what they saw."""
    findings = Findings()
    parts = (canaries, doors, mode, never)
    seen = await asyncio.gather(*(part(options.place(part.__name__), findings, options) for part in parts))
    findings.figures = {name: figure for figures in seen for name, figure in figures.items()}
    return findings
