"""Fills a store with a backlog, in a process of its own, through the store's own calls.

That process takes a path and lanes as JSON. It prints `filled`, then waits to be killed, or for its input to end and
closes the store.

Must never: write to the file but by `enqueue`, `claim` and `settle`. Called by: `fill`.
"""

import asyncio
import json
import secrets
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from hookd.domain.deliveries import Attempt, ClaimRequest, Lease, Reason, Settlement, State
from hookd.domain.events import Event, EventObject, NewDelivery, Submission
from hookd.domain.ids import new_id
from hookd.store.sqlite.store import SqliteStore

BATCH = 2_000
BODY_SIZE = 1024
TEN_YEARS_S = 3650 * 86_400.0
LIMIT = 10**9
_PROGRAM = f"from {__name__} import main; main()"
DUE, LATER, DELIVERED, DEAD = "due", "later", "delivered", "dead"


@dataclass(frozen=True)
class Lane:
    """So many deliveries of one webhook, all in one state; they were taken in `age_s` seconds ago."""

    webhook: str
    count: int
    state: str = DUE
    age_s: float = 0.0


async def fill(path: Path, *lanes: Lane, kill: bool = False) -> None:
    """Fill the store at `path`; `kill`: its process is then killed, so that its write-ahead log stays."""
    words = [json.dumps(astuple(lane)) for lane in lanes]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, str(path), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"filled\n", "the store could not be filled"
    if kill:
        process.kill()
    await process.communicate(b"")


async def _fill(store: SqliteStore, lane: Lane) -> None:
    left = lane.count
    while left:
        count = min(BATCH, left)
        left -= count
        now = time.time() - lane.age_s
        await store.enqueue([submission(lane.webhook, now) for _ in range(count)], now=now, limit=LIMIT)
        if lane.state != DUE:
            await _settle(store, lane, count)


async def _settle(store: SqliteStore, lane: Lane, count: int) -> None:
    while count:
        now = time.time() - lane.age_s
        leases = (await store.claim([ClaimRequest(lane.webhook, count, 60.0)], now=now)).leases
        await asyncio.gather(*(_settle_one(store, lease, lane.state, now) for lease in leases))
        count -= len(leases)


async def _settle_one(store: SqliteStore, lease: Lease, state: str, now: float) -> None:
    await store.settle(*settled(lease, now, state), now=now)


def settled(lease: Lease, now: float, state: str = DELIVERED) -> tuple[Lease, Attempt, Settlement]:
    """An attempt that ended now and left its delivery in this state."""
    is_delivered = state == DELIVERED
    attempt = Attempt(
        lease.attempt, now, 0.01, 200 if is_delivered else 500, Reason.OK if is_delivered else Reason.STATUS,
        "" if is_delivered else "500 Internal Server Error", b"", insecure=False,
    )  # fmt: skip
    if state == LATER:
        return lease, attempt, Settlement(State.PENDING, counted=True, due_at=now + TEN_YEARS_S)
    detail = "" if is_delivered else "retries used up"
    return lease, attempt, Settlement(State(state), counted=True, detail=detail)


def submission(webhook: str, now: float) -> Submission:
    """An event with one delivery of 1 KiB."""
    ms = int(now * 1000)
    event = Event(
        new_id("evt_", now_ms=ms, entropy=secrets.token_bytes(10)),
        type="virtual_machine", event="powered_on", object=EventObject(None, "web-01", ("production",)),
        data={"used_pct": 81}, digest=secrets.token_bytes(32),
    )  # fmt: skip
    body = secrets.token_hex(BODY_SIZE // 2).encode()
    delivery_id = new_id("dlv_", now_ms=ms, entropy=secrets.token_bytes(10))
    return Submission(event, (NewDelivery(delivery_id, f"to-{webhook}", webhook, body, "events.on"),))


async def _run(path: Path, lanes: list[Lane]) -> None:
    store = await SqliteStore.open(path)
    for lane in lanes:
        await _fill(store, lane)
    sys.stdout.write("filled\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await store.close()


def main() -> None:
    """The process that `fill` starts."""
    asyncio.run(_run(Path(sys.argv[1]), [Lane(*json.loads(word)) for word in sys.argv[2:]]))
