"""Does to a running daemon what the world does, one thing after the other, chosen by chance.

Every action leaves the daemon running and the world in order again. What it did is noted where it can be the cause of a
repeated request: crashes, failing disks, what was asked by hand.

Must never: judge. Called by: `prove`.
"""

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.chaos.soak import power
from tests.chaos.soak.books import Fault
from tests.chaos.soak.site import TIMEOUT_S, WEBHOOKS, Site
from tests.kit.disk import can_mount
from tests.kit.procfs import store_process
from tests.kit.strace import Injection
from tests.kit.wall_clock import installed

Action = Callable[[Site, random.Random], Awaitable[None]]

KILLED_AT = ("fdatasync", "pwrite64", "write", "connect", "read", "close")
FAILING = (
    "fdatasync:error=EIO",
    "pwrite64:error=ENOSPC",
    "pwrite64:error=EIO",
    "fdatasync:delay_enter=200000",
)
QUIET_S = 1.3
"""A reload needs as long (quiet time and second look)."""


async def kill(site: Site, chance: random.Random) -> None:
    """SIGKILL at a random moment."""
    await asyncio.sleep(chance.uniform(0, 0.5))
    site.daemon.signal(signal.SIGKILL)
    await site.crashed()


async def kill_early(site: Site, chance: random.Random) -> None:
    """SIGKILL while it starts after a SIGKILL."""
    site.daemon.signal(signal.SIGKILL)
    await site.gone()
    await site.daemon.launch()
    await asyncio.sleep(chance.uniform(0, 0.8))
    site.daemon.signal(signal.SIGKILL)
    await site.crashed()


async def kill_at_call(site: Site, chance: random.Random) -> None:
    """SIGKILL at the K-th system call of a kind."""
    call = chance.choice(KILLED_AT)
    async with _strace(site, f"{call}:signal=SIGKILL:when={chance.randint(1, 40)}"):
        assert site.daemon.process is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await site.daemon.process.wait()
        site.daemon.signal(signal.SIGKILL)
        await site.gone()
    await site.start()


async def kill_in_commit(site: Site, chance: random.Random) -> None:
    """SIGKILL while a slow disk is about to sync."""
    async with _strace(site, "fdatasync:delay_enter=300000"):
        await asyncio.sleep(chance.uniform(0.4, 1))
        site.daemon.signal(signal.SIGKILL)
        await site.gone()
    await site.start()


async def power_cut(site: Site, chance: random.Random) -> None:
    """The daemon ends, and of its disk only what was synced remains for certain."""
    await site.stop()
    log = site.directory / "strace.log"
    before = power.contents(site.store)
    site.daemon.wrap = power.tracing(site.store, log)
    await site.start()
    await asyncio.sleep(chance.uniform(0.5, 1.5))
    site.daemon.signal(signal.SIGKILL)
    await site.gone()
    site.daemon.wrap = ()
    power.lay(site.store, await asyncio.to_thread(power.image_after, before, log, chance))
    await site.start()


async def freeze(site: Site, chance: random.Random) -> None:
    """SIGSTOP for less than a receiver has time, then SIGCONT."""
    site.daemon.signal(signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(0.1, 1))
    site.daemon.signal(signal.SIGCONT)
    await asyncio.sleep(0.5)


async def kill_store(site: Site, chance: random.Random) -> None:
    """SIGKILL for the process of the store, where there is one: hookd lives on, and nothing is sent again."""
    await asyncio.sleep(chance.uniform(0, 0.5))
    for _ in range(chance.randint(1, 2)):
        if (pid := store_process(site.pid)) is not None:
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(chance.uniform(0.1, 2))
    await asyncio.sleep(1.5)


async def freeze_store(site: Site, chance: random.Random) -> None:
    """SIGSTOP for the process of the store, then SIGCONT."""
    if (pid := store_process(site.pid)) is not None:
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(chance.uniform(0.1, 2))
        os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(0.5)


async def stop(site: Site, chance: random.Random) -> None:
    """SIGTERM, and a start."""
    await asyncio.sleep(chance.uniform(0, 0.5))
    await site.stop()
    await site.start()


async def fill_disk(site: Site, chance: random.Random) -> None:
    """A full disk for a while; sometimes hookd is killed meanwhile."""
    ballast = site.directory / "disk" / "ballast"
    async with _disk_fault(site):
        await asyncio.to_thread(_fill, ballast)
        await asyncio.sleep(chance.uniform(0.5, 2))
        if chance.random() < 0.3:
            site.daemon.signal(signal.SIGKILL)
            await site.crashed()
            await asyncio.sleep(0.5)
        ballast.unlink()
        await asyncio.sleep(1.5)


async def fail_disk(site: Site, chance: random.Random) -> None:
    """Writes or syncs that fail or take long."""
    fault = chance.choice(FAILING)
    async with _disk_fault(site):
        async with _strace(site, f"{fault}:when={chance.randint(1, 9)}+{chance.randint(1, 5)}"):
            await asyncio.sleep(chance.uniform(0.5, 1.5))
        await asyncio.sleep(1.5)


async def edit(site: Site, chance: random.Random) -> None:
    """A change of the configuration that counts for every message from then on."""
    site.layout.generation += 1
    site.write_config()
    if chance.random() < 0.5:
        site.daemon.signal(signal.SIGHUP)
    await asyncio.sleep(QUIET_S)


async def edit_badly(site: Site, chance: random.Random) -> None:
    """A configuration with a fault, asked for by name, and its correction."""
    site.layout.broken = chance.choice(("\n]", "\nwebhooks: {}", '\n"unknown": 1'))
    site.write_config()
    status, _ = await site.daemon.request("POST", "/v1/reload")
    if status != 422:
        site.books.violations.append(f"unexpected: a reload of a bad configuration was answered {status}")
    site.layout.broken = ""
    site.write_config()
    await asyncio.sleep(QUIET_S)


async def remove_webhook(site: Site, chance: random.Random) -> None:
    """A webhook leaves the configuration, or is disabled, with deliveries under way and waiting, and comes back."""
    where = chance.choice((site.layout.absent, site.layout.disabled))
    name = chance.choice(WEBHOOKS)
    where.add(name)
    site.write_config()
    await asyncio.sleep(QUIET_S + 0.5)
    where.discard(name)
    site.write_config()
    await asyncio.sleep(QUIET_S)


async def fell_receiver(site: Site, chance: random.Random) -> None:
    """A receiver that is down, and then up again."""
    receiver = site.receivers[chance.choice(WEBHOOKS)]
    receiver.mode = "down"
    if refusing := chance.random() < 0.5:
        receiver.shut()
    await asyncio.sleep(chance.uniform(0.5, 2))
    if refusing:
        await receiver.listen()
    receiver.mode = "mixed"


async def starve(site: Site, chance: random.Random) -> None:
    """Too few file descriptors for a while."""
    in_use = len(os.listdir(f"/proc/{site.pid}/fd"))  # noqa: PTH208 - nothing there can block
    before = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
    low = max(8, in_use + chance.randint(-3, 3))
    resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (low, before[1]))
    await asyncio.sleep(chance.uniform(0.5, 1.5))
    with suppress(ProcessLookupError):
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, before)
    await asyncio.sleep(0.5)


async def step_clock(site: Site, chance: random.Random) -> None:
    """The wall clock is stepped, by a minute or by hours, either way."""
    assert site.clock is not None
    site.clock.set(site.clock.now() + chance.choice((-7200, -60, 60, 7200)))
    await asyncio.sleep(0.5)


async def step_ahead(site: Site, chance: random.Random) -> None:
    """The wall clock is set a minute ahead, past the end of every lease, with attempts under way that will fail."""
    assert site.clock is not None
    receiver = site.receivers[chance.choice(("a", "b"))]
    receiver.mode = "stuck"
    await asyncio.sleep(1)
    receiver.mode = "good"
    site.clock.set(site.clock.now() + 60)
    await asyncio.sleep(TIMEOUT_S)
    receiver.mode = "mixed"


async def by_hand(site: Site, chance: random.Random) -> None:
    """What an operator does: retry what was delivered, cancel what waits, pause and resume."""
    webhook = chance.choice(WEBHOOKS)
    await site.daemon.request("POST", f"/v1/webhooks/{webhook}/pause")
    await asyncio.sleep(0.3)
    for state, verb in (("delivered", "retry"), ("pending", "cancel")):
        page = await site.daemon.get(f"/v1/deliveries?state={state}&webhook={webhook}&limit=3")
        for record in page["deliveries"]:
            if verb == "retry":
                site.books.retried_by_hand.setdefault(record["id"], []).append(time.time())
            else:
                site.books.cancelled_by_hand.add(record["id"])
            await site.daemon.request("POST", f"/v1/deliveries/{record['id']}/{verb}")
    await site.daemon.request("POST", f"/v1/webhooks/{webhook}/resume")


ACTIONS: dict[str, Action] = {
    "kill": kill,
    "kill early": kill_early,
    "kill at a call": kill_at_call,
    "kill in a commit": kill_in_commit,
    "power cut": power_cut,
    "freeze": freeze,
    "store killed": kill_store,
    "store frozen": freeze_store,
    "stop": stop,
    "full disk": fill_disk,
    "failing disk": fail_disk,
    "edit": edit,
    "bad edit": edit_badly,
    "webhook removed": remove_webhook,
    "receiver down": fell_receiver,
    "few descriptors": starve,
    "clock stepped": step_clock,
    "clock set ahead": step_ahead,
    "by hand": by_hand,
}


def possible() -> list[str]:
    """The actions that this user may take here."""
    no_clock = installed() is None
    missing = {"full disk": not can_mount(), "clock stepped": no_clock, "clock set ahead": no_clock}
    return [name for name in ACTIONS if not missing.get(name)]


@asynccontextmanager
async def _disk_fault(site: Site) -> AsyncIterator[None]:
    began_at, faults = time.time(), site.books.disk_faults
    place = len(faults)
    faults.append(Fault("disk", began_at, began_at + 3600))
    try:
        yield
    finally:
        faults[place] = Fault("disk", began_at, time.time())


@asynccontextmanager
async def _strace(site: Site, injection: str) -> AsyncIterator[None]:
    """Inject into the running daemon; a thread that writes waits for the tracer, for seconds on a busy machine."""
    async with _disk_fault(site), Injection(site.pid, injection):
        yield


def _fill(ballast: Path) -> None:
    """Take all the room there is."""
    with ballast.open("wb") as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    os.write(file.fileno(), bytes(size))
