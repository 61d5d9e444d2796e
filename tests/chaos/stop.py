"""`stop`: asked to stop, hookd is gone within `shutdown_grace`, whatever it waits for; nothing is lost or sent twice.

Each scene is a daemon of its own that is asked to stop in one situation, and then asked again and again until it is
gone: that must change nothing. Then it is started once more, and the books of `crash` are audited.

Called by: `python -m tests.chaos stop`.
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.chaos.crash.books import GONE, LEASE_S, Books, write_config
from tests.chaos.crash.deep import damage
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import catches
from tests.kit.receiver import Received, Receiver, response
from tests.kit.strace import Injection
from tests.kit.waiting import until

GRACE_S = 3.0
MARGIN_S = 1.5
"""What a busy machine may add to a grace."""

STORE_S = 5.0
"""How much longer a stop waits for a disk that does not answer (`hookd.daemon`)."""

AGAIN_S = 0.005
"""Pause between two signals to a daemon that is stopping."""


@dataclass
class Scene:
    """One daemon, one receiver, and how its stop went."""

    place: Path
    receiver: Receiver = field(default_factory=Receiver)
    books: Books = field(default_factory=Books)
    violations: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    signals: int = 0
    repeats: bool = False
    figures: dict[str, Any] = field(default_factory=dict)
    daemon: DaemonProcess = field(init=False)

    @property
    def name(self) -> str:
        return self.place.name

    def expect(self, holds: object, violation: str) -> None:
        if not holds:
            self.violations.append(violation)

    async def stop(self, number: signal.Signals = signal.SIGTERM, *, within_s: float = GRACE_S) -> None:
        """Ask to stop, again and again until the process is gone; it must end in time, with 0."""
        process = self.daemon.process
        assert process is not None
        began = time.monotonic()
        while process.returncode is None:
            self.daemon.signal(number)
            self.signals += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await process.wait()
            if time.monotonic() - began > 60:
                self.violations.append("it had not stopped after a minute")
                await self.daemon.kill()
                return
        took_s = time.monotonic() - began
        self.took_s.append(took_s)
        self.expect(process.returncode == 0, f"it ended with {process.returncode}")
        self.expect(
            took_s <= within_s + MARGIN_S, f"it took {took_s:.2f} s to stop; {within_s:g} s are allowed"
        )

    async def start(self) -> None:
        """Start on a new set of connections."""
        await self.daemon._close_session()
        await self.daemon.start()

    async def end(self, *, settle_s: float = LEASE_S + 30) -> list[Any]:
        """Start again, let everything be delivered, stop, audit; returns the records."""
        await self.start()
        await self.daemon.settled(within_s=settle_s)
        records = await self.daemon.listed()
        details = [await self.daemon.get(f"/v1/deliveries/{record['id']}") for record in records[:200]]
        await self.stop()
        self.violations += self.books.audit(self.receiver.requests, records) + damage(self.place / "h.db")
        counted = [each["id"] for each in records if each["failures"]]
        self.expect(not counted, f"an aborted attempt was counted: {counted}")
        if not self.repeats:
            twice = [key for key, n in Counter(r.id for r in self.receiver.requests).items() if n > 1]
            self.expect(not twice, f"arrived twice: {twice[:5]}")
        return details


async def under_load(scene: Scene) -> None:
    """Posts and deliveries go on while it stops: each post is kept, answered 503, or refused."""
    answers: Counter[int] = Counter()
    numbers = count()

    async def reply(_request: Received) -> bytes:
        await asyncio.sleep(random.random() / 50)
        return response(200)

    async def post() -> None:
        with suppress(*GONE):
            while True:
                answers[await scene.books.post(scene.daemon, scene.books.event(f"m{next(numbers)}"))] += 1

    scene.receiver.reply = reply
    await scene.daemon.start()
    posting = [asyncio.create_task(post()) for _ in range(8)]
    await scene.receiver.wait_for(50)
    await scene.stop()
    await asyncio.gather(*posting)
    scene.expect(set(answers) <= {202, 503}, f"answered {dict(answers)}")
    scene.figures["answers"] = dict(answers)
    await scene.end()


async def hung_receiver(scene: Scene) -> None:
    """Attempts that hang are aborted, recorded as such, not counted, and go again at once after the start."""
    hang = asyncio.Event()
    scene.repeats = True

    async def reply(request: Received) -> bytes:
        if b"hangs" in request.body and not hang.is_set():
            await hang.wait()
        return response(200)

    scene.receiver.reply = reply
    await scene.daemon.start()
    for number in range(5):
        await scene.books.post(scene.daemon, scene.books.event(f"fine{number}"))
        await scene.books.post(scene.daemon, scene.books.event(f"hangs{number}"))
    await scene.receiver.wait_for(20)
    await scene.stop()
    hang.set()
    await scene.start()
    began = time.monotonic()
    await scene.receiver.wait_for(30, within_s=LEASE_S + 10)
    again_s = time.monotonic() - began
    scene.expect(again_s < LEASE_S / 2, f"aborted attempts went again only after {again_s:.1f} s")
    await scene.stop()
    arrived = Counter(request.body for request in scene.receiver.requests)
    scene.expect(
        all(number == 1 + (b"hangs" in body) for body, number in arrived.items()),
        f"arrived {sorted(arrived.values())} times",
    )
    reasons = [[each["reason"] for each in record["attempts"]] for record in await scene.end()]
    scene.expect(reasons.count(["interrupted", "ok"]) == 10, f"recorded as {reasons}")
    scene.figures["aborted, then delivered"] = reasons.count(["interrupted", "ok"])


async def idle_clients(scene: Scene) -> None:
    """Silent connections, half a head and half a body do not hold it up; SIGINT does as SIGTERM."""
    await scene.daemon.start()
    await scene.books.post(scene.daemon, scene.books.event("one"))
    head = (
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    half = (b"", head[:20], head + b"{")
    clients = []
    for piece in half * 5:
        _, writer = await asyncio.open_unix_connection(str(scene.daemon.socket))
        writer.write(piece)
        await writer.drain()
        clients.append(writer)
    await scene.receiver.wait_for(2)
    await scene.stop(signal.SIGINT)
    for writer in clients:
        writer.close()
    await scene.end()


async def while_starting(scene: Scene) -> None:
    """A signal at any moment from when it is watched for: gone with 0, and the next start finds all in order."""
    for wait_s in [random.random() * 0.6 for _ in range(6)]:
        await scene.daemon.launch()
        pid = scene.daemon.pid
        await until(partial(catches, pid, signal.SIGTERM), every_s=0.001)
        await asyncio.sleep(wait_s)
        await scene.stop()
    await scene.start()
    await scene.books.post(scene.daemon, scene.books.event("one"))
    await scene.stop()
    await scene.end()


async def while_reloading(scene: Scene) -> None:
    """A reload that takes long is left."""
    await scene.daemon.start()
    await scene.books.post(scene.daemon, scene.books.event("one"))
    await scene.receiver.wait_for(2)
    config = scene.place / "hookd.yaml"
    before = config.read_text()
    many = "\n".join(f"  t{n}: {{webhook: w, message: {{n: {n}}}}}" for n in range(8000))
    await asyncio.to_thread(config.write_text, before.replace("tasks:\n", f"tasks:\n{many}\n"))
    scene.daemon.signal(signal.SIGHUP)
    await scene.daemon.notifications.wait_for("RELOADING")
    await scene.stop(within_s=0)
    await asyncio.to_thread(config.write_text, before)
    await scene.end()


async def dead_name(scene: Scene) -> None:
    """The name server never answers; needs root, for a resolv.conf and a port 53 of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        scene.figures["skipped"] = "needs root and unshare"
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.77", 53))
        server.setblocking(False)
        resolv = scene.place / "resolv.conf"
        await asyncio.to_thread(resolv.write_text, "nameserver 127.0.0.77\noptions timeout:30 attempts:5\n")
        await asyncio.to_thread(
            write_config, scene.place, "http://never.hookd.test:9/", grace_s=GRACE_S, timeout_s=60
        )
        mount = f'mount --bind "{resolv}" /etc/resolv.conf && "$@"; exit $?'
        scene.daemon.wrap = ["unshare", "-m", "sh", "-c", mount, "sh"]
        await scene.daemon.start()
        await scene.books.post(scene.daemon, scene.books.event("one"))
        async with asyncio.timeout(10):
            query = await asyncio.get_running_loop().sock_recv(server, 512)
        scene.expect(b"never" in query, "the name server was not asked")
        await scene.stop()
        scene.daemon.wrap = ()
        await asyncio.to_thread(write_config, scene.place, scene.receiver.url, grace_s=GRACE_S)
        details = await scene.end()
    reasons = [[each["reason"] for each in record["attempts"]] for record in details]
    scene.expect(reasons == [["interrupted", "ok"]] * 2, f"recorded as {reasons}")


async def slow_disk(scene: Scene) -> None:
    """Each fdatasync takes 200 ms."""
    await _on_a_disk(scene, delay_s=0.2, within_s=GRACE_S)


async def stuck_disk(scene: Scene) -> None:
    """An fdatasync takes far longer than the grace: hookd leaves it; what was answered 202 is kept all the same."""
    scene.repeats = True
    await _on_a_disk(scene, delay_s=40, within_s=GRACE_S + STORE_S)


async def _on_a_disk(scene: Scene, *, delay_s: float, within_s: float) -> None:
    answers: Counter[int] = Counter()

    async def post(number: int) -> None:
        with suppress(*GONE):
            answers[await scene.books.post(scene.daemon, scene.books.event(f"m{number}"))] += 1

    await scene.daemon.start()
    await post(0)
    await scene.receiver.wait_for(2)
    async with Injection(scene.daemon.pid, f"fdatasync:delay_enter={int(delay_s * 1e6)}") as disk:
        posting = [asyncio.create_task(post(number)) for number in range(1, 20)]
        await asyncio.sleep(min(delay_s / 2, 0.3))
        thawing = asyncio.create_task(_thaw(scene.daemon, disk.tracer))
        await scene.stop(within_s=within_s)
        thawing.cancel()
        await asyncio.gather(*posting)
    scene.figures["answers"] = dict(answers)
    scene.expect(set(answers) <= {202, 503}, f"answered {dict(answers)}")
    await scene.end()


async def _thaw(daemon: DaemonProcess, tracer: asyncio.subprocess.Process) -> None:
    """Let the disk go once hookd says that it leaves it: the kernel ends no process while a thread waits in a call."""
    while "store.left" not in await asyncio.to_thread(daemon.log.read_text):
        await asyncio.sleep(0.05)
    tracer.kill()


SCENES: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    under_load, hung_receiver, idle_clients, while_starting, while_reloading, dead_name, slow_disk, stuck_disk,
)  # fmt: skip


async def prove(options: Options) -> Findings:
    """Play every scene, some at a time; the long version plays each several times."""
    random.seed(options.seed)
    rounds = options.scale(short=1, long=5)
    busy = asyncio.Semaphore(4)
    found = Findings()
    played = await asyncio.gather(
        *(_play(play, options.place(f"{play.__name__}-{n}"), busy) for n in range(rounds) for play in SCENES)
    )
    for play in SCENES:
        scenes = [scene for scene in played if scene.name.startswith(f"{play.__name__}-")]
        stops = [took_s for scene in scenes for took_s in scene.took_s]
        found.figures[play.__name__] = {
            "stops": len(stops),
            "slowest_s": round(max(stops, default=0.0), 2),
            "signals": sum(scene.signals for scene in scenes),
            "acknowledged": sum(len(scene.books.acknowledged) for scene in scenes),
            **scenes[0].figures,
        }
        found.violations += [f"{scene.name}: {what}" for scene in scenes for what in scene.violations]
    return found


async def _play(play: Callable[[Scene], Awaitable[None]], place: Path, busy: asyncio.Semaphore) -> Scene:
    scene = Scene(place)
    async with busy, scene.receiver:
        write_config(place, scene.receiver.url, grace_s=GRACE_S, timeout_s=60 if play is hung_receiver else 3)
        scene.daemon = DaemonProcess(place)
        try:
            await play(scene)
        except (AssertionError, TimeoutError) as exc:
            scene.violations.append(f"{exc!r}")
        finally:
            await scene.daemon.close()
    return scene
