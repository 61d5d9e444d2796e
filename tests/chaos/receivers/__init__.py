"""No answer, and no silence, of a receiver does harm: each attempt ends in time and says why (spec 5, 12, 14)."""

import os
import sys
import time

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers import faults, retry_after, secure, statuses

PARTS = {"statuses": statuses, "retry_after": retry_after, "faults": faults, "secure": secure}


async def prove(options: Options) -> Findings:
    """Run the parts one after another."""
    found = Findings()
    for name, part in PARTS.items():
        if os.environ.get("PART", name) != name: continue
        began = time.monotonic()
        await part.prove(options, found)
        print(f"receivers: {name} took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return found
