"""Events a second through the whole daemon, against a bare client loop sending the same requests, in one run.

The bare loop and the builds take turns in each round. Processor time is for one event, by thread and process.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.bench import builds
from tests.bench.builds import Build
from tests.bench.load import flood
from tests.bench.nginx import nginx
from tests.bench.workloads import CONCURRENCY, WORKLOADS, Workload
from tests.kit import procfs
from tests.kit.daemon import DaemonProcess
from tests.kit.tls import Authority

EVENTS = 20_000
CONNECTIONS = 64
ROUNDS = 5
WARM = 500

Row = dict[str, float]


@dataclass(frozen=True)
class Receiver:
    """Where an nginx listens, and what a client must trust."""

    url: str
    ca: Path | None


def options(parser: argparse.ArgumentParser) -> None:
    """What it can be asked for."""
    parser.add_argument("--workload", nargs="+", choices=sorted(WORKLOADS), default=["plain"])
    builds.add_options(parser)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--events", type=int, default=EVENTS)


def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Medians over the rounds, for each workload."""
    chosen = builds.asked_for(asked)
    rows: dict[str, dict[str, list[Row]]] = {
        workload: {name: [] for name in ("bare", *chosen)} for workload in asked.workload
    }
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        for _ in range(asked.rounds):
            for workload, own in rows.items():
                _round(Path(name), WORKLOADS[workload], chosen, own, asked.events)
    return {
        "events": asked.events,
        "connections": CONNECTIONS,
        "concurrency": CONCURRENCY,
        "rounds": asked.rounds,
        **{workload: _medians(own, rows.get("plain")) for workload, own in rows.items()},
    }


@contextmanager
def receiver(directory: Path, workload: Workload) -> Iterator[Receiver]:
    """The nginx that a workload asks for."""
    authority = Authority(directory) if workload.tls else None
    pair = authority.issue("nginx", "127.0.0.1") if authority else None
    with nginx(directory, own_ids=workload.own_ids, pair=pair) as url:
        yield Receiver(url, authority.ca if authority else None)


def _round(
    directory: Path,
    workload: Workload,
    chosen: Mapping[str, Build],
    rows: Mapping[str, list[Row]],
    events: int,
) -> None:
    with tempfile.TemporaryDirectory(dir=directory) as name, receiver(Path(name), workload) as to:
        rows["bare"].append(_bare(to, events))
        for build in chosen:
            own = Path(name) / build
            own.mkdir()
            rows[build].append(uvloop.run(through(chosen[build], workload, own, to, events)))


def _medians(rows: Mapping[str, list[Row]], plain: Mapping[str, list[Row]] | None) -> dict[str, Row]:
    """Of each build, and of its ratios to others in the same round, and to itself under the plain load."""
    found = {}
    for name, own in rows.items():
        found[name] = {key: round(statistics.median(row[key] for row in own), 1) for key in own[0]}
        others = {
            other: rows[other] for other in ("bare", "base") if other in rows and name not in {"bare", other}
        }
        if plain and plain is not rows:
            others["plain"] = plain[name]
        for other, its in others.items():
            for key, called in (("per_s", f"to_{other}"), ("cpu_us", f"cpu_to_{other}")):
                found[name][called] = builds.ratio([row[key] for row in own], [row[key] for row in its])
    return found


def _bare(to: Receiver, events: int) -> Row:
    words = [sys.executable, "-m", "tests.bench.bare", to.url, str(events), str(CONCURRENCY)]
    found: Row = json.loads(subprocess.check_output([*words, *([str(to.ca)] if to.ca else [])]))
    return found


async def through(build: Build, workload: Workload, directory: Path, to: Receiver, events: int) -> Row:
    """Take in, and deliver."""
    config = workload.configure(directory, to.url, ca=to.ca, daemon=build.daemon)
    requests = workload.take(WARM + events)
    async with DaemonProcess(directory, config=config, python=build.python) as daemon:
        await flood(str(daemon.socket), requests[:WARM], connections=4)
        await delivered(daemon, WARM)
        before, commits_before = _cpu(daemon.pid), await _commits(daemon)
        began = time.perf_counter()
        await flood(str(daemon.socket), requests[WARM:], connections=CONNECTIONS)
        await delivered(daemon, WARM + events)
        took_s = time.perf_counter() - began
        after, commits_after = _cpu(daemon.pid), await _commits(daemon)
    used = {f"{part}_us": (after[part] - before[part]) / events * 1e6 for part in after}
    commits = (commits_after - commits_before) / events * 1000
    return {"per_s": events / took_s, "cpu_us": sum(used.values()), **used, "commits_per_1000": commits}


def _cpu(pid: int) -> dict[str, float]:
    """Processor time of the main thread, of the other threads, and of child processes (the store's)."""
    threads = procfs.cpu_by_thread(pid)
    main = threads.pop(pid)
    children = sum(procfs.cpu_s(child) for child in procfs.children(pid))
    return {"main": main, "threads": sum(threads.values()), "children": children}


async def _commits(daemon: DaemonProcess) -> float:
    return await daemon.metric("hookd_store_commit_duration_seconds_count")


async def delivered(daemon: DaemonProcess, count: int) -> None:
    """Wait until so many deliveries have arrived."""
    while (await daemon.status())["deliveries"]["delivered"] < count:
        await asyncio.sleep(0.05)
