"""The watch on directories: what rings, and what wakes nobody. A real kernel's inotify."""

import asyncio
import errno
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hookd.config import file_watch
from hookd.config.file_watch import Watch, watching
from tests.kit.waiting import until


class Bell:
    def __init__(self) -> None:
        self.rung = 0
        self.watch: Watch

    def ring(self) -> None:
        self.rung += 1

    async def rings(self) -> bool:
        """Whether it does within a tenth of a second."""
        before = self.rung
        await asyncio.sleep(0.1)
        return self.rung > before


@pytest.fixture
async def bell(tmp_path: Path) -> AsyncIterator[Bell]:
    (tmp_path / "there").write_text("1")
    (tmp_path / "sub").mkdir()
    bell = Bell()
    ignored = {str(tmp_path / "h.db"), str(tmp_path / "h.db-wal")}
    with watching([tmp_path, tmp_path / "sub"], bell.ring, ignored=ignored) as bell.watch:
        yield bell


@pytest.mark.parametrize(
    "change",
    [
        lambda at: (at / "there").write_text("2"),
        lambda at: (at / "new.yaml").write_text("2"),
        lambda at: (at / "there").rename(at / "elsewhere"),
        lambda at: (at / "there").unlink(),
        lambda at: (at / "there").chmod(0o600),
        lambda at: (at / "link").symlink_to("there"),
        lambda at: os.link(at / "there", at / "other"),
        lambda at: (at / "more").mkdir(),
        lambda at: (at / "sub" / "new.yaml").write_text("2"),
        lambda at: (at / "sub").rmdir(),
        lambda at: at.chmod(0o755),
        lambda at: (at / os.fsdecode(b"caf\xe9")).write_text(""),
        lambda at: (at / "h.db.yaml").write_text(""),
        lambda at: (at / "sub" / "h.db").write_text(""),
    ],
)  # fmt: skip
async def test_a_change_rings(bell: Bell, change: Callable[[Path], object], tmp_path: Path) -> None:
    change(tmp_path)
    assert await bell.rings()


@pytest.mark.parametrize(
    "change",
    [
        lambda at: (at / "h.db").write_text("2"),
        lambda at: (at / "h.db-wal").unlink(missing_ok=True),
        lambda at: (at / "there").read_text(),
        lambda at: list(at.iterdir()),
        lambda at: (at / "sub" / "deeper" / "x").exists(),
    ],
)
async def test_what_does_not_count_wakes_nobody(
    bell: Bell, change: Callable[[Path], object], tmp_path: Path
) -> None:
    change(tmp_path)
    assert not await bell.rings()


async def test_a_file_that_stays_open_rings_when_it_is_closed(bell: Bell, tmp_path: Path) -> None:
    with (tmp_path / "there").open("w") as file:
        for _ in range(3):
            file.write("more")
            file.flush()
            assert not await bell.rings()
    assert await bell.rings()


async def test_a_database_that_works_in_the_directory_wakes_nobody(bell: Bell, tmp_path: Path) -> None:
    """Not even the loop, and whatever its name: the kernel has nothing to report."""
    connection = sqlite3.connect(tmp_path / "other.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x)")
    assert await bell.rings()
    for number in range(20):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    assert not await bell.rings()
    connection.close()


async def test_many_changes_at_once_ring_once(bell: Bell, tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}.yaml").write_text("")
    await until(lambda: bell.rung)
    assert bell.rung == 1


async def test_a_directory_that_was_removed_or_renamed_is_lost(bell: Bell, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("2")
    assert await bell.rings()
    assert not bell.watch.lost
    (tmp_path / "sub").rename(tmp_path / "sub2")
    assert await bell.rings()
    assert bell.watch.lost


async def test_events_that_the_kernel_dropped_ring_too(bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = [file_watch._HEAD.pack(-1, 0x4000, 0, 0)]
    monkeypatch.setattr("hookd.config.file_watch.os.read", lambda *_: reads.pop())
    assert bell.watch.read()
    assert bell.watch.lost


async def test_nothing_rings_after_the_end(tmp_path: Path) -> None:
    bell = Bell()
    with watching([tmp_path], bell.ring):
        pass
    (tmp_path / "new").write_text("")
    assert not await bell.rings()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_directory_that_is_gone_cannot_be_watched(tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(FileNotFoundError), watching([tmp_path, tmp_path / "gone"], lambda: None):
        pass
    assert open_files() == before


async def test_a_system_without_inotify_is_an_os_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    with pytest.raises(OSError, match="no inotify"), watching([tmp_path], lambda: None):
        pass


async def test_the_kernels_bound_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EMFILE)
    monkeypatch.setattr("hookd.config.file_watch.os.O_NONBLOCK", -1)  # flags that the kernel refuses
    with pytest.raises(OSError, match="Too many open files"), watching([tmp_path], lambda: None):
        pass
