"""Syncs that take long: the event loop is not held up by them, and attempts under way go on.

The loop's lag is measured from outside, by round trips of `GET /healthz` (which needs no store) beside posts that wait
for their sync. Stretches with and without the fault alternate; the lag is what a percentile is longer by. The tracer
stops the storing thread alone.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.disk.stage import CONFIG, Load, no_traceback, storing_thread
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response
from tests.kit.strace import Injection

LAG_S = 0.05
ANSWERS_IN_S = 0.2


@dataclass
class Stretch:
    """What was measured with a delay (seconds) of each sync."""

    delay_s: float
    trips_s: list[float] = field(default_factory=list)
    attempts_s: list[float] = field(default_factory=list)
    posts_s: list[float] = field(default_factory=list)


async def syncs(options: Options, found: Findings) -> dict[str, Any]:
    """Alternate stretches; the lag at several percentiles."""

    async def reply(_request: Received) -> bytes:
        await asyncio.sleep(ANSWERS_IN_S)
        return response(200)

    place = options.place("slow")
    delays = (0.3,) if options.short else (0.2, 0.5, 1.0)
    baseline, slow = Stretch(0), {delay_s: Stretch(delay_s) for delay_s in delays}
    async with Receiver(reply=reply) as receiver:
        (place / "hookd.yaml").write_text(CONFIG.format(store="h.db", url=receiver.url))
        async with DaemonProcess(place) as daemon:
            load = Load(daemon)
            thread = await storing_thread(daemon, load)
            for _ in range(options.scale(short=2, long=4)):
                for stretch in slow.values():
                    await _measured(daemon, load, baseline)
                    async with Injection(
                        daemon.pid, f"fdatasync:delay_enter={int(stretch.delay_s * 1e6)}", threads=[thread]
                    ):
                        await _measured(daemon, load, stretch)
            await load.stop()
            found.expect(await daemon.settled(), "slow: what was accepted is not delivered")
            await _note_attempts(daemon, found)
        no_traceback("slow", daemon, found)
    found.expect(load.answers.keys() == {202}, f"slow: posts were answered {dict(load.answers)}")
    figures: dict[str, Any] = {"baseline": _figures(baseline, baseline)}
    for delay_s, stretch in slow.items():
        figures[f"each sync {delay_s:g} s longer"] = _figures(stretch, baseline)
        lag_s = at(stretch.trips_s, 0.99) - at(baseline.trips_s, 0.99)
        found.expect(lag_s < LAG_S, f"slow: the loop lags by {lag_s * 1000:.1f} ms, syncs by {delay_s} s")
        waited_s = at(stretch.posts_s, 0.5)
        found.expect(waited_s > delay_s / 2, f"slow: posts took {waited_s} s, so that no sync was slow")
    return figures


async def _measured(daemon: DaemonProcess, load: Load, stretch: Stretch) -> None:
    """Post, and ask all the while."""
    loop = asyncio.get_running_loop()
    until = loop.time() + max(2.0, 4 * stretch.delay_s)

    async def post() -> None:
        while loop.time() < until:
            began = loop.time()
            await load.one()
            stretch.posts_s.append(loop.time() - began)
            await asyncio.sleep(0.02)  # no more than is delivered meanwhile

    async def ask() -> None:
        while loop.time() < until:
            began = loop.time()
            await daemon.request("GET", "/healthz")
            stretch.trips_s.append(loop.time() - began)
            await asyncio.sleep(0.005)

    await asyncio.gather(*(post() for _ in range(4)), ask())


async def _note_attempts(daemon: DaemonProcess, found: Findings) -> None:
    """An attempt's time is measured by the loop: one that is held up would make attempts look slow."""
    listed = (await daemon.get("/v1/deliveries?limit=200"))["deliveries"]
    durations = []
    for delivery in listed[:: max(1, len(listed) // 50)]:
        kept = await daemon.get(f"/v1/deliveries/{delivery['id']}")
        durations += [attempt["duration_s"] for attempt in kept["attempts"]]
    late_s = at(durations, 0.9) - ANSWERS_IN_S
    found.expect(
        late_s < LAG_S, f"slow: attempts under way took {late_s * 1000:.1f} ms longer than the receiver"
    )


def at(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[int(share * (len(values) - 1))]


def _figures(stretch: Stretch, baseline: Stretch) -> dict[str, Any]:
    return {
        "round_trips": len(stretch.trips_s),
        "posts": len(stretch.posts_s),
        "post_p50_ms": round(at(stretch.posts_s, 0.5) * 1000, 1),
        **{
            f"p{int(share * 100)}_ms": round(at(stretch.trips_s, share) * 1000, 2) for share in (0.5, 0.99, 1)
        },
        "lag_p50_ms": round((at(stretch.trips_s, 0.5) - at(baseline.trips_s, 0.5)) * 1000, 2),
        "lag_p99_ms": round((at(stretch.trips_s, 0.99) - at(baseline.trips_s, 0.99)) * 1000, 2),
    }
