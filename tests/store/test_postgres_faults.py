"""What a start says of a server that it cannot use, and what a running store does when one goes; each a real server."""

import asyncio
import random
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

import hookd.store
from hookd.domain.definitions import PostgresDef, Secret
from hookd.domain.errors import StoreUnavailable, StoreUnreachable, StoreUnusable
from hookd.store.open import check_store, migrate_store, open_store, store_status
from hookd.store.postgres import PostgresStore, opening
from tests.kit import postgres
from tests.kit.builders import claim, claim_one, enqueue, posted, settle, to
from tests.kit.postgres import Cluster, schema_of
from tests.kit.waiting import until

pytestmark = pytest.mark.tools

SETUP = (
    "CREATE ROLE guest LOGIN",
    "CREATE ROLE locked LOGIN PASSWORD 'other'",
    "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0",
    "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    postgres.require()
    cluster = postgres.make_cluster("fsync=on")
    for statement in SETUP:
        cluster.run(statement, "postgres")
    hba = cluster.directory / "data" / "pg_hba.conf"
    hba.write_text(f"local all locked scram-sha-256\nlocal all banned reject\n{hba.read_text()}")
    cluster.run("SELECT pg_reload_conf()")
    yield cluster
    with suppress(AssertionError):
        cluster.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "PATIENCE_S", 0.3)


@pytest.fixture
def definition(cluster: Cluster, tmp_path: Path) -> PostgresDef:
    return PostgresDef(Secret(cluster.url), schema=schema_of(tmp_path))


def at(definition: PostgresDef, **changes: str) -> PostgresDef:
    """The same server, with other parts of its URL."""
    url = definition.url.value
    for old, new in changes.items():
        url = {
            "user": re.sub("user=[a-z]+", f"user={new}", url),
            "database": url.replace("/hookd?", f"/{new}?"),
            "host": re.sub("host=[^&]+", f"host={new}", url),
        }[old]
    return replace(definition, url=Secret(url))


async def refused(definition: PostgresDef, error: type[StoreUnusable], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        await open_store(definition)
    assert type(caught.value) is StoreUnreachable or error is not StoreUnreachable
    assert "s3cret" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
class TestStart:
    async def test_a_server_that_does_not_answer(self, definition: PostgresDef, tmp_path: Path) -> None:
        await refused(at(definition, host=str(tmp_path)), StoreUnreachable, "cannot reach postgresql://")

    async def test_no_such_role(self, definition: PostgresDef) -> None:
        await refused(at(definition, user="nobody"), StoreUnusable, 'role "nobody" does not exist')

    async def test_no_such_database(self, definition: PostgresDef) -> None:
        await refused(at(definition, database="none"), StoreUnusable, 'database "none" does not exist')

    async def test_a_wrong_password(self, definition: PostgresDef) -> None:
        locked = at(definition, user="locked:wrong")
        locked = replace(
            definition, url=Secret(definition.url.value.replace("user=hookd", "user=locked&password=s3cret"))
        )
        await refused(locked, StoreUnusable, "password authentication failed")

    async def test_no_entry_of_pg_hba(self, definition: PostgresDef) -> None:
        await refused(at(definition, user="banned"), StoreUnusable, "pg_hba")

    async def test_no_connection_left(self, definition: PostgresDef) -> None:
        await refused(at(definition, user="crowded"), StoreUnreachable, "too many connections")

    async def test_no_right_to_make_a_schema(self, definition: PostgresDef) -> None:
        await refused(
            at(definition, user="guest"), StoreUnusable, 'GRANT CREATE ON DATABASE "hookd" TO "guest"'
        )

    async def test_an_encoding_that_is_not_utf8(self, definition: PostgresDef) -> None:
        await refused(at(definition, database="ascii"), StoreUnusable, "encoding SQL_ASCII; hookd needs UTF8")

    async def test_a_schema_that_may_not_be_made(self, definition: PostgresDef) -> None:
        await refused(replace(definition, migrate=False), StoreUnusable, "run `hookd store migrate`")

    async def test_a_newer_schema(self, definition: PostgresDef, cluster: Cluster) -> None:
        await (await open_store(definition)).close()
        cluster.run(f"UPDATE {definition.schema}.meta SET version = 9")
        await (await open_store(definition)).close()
        cluster.run(f"UPDATE {definition.schema}.meta SET compatible_from = 8")
        await refused(
            definition, StoreUnusable, "version 9, which programs from version 8 on can use; this one knows"
        )

    async def test_a_server_that_does_not_wait_for_its_disk(self, tmp_path: Path) -> None:
        unsafe = PostgresDef(Secret(postgres.shared_cluster().url), schema=schema_of(tmp_path))
        await refused(unsafe, StoreUnusable, "fsync=off: what hookd has acknowledged would be lost")

    async def test_a_missing_driver(self, definition: PostgresDef, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith("hookd.store.postgres")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(hookd.store, "postgres")
        monkeypatch.setitem(sys.modules, "asyncpg", None)
        await refused(definition, StoreUnusable, r"pip install 'hookd\[postgres\]'")

    def test_a_standby(self, definition: PostgresDef) -> None:
        cluster = postgres.make_cluster("fsync=on")
        cluster.stop("fast")
        (cluster.directory / "data" / "standby.signal").touch()
        cluster.start()
        standby = replace(definition, url=Secret(cluster.url))
        asyncio.run(refused(standby, StoreUnreachable, "only reads now"))
        cluster.stop()

    async def test_several_processes_make_the_schema_at_once(self, definition: PostgresDef) -> None:
        stores = await asyncio.gather(*(open_store(definition) for _ in range(4)))
        assert await stores[0].totals() == await stores[3].totals()
        await asyncio.gather(*(store.close() for store in stores))


class TestCommands:
    def test_migrate_status_and_check(self, definition: PostgresDef, cluster: Cluster) -> None:
        with pytest.raises(StoreUnusable, match="does not exist yet"):
            check_store(definition)
        assert store_status(definition)["schema_version"] is None
        assert migrate_store(definition) == "brought from version 0 to 1"
        assert migrate_store(definition) == "version 1 already"
        status = store_status(definition)
        assert (status["schema_version"], status["pooled"], status["role"]) == (1, False, "hookd")
        assert check_store(definition) == []
        asyncio.run(self.stored(definition))
        assert check_store(definition) == []
        cluster.run(f"DELETE FROM {definition.schema}.queue")
        assert check_store(definition) == [
            "1 deliveries are neither in the queue nor in the history", "0 deliveries wait, and 1 are counted",
        ]  # fmt: skip

    async def stored(self, definition: PostgresDef) -> None:
        store = await open_store(definition)
        await enqueue(store, to("w"), to("w"))
        await settle(store, await claim_one(store))
        await store.close()

    def test_a_pooler_is_recognised(self, definition: PostgresDef) -> None:
        cluster = postgres.shared_cluster()
        pooled = replace(definition, url=Secret(cluster.pooled_url), allow_unsafe=True)
        assert store_status(pooled)["pooled"] is True


class TestRunning:
    async def test_a_server_that_goes_is_unavailable_and_comes_back(
        self, definition: PostgresDef, cluster: Cluster
    ) -> None:
        store = await open_store(definition)
        await enqueue(store, to("w", event=posted("before")))
        await asyncio.to_thread(cluster.stop)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(store.probe(), 10)
        assert (await store.backlog()).fault is not None
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(store.event("before"), 10)
        await asyncio.wait_for(store.heartbeat(), 1)
        await asyncio.to_thread(cluster.start)

        async def recovered() -> bool:
            return (await store.backlog()).fault is None

        await until(recovered)
        assert len(await claim(store)) == 1
        await store.close()

    async def test_a_role_that_may_not_come_in_any_more_is_tried_again(
        self, definition: PostgresDef, cluster: Cluster
    ) -> None:
        store = await open_store(definition)
        cluster.run("ALTER ROLE hookd NOLOGIN")
        cluster.run(END_ALL)
        with pytest.raises(StoreUnavailable, match="not permitted to log in"):
            await asyncio.wait_for(store.probe(), 10)
        cluster.run("ALTER ROLE hookd LOGIN")

        async def recovered() -> bool:
            return (await store.backlog()).fault is None

        await until(recovered)
        await enqueue(store, to("w"))
        await store.close()

    async def test_a_batch_in_doubt_is_stored_once(self, definition: PostgresDef, cluster: Cluster) -> None:
        """Its session is ended again and again, at any moment of it: each event is there once, and was answered."""
        store = await open_store(definition)
        ended = 0

        async def end_sessions() -> None:
            nonlocal ended
            while ended < 12:
                ended += int(await asyncio.to_thread(cluster.run, END_ALL))
                await asyncio.sleep(random.uniform(0.1, 0.8))

        ending = asyncio.ensure_future(end_sessions())
        stored: list[str] = []
        while not ending.done():
            number = len(stored)
            batch = [to("w", event=posted(f"{number}-{each}-{random.random()}")) for each in range(3)]
            with suppress(StoreUnavailable):
                receipts = await enqueue(store, *batch)
                assert not any(receipt.duplicate for receipt in receipts)
                stored += [receipt.event_id for receipt in receipts]
            await asyncio.sleep(0.005)
        assert len(stored) > 50
        kept = cluster.run(f"SELECT count(*), count(DISTINCT id) FROM {definition.schema}.events")
        assert kept == f"{len(stored)}|{len(stored)}"
        await store.close()
        assert await asyncio.to_thread(check_store, definition) == []

    async def test_settles_in_doubt_are_recorded_once(
        self, definition: PostgresDef, cluster: Cluster
    ) -> None:
        store = await open_store(definition)
        assert isinstance(store, PostgresStore)
        await enqueue(store, *(to("w") for _ in range(200)))
        stop = asyncio.Event()

        async def end_sessions() -> None:
            while not stop.is_set():
                await asyncio.to_thread(cluster.run, END_ALL)
                await asyncio.sleep(random.uniform(0.1, 0.8))

        ending = asyncio.ensure_future(end_sessions())
        settled = 0
        while settled < 200:
            leases = []
            with suppress(StoreUnavailable):
                leases = list(await claim(store, slots=20))
            while leases:
                with suppress(StoreUnavailable):
                    assert await settle(store, leases[-1])
                    leases.pop()
                    settled += 1
                await asyncio.sleep(0.002)
        stop.set()
        await ending
        recorded = cluster.run(
            f"SELECT count(*), count(DISTINCT delivery_seq) FROM {definition.schema}.attempts WHERE reason = 'ok'"
        )
        assert recorded == "200|200"
        await store.close()
        assert await asyncio.to_thread(check_store, definition) == []


END_ALL = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'hookd/%'
"""
