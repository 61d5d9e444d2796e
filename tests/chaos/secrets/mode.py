"""The Unix socket's mode has no window: from the first moment of its name on, nobody else can connect.

Must never: look at a directory that others cannot enter; there nothing would be shown. Called by: the package.
"""

import asyncio
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess

NOBODY = 65534
MODES = (0o600, 0o660)


async def mode(_: Path, findings: Findings, options: Options) -> dict[str, object]:
    """Start a daemon again and again while somebody else tries every socket; returns the figures."""
    place = _open_place()
    starts = options.scale(short=4, long=100)
    fork = get_context("fork")
    over, told = fork.Event(), fork.Queue()
    watcher = fork.Process(target=_try_all, args=(str(place), over, told.put), daemon=True)
    watcher.start()
    try:
        await _start_often(place, starts, findings)
    finally:
        over.set()
        seen = await asyncio.to_thread(told.get, timeout=20)
        watcher.join(10)
        shutil.rmtree(place)
    wrong = sorted(set(seen["modes"]) - {0, *MODES})
    findings.expect(not wrong, f"the socket had the modes {[oct(each) for each in wrong]}")
    findings.expect(seen["looks"] and seen["modes"], "nobody looked at the socket")
    if os.getuid() == 0:
        findings.expect(not seen["connected"], f"another user connected {seen['connected']} times")
    return {"starts": starts, "looks_at_the_socket": seen["looks"], "connected": seen["connected"],
            "tried_as_another_user": seen["tried"]}  # fmt: skip


def _open_place() -> Path:
    """A directory that everybody may enter."""
    place = Path(tempfile.mkdtemp(prefix="hookd-chaos-mode-"))
    place.chmod(0o755)
    return place


async def _start_often(place: Path, starts: int, findings: Findings) -> None:
    daemon = DaemonProcess(place)
    try:
        for number in range(starts):
            wanted = MODES[number % 2]
            daemon.config.write_text(
                f"daemon: {{listen: [{{unix: h.sock, mode: '{wanted:04o}'}}], store: h.db}}\nwebhooks: {{}}\n"
            )
            await daemon.start()
            found = stat.S_IMODE(daemon.socket.stat().st_mode)
            findings.expect(found == wanted, f"the socket has mode {found:o}, not {wanted:o}")
            await daemon.kill()  # leaves a stale socket behind, which the next start replaces
        daemon.socket.unlink(missing_ok=True)
        daemon.socket.write_text("precious")
        await daemon.launch()
        findings.expect(await daemon.ended() == 1, "a file at the socket's path was no reason to end")
        findings.expect(daemon.socket.read_text() == "precious", "a file at the socket's path was touched")
    finally:
        await daemon.close()


def _try_all(place: str, over: Event, tell: Callable[[Any], None]) -> None:
    """The other user: in a tight loop, look at and connect to whatever socket stands there."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    looks = tried = connected = 0
    modes: set[int] = set()
    while not over.is_set():
        looks += 1
        for path in Path(place).iterdir():
            try:
                found = path.lstat()
            except OSError:
                continue
            if stat.S_ISSOCK(found.st_mode) and path.name.startswith("h.sock"):
                modes.add(stat.S_IMODE(found.st_mode))
                tried += 1
                connected += _connects(str(path))
        time.sleep(0)
    tell({"looks": looks, "tried": tried, "connected": connected, "modes": sorted(modes)})


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(path)
        except OSError:
            return False
    return True
