"""What a Python program would queue webhooks with instead: jobs delivered a second, and what `kill -9` does to them.

Each runs with its natural settings, from a short script in `peer_apps`, on packages installed into a venv for this run;
PostgreSQL and Redis are Debian's, in a temporary directory, as another user where this one is root. All send to the
same nginx. Then 200 jobs are acknowledged, a worker starts, and a fifth of the way through worker and broker are killed
(`kill -9`) and started again: undelivered is what has not arrived once nothing has come for 60 s.
"""

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import uvloop

from tests.bench.builds import STORE_PROCESS
from tests.bench.load import flood, request_bytes
from tests.bench.nginx import counting_nginx, nginx
from tests.bench.receiver import CountingReceiver, counting_receiver
from tests.bench.throughput import Receiver, through
from tests.bench.workloads import EVENT, PLAIN
from tests.kit.daemon import DaemonProcess

JOBS = 5_000
KILLED_JOBS = 200
DELAY_S = 0.2
"""How long the receiver takes to answer there, so that jobs are under way when all is killed."""

QUIET_S = 60.0
WORKER_S = 5.0
REACH_S = 120.0
APPS = Path(__file__).with_name("peer_apps")
PACKAGES = ("pgqueuer[asyncpg]", "celery[redis]", "huey", "procrastinate", "aiohttp", "requests")
SERVERS = "/usr/lib/postgresql/17/bin:/usr/lib/postgresql/15/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Peer:
    """One of them: the module in `peer_apps`, its broker, whether that has tables, and what its worker is told."""

    app: str
    broker: str = ""
    setup: bool = False
    words: Sequence[str] = ()


PEERS = {
    "pgqueuer": Peer("pgqueuer_app", "postgres", setup=True),
    "celery_redis": Peer("celery_app", "redis"),
    "celery_redis_threads": Peer("celery_app", "redis", words=("--pool", "threads", "--concurrency", "16")),
    "huey_sqlite": Peer("huey_app"),
    "procrastinate": Peer("procrastinate_app", "postgres", setup=True),
}


def options(parser: argparse.ArgumentParser) -> None:
    """What it can be asked for."""
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--only", nargs="+", choices=["hookd", *PEERS])


def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Jobs a second and jobs left, and the table for `docs/proofs.md` on standard error."""
    found: dict[str, Any] = {}
    chosen = asked.only or ["hookd", *PEERS]
    with tempfile.TemporaryDirectory(prefix="hookd-peers-") as name:
        Path(name).chmod(0o755)
        venv = Path(name) / "venv"
        if set(chosen) - {"hookd"}:
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "pip", "install", "-qq", *PACKAGES], check=True)
        for peer in chosen:
            folder = Path(name) / peer
            folder.mkdir()
            if peer == "hookd":
                found[peer] = uvloop.run(_hookd(folder, asked.jobs))
            else:
                found[peer] = _peer(PEERS[peer], folder, venv / "bin", asked.jobs)
            print(
                f"| {peer} | {found[peer]['per_s']} | {found[peer]['undelivered']} |",
                file=sys.stderr,
                flush=True,
            )
    return {"jobs": asked.jobs, "killed_with": KILLED_JOBS, **found}


async def _hookd(folder: Path, jobs: int) -> dict[str, Any]:
    fast = folder / "fast"
    fast.mkdir()
    with nginx(folder) as url:
        row = await through(STORE_PROCESS, PLAIN, fast, Receiver(url, None), jobs)
    async with counting_receiver(own_ids=False, delay_s=DELAY_S) as receiver:
        config = PLAIN.configure(folder, receiver.url, daemon=STORE_PROCESS.daemon)
        async with DaemonProcess(folder, config=config) as daemon:
            await flood(str(daemon.socket), map(_request, range(KILLED_JOBS)), connections=64)
            await _reach(receiver, KILLED_JOBS // 5)
            await daemon.kill()
            await daemon.start()
            left = await _undelivered(receiver)
    return {"per_s": round(row["per_s"]), "undelivered": left}


def _request(number: int) -> bytes:
    return request_bytes({**EVENT, "data": {"used_pct": number}})


def _peer(peer: Peer, folder: Path, programs: Path, jobs: int) -> dict[str, Any]:
    """Both measurements, each with a broker of its own."""
    fast, killed = folder / "fast", folder / "killed"
    with counting_nginx(folder) as (url, count), _Site(peer, fast, programs, url) as site:
        site.set_up()
        site.work()
        time.sleep(WORKER_S)
        before = count()
        began = site.post(jobs)
        while count() - before < jobs:
            time.sleep(0.02)
        per_s = jobs / (time.time() - began)
    return {"per_s": round(per_s), "undelivered": asyncio.run(_kill(peer, killed, programs))}


async def _kill(peer: Peer, folder: Path, programs: Path) -> int:
    async with counting_receiver(own_ids=False, delay_s=DELAY_S) as receiver:
        with _Site(peer, folder, programs, receiver.url) as site:
            await asyncio.to_thread(site.set_up)
            await asyncio.to_thread(site.post, KILLED_JOBS)
            site.work()
            await _reach(receiver, KILLED_JOBS // 5)
            site.kill()
            await asyncio.to_thread(site.start_broker)
            site.work()
            return await _undelivered(receiver)


async def _reach(receiver: CountingReceiver, count: int) -> None:
    async with asyncio.timeout(REACH_S):
        while receiver.came < count:
            await asyncio.sleep(0.005)


async def _undelivered(receiver: CountingReceiver) -> int:
    """How many jobs were never answered, once none has come for a while."""
    answered, quiet_at = -1, 0.0
    while len(receiver.answered) < KILLED_JOBS:
        if len(receiver.answered) != answered:
            answered, quiet_at = len(receiver.answered), time.monotonic() + QUIET_S
        if time.monotonic() > quiet_at:
            break
        await asyncio.sleep(0.1)
    return KILLED_JOBS - len(receiver.answered)


class _Site:
    """A peer's broker and worker, in a folder of the broker's user."""

    def __init__(self, peer: Peer, folder: Path, programs: Path, url: str) -> None:
        folder.mkdir()
        if user := self._as("postgres"):
            shutil.chown(folder, user)
        self._peer = peer
        self._folder = folder
        self._programs = programs
        self._running: list[subprocess.Popen[bytes]] = []
        self._log = (folder / "log").open("wb")
        dsn = f"postgresql://peers@/postgres?host={folder}"
        self._env = {
            "PATH": f"{programs}:{SERVERS}", "PYTHONPATH": str(APPS),
            "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8", "URL": url,
            "FOLDER": str(folder), "DSN": dsn, "PGDSN": dsn, "REDIS": f"redis+socket://{folder}/redis.sock",
        }  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()

    def set_up(self) -> None:
        """Start a fresh broker, and make its tables."""
        if self._peer.broker == "postgres":
            self._run("initdb", "-D", f"{self._folder}/pg", "-U", "peers", "-A", "trust")
        self.start_broker()
        if self._peer.setup:
            self._run(*self._call("setup"))

    def start_broker(self) -> None:
        """Start it on what it has stored, and wait until it answers."""
        folder = self._folder
        if self._peer.broker == "postgres":
            self._spawn("postgres", "-D", f"{folder}/pg", "-k", f"{folder}", "-c", "listen_addresses=")
            self._wait("psql", "-h", f"{folder}", "-U", "peers", "-c", "SELECT 1", "postgres")
        elif self._peer.broker == "redis":
            self._spawn(
                "redis-server", "--dir", f"{folder}", "--port", "0", "--unixsocket", f"{folder}/redis.sock"
            )
            self._wait("redis-cli", "-s", f"{folder}/redis.sock", "dbsize")

    def work(self) -> None:
        """Start the worker."""
        self._spawn(*self._call("work", *map(repr, self._peer.words)))

    def post(self, count: int) -> float:
        """Enqueue so many; returns when the first one was, in seconds since 1970."""
        return float(self._run(*self._call("post", str(count))))

    def _call(self, function: str, *words: str) -> tuple[str, ...]:
        app = self._peer.app
        return "python", "-c", f"import {app}; {app}.{function}({', '.join(words)})"

    def kill(self) -> None:
        """SIGKILL for worker and broker."""
        for process in reversed(self._running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.clear()

    def _found(self, program: str) -> str:
        found = shutil.which(program, path=self._env["PATH"])
        if found is None:
            raise SystemExit(f"{program} is needed: apt-get install postgresql redis-server")
        return found

    def _as(self, program: str) -> str | None:
        """The user that runs it: PostgreSQL refuses root."""
        return "nobody" if os.geteuid() == 0 and program in {"initdb", "postgres", "redis-server"} else None

    def _run(self, program: str, *words: str) -> bytes:
        return subprocess.run(
            [self._found(program), *words], check=True, user=self._as(program), env=self._env, cwd=self._folder,
            stdout=subprocess.PIPE, stderr=self._log,
        ).stdout  # fmt: skip

    def _spawn(self, program: str, *words: str) -> None:
        self._running.append(
            subprocess.Popen(
                [self._found(program), *words], user=self._as(program), env=self._env, cwd=self._folder,
                stdout=self._log, stderr=self._log, start_new_session=True,
            )
        )  # fmt: skip

    def _wait(self, program: str, *words: str) -> None:
        give_up_at = time.monotonic() + REACH_S
        while time.monotonic() < give_up_at:
            with suppress(subprocess.CalledProcessError):
                self._run(program, *words)
                return None
            if self._running[-1].poll() is not None:  # the killed one's processes have not all ended
                self._running.pop()
                return self.start_broker()
            time.sleep(0.1)
        raise SystemExit(f"{self._peer.broker} did not start")
