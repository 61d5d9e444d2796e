"""What only the SQLite store promises: its file, who may hold it, how it is opened, that it stays small."""

# ruff: noqa: ASYNC221, ASYNC240  a test may block the loop that it has for itself

import asyncio
import dataclasses
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.backlog import Backlog
from hookd.domain.clock import Clock
from hookd.domain.deliveries import GenerationRef, State
from hookd.domain.errors import StoreUnusable
from hookd.domain.history import DeliveryFilter, LaneStats
from hookd.store.paging import END
from hookd.store.sqlite import queries
from hookd.store.sqlite.body_cache import BodyCache, CachedDelivery
from hookd.store.sqlite.claim import NEXT_DUE
from hookd.store.sqlite.lock import FileLock
from hookd.store.sqlite.open import (
    _connect,
    deep_check,
    migrate,
    open_database,
    packaged_migrations,
    schema_version,
)
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import (
    DELIVERED,
    RINGS_S,
    T0,
    attempt_of,
    claim,
    enqueue,
    facts,
    listed,
    once,
    record,
    settle,
    to,
    watch,
)
from tests.kit.disk import Disk
from tests.kit.waiting import until

PAGE = 4096


async def filled(path: Path, events: int = 600) -> None:
    """A closed store with finished and waiting deliveries."""
    store = await SqliteStore.open(path)
    await enqueue(store, *(to("w", "v", body=b"x" * 300) for _ in range(events)))
    leases = await claim(store, slots=events // 2)
    await asyncio.gather(*(settle(store, lease) for lease in leases))
    await store.close()


async def refusal(path: Path) -> str:
    with pytest.raises(StoreUnusable) as caught:
        await SqliteStore.open(path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hookd.db"


async def test_what_waits_is_looked_at_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookd.store.sqlite.store.REFRESH_S", 0.01)
    store = await SqliteStore.open(path)
    assert await asyncio.wait_for(store.wait_for_work(), RINGS_S) == Backlog()
    await store.close()


class StandingClock(Clock):
    def now(self) -> float:
        return T0 + 100


async def test_what_the_clock_shows_is_noted_while_anything_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a start after a kill can tell that it was set back meanwhile."""
    monkeypatch.setattr("hookd.store.sqlite.store.REFRESH_S", 0.01)
    monkeypatch.setattr("hookd.store.sqlite.store.NOTE_S", 0.01)
    store = await SqliteStore.open(path, clock=StandingClock())
    await asyncio.sleep(0.05)
    assert await store.clock_seen() is None
    await enqueue(store, to("w"), now=T0)

    async def noted() -> bool:
        return await store.clock_seen() == T0 + 100

    await until(noted)
    await store.close()


@pytest.mark.parametrize("few", [0, 5000])
async def test_the_few_that_wait_are_found_without_a_walk_through_the_history(
    path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(queries, "STEPS", 1)
    monkeypatch.setattr(queries, "FEW", few)
    store = await SqliteStore.open(path)
    first, second = to("v"), to("w")
    await enqueue(store, first, second)
    await enqueue(store, *(to("x") for _ in range(1500)))
    for lease in await claim(store, "x", 1000) + await claim(store, "x", 1000):
        await settle(store, lease, DELIVERED)
    where = DeliveryFilter(state=State.PENDING)
    page = await store.deliveries(where, limit=5)
    found = [second.deliveries[0].id, first.deliveries[0].id]
    if few:
        assert ([item.id for item in page.items], page.cursor) == (found, None)
        assert await listed(store, limit=1, state=State.PENDING) == found
    else:
        assert (page.items, page.cursor is None) == ((), False)
        assert await listed(store, state=State.PENDING) == found
    await store.close()


class TestFile:
    async def test_a_new_file_is_for_its_owner_alone(self, path: Path) -> None:
        await (await SqliteStore.open(path)).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.with_name("hookd.db.lock").stat().st_mode) == 0o600

    async def test_an_empty_file_is_new(self, path: Path) -> None:
        path.touch()
        store = await SqliteStore.open(path)
        await enqueue(store, to("w"))
        await store.close()

    async def test_the_log_is_moved_into_the_file_at_the_end(self, path: Path) -> None:
        await filled(path)
        assert not path.with_name("hookd.db-wal").exists()

    async def test_a_link_to_a_file_is_that_file(self, path: Path) -> None:
        await filled(path)
        link = path.with_name("link.db")
        link.symlink_to(path)
        lock = FileLock(path)
        assert not link.with_name("link.db.lock").exists()
        lock.release()
        store = await SqliteStore.open(link)
        assert (await store.backlog()).pending == 900
        await store.close()

    async def test_the_log_stays_bounded(self, path: Path) -> None:
        store = await SqliteStore.open(path)
        sizes = []
        for _ in range(12):
            await enqueue(store, *(to("w", body=b"x" * 40_000) for _ in range(100)))
            sizes.append(path.with_name("hookd.db-wal").stat().st_size)
        assert max(sizes) < 24 * 2**20 < sum(sizes)
        await store.close()

    async def test_pruning_gives_space_back(self, path: Path) -> None:
        store = await SqliteStore.open(path)
        await enqueue(store, *(to("w", body=b"x" * 20_000) for _ in range(200)))
        leases = await claim(store, slots=200)
        await asyncio.gather(*(settle(store, lease) for lease in leases))
        assert await store.prune(delivered_before=T0 + 1, dead_before=T0, limit=1000) == 200
        await store.close()
        assert path.stat().st_size < 40 * PAGE

    async def test_space_is_given_back_by_many_pages_at_a_time(self, path: Path) -> None:
        commits: list[float] = []
        store = await SqliteStore.open(path, on_commit=commits.append)
        await enqueue(store, *(to("w", body=b"x" * 20_000) for _ in range(200)))
        leases = await claim(store, slots=200)
        await asyncio.gather(*(settle(store, lease) for lease in leases))
        commits.clear()
        await store.prune(delivered_before=T0 + 1, dead_before=T0, limit=1000)
        assert len(commits) < 20  # some 1,000 pages
        await store.close()

    async def test_commits_are_timed(self, path: Path) -> None:
        durations: list[float] = []
        store = await SqliteStore.open(path, on_commit=durations.append)
        await asyncio.gather(*(enqueue(store, to("w")) for _ in range(20)))
        await store.event("none")
        assert len(durations) == 1
        assert 0 < durations[0] < 10
        await store.close()


class TestHeld:
    async def test_a_second_process_is_told_who_holds_it(self, path: Path) -> None:
        store = await SqliteStore.open(path)
        script = (
            "import asyncio, pathlib, sys; from hookd.store.sqlite.store import SqliteStore; "
            "asyncio.run(SqliteStore.open(pathlib.Path(sys.argv[1])))"
        )
        second = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert f"is in use by another hookd (pid {os.getpid()})" in second.stderr
        await enqueue(store, to("w"))
        await store.close()

    async def test_another_program_is_kept_out_and_told_of(self, path: Path) -> None:
        await filled(path)
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        assert "in use by another program" in await refusal(path)
        holder.close()
        store = await SqliteStore.open(path)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sqlite3.connect(path, timeout=0).execute("SELECT count(*) FROM events")
        await store.close()

    async def test_the_next_one_can_have_it(self, path: Path) -> None:
        for _ in range(2):
            await (await SqliteStore.open(path)).close()


class TestRefused:
    async def test_a_directory(self, path: Path) -> None:
        path.mkdir()
        assert "is a directory" in await refusal(path)

    async def test_a_missing_directory(self, path: Path) -> None:
        message = await refusal(path.parent / "gone" / "hookd.db")
        assert "gone does not exist: create the directory" in message
        assert not (path.parent / "gone").exists()

    async def test_something_that_is_no_file(self, path: Path) -> None:
        os.mkfifo(path)
        assert "not a regular file" in await refusal(path)

    @pytest.mark.parametrize(
        "content", [b"hello, I am a text file\n" * 500, b"x", b"SQLite format 3\0" + b"junk" * 999]
    )
    async def test_no_database(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        assert "is not a database. The file is left as it is" in await refusal(path)
        assert path.read_bytes() == content

    async def test_a_database_of_another_program(self, path: Path) -> None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE t (x)")
        other.close()
        content = path.read_bytes()
        assert "of another program" in await refusal(path)
        assert path.read_bytes() == content

    async def test_a_link_to_itself(self, path: Path) -> None:
        path.symlink_to(path)
        assert "leads to itself" in await refusal(path)

    async def test_a_newer_schema(self, path: Path) -> None:
        await filled(path, 1)
        newer = sqlite3.connect(path)
        newer.execute("PRAGMA user_version = 99")
        newer.close()
        message = await refusal(path)
        assert "schema version 99" in message
        assert f"up to version {schema_version()}" in message

    async def test_a_read_only_disk(self, disk: Disk) -> None:
        await filled(disk.place / "hookd.db", 10)
        disk.read_only()
        assert "Read-only file system" in await refusal(disk.place / "hookd.db")

    async def test_an_empty_file_whose_log_holds_data(self, path: Path, tmp_path: Path) -> None:
        store = await SqliteStore.open(path)
        await enqueue(store, to("w"))
        copy = tmp_path / "copy.db"
        copy.touch()
        shutil.copy(f"{path}-wal", f"{copy}-wal")
        await store.close()
        assert "is empty, but" in await refusal(copy)
        assert Path(f"{copy}-wal").stat().st_size > 0


def overwritten(page: int, filler: bytes) -> Callable[[bytearray], None]:
    def damage(content: bytearray) -> None:
        content[page * PAGE : (page + 1) * PAGE] = filler * PAGE

    return damage


def cut_to(share: float) -> Callable[[bytearray], None]:
    def damage(content: bytearray) -> None:
        del content[int(len(content) // PAGE * share) * PAGE :]

    return damage


def lose_last_page(content: bytearray) -> None:
    del content[-PAGE:]


class TestDamaged:
    @pytest.fixture(scope="class")
    @staticmethod
    def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
        path = tmp_path_factory.mktemp("sound") / "hookd.db"
        asyncio.run(filled(path))
        return path.read_bytes()

    @pytest.mark.parametrize(
        "damage",
        [
            cut_to(0.9),
            cut_to(0.3),
            lose_last_page,
            lambda content: content.__delitem__(slice(100, None)),
            overwritten(1, b"\xff"),
            overwritten(2, b"\xff"),
            overwritten(9, b"\0"),
            overwritten(40, b"\xff"),
        ],
    )
    async def test_it_is_refused_and_left_as_it_is(
        self, path: Path, sound: bytes, damage: Callable[[bytearray], None]
    ) -> None:
        content = bytearray(sound)
        damage(content)
        path.write_bytes(content)
        message = await refusal(path)
        assert "is damaged (" in message
        assert "left as it is" in message
        assert path.read_bytes() == content

    async def test_any_overwritten_page_is_found(self, path: Path, sound: bytes) -> None:
        unseen = []
        for page in range(len(sound) // PAGE):
            content = bytearray(sound)
            overwritten(page, b"\xa5")(content)
            path.write_bytes(content)
            try:
                open_database(path).close()
            except StoreUnusable:
                continue
            unseen.append(page)
        assert unseen == []

    async def test_pages_missing_behind_a_log_are_found(self, path: Path, tmp_path: Path) -> None:
        await filled(path)
        store = await SqliteStore.open(path)
        await enqueue(store, to("w"))
        copy = tmp_path / "copy.db"
        copy.write_bytes(path.read_bytes()[: 40 * PAGE])  # the first page of every table is still there
        shutil.copy(f"{path}-wal", f"{copy}-wal")
        await store.close()
        assert "pages are missing" in await refusal(copy)

    async def test_a_log_left_by_a_crash_is_taken_in(self, path: Path, tmp_path: Path) -> None:
        await filled(path)
        store = await SqliteStore.open(path)
        await enqueue(store, to("w", "w"))
        copy = tmp_path / "copy.db"
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
        await store.close()
        again = await SqliteStore.open(copy)
        assert (await again.backlog()).pending == 902
        await again.close()


class TestDeepCheck:
    async def test_a_sound_store_has_no_findings(self, path: Path) -> None:
        await filled(path)
        assert deep_check(path) == []

    async def test_an_index_that_lost_a_row_is_found(self, path: Path) -> None:
        await filled(path, 5)
        broken = sqlite3.connect(path, isolation_level=None)
        broken.execute("PRAGMA writable_schema = ON")
        broken.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, '(webhook)', '(task)') WHERE name LIKE '%waiting'"
        )
        broken.close()
        assert any("deliveries_waiting" in finding for finding in deep_check(path))

    async def test_damage_is_a_finding(self, path: Path) -> None:
        await filled(path)
        content = bytearray(path.read_bytes())
        overwritten(40, b"\xff")(content)
        path.write_bytes(content)
        assert deep_check(path)

    async def test_what_cannot_be_looked_at_is_refused(self, path: Path) -> None:
        with pytest.raises(StoreUnusable, match="does not exist"):
            deep_check(path)
        path.touch()
        with pytest.raises(StoreUnusable, match="is empty"):
            deep_check(path)


class TestMigrations:
    def test_versions_are_numbered_without_gaps(self) -> None:
        assert [number for number, _ in packaged_migrations()] == list(range(1, schema_version() + 1))

    async def test_one_that_fails_changes_nothing(self, path: Path) -> None:
        await filled(path, 3)
        connection = open_database(path)
        good = (schema_version() + 1, "CREATE TABLE good (x);")
        bad = (
            schema_version() + 2,
            "CREATE TABLE bad (x); INSERT INTO bad VALUES (1); CREATE TABLE bad (x);",
        )
        with pytest.raises(StoreUnusable, match="could not be brought from schema version"):
            migrate(connection, path, [*packaged_migrations(), good, bad])
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        assert "good" in names
        assert "bad" not in names
        assert connection.execute("PRAGMA user_version").fetchone() == (schema_version() + 1,)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (3,)
        connection.close()


class TestVersion1:
    """A file of the first version, as it was made then, with one event of two deliveries and an attempt."""

    ROWS = """
        INSERT INTO events VALUES (7, 'x', 'event', 'vm', 'on', NULL, NULL, '{"n":1}', x'01', 1000000, 11, 2);
        INSERT INTO deliveries (seq, id, event_seq, task, webhook, rule, state, attempt, failures, created_at, due_at)
            VALUES (11, 'd-waits', 7, 't', 'w', 'events.r', 0, 1, 1, 1000000, 2000000);
        INSERT INTO deliveries (seq, id, event_seq, task, webhook, rule, state, attempt, failures, created_at,
                                finished_at, last_status, last_error, detail)
            VALUES (12, 'd-dead', 7, 't', 'v', 'events.r', 3, 4, 4, 1000000, 5000000, 503, '503 busy', 'used up');
        INSERT INTO messages VALUES (11, x'7b7d'), (12, x'7b7d');
        INSERT INTO attempts VALUES (11, 1, 1000000, 0.5, 503, 'status', '503 busy', x'00', 0);
        INSERT INTO lanes VALUES ('w', 3000000);
        UPDATE tallies SET count = 1 WHERE state = 3;
    """

    @pytest.fixture
    def first(self, path: Path) -> Path:
        path.touch()
        connection = _connect(path)
        migrate(connection, path, [item for item in packaged_migrations() if item[0] == 1])
        connection.executescript(self.ROWS)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.close()
        return path

    async def test_everything_in_it_is_kept(self, first: Path) -> None:
        store = await SqliteStore.open(first)
        waits, dead = await record(store, "d-waits"), await record(store, "d-dead")
        assert (waits.state, waits.attempt, waits.failures, waits.due_at) == (State.PENDING, 1, 1, 2.0)
        assert [attempt.status for attempt in waits.attempts] == [503]
        assert (dead.state, dead.finished_at, dead.last_status, dead.detail) == (
            State.DEAD,
            5.0,
            503,
            "used up",
        )
        kept = await store.event("x")
        assert kept is not None
        assert (kept.event.data, [ref.id for ref in kept.deliveries]) == ({"n": 1}, ["d-waits", "d-dead"])
        assert await facts(store) == [
            {**dict.fromkeys(State, 0), State.PENDING: 1, State.DEAD: 1}, 1, {"w": LaneStats(1, 0, 1.0)}, {"w": 3.0},
            {}, (),
        ]  # fmt: skip
        await store.close()
        assert deep_check(first) == []

    async def test_what_is_new_works_on_it(self, first: Path) -> None:
        store = await SqliteStore.open(first)
        assert await store.retry("d-dead", now=T0) is State.DEAD
        assert await watch(store, "a") == {"a": T0}
        await store.pause("w", now=T0)
        await enqueue(store, once())
        before = await facts(store)
        await store.close()
        store = await SqliteStore.open(first)
        assert await facts(store) == before
        assert [mark.task for mark in await store.one_shot_marks()] == ["one-shot"]
        await store.close()

    async def test_a_later_version_is_refused_and_left_as_it_is(self, first: Path) -> None:
        await (await SqliteStore.open(first)).close()
        newer = sqlite3.connect(first)
        newer.execute(f"PRAGMA user_version = {schema_version() + 1}")
        newer.close()
        content = first.read_bytes()
        assert f"schema version {schema_version() + 1}, made by a newer hookd" in await refusal(first)
        assert first.read_bytes() == content

    async def test_only_tables_and_columns_were_added(self, first: Path) -> None:
        def schema() -> dict[str, str]:
            connection = sqlite3.connect(first)
            rows = dict(
                connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
            )
            connection.close()
            return rows

        before = schema()
        await (await SqliteStore.open(first)).close()
        after = schema()
        columns = (
            ", (trace TEXT|generation INTEGER|reported_at INTEGER|reported_until INTEGER|resent INTEGER)"
        )
        assert {name: re.sub(columns, "", after[name]) for name in before} == before
        added = {"spent", "paused", "schedule_cursors", "clock", "generations"}
        assert after.keys() - before.keys() == added


class TestVersion5:
    """A file of the last version before attempts, schedules and reports were kept as they are now."""

    ROWS = """
        INSERT INTO schedules VALUES ('old', 5000000), ('new', 90000000);
        UPDATE alive SET at = 60000000;
        INSERT INTO generations VALUES (4, 1, '0123456789ab', 'c0ffee', 1, 1);
        INSERT INTO made_by VALUES (11, 1, 4), (12, 9, 4);
        INSERT INTO events (seq, id, kind, type, event, object, received_at, first_delivery, deliveries) VALUES
            (8, 'hookd_1', 'event', 'hookd.delivery', 'dead', '{"id":null,"name":"v","tags":[]}', 4000000, 13, 0),
            (9, 'hookd_2', 'event', 'hookd.webhook', 'parked', '{"id":null,"name":"w","tags":[]}', 4000000, 13, 0);
    """

    @pytest.fixture
    def fifth(self, path: Path) -> Path:
        path.touch()
        connection = _connect(path)
        migrate(connection, path, [item for item in packaged_migrations() if item[0] == 1])
        connection.executescript(TestVersion1.ROWS)
        migrate(connection, path, [item for item in packaged_migrations() if item[0] <= 5])
        connection.executescript(self.ROWS)
        connection.close()
        return path

    async def test_how_far_schedules_are_is_kept(self, fifth: Path) -> None:
        store = await SqliteStore.open(fifth)
        assert await watch(store, "old", "new", "other") == {"old": 60.0, "new": 90.0, "other": T0}
        await store.close()

    async def test_what_was_reported_is_known(self, fifth: Path) -> None:
        store = await SqliteStore.open(fifth)
        found = await store.unreported_dead_letters(before=T0, within_s=60.0, limit=9)
        assert found.reported_at == {"v": 4.0}
        assert [dead.delivery_id for dead in found.dead] == ["d-dead"]
        assert (await store.backlog()).holds == {"w": 3.0}
        await store.close()

    async def test_what_made_an_attempt_is_kept(self, fifth: Path) -> None:
        store = await SqliteStore.open(fifth)
        (attempt,) = (await record(store, "d-waits")).attempts
        assert attempt.generation == GenerationRef(1, "0123456789ab", "c0ffee", dirty=True)
        await store.close()


async def test_generations_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookd.store.sqlite.generations.MOST", 3)
    store = await SqliteStore.open(path)
    await enqueue(store, *(to("w") for _ in range(5)))
    leases = await claim(store)
    for number, lease in enumerate(leases, 1):
        attempt = dataclasses.replace(attempt_of(lease), generation=GenerationRef(number, "0123456789ab"))
        assert await store.settle(lease, attempt, DELIVERED, now=T0)
    kept = [(await record(store, lease.delivery_id)).attempts[0].generation for lease in leases]
    assert [generation and generation.number for generation in kept] == [None, None, 3, 4, 5]
    await store.close()


class TestRecent:
    def test_the_oldest_give_way(self) -> None:
        recent = BodyCache(bound=10_000)
        for seq in range(100):
            recent.put(seq, CachedDelivery(f"d{seq}", "e", "t", b"x" * 1500))
        assert [seq for seq in range(100) if recent.take(seq)] == [95, 96, 97, 98, 99]
        recent.put(1, CachedDelivery("d", "e", "t", b"x" * 20_000))
        assert recent.take(1) is None


class TestQueries:
    async def test_a_claim_walks_its_index_in_order(self, path: Path) -> None:
        connection = open_database(path)
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {NEXT_DUE}", ("w", 10))]
        connection.close()
        assert any("SEARCH deliveries USING INDEX deliveries_due (webhook=?" in line for line in plan)
        assert not any("TEMP B-TREE" in line for line in plan)

    @pytest.mark.parametrize(
        ("where", "index"),
        [
            (
                {"state": State.DEAD, "webhook": "w", "task": "t", "since": T0, "until": T0},
                "INDEX deliveries_dead",
            ),
            ({"state": State.PENDING, "webhook": "w", "task": "t", "since": T0}, "INDEX deliveries_waiting"),
            (
                {"state": State.DELIVERED, "webhook": "w", "since": T0},
                "INTEGER PRIMARY KEY (rowid",
            ),
            ({"event_id": "x", "state": State.DEAD}, "INTEGER PRIMARY KEY (rowid"),
        ],
    )
    async def test_a_step_over_matching_deliveries_sorts_nothing(
        self, path: Path, where: dict[str, Any], index: str
    ) -> None:
        connection = open_database(path)
        plans: list[str] = []
        connection.set_trace_callback(plans.append)
        queries.matching(connection, DeliveryFilter(**where), END, 10)
        connection.set_trace_callback(None)
        steps = [
            row[3]
            for statement in plans
            if "FROM deliveries" in statement
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
        connection.close()
        assert any(index in step for step in steps)
        assert not any(step.startswith("SCAN d") for step in steps)
        assert not any("TEMP B-TREE" in step for step in steps)

    async def test_writes_go_on_between_the_steps_of_a_long_listing(self, path: Path) -> None:
        store = await SqliteStore.open(path)
        for _ in range(15):
            await enqueue(store, *(to(*["w"] * 50) for _ in range(20)))
        order: list[str] = []

        async def noted(name: str, call: object) -> None:
            await call  # type: ignore[misc]
            order.append(name)

        await asyncio.gather(
            noted("listing", listed(store, state=State.DELIVERED)), noted("write", enqueue(store, to("w")))
        )
        assert order == ["write", "listing"]
        await store.close()
