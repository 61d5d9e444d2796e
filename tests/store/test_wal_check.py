"""A log that lost what was committed is refused; what a crash leaves at its end is not."""

# ruff: noqa: ASYNC240  a test may block the loop that it has for itself

import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from hookd.domain.errors import StoreDamaged
from hookd.store.sqlite.open import deep_check
from hookd.store.sqlite.store import SqliteStore
from hookd.store.sqlite.wal_check import fault_in
from tests.kit.builders import enqueue, listed, to

FRAME = 24 + 4096
HEADER = 32


@pytest.fixture
async def crashed(tmp_path: Path) -> Path:
    """A file and its log as a kill leaves them, after ten commits."""
    store = await SqliteStore.open(tmp_path / "live.db")
    for _ in range(10):
        await enqueue(store, to("w"))
    for ending in ("", "-wal"):
        shutil.copy(tmp_path / f"live.db{ending}", tmp_path / f"hookd.db{ending}")
    await store.close()
    return tmp_path / "hookd.db"


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def flipped(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    "place", [0, 9, 17, 25, HEADER + 2, HEADER + 9, HEADER + 17, HEADER + 2000, HEADER + 5 * FRAME + 300]
)
async def test_a_flipped_bit_before_committed_transactions(crashed: Path, place: int) -> None:
    flipped(log_of(crashed), place)
    before = crashed.read_bytes(), log_of(crashed).read_bytes()
    with pytest.raises(StoreDamaged, match=r"write-ahead log .* left as it is"):
        await SqliteStore.open(crashed)
    assert (crashed.read_bytes(), log_of(crashed).read_bytes()) == before
    assert deep_check(crashed) != []


@pytest.mark.parametrize("cut", [1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME])
async def test_a_torn_end_is_what_a_crash_leaves(crashed: Path, cut: int) -> None:
    log = log_of(crashed)
    log.write_bytes(log.read_bytes()[:-cut])
    store = await SqliteStore.open(crashed)
    assert 0 < len(await listed(store)) < 10
    await store.close()


async def test_a_torn_last_transaction_that_was_written_in_part(crashed: Path) -> None:
    flipped(log_of(crashed), log_of(crashed).stat().st_size - FRAME - 100)
    store = await SqliteStore.open(crashed)
    assert len(await listed(store)) == 9
    await store.close()


async def test_rests_of_earlier_transactions_behind_the_end(crashed: Path) -> None:
    log = log_of(crashed)
    whole = log.read_bytes()
    log.write_bytes(
        whole[: -2 * FRAME]
    )  # the end of the last two transactions, after which others were written
    store = await SqliteStore.open(crashed)
    await enqueue(store, to("w"))
    log.write_bytes(log.read_bytes() + whole[log.stat().st_size :])
    assert fault_in(log) == ""
    await store.close()


async def test_a_start_looks_at_a_log_for_a_bounded_time_and_the_deep_check_at_all_of_it(
    crashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped(log_of(crashed), HEADER + 5 * FRAME + 300)
    assert fault_in(log_of(crashed), timeout_s=0.0) == ""
    assert "frame 6" in fault_in(log_of(crashed), timeout_s=60.0)
    assert deep_check(crashed) == [fault_in(log_of(crashed))]
    monkeypatch.setattr("hookd.store.sqlite.open._LOG_CHECK_S", 0.0)
    await (await SqliteStore.open(crashed)).close()


async def test_a_huge_log_does_not_hold_up_a_start(crashed: Path) -> None:
    """As a migration of a large store leaves it that was killed: one transaction, sound to its end."""
    whole = log_of(crashed).read_bytes()
    with log_of(crashed).open("ab") as log:
        log.truncate(len(whole) + 20_000 * FRAME)  # a hole
    began = time.monotonic()
    assert fault_in(log_of(crashed), timeout_s=0.05) == ""
    assert time.monotonic() - began < 1.0


def test_no_log_and_an_empty_one(tmp_path: Path) -> None:
    log = tmp_path / "x-wal"
    assert fault_in(log) == ""
    log.touch()
    assert fault_in(log) == ""


async def test_a_refused_file_keeps_its_log(crashed: Path) -> None:
    content = bytearray(crashed.read_bytes())
    content[4096 : 2 * 4096] = b"\xff" * 4096
    crashed.write_bytes(content)
    before = bytes(content), log_of(crashed).read_bytes()
    with pytest.raises(StoreDamaged, match="left as it is"):
        await SqliteStore.open(crashed)
    assert (crashed.read_bytes(), log_of(crashed).read_bytes()) == before


async def test_a_new_store_does_not_look_empty_without_its_log(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "live.db")
    shutil.copy(tmp_path / "live.db", tmp_path / "hookd.db")
    await store.close()
    connection = sqlite3.connect(tmp_path / "hookd.db")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    connection.close()
    assert tables > 0
