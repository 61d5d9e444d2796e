"""No answer, and no silence, of a receiver does harm: each attempt ends in time and says why (spec 5, 12, 14).

Each part has daemons and receivers of its own. Parts that mostly wait run side by side, the others alone.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers import answers, faults, names, retry_after, reuse, secure, statuses, weight

Part = Callable[[Options, Findings], Awaitable[None]]

STEPS: tuple[dict[str, Part], ...] = (
    {"statuses": statuses.prove, "retry_after": retry_after.prove, "answers": answers.prove},
    {"faults": faults.prove, "secure": secure.prove, "names": names.prove},
    {"weight": weight.prove},
    {"reuse": reuse.prove},
)


async def prove(options: Options) -> Findings:
    """Run every part."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # receivers here write on after hookd has closed
    found = Findings()
    for step in STEPS:
        await asyncio.gather(*(_timed(name, part, options, found) for name, part in step.items()))
    return found


async def _timed(name: str, part: Part, options: Options, found: Findings) -> None:
    began = time.monotonic()
    await part(options, found)
    print(f"receivers: {name} took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
