"""What the parts of this proof stand on: a small disk, a tracer that injects faults, and posters that keep books.

Must never: take an answer for what it does not say; what got none at all is neither accepted nor refused.
"""

import asyncio
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import store_process
from tests.kit.receiver import Receiver
from tests.kit.waiting import comes_true

CONFIG = """
daemon: {{listen: [{{unix: h.sock}}], store: {store}, log: {{level: warning, format: json}}}}
webhooks:
  w: {{url: {url}, timeout: 3, backoff: [100ms], concurrency: 20}}
tasks:
  t: {{webhook: w, message: {{n: "${{data.n}}", pad: "${{data.pad}}"}}}}
events:
  e: {{type: load, event: tick, task: t}}
"""
RECOVERS_S = 10.0
"""Within this time a daemon goes on by itself once there is room, or the disk works again."""


async def storing_thread(daemon: DaemonProcess, load: "Load") -> int:
    """What writes the store: its process, or the thread whose count of system calls that write grows with a post."""
    if (process := store_process(daemon.pid)) is not None:
        return process
    await load.one()
    before = _writes(daemon.pid)
    for _ in range(3):
        await load.one()
    after = _writes(daemon.pid)
    grown = {tid: after[tid] - before.get(tid, 0) for tid in after if tid != daemon.pid}
    return max(grown, key=lambda tid: grown[tid])


def _writes(pid: int) -> dict[int, int]:
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(": ") for line in (task / "io").read_text().splitlines())
        found[int(task.name)] = int(fields["syscw"])
    return found


@dataclass
class Load:
    """Posts events, some in batches, and keeps the books of what was answered.

    Attributes:
        accepted: by delivery's id, the number of the event that was answered 202.
        refused: numbers of events that were answered 503.
        odd: answers that are no promise of the daemon's.
    """

    daemon: DaemonProcess
    pad: int = 1000
    pause_s: float = 0.002
    accepted: dict[str, int] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    whole: list[tuple[int, ...]] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    posted: int = 0
    _stopping: bool = False
    _posters: list[asyncio.Task[None]] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None

    def start(self, posters: int = 8) -> None:
        """Post until `stop`; every third poster sends batches of five."""
        self._posters = [asyncio.create_task(self._post(1 if n % 3 else 5)) for n in range(posters)]

    async def stop(self) -> None:
        """Let what is under way be answered."""
        self._stopping = True
        await asyncio.gather(*self._posters)
        self._posters, self._stopping = [], False
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def one(self, count: int = 1) -> int:
        """Post once; the status."""
        numbers = tuple(range(self.posted, self.posted + count))
        self.posted += count
        events = [
            {"type": "load", "event": "tick", "id": f"n{n}", "data": {"n": n, "pad": "x" * self.pad}}
            for n in numbers
        ]
        status, headers, answer = await self._send(events if count > 1 else events[0])
        self.answers[status] += 1
        if status == 202:
            receipts = answer["events"] if count > 1 else [answer]
            self.accepted.update(
                (receipt["deliveries"][0]["id"], n) for receipt, n in zip(receipts, numbers, strict=True)
            )
        elif status == 503:
            self.refused.update(numbers)
            self._look_at_refusal(headers, answer)
        else:
            self.odd.append(f"answered {status}: {answer}")
        if count > 1:
            self.whole.append(numbers)
        return status

    def _look_at_refusal(self, headers: dict[str, str], answer: Any) -> None:
        fit = (
            headers.get("Retry-After", "").isdigit()
            and headers["Content-Type"] == "application/problem+json"
            and {"title", "status", "detail"} <= answer.keys()
        )
        if not fit:
            self.odd.append(f"a 503 that is no problem with Retry-After: {headers} {answer}")

    async def _send(self, body: Any) -> tuple[int, dict[str, str], Any]:
        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self.daemon.socket), limit=0)
            self._session = aiohttp.ClientSession(connector=connector)
        async with self._session.post("http://localhost/v1/events", json=body) as response:
            return response.status, dict(response.headers), json.loads(await response.read())

    async def _post(self, count: int) -> None:
        while not self._stopping:
            try:
                status = await self.one(count)
            except (OSError, RuntimeError, aiohttp.ClientError):  # killed
                await asyncio.sleep(0.1)
            else:
                await asyncio.sleep(self.pause_s if status == 202 else 0.02)


async def until_ready(daemon: DaemonProcess, status: int, *, within_s: float = RECOVERS_S) -> float | None:
    """How long it took until `/readyz` answered with the status, in seconds; None: longer than that."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def answered() -> bool:
        return (await daemon.request("GET", "/readyz"))[0] == status

    came = await comes_true(answered, within_s=within_s, every_s=0.02)
    return round(loop.time() - began, 2) if came else None


async def resumed(daemon: DaemonProcess, receiver: Receiver, name: str, found: Findings) -> float:
    """Wait until events are taken in and requests are made again; how long it took, in seconds."""
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), len(receiver.requests)
    try:
        async with asyncio.timeout(RECOVERS_S):
            await until_ready(daemon, 200)
            await receiver.wait_for(sent + 1)
    except TimeoutError:
        found.expect(False, f"{name}: not resumed within {RECOVERS_S} s")
    return round(loop.time() - began, 2)


@dataclass(frozen=True)
class Kept:
    """What a store's file holds: events by id, deliveries by id with their attempts."""

    events: frozenset[str]
    deliveries: dict[str, int]
    states: Counter[int]


def kept(path: Path) -> Kept:
    """Read a store that no daemon uses; a log beside it is taken in."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT id, attempt, state FROM deliveries").fetchall()
        events = frozenset(event for (event,) in connection.execute("SELECT id FROM events"))
    finally:
        connection.close()
    return Kept(events, {key: attempt for key, attempt, _ in rows}, Counter(state for *_, state in rows))


def reconcile(
    name: str, load: Load, receiver: Receiver, path: Path, found: Findings, *, crashes: bool = False
) -> dict[str, int]:
    """Hold what was answered against what arrived and what the (closed) store holds."""
    store = kept(path)
    arrived = Counter(request.id for request in receiver.requests)
    bodies = {(request.id, request.body) for request in receiver.requests}
    lost = load.accepted.keys() - arrived.keys()
    unkept = load.accepted.keys() - store.deliveries.keys()
    kept_though_refused = {n for n in load.refused if f"n{n}" in store.events}
    broken = [batch for batch in load.whole if 0 < sum(f"n{n}" in store.events for n in batch) < len(batch)]
    unrecorded = {key: n for key, n in arrived.items() if n > store.deliveries.get(key, 0)}
    duplicates = sum(arrived.values()) - len(arrived)
    found.expect(not lost, f"{name}: {len(lost)} of {len(load.accepted)} accepted never arrived")
    found.expect(not unkept, f"{name}: {len(unkept)} of {len(load.accepted)} accepted are not in the store")
    found.expect(
        not kept_though_refused,
        f"{name}: {len(kept_though_refused)} of {len(load.refused)} answered 503 are in the store",
    )
    found.expect(not broken, f"{name}: {len(broken)} of {len(load.whole)} batches are stored in part")
    found.expect(not unrecorded, f"{name}: {len(unrecorded)} sent more often than recorded: {unrecorded}")
    found.expect(crashes or not duplicates, f"{name}: {duplicates} requests were made twice without a crash")
    found.expect(len(bodies) == len(arrived), f"{name}: a delivery was sent with two bodies")
    found.expect(not load.odd, f"{name}: {len(load.odd)} odd answers, the first: {load.odd[:1]}")
    found.expect(load.accepted, f"{name}: nothing was accepted")
    return {
        "accepted": len(load.accepted),
        "refused": len(load.refused),
        "requests": len(receiver.requests),
        "lost": len(lost),
        "duplicates": duplicates,
    }


def no_traceback(name: str, daemon: DaemonProcess, found: Findings) -> None:
    """The log may name the trouble, never dump it."""
    text = daemon.log.read_text()
    dumped = "Traceback" in text or '"exception"' in text
    found.expect(not dumped, f"{name}: a traceback in the log: {text[-1500:]}")
