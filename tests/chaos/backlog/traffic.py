"""Live traffic beside a backlog: events at a fixed rate, and when each was accepted and had arrived.

Must never: wait for one answer before the next event is due. Called by: the parts of this proof.
"""

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import until

ARRIVAL_S = 20.0
"""How long what was accepted may take to arrive."""

_NO_CONTENT = response(204)


@dataclass
class Times:
    """Milliseconds from posting each event.

    Attributes:
        accepted: until its 202 had been read.
        arrived: until its request had been read by the receiver.
        refused: answers other than 202.
    """

    accepted: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


class Traffic:
    """Posts to a daemon whose live webhook sends `{"n": …}` to `receiver`."""

    def __init__(self, receiver: Receiver) -> None:
        self._numbers = itertools.count()
        self._arrived_at: dict[int, float] = {}
        receiver.reply = self._receive

    async def run(self, daemon: DaemonProcess, *, rate: int, seconds: float) -> Times:
        """Post `rate` events a second; returns when all that was accepted has arrived."""
        times, posted = Times(), dict[int, float]()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for index in range(round(rate * seconds)):
                await asyncio.sleep(max(0.0, began + index / rate - time.perf_counter()))
                group.create_task(self._post(daemon, posted, times))
        await until(lambda: not posted.keys() - self._arrived_at.keys(), within_s=ARRIVAL_S)
        times.arrived = [(self._arrived_at[n] - at) * 1000 for n, at in posted.items()]
        return times

    async def _post(self, daemon: DaemonProcess, posted: dict[int, float], times: Times) -> None:
        number, posted_at = next(self._numbers), time.perf_counter()
        code, _ = await daemon.post(live_event(number))
        if code == 202:
            times.accepted.append((time.perf_counter() - posted_at) * 1000)
            posted[number] = posted_at
        else:
            times.refused.append(code)

    async def _receive(self, request: Received) -> bytes:
        self._arrived_at[json.loads(request.body)["n"]] = time.perf_counter()
        return _NO_CONTENT


def live_event(number: int) -> dict[str, object]:
    """The event that fires the live webhook's task."""
    return {"type": "backlog", "event": "live", "data": {"n": number}}


def p99(milliseconds: Sequence[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(milliseconds, n=100)[98]
