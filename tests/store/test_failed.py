"""The end of the store's thread, or of what takes its reports: everybody is told, nobody waits."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.errors import StoreFailed, StoreUnavailable
from hookd.store.sqlite.store import SqliteStore
from hookd.store.sqlite.thread_host import ThreadHost
from tests.kit.builders import enqueue, listed, to
from tests.kit.deadly import deadly
from tests.kit.waiting import until


async def ended(store: SqliteStore, error: BaseException) -> StoreFailed:
    call = deadly(store, error)
    store._writer.submit(call)
    failure = await asyncio.wait_for(store.until_failed(), 5)
    assert isinstance(call.future.exception(), StoreFailed)
    return failure


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("x"), KeyboardInterrupt(), SystemExit(0)])
async def test_whatever_ends_the_thread_fails_what_is_asked_and_what_will_be(
    tmp_path: Path, error: BaseException
) -> None:
    store = await SqliteStore.open(tmp_path / "hookd.db")
    await enqueue(store, to("w"))
    asked = deadly(store, error)
    store._writer.submit(asked)
    others = [
        asyncio.ensure_future(call) for call in (enqueue(store, to("w")), store.totals(), store.probe())
    ]
    failure = await asyncio.wait_for(store.until_failed(), 5)
    assert type(error).__name__ in str(failure)
    assert failure.__cause__ is error
    for future in (asked.future, *others):
        with pytest.raises(StoreFailed, match="has ended"):
            await asyncio.wait_for(future, 5)
    for call in (enqueue(store, to("w")), store.heartbeat(), store.flush(), store.event("e")):
        with pytest.raises(StoreUnavailable, match="has ended"):
            await asyncio.wait_for(call, 5)
    backlog = await asyncio.wait_for(store.wait_for_work(), 5)
    assert backlog.fault == str(failure)
    await asyncio.wait_for(store.close(), 5)


async def test_what_was_stored_before_is_there_for_the_next_process(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hookd.db")
    await enqueue(store, to("w"))
    await ended(store, MemoryError())
    await store.close()
    again = await SqliteStore.open(tmp_path / "hookd.db")
    assert len(await listed(again)) == 1
    await again.close()


async def test_a_thread_that_cannot_report_its_end_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.store.sqlite.store.REFRESH_S", 0.01)
    store = await SqliteStore.open(tmp_path / "hookd.db")
    monkeypatch.setattr(store._writer, "_in_loop", lambda *_: None)
    assert "has ended" in str(await ended(store, MemoryError()))
    await asyncio.wait_for(store.close(), 5)


async def test_a_report_that_cannot_be_taken_over_ends_it_too(tmp_path: Path) -> None:
    def failing(_s: float) -> None:
        raise ZeroDivisionError

    store = await SqliteStore.open(tmp_path / "hookd.db", on_commit=failing)
    with_store = [asyncio.ensure_future(enqueue(store, to("w"))) for _ in range(3)]
    failure = await asyncio.wait_for(store.until_failed(), 5)
    assert "ZeroDivisionError" in str(failure)
    await asyncio.wait(with_store, timeout=5)
    with pytest.raises(StoreFailed):
        await enqueue(store, to("w"))
    host = store._writer
    assert isinstance(host, ThreadHost)
    await until(lambda: not host._thread.is_alive())
    await asyncio.wait_for(store.close(), 5)


def no_memory(*_: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("way", ["_read", "_write"])
async def test_a_lack_of_memory_within_a_call_is_neither_damage_nor_the_end(tmp_path: Path, way: str) -> None:
    store = await SqliteStore.open(tmp_path / "hookd.db")
    await enqueue(store, to("w"))
    call: Callable[[Callable[..., None]], Any] = getattr(store, way)
    with pytest.raises(StoreUnavailable, match="out of memory"):
        await call(no_memory)
    await enqueue(store, to("w"))
    assert len(await listed(store)) == 2
    assert not store._writer.failed.done()
    await store.close()


async def test_an_end_that_was_asked_for_is_no_failure(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hookd.db")
    watching = asyncio.ensure_future(store.until_failed())
    await store.close()
    await asyncio.sleep(0)
    assert not watching.done()
    watching.cancel()
