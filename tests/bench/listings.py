"""What a listing with a rare filter costs everybody else, with millions of deliveries in the store.

`HOOKD_LISTED` says how many (3,000,000); the file is written by SQL and not in the page cache when hookd starts.
`longest_for_hookd` leaves out the time in which any thread of hookd, or this program, queued for a processor: on a busy
machine the truth is between that and `longest`.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from hookd.store.sqlite.open import open_database
from tests.kit import procfs
from tests.kit.daemon import DaemonProcess

LISTED = int(os.environ.get("HOOKD_LISTED", "3000000"))
WARM_UP_S = 5.0
ALONE_S = 10.0
PAUSE_S = 0.002

_CONFIG = """
daemon: {listen: [{unix: h.sock}], store: h.db, log: {level: warning}}
webhooks:
  w: {url: "http://127.0.0.1:9/", enabled: false}
  rare: {url: "http://127.0.0.1:9/", enabled: false}
tasks:
  t: {webhook: w}
  rare: {webhook: rare}
events:
  e: {type: bench, event: tick, task: t}
"""
_NUMBERS = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
_FILL = (
    f"""{_NUMBERS} INSERT INTO events
    SELECT i, printf('evt_%032x', i), 'event', 'bench', 'tick', NULL, NULL, '{{"text":"' || hex(zeroblob(60)) || '"}}',
        randomblob(32), :now - (:count - i) * 10000, i, 1, NULL FROM n""",
    f"""{_NUMBERS} INSERT INTO deliveries
        (seq, id, event_seq, task, webhook, rule, state, attempt, created_at, claimed_at, finished_at, last_status)
    SELECT i, printf('dlv_%032x', i), i, 't', 'w', 'events.e', 2, 1, :now - (:count - i) * 10000,
        :now - (:count - i) * 10000, :now - (:count - i) * 10000, 200 FROM n""",
    f"{_NUMBERS} INSERT INTO messages SELECT i, zeroblob(200) FROM n",
    f"""{_NUMBERS} INSERT INTO attempts (delivery_seq, number, started_at, duration_s, status, reason, error, response,
        insecure) SELECT i, 1, :now - (:count - i) * 10000, 0.01, 200, 'ok', '', x'', 0 FROM n""",
    "UPDATE tallies SET count = :count WHERE state = 2",
)
_RARE = {
    "by webhook": "webhook=rare",
    "by state": "state=cancelled",
    "what waits": "state=pending&task=rare",
    "by time": "until=2001-01-01T00:00:00Z",
}
"""Filters that nothing matches, each over the whole history."""


def main(_asked: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds."""
    return uvloop.run(_measure())


async def _measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        directory = Path(name)
        (directory / "hookd.yaml").write_text(_CONFIG)
        await asyncio.to_thread(_fill, directory / "h.db")
        async with DaemonProcess(directory) as daemon:
            first = await daemon.get("/v1/deliveries?limit=1")
            assert first["deliveries"], "there is nothing to list"
            async with _others(daemon):
                await asyncio.sleep(WARM_UP_S)
            found: dict[str, Any] = {"deliveries": LISTED, "others_wait_ms": {}}
            async with _others(daemon) as waits:
                await asyncio.sleep(ALONE_S)
            found["others_wait_ms"]["alone"] = waits
            for what, query in _RARE.items():
                async with _others(daemon) as waits:
                    walk = await _walk(lambda cursor, query=query: _list(daemon, query, cursor))  # type: ignore[misc]
                found["others_wait_ms"][what] = waits
                found[what] = walk
            async with _others(daemon) as waits:
                found["count to retry"] = await _walk(lambda cursor: _count(daemon, cursor))
            found["others_wait_ms"]["count to retry"] = waits
    return found


def _fill(path: Path) -> None:
    connection = open_database(path)
    connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    for statement in _FILL:
        connection.execute(statement, {"count": LISTED, "now": time.time_ns() // 1000})
    connection.execute("COMMIT")
    connection.close()
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


@asynccontextmanager
async def _others(daemon: DaemonProcess) -> AsyncIterator[dict[str, Any]]:
    """Ask for other things meanwhile, again and again; the waits for each, filled in at the end."""
    took_ms: dict[str, list[float]] = {}
    for_hookd_ms: dict[str, float] = {}
    waits: dict[str, Any] = {}
    asked: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "healthz": lambda: daemon.get("/healthz"),
        "status": daemon.status,
        "one delivery": lambda: daemon.get(f"/v1/deliveries/dlv_{LISTED // 2:032x}"),
        "post": lambda: daemon.post({"type": "bench", "event": "tick"}),
    }

    async def keep_asking(what: str) -> None:
        while True:
            queued_s, began = _queued_s(daemon), time.perf_counter()
            await asked[what]()
            took_s = time.perf_counter() - began
            took_ms.setdefault(what, []).append(took_s * 1000)
            without_s = max(0.0, took_s - (_queued_s(daemon) - queued_s))
            for_hookd_ms[what] = max(for_hookd_ms.get(what, 0.0), without_s * 1000)
            await asyncio.sleep(PAUSE_S)

    tasks = [asyncio.create_task(keep_asking(what)) for what in asked]
    try:
        yield waits
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    for what, each in took_ms.items():
        waits[what] = {
            "asked": len(each),
            "longest": round(max(each), 1),
            "longest_for_hookd": round(for_hookd_ms[what], 1),
            "p99": round(sorted(each)[len(each) * 99 // 100], 1),
        }


def _queued_s(daemon: DaemonProcess) -> float:
    """How long hookd, and this program, have waited for a processor that other programs had."""
    return procfs.queued_s(daemon.pid) + procfs.queued_s()


async def _list(daemon: DaemonProcess, query: str, cursor: str | None) -> Any:
    return await daemon.get(f"/v1/deliveries?limit=50&{query}" + (f"&cursor={cursor}" if cursor else ""))


async def _count(daemon: DaemonProcess, cursor: str | None) -> Any:
    order = {"state": "delivered", "task": "rare", "dry_run": True, **({"cursor": cursor} if cursor else {})}
    status, answer = await daemon.request("POST", "/v1/deliveries/retry", body=order)
    assert status == 200, answer
    return answer


async def _walk(ask: Callable[[str | None], Coroutine[Any, Any, Any]]) -> dict[str, float]:
    """Follow the cursors to the end of what matches nothing."""
    took_ms: list[float] = []
    cursor: str | None = None
    while not took_ms or cursor is not None:
        began = time.perf_counter()
        answer = await ask(cursor)
        took_ms.append((time.perf_counter() - began) * 1000)
        cursor = answer.get("cursor")
    return {
        "requests": len(took_ms),
        "longest_ms": round(max(took_ms), 1),
        "all_s": round(sum(took_ms) / 1000, 2),
    }
