"""A file that seems damaged while it is used: refused and left alone for a while, and nobody's end."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from hookd.domain.errors import StoreUnavailable, StoreUnusable
from hookd.store.sqlite.engine import Engine
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import enqueue, listed, to
from tests.store.test_crash import until_it_writes


def malformed(*_: object) -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    raise error


def undecodable(*_: object) -> None:
    raise sqlite3.OperationalError("Could not decode to UTF-8 column 'id'")


async def test_it_is_left_alone_and_used_again_where_it_is_sound(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hookd.db")
    await enqueue(store, to("w"))
    with pytest.raises(StoreUnavailable, match="seems damaged"):
        await store._write(malformed)
    with pytest.raises(StoreUnavailable, match="hookd check --store"):
        await enqueue(store, to("w"))
    assert "seems damaged" in ((await store.backlog()).fault or "")
    await asyncio.wait_for(until_it_writes(store), 5)
    assert len(await listed(store)) == 1
    await store.close()


async def test_a_value_that_hookd_never_wrote_is_damage(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hookd.db")
    with pytest.raises(StoreUnavailable, match=r"seems damaged \(it holds a value that hookd never wrote: "):
        await store._write(undecodable)
    await store.close()


async def test_a_row_that_cannot_be_read_concerns_its_reader_alone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hookd.db")
    with pytest.raises(StoreUnavailable, match="a row that cannot be read"):
        await store._read(undecodable)
    await enqueue(store, to("w"))
    await store.close()


async def test_such_a_value_at_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hookd.db"
    engine = Engine(path)
    engine.connection.execute("INSERT INTO paused VALUES (cast(x'ff' AS TEXT), 0)")
    engine.close()
    with pytest.raises(StoreUnusable, match="is damaged"):
        await SqliteStore.open(path)
