"""What was acknowledged survives: `kill -9` at any moment, a failing sync, a failing write, a full disk."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from hookd.domain.deliveries import Reason, State
from hookd.domain.errors import StoreUnavailable, TaskSpent
from hookd.domain.history import DeliveryFilter
from hookd.store.sqlite.open import deep_check
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import (
    DEAD,
    DELIVERED,
    RINGS_S,
    T0,
    alive,
    claim,
    claim_one,
    enqueue,
    facts,
    listed,
    once,
    record,
    retried,
    retry_at,
    settle,
    to,
    triggered,
    watch,
)
from tests.kit.disk import Disk
from tests.kit.seats import seats_for
from tests.kit.strace import under
from tests.kit.tools import needs


class Acknowledged:
    """What writing processes said."""

    def __init__(self) -> None:
        self.stored: set[str] = set()
        self.settled: set[str] = set()
        self.fired: list[str] = []
        self.refused: set[str] = set()

    def note(self, line: str) -> None:
        word, _, delivery_id = line.strip().partition(" ")
        if word == "stored":
            self.stored.add(delivery_id)
        elif word == "settled":
            self.settled.add(delivery_id)
        elif word == "fired":
            self.fired.append(delivery_id)
        elif word == "refused":
            self.refused.add(delivery_id)

    async def lost(self, path: Path) -> set[str]:
        """What was acknowledged and is not in the store."""
        store = await SqliteStore.open(path)
        kept = set(await listed(store, limit=1000))
        delivered = set(await listed(store, limit=1000, state=State.DELIVERED))
        await store.close()
        return (self.stored - kept) | (self.settled - delivered)

    async def check_spent(self, path: Path) -> None:
        """A task fires once: each mark has one delivery and each delivery a mark, and none is answered twice."""
        async with opened(path) as store:
            marks = {mark.delivery_id: mark.task for mark in await store.one_shot_marks()}
            assert set(await listed(store, limit=1000, webhook="once")) == marks.keys()
        assert len(set(marks.values())) == len(marks)
        assert len(set(self.fired)) == len(self.fired)
        assert set(self.fired) <= set(marks.values())


def run_and_kill(
    path: Path, said: Acknowledged, *, stored: int, refused: int = 0, tracer: tuple[str, ...] = ()
) -> None:
    """Let a process write until it has acknowledged and refused so many more deliveries, then kill it."""
    command = [*tracer, sys.executable, "-m", "tests.store.writing_process", str(path)]
    before = len(said.stored)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.note(line)
            if len(said.stored) >= before + stored and len(said.refused) >= refused:
                break
        os.killpg(process.pid, 9)
        for line in process.stdout:
            if line.endswith("\n"):
                said.note(line)
    assert len(said.stored) >= before + stored, "it ended by itself"


async def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path, said = tmp_path / "hookd.db", Acknowledged()
    for stored in (1, 150, 400):
        run_and_kill(path, said, stored=stored)
        assert await said.lost(path) == set()
        await said.check_spent(path)
    assert said.settled
    assert said.fired
    assert deep_check(path) == []


@needs("strace")
async def test_a_failed_sync_is_never_taken_for_a_commit(tmp_path: Path) -> None:
    path, said = tmp_path / "hookd.db", Acknowledged()
    async with opened(path):
        pass  # making the file takes as many syncs as there are migrations
    run_and_kill(path, said, stored=300, tracer=under("fdatasync:error=EIO:when=20+40"))
    assert said.refused
    assert await said.lost(path) == set()
    await said.check_spent(path)
    assert deep_check(path) == []


@needs("strace")
async def test_what_a_failed_sync_refused_is_not_stored_by_a_kill(tmp_path: Path) -> None:
    path, said = tmp_path / "hookd.db", Acknowledged()
    run_and_kill(path, said, stored=30, refused=60, tracer=under("fdatasync:error=EIO:when=30+"))
    assert await said.lost(path) == set()
    async with opened(path) as store:
        assert said.refused.isdisjoint(await listed(store, limit=1000))


async def test_killed_before_the_answer_a_one_shot_has_run(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    command = [sys.executable, "-m", "tests.store.dying_process", str(path)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: ASYNC221  nothing else runs
    assert (died.returncode, died.stdout) == (-9, ""), died.stderr
    async with opened(path) as store:
        (delivery_id,) = await listed(store, state=State.PENDING)
        assert delivery_id == "killed-delivery"
        assert [mark.delivery_id for mark in await store.one_shot_marks()] == [delivery_id]
        (receipt,) = await enqueue(store, once())
        assert receipt.deliveries == ()
        with pytest.raises(TaskSpent):
            await enqueue(store, triggered(once()))
        assert await listed(store) == [delivery_id]


async def test_what_an_io_error_undid_has_not_run(tmp_path: Path) -> None:
    async with opened(tmp_path / "hookd.db") as store:
        await enqueue(store, once(task="before"))
        with no_file_grows_past(1):
            outcomes = await asyncio.gather(
                *(enqueue(store, once()) for _ in range(3)),
                store.reset_one_shot("before", "v1"),
                store.pause("w", now=T0),
                return_exceptions=True,
            )
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        await until_it_writes(store)
        assert [mark.task for mark in await store.one_shot_marks()] == ["before"]
        assert (await store.backlog()).paused == {}
        receipts = [(await enqueue(store, once(task=task)))[0] for task in ("before", "one-shot", "one-shot")]
        assert [len(receipt.deliveries) for receipt in receipts] == [0, 1, 0]


@contextmanager
def no_file_grows_past(size: int) -> Iterator[None]:
    """Writes beyond `size` fail with EFBIG, which SQLite reports as an I/O error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_failed_commit_gives_the_seats_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "hookd.db") as store:
        batches = [to("w") for _ in range(3)]
        seats = [seats_for(batch) for batch in batches]
        with no_file_grows_past(1):
            outcomes = await asyncio.gather(
                *(
                    store.enqueue([batch], now=T0, limit=9, seats=each)
                    for batch, each in zip(batches, seats, strict=True)
                ),
                return_exceptions=True,
            )
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        assert [each.leases for each in seats] == [()] * 3
        await until_it_writes(store)
        assert set((await store.totals()).values()) == {0}


async def until_it_writes(store: SqliteStore) -> None:
    async with asyncio.timeout(8):
        while True:
            try:
                await store.probe()
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path)
    try:
        yield store
    finally:
        await store.close()


async def test_after_an_io_error_the_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    async with opened(path) as store:
        await enqueue(store, *(to("w") for _ in range(50)))
        lease = await claim_one(store)
        await store.wait_for_work()
        before = await picture(store)
        log = path.with_name("hookd.db-wal")
        log_size = log.stat().st_size
        with no_file_grows_past(1):
            with pytest.raises(StoreUnavailable, match="cannot be written"):
                await enqueue(store, to("w"))
            assert "cannot be written" in ((await store.backlog()).fault or "")
            for refused in (settle(store, lease), store.probe(), claim(store)):
                with pytest.raises(StoreUnavailable, match="I/O error"):
                    await refused
        await until_it_writes(store)
        assert (await store.backlog()).fault is None
        assert log.stat().st_size < log_size, "nothing is added to a log that may have lost a part"
        await asyncio.wait_for(store.wait_for_work(), RINGS_S)
        assert await picture(store) == before
        assert await settle(store, lease)
        await enqueue(store, to("w"))
        assert (await store.backlog()).pending == 50
    assert deep_check(path) == []


async def picture(store: SqliteStore) -> list[object]:
    due = (await store.backlog()).earliest_due
    return [await store.totals(), await store.lanes(), due, await listed(store)]


async def test_a_file_that_vanished_after_an_error_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    async with opened(path) as store:
        await enqueue(store, to("w"))
        with no_file_grows_past(1), pytest.raises(StoreUnavailable):
            await enqueue(store, to("w"))
        path.unlink()
        with pytest.raises(StoreUnavailable, match="cannot be opened"):
            await store.probe()
        assert not path.exists()


async def test_a_full_disk_refuses_all_writes_and_recovers(disk: Disk) -> None:
    path = disk.place / "hookd.db"
    async with opened(path) as store:
        kept = [to("w", body=b"x" * 1000) for _ in range(20)]
        await enqueue(store, *kept)
        first, second = await claim(store, slots=2)
        disk.fill()
        before = await picture(store)
        await store.wait_for_work()

        refused = await asyncio.gather(
            *(enqueue(store, to("w", body=b"x" * 20_000)) for _ in range(5)),
            settle(store, first),
            settle(store, second, retry_at(0.0)),
            claim(store),
            store.probe(),
            store.prune(delivered_before=0.0, dead_before=0.0, limit=9),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in refused} == {StoreUnavailable}
        assert "full" in ((await store.backlog()).fault or "")
        assert await picture(store) == before
        assert (await record(store, first.delivery_id)).state is State.SENDING

        disk.make_room()
        await store.probe()
        assert (await store.backlog()).fault is None
        await asyncio.wait_for(store.wait_for_work(), RINGS_S)
        assert await settle(store, first, DELIVERED)
        assert await settle(store, second, retry_at(0.0))
        assert len(await claim(store, slots=20)) == 19
        (receipt,) = await enqueue(store, to("v"))
    async with opened(path) as store:
        expected = {item.deliveries[0].id for item in kept} | {receipt.deliveries[0].id}
        assert set(await listed(store)) == expected
    assert deep_check(path) == []


async def test_a_full_disk_refuses_what_is_asked_by_hand(disk: Disk) -> None:
    path = disk.place / "hookd.db"
    async with opened(path) as store:
        await enqueue(store, *(to("w") for _ in range(20)), once(task="before"))
        for lease in await claim(store, slots=5):
            await settle(store, lease, DEAD)
        dead, *_ = await listed(store, state=State.DEAD)
        waiting, *_ = await listed(store, state=State.PENDING)
        await store.pause("v", now=T0)
        disk.fill()
        before = [await facts(store), *[await record(store, key) for key in await listed(store)]]

        refused = await asyncio.gather(
            *(enqueue(store, once(body=b"x" * 20_000)) for _ in range(3)),
            store.retry(dead, now=T0),
            store.retry_matching(DeliveryFilter(state=State.DEAD), now=T0, dry_run=False),
            store.cancel(waiting, now=T0),
            store.pause("w", now=T0),
            store.resume("v"),
            store.reset_one_shot("before", "v1"),
            watch(store, "a"),
            alive(store, T0),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in refused} == {StoreUnavailable}
        assert "full" in ((await store.backlog()).fault or "")
        assert [await facts(store), *[await record(store, key) for key in await listed(store)]] == before

        disk.make_room()
        where = DeliveryFilter(state=State.DEAD)
        assert await retried(store, where, now=T0) == (5, 5)
        assert await store.cancel(waiting, now=T0) is State.PENDING
        receipts = [(await enqueue(store, once(task=task)))[0] for task in ("before", "one-shot", "one-shot")]
        assert [len(receipt.deliveries) for receipt in receipts] == [0, 1, 0]
        after = await facts(store)
    async with opened(path) as store:
        assert await facts(store) == after


async def test_a_store_opens_on_a_full_disk(disk: Disk) -> None:
    path = disk.place / "hookd.db"
    async with opened(path) as store:
        await enqueue(store, to("w"))
    disk.fill()
    async with opened(path) as store:
        assert (await store.backlog()).pending == 1
        with pytest.raises(StoreUnavailable):
            await enqueue(store, to("w"))
        disk.make_room()
        await enqueue(store, to("w"))
        assert (await store.backlog()).pending == 2


async def test_where_a_full_disk_keeps_the_leases_they_end_by_themselves(disk: Disk) -> None:
    path = disk.place / "hookd.db"
    async with opened(path) as store:
        await enqueue(store, to("w"))
        first = await claim_one(store, now=T0)
    disk.fill()
    async with opened(path) as store:
        assert (await record(store, first.delivery_id)).due_at == first.expires_at, "it could not be ended"
        assert await claim(store, now=T0 + 1) == ()
        disk.make_room()
        assert await claim(store, now=first.expires_at - 0.001) == ()
        (again,) = await claim(store, now=first.expires_at)
        assert (again.delivery_id, again.attempt, again.failures) == (first.delivery_id, 2, 0)
        (cut_off,) = (await record(store, first.delivery_id)).attempts
        assert (cut_off.number, cut_off.reason) == (1, Reason.INTERRUPTED)


async def test_a_start_ends_the_leases_of_the_process_before(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    async with opened(path) as store:
        await enqueue(store, to("w"), to("w"))
        first, _ = await claim(store)
    async with opened(path) as store:
        assert (await store.backlog()).earliest_due == {"w": T0}
        found = await record(store, first.delivery_id)
        assert (found.state, found.due_at, found.failures) == (State.PENDING, T0, 0)
        (cut_off,) = found.attempts
        assert (cut_off.number, cut_off.reason, cut_off.started_at) == (1, Reason.INTERRUPTED, T0)
        again = await claim(store, now=T0 + 1)
        assert sorted((lease.attempt, lease.failures) for lease in again) == [(2, 0), (2, 0)]
        assert (await record(store, first.delivery_id)).attempts == (cut_off,)
        assert not await settle(store, first), "its process is gone, and so is its lease"


async def test_what_was_cut_off_on_a_lane_that_is_paused_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    async with opened(path) as store:
        await enqueue(store, to("w"))
        (first,) = await claim(store)
        await store.pause("w", now=T0)
    async with opened(path) as store:
        assert (await store.lanes())["w"].sending == 0
        assert await claim(store, now=T0 + 1) == ()
        await store.cancel(first.delivery_id, now=T0 + 1)
        assert (await record(store, first.delivery_id)).state is State.CANCELLED
