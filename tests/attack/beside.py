"""What an attack costs those beside it: how long somebody else's small request waits, and how much memory grows.

Time for which the daemon or this process could have run and had no processor is taken off: the attackers and whatever
else runs on the machine take it, which is not the daemon's doing.

Must never: take part in the attack.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.chaos.proof import Findings
from tests.kit import procfs
from tests.kit.daemon import DaemonProcess

EVERY_S = 0.005
MOST_LAG_MS = 80.0
MOST_GROWTH_MIB = 96.0
"""What is judged a failure. The aim is 50 ms and 64 MiB, and a machine that is shared takes more."""


@dataclass
class Cost:
    """What somebody else saw while something went on.

    Attributes:
        waits_ms: how long each small request waited, in milliseconds.
        growth_mib: how far resident memory rose above idle at its peak.
    """

    waits_ms: list[float] = field(default_factory=list)
    growth_mib: float = 0.0

    def wait_ms(self, share: float) -> float:
        """What that share of the requests waited at most."""
        waits = sorted(self.waits_ms)
        return waits[min(int(share * len(waits)), len(waits) - 1)] if waits else 0.0

    def judge(self, kind: str, found: Findings) -> None:
        """Note what was too much."""
        waited = self.wait_ms(0.95)
        found.expect(waited <= MOST_LAG_MS, f"{kind}: others waited {waited:.0f} ms (p95)")
        found.expect(self.growth_mib <= MOST_GROWTH_MIB, f"{kind}: memory rose by {self.growth_mib:.0f} MiB")

    def shown(self) -> dict[str, float]:
        """The figures."""
        return {
            "others' requests": len(self.waits_ms),
            "wait_p50_ms": round(self.wait_ms(0.5), 1),
            "wait_p95_ms": round(self.wait_ms(0.95), 1),
            "wait_max_ms": round(self.wait_ms(1.0), 1),
            "growth_mib": round(self.growth_mib, 1),
        }


@asynccontextmanager
async def beside(daemon: DaemonProcess) -> AsyncIterator[Cost]:
    """Ask for `/healthz` on the Unix socket all the time, and look at memory, while the block runs."""
    cost = Cost()
    idle = sum(map(procfs.memory_mib, procfs.processes(daemon.pid)))
    for pid in procfs.processes(daemon.pid):
        procfs.forget_peak(pid)
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    asking = asyncio.create_task(_ask(daemon.pid, reader, writer, cost))
    try:
        yield cost
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        writer.close()
        cost.growth_mib = sum(procfs.memory_mib(pid, "VmHWM") for pid in procfs.processes(daemon.pid)) - idle


async def _ask(pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cost: Cost) -> None:
    while True:
        began, queued_s = time.perf_counter(), procfs.queued_s(pid) + procfs.queued_s()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"}")
        waited_s = time.perf_counter() - began
        queued_s = procfs.queued_s(pid) + procfs.queued_s() - queued_s
        cost.waits_ms.append(1000 * max(0.0, waited_s - queued_s))
        await asyncio.sleep(EVERY_S)
