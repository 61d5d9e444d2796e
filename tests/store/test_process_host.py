"""The store in a process of its own: what that process is, and what becomes of all when it dies or stands still."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from hookd.domain.deliveries import Lease, Reason, State
from hookd.domain.errors import StoreFailed, StoreUnavailable, StoreUnusable
from hookd.domain.events import Event
from hookd.store.sqlite import frames, process_host
from hookd.store.sqlite.lock import FileLock, UseLock
from hookd.store.sqlite.process_host import ProcessHost
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import T0, claim, claim_one, enqueue, listed, record, settle, to
from tests.kit.procfs import children, memory_parts_mib, open_files, runs, status_of
from tests.kit.seats import seats_for
from tests.kit.waiting import until
from tests.store.test_contract_processes import opened_by_another

T = TypeVar("T")
OpenIt = Callable[[], Awaitable[SqliteStore]]
CHILD = "from hookd.store.sqlite import host_child"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hookd.db"


@pytest.fixture
async def open_it(path: Path) -> AsyncIterator[OpenIt]:
    async with AsyncExitStack() as stack:

        async def opened() -> SqliteStore:
            store = await SqliteStore.open(path, in_process=True)
            stack.push_async_callback(store.close)
            return store

        yield opened


@pytest.fixture
async def store(open_it: OpenIt, monkeypatch: pytest.MonkeyPatch) -> SqliteStore:
    monkeypatch.setenv("HOOKD_DUMPABLE", "1")  # what root may see without, the kernel tells then
    return await open_it()


def host_of(store: SqliteStore) -> ProcessHost:
    assert isinstance(store._writer, ProcessHost)
    return store._writer


def proc(pid: int, name: str) -> Path:
    return Path(f"/proc/{pid}/{name}")


def pid_of(store: SqliteStore) -> int:
    pid = host_of(store).pid
    assert pid is not None
    return pid


async def killed(store: SqliteStore) -> None:
    """Kill the process and see that hookd has noticed."""
    pid = pid_of(store)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: host_of(store).pid != pid)


async def again(store: SqliteStore) -> None:
    """Wait until something can be stored again."""

    async def stores() -> bool:
        try:
            await store.probe()
        except StoreUnavailable:
            return False
        return True

    await until(stores)


class TestProcess:
    def test_it_draws_in_neither_loop_nor_http_nor_log(self) -> None:
        code = f"{CHILD}; import sys; print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert not {"aiohttp", "asyncio", "ssl", "structlog", "uvloop", "yaml"} & set(loaded.stdout.split())

    async def test_it_takes_15_mib_at_most_for_itself(self, store: SqliteStore) -> None:
        await enqueue(store, to("w"))
        assert memory_parts_mib(pid_of(store))["private"] <= 15

    async def test_it_is_given_no_secret_of_the_environment(
        self, open_it: OpenIt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOOKD_DUMPABLE", "1")
        monkeypatch.setenv("SLACK_TOKEN", "canary")
        store = await open_it()
        env = proc(pid_of(store), "environ").read_bytes()
        assert b"canary" not in env
        assert b"NOTIFY_SOCKET" not in env

    async def test_it_has_one_end_of_the_socket_and_nothing_else_of_hookd(self, store: SqliteStore) -> None:
        found = open_files(pid_of(store))
        assert sum(file.startswith("socket:") for file in found) == 1
        others = [file for file in found if not file.startswith(("socket:", "/dev/", str(store._path)))]
        assert len(others) <= 1, "standard error, at most"

    async def test_signals_that_are_for_hookd_do_not_end_it(self, store: SqliteStore) -> None:
        pid = pid_of(store)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
        await enqueue(store, to("w"))
        assert pid_of(store) == pid

    async def test_it_keeps_its_memory_to_itself(
        self, open_it: OpenIt, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HOOKD_DUMPABLE", raising=False)
        store = await open_it()
        assert proc(pid_of(store), "mem").stat().st_uid == 0

    async def test_it_is_gone_when_the_store_is_closed(self, open_it: OpenIt) -> None:
        files = len(open_files())
        store = await open_it()
        pid = pid_of(store)
        await store.close()
        assert not runs(pid)
        assert len(open_files()) == files
        assert (await store.describe()).pid is None

    async def test_large_values_cross(self, store: SqliteStore) -> None:
        bodies = [os.urandom(3 << 20) for _ in range(4)]
        await asyncio.gather(*(enqueue(store, to("w", body=body)) for body in bodies))
        assert [lease.body for lease in await claim(store, slots=4)] == bodies

    async def test_values_of_kinds_of_their_own_cross_too(self, store: SqliteStore) -> None:
        class Kind(StrEnum):
            ODD = "odd"

        deep: list[Any] = []
        for _ in range(100):
            deep = [deep]
        await enqueue(store, to("w", event=Event("e", data={"kind": State.DEAD, "deep": deep})))
        kept = await store.event("e")
        assert kept is not None
        assert kept.event.data == {"kind": "dead", "deep": deep}

    async def test_only_what_has_a_name_can_be_run_there(self, store: SqliteStore) -> None:
        with pytest.raises(ValueError, match="another process"):
            await store._read(lambda _: None)
        await enqueue(store, to("w"))


class TestItsDeath:
    async def test_another_takes_its_place(self, store: SqliteStore) -> None:
        await enqueue(store, to("w"))
        await killed(store)
        began = time.monotonic()
        await again(store)
        assert time.monotonic() - began < 10
        await enqueue(store, to("w"))
        assert len(await listed(store)) == 2
        assert (await store.backlog()).pending == 2
        assert (await store.backlog()).fault is None

    async def test_what_is_under_way_is_refused_or_asked_again_and_all_is_read_anew(
        self, store: SqliteStore
    ) -> None:
        await enqueue(store, to("w"))
        os.kill(pid_of(store), signal.SIGSTOP)
        storing = [asyncio.ensure_future(enqueue(store, to("w"))) for _ in range(3)]
        others = [
            asyncio.ensure_future(call) for call in (listed(store), store.pause("w", now=T0), claim(store))
        ]
        await asyncio.sleep(0.05)
        await killed(store)
        for call in others:
            with pytest.raises(StoreUnavailable, match=r"has ended \(killed by SIGKILL\)"):
                await asyncio.wait_for(call, 5)
        assert "SIGKILL" in ((await store.wait_for_work()).fault or "")
        await asyncio.gather(*storing)
        assert (await store.backlog()).pending == len(await listed(store)) == 4
        assert (await store.backlog()).paused == {}

    async def test_a_lease_under_way_settles_with_the_next(self, store: SqliteStore) -> None:
        await enqueue(store, to("w"))
        lease = await claim_one(store)
        await killed(store)
        await again(store)
        assert await claim(store) == ()
        assert await settle(store, lease)
        found = await record(store, lease.delivery_id)
        assert (found.state, [each.reason for each in found.attempts]) == (State.DELIVERED, [Reason.OK])

    async def _unanswered(self, store: SqliteStore, call: Awaitable[T]) -> Awaitable[T]:
        """Have a call done whose answer is lost."""
        host, loop = host_of(store), asyncio.get_running_loop()
        assert host._socket is not None
        loop.remove_reader(host._socket.fileno())
        asked = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        def answered() -> bool:
            assert host._socket is not None
            try:
                return bool(host._socket.recv(1 << 20))
            except BlockingIOError:
                return False

        await until(answered)
        loop.add_reader(host._socket.fileno(), host._readable)
        await killed(store)
        return asked

    async def _claimed(self, store: SqliteStore) -> Lease:
        await again(store)
        (lease,) = await until(lambda: claim(store))
        return lease

    async def test_a_claim_that_was_done_and_not_answered_is_given_back(self, store: SqliteStore) -> None:
        await enqueue(store, to("w"), to("v"))
        held = await claim_one(store, "v")
        asked = await self._unanswered(store, claim(store))
        with pytest.raises(StoreUnavailable):
            await asked
        lease = await self._claimed(store)
        assert lease.attempt == 2
        found = await record(store, lease.delivery_id)
        assert [each.reason for each in found.attempts] == [Reason.INTERRUPTED]
        assert await settle(store, held), "a lease that was answered is not touched"

    async def test_a_seat_that_was_used_and_not_answered_is_given_back(self, store: SqliteStore) -> None:
        submission = to("w")
        seats = seats_for(submission)
        asked = await self._unanswered(store, store.enqueue([submission], now=T0, limit=10, seats=seats))
        await asked
        assert seats.leases == ()
        assert (await self._claimed(store)).attempt == 2

    async def test_whether_it_answers_is_asked_of_the_next(self, store: SqliteStore) -> None:
        os.kill(pid_of(store), signal.SIGSTOP)
        asked = asyncio.ensure_future(store.heartbeat())
        done, _ = await asyncio.wait({asked}, timeout=0.3)
        assert not done, "it hangs where the process does"
        await killed(store)
        await asyncio.wait_for(asked, 10)

    async def test_one_that_stood_still_goes_on_and_nothing_is_done_twice(self, store: SqliteStore) -> None:
        pid = pid_of(store)
        os.kill(pid, signal.SIGSTOP)
        waiting = [asyncio.ensure_future(enqueue(store, to("w"))) for _ in range(100)]
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGCONT)
        await asyncio.gather(*waiting)
        assert len(await listed(store)) == 100
        assert pid_of(store) == pid

    async def test_out_of_memory_is_an_outage(self, store: SqliteStore) -> None:
        pid = pid_of(store)
        now = int(status_of(pid, "VmSize")) * 1024
        resource.prlimit(pid, resource.RLIMIT_AS, (now + (24 << 20), resource.RLIM_INFINITY))
        with suppress(StoreUnavailable):  # where it could not even read what came, the next one is asked
            await enqueue(store, to("v", body=bytes(64 << 20)))
        await again(store)
        await enqueue(store, to("w"))
        assert len(await listed(store, webhook="w")) == 1
        assert (await store.backlog()).pending == len(await listed(store))

    async def test_where_none_can_be_started_any_more_the_store_has_failed(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process_host, "GIVE_UP_S", 0.5)
        monkeypatch.setattr(process_host, "_RESTART_PAUSE_S", 0.05)
        monkeypatch.setattr(sys, "executable", "/bin/false")
        beating = asyncio.ensure_future(self._beat(store))
        await killed(store)
        failure = await asyncio.wait_for(store.until_failed(), 10)
        assert "exit code 1" in str(failure)
        with pytest.raises(StoreFailed):
            await asyncio.wait_for(beating, 5)
        with pytest.raises(StoreFailed):
            await enqueue(store, to("w"))
        await asyncio.wait_for(store.close(), 5)
        FileLock(store._path).release()

    async def _beat(self, store: SqliteStore) -> None:
        while True:
            await store.heartbeat()
            await asyncio.sleep(0.01)

    async def test_one_that_dies_each_time_is_not_started_all_the_time(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        starts: list[float] = []
        start = ProcessHost._start

        def noted(host: ProcessHost) -> None:
            starts.append(time.monotonic())
            start(host)

        monkeypatch.setattr(ProcessHost, "_start", noted)
        for _ in range(3):
            await killed(store)
            await again(store)
        assert min(b - a for a, b in pairwise(starts)) > 0.9

    async def test_a_death_while_it_is_closed_holds_nothing_up(self, open_it: OpenIt) -> None:
        store = await open_it()
        await enqueue(store, to("w"))
        os.kill(pid_of(store), signal.SIGSTOP)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0.05)
        os.kill(pid_of(store), signal.SIGKILL)
        await asyncio.wait_for(closing, 5)
        assert len(await listed(await open_it())) == 1


class TestStart:
    async def test_where_it_cannot_be_started_the_lock_is_left(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(StoreFailed, match="cannot be started"):
            await SqliteStore.open(path, in_process=True)
        FileLock(path).release()

    async def test_one_that_ends_at_once(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(StoreFailed, match="exit code 1"):
            await SqliteStore.open(path, in_process=True)

    async def test_one_of_another_version(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(frames, "VERSION", "0.0")
        with pytest.raises(StoreFailed, match="another version"):
            await SqliteStore.open(path, in_process=True)

    async def test_what_is_wrong_with_the_file_is_said_as_ever(self, path: Path) -> None:
        await asyncio.to_thread(path.write_text, "no database, but a text")
        with pytest.raises(StoreUnusable, match="is not a database"):
            await SqliteStore.open(path, in_process=True)
        assert children(os.getpid()) == []


class TestOwner:
    async def test_while_hookd_lives_nobody_has_the_file_though_its_process_died(
        self, store: SqliteStore, path: Path
    ) -> None:
        os.kill(pid_of(store), signal.SIGKILL)
        said = await opened_by_another("sqlite", path.parent)
        assert f"in use by another hookd (pid {os.getpid()})" in said
        await again(store)

    @pytest.mark.parametrize("stopped", [False, True])
    async def test_after_a_kill_of_hookd_nothing_is_left_and_the_next_has_the_file(
        self, path: Path, open_it: OpenIt, stopped: bool
    ) -> None:
        command = (sys.executable, "-m", "tests.store.owning_process", str(path))
        owner = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert owner.stdout is not None
        pid = int(await owner.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        owner.kill()
        await owner.wait()
        began = time.monotonic()
        store = await open_it()
        assert time.monotonic() - began < 5
        assert not runs(pid) or status_of(pid, "State") == "Z", "nobody may have reaped it"
        assert (await store.describe()).cut_off == 1

    async def test_a_process_of_a_hookd_that_is_gone_is_waited_for(self, path: Path, open_it: OpenIt) -> None:
        code = (
            "import sys, pathlib; from hookd.store.sqlite.lock import UseLock; "
            "lock = UseLock(pathlib.Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        await process.stdout.readline()
        opening = asyncio.ensure_future(open_it())
        done, _ = await asyncio.wait({opening}, timeout=0.5)
        assert not done
        process.kill()
        await process.wait()
        await asyncio.wait_for(opening, 10)

    def test_but_not_for_ever(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hookd.store.sqlite.lock._LAST_USE_S", 0.05)
        monkeypatch.setattr(UseLock, "_try", lambda _: False)
        with pytest.raises(StoreUnusable, match="still open in the process of a hookd that was killed"):
            UseLock(path)
