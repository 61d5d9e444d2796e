"""The order of the daemon's stages, and what becomes of them when one does not start or a task fails."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from hookd import config as configuration
from hookd.daemon import Daemon
from hookd.domain.errors import ListenFailed, StoreFailed
from hookd.observability import log
from hookd.sources.spool.reader import SpoolReader
from hookd.stages import Background, Readiness, Stage, Tasks
from hookd.store.sqlite.store import SqliteStore
from tests.kit.deadly import deadly

CONFIG = """
daemon: {listen: [{unix: h.sock}], store: h.db, store_process: false, shutdown_grace: 1h}
webhooks: {w: {url: "http://127.0.0.1:9/"}}
tasks: {t: {webhook: w}}
"""
STAGES = ["Sending", "Tasks", "Listening", "Publishing", "Delivering", "Background", "Readiness"]


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon changes its process; the tests' stays as it is."""
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "set_threshold", lambda _: None)
    monkeypatch.setattr(log, "follow", lambda _: None)


def daemon(directory: Path) -> Daemon:
    path = directory / "hookd.yaml"
    path.write_text(CONFIG)
    loaded = configuration.load(path, env={})
    assert loaded.config is not None, loaded.diagnostics
    return Daemon(path, loaded.config, env={})


def followed(made: Daemon, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is started and stopped, in order, as soon as it has been."""
    seen: list[str] = []
    stages = made._stages

    class Followed:
        def __init__(self, stage: Stage) -> None:
            self.stage, self.name = stage, type(stage).__name__

        async def start(self) -> None:
            await self.stage.start()
            seen.append(f"+{self.name}")

        async def stop(self) -> None:
            await self.stage.stop()
            seen.append(f"-{self.name}")

    monkeypatch.setattr(made, "_stages", lambda *args: [Followed(stage) for stage in stages(*args)])
    return seen


async def reopened(directory: Path) -> None:
    """The store was closed, and no socket is left."""
    assert not (directory / "h.sock").exists()
    await (await SqliteStore.open(directory / "h.db")).close()


async def test_stages_stop_in_the_reverse_order_of_their_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = daemon(tmp_path)
    seen = followed(made, monkeypatch)
    working = asyncio.create_task(made._work())
    async with asyncio.timeout(10):
        while len(seen) < len(STAGES):
            await asyncio.sleep(0.005)
        made._stopping.set()
        await working
    assert seen == [f"+{name}" for name in STAGES] + [f"-{name}" for name in reversed(STAGES)]
    await reopened(tmp_path)


async def test_what_cannot_listen_is_stopped_as_far_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = daemon(tmp_path)
    (tmp_path / "h.sock").mkdir()
    seen = followed(made, monkeypatch)
    with pytest.raises(ListenFailed):
        await made._work()
    assert seen == ["+Sending", "+Tasks", "-Tasks", "-Sending"]
    (tmp_path / "h.sock").rmdir()
    await reopened(tmp_path)


async def test_a_part_that_fails_ends_the_daemon_without_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(_self: SpoolReader) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("a fault in the program")

    monkeypatch.setattr(SpoolReader, "run", failing)
    made = daemon(tmp_path)
    seen = followed(made, monkeypatch)
    async with asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="a fault in the program"):
            await made._work()
    stopped = [f"-{name}" for name in reversed(STAGES) if name != "Tasks"]  # which says what failed
    assert seen[len(STAGES) :] == stopped
    await reopened(tmp_path)


async def test_a_store_that_has_failed_ends_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr(log, "error", lambda fact, **facts: logged.append({"fact": fact, **facts}))
    made = daemon(tmp_path)
    seen = followed(made, monkeypatch)
    working = asyncio.create_task(made._work())
    async with asyncio.timeout(10):
        while len(seen) < len(STAGES):
            await asyncio.sleep(0.005)
        store = made._running.store if made._running else None
        assert isinstance(store, SqliteStore)
        error = MemoryError()
        call = deadly(store, error)
        store._writer.submit(call)
        with pytest.raises(StoreFailed, match="has ended"):
            await working
        assert isinstance(call.future.exception(), StoreFailed)
    [failed] = [line for line in logged if line["fact"] == "store.failed"]
    assert failed["exc_info"] is error
    assert "MemoryError" in failed["error"]
    await reopened(tmp_path)


async def test_a_background_task_may_end_by_itself() -> None:
    tasks, stop = Tasks(), asyncio.Event()

    async def short() -> None:
        await asyncio.sleep(0)

    async def endless() -> None:
        await asyncio.Event().wait()

    background = Background((short, endless), tasks)
    await background.start()
    waiting = asyncio.create_task(tasks.until(stop))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    stop.set()
    await waiting
    await background.stop()
    await tasks.stop()


async def test_nothing_is_called_ready_once_a_stop_was_asked_for() -> None:
    told: list[Any] = []
    stopping = asyncio.Event()
    stopping.set()
    nothing: Any = None
    readiness = Readiness(
        nothing, nothing, nothing, nothing, on_ready=lambda: told.append("ready"), stopping=stopping
    )
    await readiness.start()
    assert told == []
