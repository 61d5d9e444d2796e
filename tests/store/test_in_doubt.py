"""What was asked of a store's process that died before it answered: done once, and answered truly."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hookd.domain.deliveries import State
from hookd.domain.errors import StoreFailed, StoreUnavailable
from hookd.domain.events import Submission
from hookd.store.sqlite import process_host
from hookd.store.sqlite.process_host import ProcessHost
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import LIMIT, T0, claim_one, enqueue, moment, once, posted, record, settle, to
from tests.kit.seats import seats_for

T = TypeVar("T")
WITHIN_S = 60


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "hookd.db", in_process=True)
    yield opened
    await opened.close()


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the process is still killed when it has done a batch, before anybody hears of it."""
    left, killed = [0], set()
    take_over = ProcessHost._take_over

    def killed_or_heard(self: ProcessHost, frame: Any) -> None:
        if self.pid in killed:  # it had done more before the signal came
            return
        if not left[0]:
            take_over(self, frame)
            return
        left[0] -= 1
        assert self.pid is not None
        killed.add(self.pid)
        os.kill(self.pid, signal.SIGKILL)

    monkeypatch.setattr(ProcessHost, "_take_over", killed_or_heard)
    return left


async def answered(call: Awaitable[T]) -> T:
    return await asyncio.wait_for(call, WITHIN_S)


async def stored(store: SqliteStore) -> int:
    return sum((await store.totals()).values())


@pytest.mark.parametrize(
    "submission",
    [to("w", "v"), to("w", event=posted("chosen")), moment(T0), once()],
    ids=["hookd's id", "client's id", "moment", "one-shot"],
)
async def test_an_event_that_was_stored_is_answered_as_stored(
    store: SqliteStore, deaf: list[int], submission: Submission
) -> None:
    deaf[0] = 1
    (receipt,) = await answered(enqueue(store, submission))
    assert not receipt.duplicate
    assert [each.id for each in receipt.deliveries] == [each.id for each in submission.deliveries]
    assert await stored(store) == len(submission.deliveries)


async def test_an_event_that_was_not_stored_is_stored(store: SqliteStore) -> None:
    pid = store._writer.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    call = asyncio.ensure_future(enqueue(store, to("w")))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    (receipt,) = await answered(call)
    assert not receipt.duplicate
    assert await stored(store) == 1


async def test_an_event_that_another_had_posted_before_is_a_duplicate(
    store: SqliteStore, deaf: list[int]
) -> None:
    first, second = to("w", event=posted("same")), to("w", event=posted("same"))
    await enqueue(store, first)
    deaf[0] = 1
    (receipt,) = await answered(enqueue(store, second))
    assert receipt.duplicate
    assert [each.id for each in receipt.deliveries] == [each.id for each in first.deliveries]


async def test_a_seat_that_nobody_heard_of_is_given_back_and_the_delivery_is_due(
    store: SqliteStore, deaf: list[int]
) -> None:
    submission = to("w")
    seats = seats_for(submission)
    deaf[0] = 1
    (receipt,) = await answered(store.enqueue([submission], now=T0, limit=LIMIT, seats=seats))
    assert not receipt.duplicate
    assert seats.used == []
    assert (await claim_one(store)).delivery_id == submission.deliveries[0].id


async def test_a_result_that_was_recorded_is_answered_as_recorded(
    store: SqliteStore, deaf: list[int]
) -> None:
    await enqueue(store, to("w"))
    lease = await claim_one(store)
    deaf[0] = 1
    assert await answered(settle(store, lease))
    assert (await store.totals())[State.DELIVERED] == 1
    assert len((await record(store, lease.delivery_id)).attempts) == 1


async def test_what_two_processes_died_of_is_refused(store: SqliteStore, deaf: list[int]) -> None:
    deaf[0] = 3  # what is given back by the second is not heard, either
    with pytest.raises(StoreUnavailable):
        await answered(enqueue(store, to("w")))
    (receipt,) = await answered(_until_it_writes(store, to("w")))
    assert not receipt.duplicate


async def test_where_no_process_comes_nobody_waits_for_ever(
    store: SqliteStore, deaf: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(process_host, "_start_child", none)
    monkeypatch.setattr(process_host, "GIVE_UP_S", 0.1)
    deaf[0] = 1
    with pytest.raises(StoreFailed):
        await answered(enqueue(store, to("w")))


async def _until_it_writes(store: SqliteStore, submission: Submission) -> Any:
    while True:
        try:
            return await enqueue(store, submission)
        except StoreUnavailable:
            await asyncio.sleep(0.05)
