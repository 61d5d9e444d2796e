"""A process that writes to a store and says what was acknowledged, until it is killed.

`python -m tests.store.writing_process PATH` prints a line for each acknowledgement: `stored DELIVERY`,
`settled DELIVERY` and `fired TASK` (a task that runs once); `refused DELIVERY` for a write that failed.
"""

import asyncio
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path

from hookd.domain.deliveries import Attempt, ClaimRequest, Lease, Reason, Settlement, State
from hookd.domain.errors import StoreUnavailable
from hookd.domain.events import Event, NewDelivery, Submission
from hookd.store.sqlite.store import SqliteStore
from tests.kit.seats import seats_for


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def write(store: SqliteStore) -> None:
    await asyncio.gather(*(post(store) for _ in range(8)), deliver(store), spend(store))


async def post(store: SqliteStore) -> None:
    while True:
        delivery = NewDelivery(secrets.token_hex(8), "a-task", "w", b"x" * 500)
        submission = Submission(Event(secrets.token_hex(8)), (delivery,))
        seats = seats_for(submission)
        try:
            await store.enqueue([submission], now=time.time(), limit=10**6, seats=seats)
            say("stored", delivery.id)
        except StoreUnavailable:
            say("refused", delivery.id)
            await asyncio.sleep(0.01)
        with suppress(StoreUnavailable):
            for lease in seats.leases or ():
                await settle(store, lease)


async def spend(store: SqliteStore) -> None:
    """Let events race for one task that runs once after the other."""
    while True:
        task = secrets.token_hex(8)
        await asyncio.gather(*(fire(store, task) for _ in range(3)))


async def fire(store: SqliteStore, task: str) -> None:
    delivery = NewDelivery(secrets.token_hex(8), task, "once", b"x", one_shot_digest="v1")
    try:
        (receipt,) = await store.enqueue(
            [Submission(Event(secrets.token_hex(8)), (delivery,))], now=time.time(), limit=10**6
        )
    except StoreUnavailable:
        await asyncio.sleep(0.01)
    else:
        if receipt.deliveries:
            say("fired", task)


async def deliver(store: SqliteStore) -> None:
    while True:
        try:
            leases = (await store.claim([ClaimRequest("w", 3, 30.0)], now=time.time())).leases
            await asyncio.gather(*(settle(store, lease) for lease in leases))
        except StoreUnavailable:
            pass
        await asyncio.sleep(0.001)


async def settle(store: SqliteStore, lease: Lease) -> None:
    attempt = Attempt(lease.attempt, lease.started_at, 0.0, 200, Reason.OK, "", b"", insecure=False)
    if await store.settle(lease, attempt, Settlement(State.DELIVERED, counted=True), now=time.time()):
        say("settled", lease.delivery_id)


async def main() -> None:
    store = await SqliteStore.open(Path(sys.argv[1]))
    say("open")
    await write(store)


if __name__ == "__main__":
    asyncio.run(main())
