"""Receivers that misbehave beside healthy ones, and the breaker: what one webhook does costs no other anything."""

from tests.chaos.isolation import backlogs, breaker, crowd, many, neighbours, probes
from tests.chaos.proof import Findings, Options

PARTS = (neighbours, crowd, backlogs, many, breaker, probes)


async def prove(options: Options) -> Findings:
    """Every part in turn; figures by part."""
    whole = Findings()
    for part in PARTS:
        found = await part.prove(options)
        name = part.__name__.rpartition(".")[2]
        whole.figures[name] = found.figures
        whole.violations += found.violations
    return whole
