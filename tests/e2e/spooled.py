"""What the tests of the spool share: a configuration, and ways to fill and watch the directory."""

import json
import os
from pathlib import Path
from typing import Any

from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver
from tests.kit.waiting import until

DAEMON = "daemon: {listen: [{unix: h.sock}], store: h.db, spool: spool, log: {format: json}}\n"
RULES = """
types: {{vm: {{events: [up, down]}}}}
webhooks: {{w: {{url: {url}, timeout: 3}}}}
tasks: {{t: {{webhook: w, message: {{id: "${{ID}}"}}}}}}
events: {{e: {{type: vm, event: up, task: t}}}}
"""
UNPRIVILEGED = (
    ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "sh", "-c", '"$@"; exit $?', "sh")
    if os.geteuid() == 0
    else ()
)
"""Root may read and write everything; without its capabilities it may not."""

UP = {"type": "vm", "event": "up"}


def write(directory: Path, receiver: Receiver) -> None:
    (directory / "hookd.yaml").write_text(DAEMON + RULES.format(url=receiver.url))


def put(spool: Path, name: str, content: Any, *, mode: int = 0o640) -> None:
    """A file that is there whole or not at all."""
    part = spool / f".{name}.part"
    part.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    part.chmod(mode)
    part.rename(spool / name)


def allow(directory: Path, mode: int) -> None:
    directory.chmod(mode)


def left_in(spool: Path) -> list[Path]:
    """What is in a directory, `rejected` apart, in order."""
    return sorted(entry for entry in spool.iterdir() if entry.name != "rejected")


async def until_empty(spool: Path, *, within_s: float = 20.0) -> None:
    await until(lambda: not left_in(spool), within_s=within_s)


def ids(receiver: Receiver) -> list[str]:
    """The ids of the events whose messages arrived, in order."""
    return [json.loads(request.body)["id"] for request in receiver.requests]


async def until_error(daemon: DaemonProcess, part: str) -> dict[str, Any]:
    """The status of the spool, once its error has this in it."""
    told = await daemon.get_when("/v1/status", lambda status: part in str(status["spool"]["error"]))
    spool: dict[str, Any] = told["spool"]
    return spool


async def until_left(daemon: DaemonProcess, count: int) -> None:
    """Wait until so many files could not be put away: the daemon may have looked between any two that were put."""
    await until(lambda: daemon.log.read_text().count("spool.left") >= count)


async def until_settled(daemon: DaemonProcess, spool: Path, *, within_s: float = 20.0) -> dict[str, Any]:
    """The status of the spool, once it is empty and the daemon has noted that."""
    await until_empty(spool, within_s=within_s)
    noted = await daemon.get_when("/v1/status", lambda status: not status["spool"]["waiting"])
    spooled: dict[str, Any] = noted["spool"]
    return spooled


async def until_there(directory: Path, name: str) -> None:
    """Wait for a file."""
    await until((directory / name).exists)


async def until_gone(directory: Path, name: str) -> None:
    """Wait until a file is gone."""
    await until(lambda: not (directory / name).exists())
