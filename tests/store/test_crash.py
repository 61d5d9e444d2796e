"""What was acknowledged survives: `kill -9` at any moment, a failing sync, a failing write, a full disk."""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from hookd.errors import StoreUnavailable
from hookd.model import State
from hookd.store.sqlite import SqliteStore, deep_check
from tests.store.builders import DELIVERED, claim, claim_one, enqueue, listed, record, retry_at, settle, to


class Acknowledged:
    """What writing processes said."""

    def __init__(self) -> None:
        self.stored: set[str] = set()
        self.settled: set[str] = set()
        self.refused = 0

    def note(self, line: str) -> None:
        word, _, delivery_id = line.strip().partition(" ")
        if word == "stored":
            self.stored.add(delivery_id)
        elif word == "settled":
            self.settled.add(delivery_id)
        elif word == "refused":
            self.refused += 1

    async def lost(self, path: Path) -> set[str]:
        """What was acknowledged and is not in the store."""
        store = await SqliteStore.open(path)
        kept = set(await listed(store, limit=1000))
        delivered = set(await listed(store, limit=1000, state=State.DELIVERED))
        await store.close()
        return (self.stored - kept) | (self.settled - delivered)


def run_and_kill(path: Path, said: Acknowledged, *, stored: int, tracer: tuple[str, ...] = ()) -> None:
    """Let a process write until it has acknowledged so many more deliveries, then kill it."""
    command = [*tracer, sys.executable, "-m", "tests.store.writing_process", str(path)]
    before = len(said.stored)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.note(line)
            if len(said.stored) >= before + stored:
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
    assert said.settled
    assert deep_check(path) == []


async def test_a_failed_sync_is_never_taken_for_a_commit(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace, which makes fdatasync fail, is not installed")
    path, said = tmp_path / "hookd.db", Acknowledged()
    fails = (
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=20+40",
    )
    run_and_kill(path, said, stored=300, tracer=fails)
    assert said.refused
    assert await said.lost(path) == set()
    assert deep_check(path) == []


@contextmanager
def no_file_grows_past(size: int) -> Iterator[None]:
    """Writes beyond `size` fail with EFBIG, which SQLite reports as an I/O error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
            assert "cannot be written" in (store.fault() or "")
            for refused in (settle(store, lease), store.probe(), claim(store)):
                with pytest.raises(StoreUnavailable, match="I/O error"):
                    await refused
        await until_it_writes(store)
        assert store.fault() is None
        assert log.stat().st_size < log_size, "nothing is added to a log that may have lost a part"
        await asyncio.wait_for(store.wait_for_work(), 5)
        assert await picture(store) == before
        assert await settle(store, lease)
        await enqueue(store, to("w"))
        assert store.pending_count() == 50
    assert deep_check(path) == []


async def picture(store: SqliteStore) -> list[object]:
    return [await store.totals(), await store.lanes(), await store.earliest_due(), await listed(store)]


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


def fill(file: Path) -> None:
    """Take all the room that is left."""
    with file.open("ab", buffering=0) as ballast:
        for size in (65536, 4096, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue


async def test_a_full_disk_refuses_all_writes_and_recovers(small_disk: Path) -> None:
    path, ballast = small_disk / "hookd.db", small_disk / "ballast"
    async with opened(path) as store:
        kept = [to("w", body=b"x" * 1000) for _ in range(20)]
        await enqueue(store, *kept)
        first, second = await claim(store, seats=2)
        fill(ballast)
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
        assert "full" in (store.fault() or "")
        assert await picture(store) == before
        assert (await record(store, first.delivery_id)).state is State.SENDING

        ballast.unlink()
        await store.probe()
        assert store.fault() is None
        await asyncio.wait_for(store.wait_for_work(), 5)
        assert await settle(store, first, DELIVERED)
        assert await settle(store, second, retry_at(0.0))
        assert len(await claim(store, seats=20)) == 19
        (receipt,) = await enqueue(store, to("v"))
    async with opened(path) as store:
        expected = {item.deliveries[0].id for item in kept} | {receipt.deliveries[0].id}
        assert set(await listed(store)) == expected
    assert deep_check(path) == []


async def test_a_store_opens_on_a_full_disk(small_disk: Path) -> None:
    path, ballast = small_disk / "hookd.db", small_disk / "ballast"
    async with opened(path) as store:
        await enqueue(store, to("w"))
    fill(ballast)
    async with opened(path) as store:
        assert store.pending_count() == 1
        with pytest.raises(StoreUnavailable):
            await enqueue(store, to("w"))
        ballast.unlink()
        await enqueue(store, to("w"))
        assert store.pending_count() == 2
