"""The place of a soak: one daemon on a small disk of its own, its configuration, its receivers, and the books.

Must never: judge. Called by: `prove` and the nemesis.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.soak.books import Books, Fault
from tests.chaos.soak.receivers import ByChance
from tests.kit.daemon import DaemonProcess
from tests.kit.disk import can_mount, mounted
from tests.kit.ports import free_port
from tests.kit.wall_clock import WallClock, installed

DISK_MIB = 256
WEBHOOKS = ("a", "b", "few", "gone")
TIMEOUT_S = 3
RULES = {"one": ["ta"], "both": ["ta", "tb"], "few": ["tfew"], "gone": ["tgone"]}


class DoesNotStart(Exception):
    """The daemon cannot be started again; the books say why."""


@dataclass
class Layout:
    """What the configuration says; the nemesis edits it, `text` writes it down.

    Attributes:
        generation: stands in every message.
        absent: webhooks that are gone, with their tasks and rules.
        disabled: webhooks with `enabled: false`.
        broken: a line that makes the file invalid.
    """

    port: int
    urls: dict[str, str]
    generation: int = 1
    absent: set[str] = field(default_factory=set)
    disabled: set[str] = field(default_factory=set)
    broken: str = ""

    def text(self) -> str:
        """The file, as JSON is YAML."""
        present = [name for name in WEBHOOKS if name not in self.absent]
        tasks = {f"t{name}": {"webhook": name, "message": self._message()} for name in present}
        rules = {
            f"{kind}-{index}": {"type": "load", "event": kind, "task": [t for t in fired if t in tasks]}
            for kind, fired in RULES.items()
            for index in range(2)  # a task that two rules name is fired once
            if any(t in tasks for t in fired)
        }
        daemon = {
            "listen": [{"unix": "h.sock"}, {"http": f"127.0.0.1:{self.port}"}],
            "store": "disk/h.db",
            "shutdown_grace": TIMEOUT_S + 3,
            "log": {"level": "warning", "format": "json"},
        }
        config = {
            "daemon": daemon,
            "webhooks": {name: self._webhook(name) for name in present},
            "tasks": tasks,
            "events": rules,
        }
        return json.dumps(config, indent=1) + self.broken

    def _message(self) -> dict[str, Any]:
        return {"n": "${data.n}", "random": "${RANDOM}", "generation": self.generation}

    def _webhook(self, name: str) -> dict[str, Any]:
        return {
            "url": self.urls[name],
            "timeout": TIMEOUT_S,
            "retries": 2 if name == "few" else 100,
            "backoff": ["50ms", "200ms", "600ms"],
            "headers": {"X-Generation": str(self.generation)},
            "enabled": name not in self.disabled,
        }


@dataclass
class Site:
    """One daemon and all that stands around it."""

    directory: Path
    daemon: DaemonProcess
    receivers: dict[str, ByChance]
    layout: Layout
    books: Books
    clock: WallClock | None = None

    @property
    def store(self) -> Path:
        return self.directory / "disk" / "h.db"

    @property
    def pid(self) -> int:
        return self.daemon.pid

    def write_config(self) -> None:
        """Put the layout into the file, at once and whole."""
        new = self.directory / ".hookd.yaml"
        new.write_text(self.layout.text())
        new.replace(self.directory / "hookd.yaml")

    async def start(self) -> None:
        """Start the daemon; that it cannot is a broken promise. Raises DoesNotStart."""
        try:
            await self.daemon.start()
        except (AssertionError, TimeoutError) as error:
            self.books.violations.append(f"lost: the daemon does not start: {error}")
            raise DoesNotStart from error

    async def crashed(self) -> None:
        """Note a crash that was caused on purpose, once the process is gone, and start again."""
        await self.gone()
        await self.start()

    async def gone(self) -> None:
        """Note a crash once the process is gone."""
        assert self.daemon.process is not None
        async with asyncio.timeout(10):
            await self.daemon.process.wait()
        self.books.crashes.append(time.time())
        await self.daemon.kill()

    async def suffer(
        self,
        name: str,
        action: Callable[["Site", random.Random], Awaitable[None]],
        chance: random.Random,
    ) -> None:
        """Let an action of the nemesis happen, and note when."""
        began_at = time.time()
        try:
            await action(self, chance)
        finally:
            self.books.actions.append(Fault(name, began_at, time.time()))

    def is_alive(self) -> bool:
        """Whether the daemon runs."""
        return self.daemon.process is not None and self.daemon.process.returncode is None

    def ended_by_itself(self, *, after: str) -> bool:
        """Whether the daemon is gone although nobody ended it; a broken promise."""
        assert self.daemon.process is not None
        code = self.daemon.process.returncode
        if code is not None:
            last = self.daemon.log.read_text()[-2000:]
            self.books.violations.append(f"lost: the daemon ended by itself ({code}) after {after}: {last}")
        return code is not None

    async def stop(self) -> None:
        """A clean stop, which must be one."""
        code = await self.daemon.stop()
        if code != 0:
            self.books.violations.append(f"unexpected: a clean stop ended with {code}")

    async def records(self) -> dict[str, dict[str, Any]]:
        """hookd's own list of deliveries, whole."""
        return {record["id"]: record for record in await self.daemon.listed()}


@asynccontextmanager
async def open_site(directory: Path, chance: random.Random, env: dict[str, str]) -> AsyncIterator[Site]:
    """A running daemon with its receivers on 127.0.0.2 and following."""
    books = Books()
    async with AsyncExitStack() as stack:
        disk = directory / "disk"
        disk.mkdir()
        if can_mount():
            stack.enter_context(mounted(disk, megabytes=DISK_MIB))
        clock = WallClock(directory / "ahead") if installed() else None
        if clock is not None:
            clock.set(clock.now())
            env = {**env, **clock.env}
        wall = clock.now if clock else time.time
        receivers = {
            name: await stack.enter_async_context(
                ByChance(name, f"127.0.0.{index}", books, chance, wall=wall)
            )
            for index, name in enumerate(WEBHOOKS, 2)
        }
        layout = Layout(free_port(), {name: receiver.url for name, receiver in receivers.items()})
        site = Site(directory, DaemonProcess(directory, env=env), receivers, layout, books, clock)
        site.write_config()
        stack.push_async_callback(site.daemon.close)
        await site.start()
        yield site
