"""Receivers that misbehave beside healthy ones, and the breaker: what one webhook does costs no other anything."""

import asyncio

from tests.chaos.isolation import backlogs, breaker, crowd, many, neighbours, probes
from tests.chaos.proof import Findings, Options

TIMED = (neighbours, crowd, backlogs)
COUNTED = (many, breaker, probes)


async def prove(options: Options) -> Findings:
    """What measures waits runs alone, one after the other; what only counts runs together. Figures by part."""
    found = [(part, await part.prove(options)) for part in TIMED]
    found += zip(COUNTED, await asyncio.gather(*(part.prove(options) for part in COUNTED)), strict=True)
    whole = Findings()
    for part, findings in found:
        whole.figures[part.__name__.rpartition(".")[2]] = findings.figures
        whole.violations += findings.violations
    return whole
