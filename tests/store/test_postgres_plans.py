"""How the server's functions find rows: by key or lane, on tables that are empty, small and large.

The server writes the plan of every statement that runs, those inside functions too, into its log.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.definitions import PostgresDef, Secret
from hookd.domain.deliveries import ClaimRequest
from hookd.domain.history import DeliveryFilter
from hookd.store.postgres import PostgresStore
from tests.kit import postgres
from tests.kit.builders import DEAD, LEASE_S, T0, enqueue, posted, retry_at, settle, to
from tests.kit.postgres import Cluster

pytestmark = pytest.mark.tools

LARGE = ("queue", "deliveries", "events", "finished", "attempts")
FEW = 100
"""So many rows may be read as it likes: a few pages."""

WEBHOOKS = [f"w{number}" for number in range(20)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    postgres.require()
    cluster = postgres.make_cluster("fsync=off", "shared_preload_libraries=auto_explain", "autovacuum=off")
    yield cluster
    cluster.stop()


def explain(cluster: Cluster, *, on: bool) -> None:
    for setting, value in (
        ("log_min_duration", 0 if on else -1), ("log_nested_statements", "on"), ("log_analyze", "on"),
        ("log_timing", "off"), ("log_format", "json"),
    ):  # fmt: skip
        cluster.run(f"ALTER ROLE hookd SET auto_explain.{setting} = {value}")


def plans(cluster: Cluster) -> list[dict[str, Any]]:
    """Every plan in the log, with its statement."""
    log = (cluster.directory / "log").read_text()
    found = re.findall(r"plan:\n((?:\t.*\n)+)", log)
    return [json.loads(text) for text in found]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def faults(plan: dict[str, Any]) -> list[str]:
    """What reads more of a large table than it gives back."""
    found = []
    for node in nodes(plan["Plan"]):
        table = node.get("Relation Name")
        if table not in LARGE:
            continue
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        if node["Node Type"] == "Seq Scan" and removed + node["Actual Rows"] > FEW:
            found.append(f"reads all of {table}")
        elif removed > 10 * max(1, node["Actual Rows"]) and removed > FEW:
            found.append(f"reads {removed} rows of {table} for {node['Actual Rows']}")
    return [f"{each}: {plan['Query Text'][:200]}" for each in found]


async def use(store: PostgresStore, name: str) -> None:
    """Call what is called while events come and go."""
    batch = [to(*WEBHOOKS, event=posted(f"{name}-{number}")) for number in range(5)]
    await enqueue(store, *batch, now=T0 + 50)
    await enqueue(store, *batch, now=T0 + 50)
    wants = [ClaimRequest(webhook, 4, LEASE_S) for webhook in WEBHOOKS]
    leases = (await store.claim(wants, now=T0 + 60)).leases
    for number, lease in enumerate(leases):
        what = (DEAD, retry_at(T0 + 70), None)[number % 3]
        if what is not None:
            await settle(store, lease, what, now=T0 + 60)
    await store.renew(leases[:3])
    await store.release(leases[2::3], why="not sent")
    await store.make_due("w1", now=T0 + 60)
    for where in (DeliveryFilter(), DeliveryFilter(webhook="w1"), DeliveryFilter(event_id=f"{name}-1")):
        await store.deliveries(where, limit=20)
    await store.retry_matching(DeliveryFilter(event_id=f"{name}-1"), now=T0 + 60, dry_run=False)
    await store.cancel(batch[0].deliveries[0].id, now=T0 + 60)
    await store.lanes()
    await store.totals()
    await store.last_died()
    await store.prune(delivered_before=T0 + 61, dead_before=T0 + 61, limit=100)
    await store._upkeep.refresh()


FILL = """
    SET search_path = {schema};
    INSERT INTO events (seq, id, kind, type, event, received_at, deliveries, batch)
    SELECT n, 'f' || n, 'event', 'vm', 'on', 0, 1, 0 FROM generate_series(1000001, 1000000 + {count}) AS n;
    INSERT INTO deliveries (seq, id, event_seq, lane, task, rule, created_at, body)
    SELECT n, 'd' || n, n, n % 20 + 1, 't', 'r', 0, '' FROM generate_series(1000001, 1000000 + {count}) AS n;
    INSERT INTO queue (seq, lane, due_at) SELECT n, n % 20 + 1, {due} + n
    FROM generate_series(1000001, 1000000 + {count} / 2) AS n;
    INSERT INTO finished (seq, lane, state, finished_at, attempt, failures, last_error, detail)
    SELECT n, n % 20 + 1, 2, {due}, 1, 0, '', '' FROM generate_series(1000001 + {count} / 2, 1000000 + {count}) AS n
"""


@pytest.mark.parametrize("count", [0, 1_000, pytest.param(200_000, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("analysed_empty", [False, True])
async def test_nothing_reads_a_table_for_a_few_rows(
    cluster: Cluster, tmp_path: Path, count: int, analysed_empty: bool
) -> None:
    definition = PostgresDef(Secret(cluster.url), schema=postgres.schema_of(tmp_path), allow_unsafe=True)
    explain(cluster, on=False)
    store = await PostgresStore.open(definition)
    await use(store, "first")
    if analysed_empty:
        cluster.run("ANALYZE")
    if count:
        cluster.run(FILL.format(schema=definition.schema, count=count, due=int((T0 + 500) * 1e6)))
    if not analysed_empty:
        cluster.run("ANALYZE")
    await store.close()
    explain(cluster, on=True)
    (cluster.directory / "log").write_text("")
    store = await PostgresStore.open(definition)
    await use(store, "second")
    await store.close()
    seen = plans(cluster)
    assert len(seen) > 50
    assert sorted({fault for plan in seen for fault in faults(plan)}) == []
