"""Faults of the disk under a running daemon: failing syncs and writes, no room in odd places, short writes, read-only.

A fault is injected into the system calls of the storing thread alone. Whatever it is: what was answered 202 is kept
across a kill, what was answered 503 is not, and once the fault is over the daemon goes on by itself.
"""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.chaos.disk.full import slow_receiver
from tests.chaos.disk.stage import (
    CONFIG,
    Load,
    no_traceback,
    reconcile,
    resumed,
    storing_thread,
    until_ready,
)
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import processes
from tests.kit.receiver import Receiver
from tests.kit.strace import Injection


@dataclass(frozen=True)
class Fault:
    """What is injected, whether every write fails meanwhile, and what the refusals then name."""

    name: str
    injections: tuple[str, ...]
    lasting: bool
    names: str = "cannot be"


FAULTS = (
    Fault("EIO on some syncs", ("fdatasync:error=EIO:when=3+5",), lasting=False),
    Fault("EIO on every sync", ("fdatasync:error=EIO",), lasting=True),
    Fault("EIO on some writes", ("pwrite64:error=EIO:when=7+23",), lasting=False),
    Fault("EIO on every write", ("pwrite64:error=EIO",), lasting=True),
    Fault("ENOSPC on some writes", ("pwrite64:error=ENOSPC:when=5+17",), lasting=False),
    Fault("ENOSPC on every write", ("pwrite64:error=ENOSPC", "ftruncate:error=ENOSPC"), lasting=True),
    Fault("ENOSPC on every sync", ("fdatasync:error=ENOSPC",), lasting=True),
    Fault(
        "EROFS on every write",
        ("pwrite64:error=EROFS", "ftruncate:error=EROFS", "openat:error=EROFS"),
        lasting=True,
        names="Read-only file system",
    ),
    Fault("EIO on some reads", ("pread64:error=EIO:when=2+9",), lasting=False),
)
SHORT = ("EIO on every sync", "EROFS on every write")


async def injected(options: Options, found: Findings) -> dict[str, Any]:
    """Each fault once without and once with a kill in the middle of it."""
    place = options.place("failing")
    figures: dict[str, Any] = {}
    async with slow_receiver(options.chance()) as receiver:
        (place / "hookd.yaml").write_text(CONFIG.format(store="h.db", url=receiver.url))
        daemon = DaemonProcess(place)
        load = Load(daemon)
        try:
            await daemon.start()
            for fault in FAULTS:
                if not options.short or fault.name in SHORT:
                    kills = (False, True) if not options.short or fault.name == SHORT[0] else (False,)
                    figures[fault.name] = await _suffer(
                        daemon, load, receiver, fault, kills=kills, found=found
                    )
            figures["short writes"] = await _short_writes(daemon, load, receiver, found)
            found.expect(await daemon.settled(), "failing: what was accepted is not delivered")
            found.expect(await daemon.stop() == 0, "failing: the daemon did not end cleanly")
        finally:
            await load.stop()
            await daemon.close()
        no_traceback("failing", daemon, found)
        figures |= reconcile("failing", load, receiver, place / "h.db", found, crashes=True)
    return figures


async def _suffer(
    daemon: DaemonProcess,
    load: Load,
    receiver: Receiver,
    fault: Fault,
    *,
    kills: Iterable[bool],
    found: Findings,
) -> dict[str, Any]:
    resumed_s = 0.0
    before = load.answers.copy()
    for kill in kills:
        thread = await storing_thread(daemon, load)
        load.start()
        await asyncio.sleep(0.2)
        async with Injection(daemon.pid, *fault.injections, threads=[thread]):
            await _under(daemon, load, fault, found)
            if kill:
                await daemon.kill()
        if kill:
            await load.stop()
            await daemon.start()
        else:
            resumed_s = await resumed(daemon, receiver, fault.name, found)
            await load.stop()
    answers = load.answers - before
    return {"accepted": answers[202], "refused": answers[503], "resumed_after_s": resumed_s}


async def _under(daemon: DaemonProcess, load: Load, fault: Fault, found: Findings) -> None:
    if not fault.lasting:
        await asyncio.sleep(1.2)
        return
    found.expect(await until_ready(daemon, 503) is not None, f"{fault.name}: never answered 503")
    answered = load.answers.copy()
    await asyncio.sleep(1.2)
    accepted = load.answers[202] - answered[202]
    found.expect(not accepted, f"{fault.name}: {accepted} events were answered 202")
    found.expect(load.answers[503] > answered[503], f"{fault.name}: nothing was answered 503")
    _, problem = await daemon.request("GET", "/readyz")
    found.expect(fault.names in problem.get("detail", ""), f"{fault.name}: the cause is not named: {problem}")
    found.expect((await daemon.request("GET", "/healthz"))[0] == 200, f"{fault.name}: /healthz fails")


async def _short_writes(
    daemon: DaemonProcess, load: Load, receiver: Receiver, found: Findings
) -> dict[str, Any]:
    """Let no file grow past the log's size: the write that would is cut short, those after it fail."""
    before = load.answers.copy()
    load.start()
    await asyncio.sleep(0.3)
    async with no_file_of(processes(daemon.pid)[-1], grows_past=_size_of_log(daemon) + 1001):
        found.expect(await until_ready(daemon, 503) is not None, "short writes: never answered 503")
        await asyncio.sleep(0.5)
    resumed_s = await resumed(daemon, receiver, "short writes", found)
    await load.stop()
    answers = load.answers - before
    return {"accepted": answers[202], "refused": answers[503], "resumed_after_s": resumed_s}


def _size_of_log(daemon: DaemonProcess) -> int:
    return daemon.directory.joinpath("h.db-wal").stat().st_size


@asynccontextmanager
async def no_file_of(pid: int, *, grows_past: int) -> AsyncIterator[None]:
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (grows_past, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
