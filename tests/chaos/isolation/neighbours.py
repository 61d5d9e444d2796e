"""Twenty webhooks at 500 events a second: what the healthy nineteen wait while one misbehaves, against while none does.

Rounds with and without alternate in one run of one daemon; what is judged is the median of the rounds' p99.
"""

import asyncio
import statistics
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Behaviour, BlackHole, Line, Poster, Receivers, Request
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port

HEALTHY = [f"h{n}" for n in range(19)]
SPARE = "spare"  # the twentieth, while none misbehaves
PER_S = 500
BEFOREHAND = 300  # what already waits for a misbehaving webhook when its round begins
QUIET_S = 0.3  # before each round, with or without
MOST_RATIO = 1.5
LONGEST_S = 1.0

BEHAVIOURS: dict[str, Behaviour] = {
    "hang": load.hang,
    "drip": load.drip,
    "reset": load.reset,
    "huge_answer": load.flood,
}


@dataclass
class Rounds:
    """What a kind of round saw: p99 in seconds for each round, all waits, and how many events had no first byte."""

    first_byte: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    missing: int = 0

    def figures(self) -> dict[str, Any]:
        return {
            "rounds": len(self.first_byte),
            "events": len(self.waits),
            "p99_ms": [round(1000 * each, 1) for each in self.first_byte],
            "median_p99_ms": round(1000 * statistics.median(self.first_byte), 2),
            "accepted_median_p99_ms": round(1000 * statistics.median(self.accepted), 2),
            "longest_ms": round(1000 * max(self.waits), 1),
        }


class Flapping:
    """Answers and resets in turn: never down for long enough that it would be parked."""

    def __init__(self) -> None:
        self._turn = 0

    def __call__(self, line: Line, _request: Request) -> None:
        self._turn += 1
        if self._turn % 2:
            line.send(load.OK)
        else:
            line.reset()


@dataclass
class Street:
    """The daemon, the healthy receivers, and those that misbehave, of which one at a time is resumed."""

    daemon: DaemonProcess
    poster: Poster
    healthy: Receivers
    odd: Receivers

    async def round(self, subjects: list[str], for_s: float, rounds: Rounds) -> None:
        """Load for a while; `subjects` take turns as the twentieth."""
        turns = [*HEALTHY, SPARE] if not subjects else []
        for subject in subjects:
            turns += [*HEALTHY, subject]
        numbers = await self.poster.steadily(turns, per_s=PER_S, for_s=for_s)
        wanted = [n for place, n in enumerate(numbers) if place % 20 < 19]
        await self._arrived(wanted)
        waits = load.waits_s(self.poster.posted, self.healthy.requests, wanted)
        rounds.missing += len(wanted) - len(waits)
        rounds.waits += waits.values()
        rounds.first_byte.append(load.p99(list(waits.values())))
        rounds.accepted.append(load.p99([self.poster.taken[n] for n in numbers]))
        self.healthy.requests.clear()

    async def let_loose(self, kind: str, names: list[str]) -> None:
        """Resume webhooks that misbehave in this way, and for which much waits already."""
        self.odd.behaves = Flapping() if kind == "flapping" else BEHAVIOURS.get(kind, load.hang)
        for name in names:
            await self.daemon.request("POST", f"/v1/webhooks/{name}/resume")
        await asyncio.sleep(
            0.3
        )  # the waiting ones take their seats: the round shows what that leaves to others

    async def calm(self, names: list[str]) -> None:
        """Park them for good, and end what hangs."""
        for name in names:
            await self.daemon.request("POST", f"/v1/webhooks/{name}/pause")
        async with asyncio.timeout(30):
            while await self._in_flight(set(names)):
                self.odd.hang_up()
                await asyncio.sleep(0.05)

    async def _in_flight(self, names: set[str]) -> int:
        lanes = (await self.daemon.get("/v1/webhooks"))["webhooks"]
        return sum(lane["in_flight"] for lane in lanes if lane["name"] in names)

    async def _arrived(self, wanted: list[int]) -> None:
        deadline = asyncio.get_running_loop().time() + 5
        while asyncio.get_running_loop().time() < deadline:
            if {request.n for request in self.healthy.requests} >= set(wanted):
                return
            await asyncio.sleep(0.05)


async def prove(options: Options) -> Findings:
    """One webhook of twenty misbehaves, in each way there is."""
    findings = Findings()
    pairs, for_s = (8, 0.5) if options.short else (7, 1.0)
    with BlackHole() as hole:
        async with Receivers() as healthy, Receivers() as odd:
            place = options.place("neighbours")
            odd_ones = _odd_ones(odd, hole, pairs)
            webhooks = {name: {"url": f"{healthy.url}/{name}"} for name in [*HEALTHY, SPARE]}
            webhooks |= {
                name: each for kind in odd_ones.values() for one in kind for name, each in one.items()
            }
            (place / "hookd.yaml").write_text(load.definitions(webhooks))
            async with DaemonProcess(place) as daemon:
                street = Street(daemon, Poster(str(daemon.socket)), healthy, odd)
                for name in webhooks.keys() - {*HEALTHY, SPARE}:
                    await daemon.request("POST", f"/v1/webhooks/{name}/pause")
                await street.round([], for_s, Rounds())
                for kind in ["hang"] if options.short else odd_ones:
                    without, beside = await _compare(
                        street, kind, [list(one) for one in odd_ones[kind]], for_s
                    )
                    _judge(findings, kind, without, beside)
    return findings


async def _compare(street: Street, kind: str, ones: list[list[str]], for_s: float) -> tuple[Rounds, Rounds]:
    without, beside = Rounds(), Rounds()
    for names in ones:
        await street.poster.post([names[n % len(names)] for n in range(BEFOREHAND)])
    for names in ones:
        await asyncio.sleep(QUIET_S)
        await street.round([], for_s, without)
        await street.let_loose(kind, names)
        await street.round(names, for_s, beside)
        await street.calm(names)
    return without, beside


def _judge(findings: Findings, kind: str, without: Rounds, beside: Rounds) -> None:
    ratio, accepted = (
        _ratio(without.first_byte, beside.first_byte),
        _ratio(without.accepted, beside.accepted),
    )
    findings.figures[kind] = {
        "p99_ratio": round(ratio, 2),
        "accepted_p99_ratio": round(accepted, 2),
        "without": without.figures(),
        "beside": beside.figures(),
    }
    findings.expect(ratio <= MOST_RATIO, f"{kind}: p99 of the 19 healthy ones rose {ratio:.2f} times")
    findings.expect(accepted <= MOST_RATIO, f"{kind}: p99 of the 202 rose {accepted:.2f} times")
    longest = max(beside.waits)
    bound_s = max(
        LONGEST_S, MOST_RATIO * max(without.waits)
    )  # a machine that is slow by itself proves nothing
    findings.expect(longest < bound_s, f"{kind}: a healthy webhook waited {longest:.2f} s")
    findings.expect(not beside.missing, f"{kind}: {beside.missing} events for healthy webhooks did not come")


def _ratio(without: list[float], beside: list[float]) -> float:
    """How much the rounds' p99 rose, by the medians: other work of the machine makes some rounds of both kinds slow."""
    return statistics.median(beside) / statistics.median(without)


def _odd_ones(odd: Receivers, hole: BlackHole, rounds: int) -> dict[str, list[dict[str, dict[str, Any]]]]:
    """By kind, for each round, webhooks that misbehave; new ones each time, that no breaker has parked."""
    fast: dict[str, Any] = {"backoff": ["50ms"], "retries": 100}
    kinds: dict[str, tuple[str, dict[str, Any], int]] = {
        **dict.fromkeys([*BEHAVIOURS, "flapping"], (odd.url, fast, 1)),
        "refuse": (f"http://127.0.0.1:{free_port()}", fast, 1),
        "black_hole": (f"http://127.0.0.1:{hole.port}", {"timeout": 6}, 1),
        "tls_hang": (f"https://127.0.0.1:{odd.port}", {}, 1),
        "wide_hang": (odd.url, {"concurrency": 1000, "timeout": 120}, 1),
        "twenty_hang": (odd.url, {"timeout": 120}, 20),
    }
    return {
        kind: [
            {
                name: {"url": f"{url}/{name}", **more}
                for name in (f"{kind}_{turn}_{each}" for each in range(count))
            }
            for turn in range(rounds)
        ]
        for kind, (url, more, count) in kinds.items()
    }
