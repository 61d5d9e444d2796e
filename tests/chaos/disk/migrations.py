"""A kill at each write of each migration, from the version before it with data in it.

The daemon is started under a tracer that kills it at the K-th system call that changes the file or its log, for K from
1 on until it gets ready; after each kill a start without the tracer must find everything.
"""

import asyncio
import sqlite3
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from tests.chaos.disk.stage import CONFIG
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.strace import under

CALLS = ("pwrite64", "fdatasync", "ftruncate", "unlink")
APPLICATION_ID = 0x686F6F6B
ROWS = """
    INSERT INTO events (seq, id, kind, type, event, object, time, data, digest, received_at, first_delivery, deliveries)
        VALUES (7, 'x', 'event', 'vm', 'on', NULL, NULL, '{"n":1}', x'01', 1000000, 11, 2);
    INSERT INTO deliveries (seq, id, event_seq, task, webhook, rule, state, attempt, failures, created_at, due_at)
        VALUES (11, 'd-waits', 7, 't', 'gone', 'events.r', 0, 1, 1, 1000000, 2000000);
    INSERT INTO deliveries (seq, id, event_seq, task, webhook, rule, state, attempt, failures, created_at,
                            finished_at, last_status, last_error, detail)
        VALUES (12, 'd-dead', 7, 't', 'w', 'events.r', 3, 4, 4, 1000000, 99999999999000000, 503, 'busy', 'used up');
    INSERT INTO messages (seq, body) VALUES (11, x'7b7d'), (12, x'7b7d');
    INSERT INTO attempts (delivery_seq, number, started_at, duration_s, status, reason, error, response, insecure)
        VALUES (11, 1, 1000000, 0.5, 503, 'status', '503 busy', x'00', 0);
    UPDATE tallies SET count = 1 WHERE state = 3;
"""


async def cut_off(options: Options, found: Findings) -> dict[str, Any]:
    """All migrations; how many kills each took."""
    place, versions = options.place("migrations"), _packaged()
    (place / "hookd.yaml").write_text(CONFIG.format(store="h.db", url="http://127.0.0.1:9"))
    figures = {}
    for version in range(max(versions)):
        kills = 0
        for call, numbers in _moments(options).items():
            for number in numbers:
                await asyncio.to_thread(_make, place, version, versions)
                if not await _killed_at(place, call, number, found):
                    break
                kills += 1
                await _look(
                    place, version, max(versions), f"version {version}, killed at {call} {number}", found
                )
        found.expect(kills, f"migrations: version {version} was never cut off")
        figures[f"from version {version}"] = {"kills": kills}
    return figures


def _moments(options: Options) -> dict[str, Iterable[int]]:
    """Which system calls are the last: all, until there are no more; or a few."""
    if options.short:
        return {"pwrite64": [options.chance().randrange(1, 6)], "fdatasync": [1]}
    return {call: range(1, 1000) for call in CALLS}


def _packaged() -> dict[int, str]:
    files = [
        file
        for file in resources.files("hookd.store.sqlite").joinpath("migrations").iterdir()
        if ".sql" in file.name
    ]
    return {int(file.name.partition("_")[0]): file.read_text("utf-8") for file in files}


def _make(place: Path, version: int, versions: dict[int, str]) -> None:
    """A store of that version with data in it; of version 0 there is none."""
    for file in place.glob("h.db*"):
        file.unlink()
    if version == 0:
        return
    connection = sqlite3.connect(place / "h.db", isolation_level=None)
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    for number in sorted(versions):
        if number <= version:
            connection.executescript(versions[number])
    connection.executescript(f"{ROWS}; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={version}")
    connection.close()


async def _killed_at(place: Path, call: str, number: int, found: Findings) -> bool:
    """Start under the tracer; whether it was killed before it got ready."""
    paths = [place / f"h.db{ending}" for ending in ("", "-wal", "-journal")]
    daemon = DaemonProcess(place, wrap=under(f"{call}:signal=SIGKILL:when={number}", paths=paths))
    try:
        await daemon.start()
    except AssertionError:
        assert daemon.process is not None
        killed = daemon.process.returncode in (-9, 137, 1)  # 1 where it was the process of its store
        found.expect(killed, f"migrations: {call} {number}: ended with {daemon.process.returncode}")
        return killed
    else:
        return False
    finally:
        await daemon.close()


async def _look(place: Path, before: int, target: int, name: str, found: Findings) -> None:
    daemon = DaemonProcess(place)
    try:
        await daemon.start()
        code, _ = await daemon.post({"type": "load", "event": "tick", "data": {"n": 0, "pad": ""}})
        found.expect(code == 202, f"{name}: then a post is answered {code}")
        if before:
            kept = {d["id"]: d["state"] for d in (await daemon.get("/v1/deliveries"))["deliveries"]}
            old = {key: state for key, state in kept.items() if key in ("d-waits", "d-dead")}
            found.expect(old == {"d-waits": "pending", "d-dead": "dead"}, f"{name}: then it holds {old}")
        await daemon.stop()
    except AssertionError as error:
        found.violations.append(f"{name}: then it does not start: {error}")
        return
    finally:
        await daemon.close()
    version, fault = await asyncio.to_thread(_state, place / "h.db")
    found.expect(version == target, f"{name}: then its version is {version}")
    found.expect(fault == "ok", f"{name}: then it is damaged: {fault}")


def _state(file: Path) -> tuple[int, str]:
    connection = sqlite3.connect(file)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (fault,) = connection.execute("PRAGMA integrity_check").fetchone()
    finally:
        connection.close()
    return version, fault
