"""The daemon beside a backlog: its configuration, its memory, the size of its store.

Must never: judge. Called by: the parts of this proof.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import memory_mib

MIB = 1 << 20

_CONFIG = """
daemon:
  listen: [{{unix: h.sock}}]
  store: h.db
  limits: {{{limits}}}
  retention: {{delivered: {keep}, dead: 3650d}}
webhooks:
  live: {{url: "{live}/", concurrency: 50}}
  lane: {{url: "{lane}/", concurrency: 50, timeout: 120, enabled: {lane_enabled}}}
  parked: {{url: "{live}/", enabled: false}}
  later: {{url: "{live}/"}}
tasks:
  to-live: {{webhook: live, message: {{n: "${{data.n}}"}}}}
  to-parked: {{webhook: parked, message: {{n: "${{data.n}}"}}}}
events:
  live: {{type: backlog, event: live, task: to-live}}
  parked: {{type: backlog, event: parked, task: to-parked}}
"""
_NOWHERE = "http://127.0.0.1:9"


@dataclass
class BacklogStage:
    """A directory with a configuration and a store (`h.db`), and its daemon.

    The webhooks: `live` is healthy, `lane` is what a backlog may be worked off by, `parked` is disabled, `later` has
    deliveries due in ten years; deliveries of `gone` belong to no webhook.
    """

    directory: Path

    def __post_init__(self) -> None:
        self.daemon = DaemonProcess(self.directory)

    @property
    def store(self) -> Path:
        """The database file."""
        return self.directory / "h.db"

    def configure(
        self, *, live: str = _NOWHERE, lane: str | None = None, limit: int | None = 10**9, keep: str = "3650d"
    ) -> None:
        """Write the configuration, in force from the next start on.

        Args:
            live: the address of `live`.
            lane: the address of `lane`; None: it is disabled.
            limit: `limits.pending`; None: the default.
            keep: `retention.delivered`.
        """
        limits = "" if limit is None else f"pending: {limit}"
        lane_enabled = str(lane is not None).lower()
        text = _CONFIG.format(
            live=live, lane=lane or _NOWHERE, lane_enabled=lane_enabled, limits=limits, keep=keep
        )
        (self.directory / "hookd.yaml").write_text(text)

    async def start_s(self) -> float:
        """Start the daemon; seconds from exec to READY."""
        began = time.perf_counter()
        await self.daemon.start()
        return time.perf_counter() - began

    async def stop(self) -> None:
        """A clean stop."""
        assert await self.daemon.stop() == 0, self.daemon.log.read_text()[-2000:]

    def rss_mib(self) -> float:
        """VmRSS of the daemon: anonymous memory and mapped files, the program's own among them."""
        return memory_mib(self.daemon.pid)

    def disk_mib(self) -> float:
        """What the database and its write-ahead log take on the disk (allocated blocks, as du counts)."""
        files = [path for path in (self.store, self.log) if path.exists()]
        return round(sum(path.stat().st_blocks * 512 for path in files) / MIB, 1)

    @property
    def log(self) -> Path:
        """The write-ahead log."""
        return self.store.with_name("h.db-wal")


async def silent_server() -> tuple[asyncio.Server, str]:
    """A receiver that accepts and never answers, and its address."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
