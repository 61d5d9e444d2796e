"""Whatever is asked about a backlog or done to it: events are taken in meanwhile without a long wait (spec 6).

Called by: `prove`.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.chaos.backlog.stage import BacklogStage
from tests.chaos.backlog.starting import LOOKS, expect_memory
from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess

WAIT_MS = 100.0
"""How much longer the slowest event may take than the slowest while nothing is asked."""

QUIET_S = 0.5
CANCELLERS = 20

_RETRY = "/v1/deliveries/retry"


class Watch:
    """Posts events of a parked webhook, one after the other, and notes the slowest."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon
        self._took_ms: list[float] = []

    async def slowest_ms(self, work: Awaitable[Any]) -> float:
        """The slowest 202 while something else is under way."""
        self._took_ms.clear()
        posting = asyncio.ensure_future(self._post())
        await asyncio.sleep(0)
        await work
        posting.cancel()
        await self._daemon.post(_PARKED)
        return round(max(self._took_ms, default=0.0), 1)

    async def _post(self) -> None:
        while True:
            began = time.perf_counter()
            try:
                status, answer = await self._daemon.post(_PARKED)
            finally:
                self._took_ms.append((time.perf_counter() - began) * 1000)
            assert status == 202, answer
            await asyncio.sleep(0.001)


_PARKED = {"type": "backlog", "event": "parked", "data": {"n": 0}}


async def prove_looks(
    found: Findings, full: BacklogStage, *, rounds: int, cancels: int, idle_mib: float
) -> None:
    """Ask for every view of the backlog, make it due, cancel a part of it."""
    full.configure()
    await full.start_s()
    daemon = full.daemon
    asked: dict[str, Callable[[], Awaitable[Any]]] = {path: _get(daemon, path) for path in LOOKS}
    asked["retry, dry run"] = _retry(daemon, {"state": "pending", "dry_run": True})
    asked["retry of a parked webhook"] = _retry(daemon, {"state": "pending", "webhook": "parked"})
    waiting = await _ids(daemon, "parked", cancels * rounds)
    asked["cancel, one by one"] = lambda: _cancel(daemon, [next(waiting) for _ in range(cancels)])
    await _watch(found, "asked", daemon, asked, rounds)
    found.figures["memory"]["after_all_that_mib"] = full.rss_mib()
    expect_memory(found, "after listings, retries and cancels", full.rss_mib(), idle_mib)
    await full.stop()


async def prove_retry_of_dead(found: Findings, stage: BacklogStage, *, dead: int) -> None:
    """Make every dead delivery due with one request; their webhook is disabled."""
    stage.configure()
    await stage.start_s()
    began = time.perf_counter()
    answers: list[Any] = []

    async def retry() -> None:
        cursor: dict[str, str] = {}
        matched = retried = 0
        while True:
            status, answer = await stage.daemon.request("POST", _RETRY, body={"state": "dead", **cursor})
            assert status == 200, answer
            matched, retried = matched + answer["matched"], retried + answer["retried"]
            if answer["cursor"] is None:
                break
            cursor = {"cursor": answer["cursor"]}
        answers.append({"matched": matched, "retried": retried})

    await _watch(found, "retry_of_dead", stage.daemon, {f"retry of {dead} dead": retry}, 1)
    found.figures["retry_of_dead"]["took_s"] = round(time.perf_counter() - began - QUIET_S, 1)
    found.expect(answers == [{"matched": dead, "retried": dead}], f"retry of {dead} dead: {answers}")
    await stage.stop()


async def _watch(
    found: Findings,
    name: str,
    daemon: DaemonProcess,
    asked: dict[str, Callable[[], Awaitable[Any]]],
    rounds: int,
) -> None:
    """Note the slowest 202 during each of `asked`, in the best of its rounds, against the slowest of quiet ones."""
    watch = Watch(daemon)
    quiet = [await watch.slowest_ms(asyncio.sleep(QUIET_S)) for _ in range(rounds)]
    slowest: dict[str, list[float]] = {what: [] for what in asked}
    for _ in range(rounds):
        for what, ask in asked.items():
            slowest[what].append(await watch.slowest_ms(ask()))
        quiet.append(await watch.slowest_ms(asyncio.sleep(QUIET_S)))
    worst = {what: sorted(took_ms)[len(took_ms) // 2] for what, took_ms in slowest.items()}
    found.figures[name] = {
        "rounds": rounds,
        "slowest_202_quiet_ms": max(quiet),
        "slowest_202_ms": worst,
    }
    for what, took_ms in worst.items():
        found.expect(took_ms <= max(quiet) + WAIT_MS, f"{what}: an event waited {took_ms} ms for its 202")


def _get(daemon: DaemonProcess, path: str) -> Callable[[], Awaitable[Any]]:
    return lambda: daemon.get(path)


def _retry(daemon: DaemonProcess, body: Any) -> Callable[[], Awaitable[Any]]:
    async def retry() -> None:
        status, answer = await daemon.request("POST", _RETRY, body=body)
        assert status == 200, answer

    return retry


async def _ids(daemon: DaemonProcess, webhook: str, count: int) -> Any:
    """Ids of pending deliveries of a webhook."""
    ids: list[str] = []
    cursor = ""
    while len(ids) < count:
        path = f"/v1/deliveries?webhook={webhook}&state=pending&limit=500{cursor}"
        page = await daemon.get(path)
        ids += [delivery["id"] for delivery in page["deliveries"]]
        cursor = f"&cursor={page['cursor']}"
    return iter(ids)


async def _cancel(daemon: DaemonProcess, ids: list[str]) -> None:
    async def cancel(some: list[str]) -> None:
        for each in some:
            status, answer = await daemon.request("POST", f"/v1/deliveries/{each}/cancel")
            assert status == 200, answer

    await asyncio.gather(
        *(cancel(list(itertools.islice(ids, n, None, CANCELLERS))) for n in range(CANCELLERS))
    )
