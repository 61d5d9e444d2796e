"""Hostile files beside good ones, at a reload, at a start and for `hookd check`: a verdict soon, and no lag meanwhile.

Must never: leave a large file behind. Used by: `reload`.
"""

import asyncio
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chaos.proof import Findings, Options
from tests.chaos.reload.bombs import FILES, SHORT
from tests.chaos.reload.lag import Watcher
from tests.kit.commands import hookd
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import loaders, memory_mib, open_files

VERDICT_S = 10.0
LAG_MS = 50.0
MEMORY_MIB = 256
"""What the daemon itself may grow to; the file is read by its child."""

GOOD = (
    "daemon: {{listen: [{{unix: {root}/h.sock}}], store: {root}/h.db, log: {{format: json}}}}\n"
    "webhooks: {{w: {{url: 'http://127.0.0.1:9/'}}}}\n"
)
GROWING = "file that grows for ever"


async def prove(options: Options, found: Findings) -> None:
    """Drop each file into the tree of a running daemon; then start and check with it."""
    root = options.place("hostile")
    tree = root / "conf"
    tree.mkdir()
    (tree / "good.yaml").write_text(GOOD.format(root=root))
    names = [*(SHORT if options.short else FILES), GROWING]
    async with DaemonProcess(root, config=tree) as daemon:
        watcher = await Watcher.start(daemon.socket, daemon.pid)
        try:
            hostile = _Hostile(root, tree, daemon, watcher, found)
            await hostile.run(names)
        finally:
            await watcher.close()
    hostile.report()


class _Hostile:
    """One daemon that is shown one hostile thing after another."""

    def __init__(
        self, root: Path, tree: Path, daemon: DaemonProcess, watcher: Watcher, found: Findings
    ) -> None:
        self._root = root
        self._tree = tree
        self._daemon = daemon
        self._watcher = watcher
        self._found = found
        self._verdicts_s: dict[str, float] = {}
        self._lags: dict[str, dict[str, Any]] = {}
        self._others_s: dict[str, float] = {}
        self._memory_mib = 0
        self._idle_s = 0.0

    async def run(self, names: Iterable[str]) -> None:
        descriptors = len(open_files(self._daemon.pid))
        began = time.monotonic()
        good = await hookd("check", "-c", self._tree)
        self._found.expect(good.code == 0, "the good tree is refused")
        self._idle_s = time.monotonic() - began
        for name in names:
            await self._show(name)
        self._memory_mib = int(memory_mib(self._daemon.pid, "VmHWM"))
        expect = self._found.expect
        left = loaders(self._daemon.pid)
        expect(not left, f"children left behind: {left}")
        more = len(open_files(self._daemon.pid)) - descriptors
        expect(more < 5, f"{more} more descriptors than before")  # a leak would be one for each file at least
        expect(self._memory_mib <= MEMORY_MIB, f"the daemon took {self._memory_mib} MiB")

    async def _show(self, name: str) -> None:
        """Move the thing in at once, wait for the verdict, take it away, and see the daemon well again."""
        scratch = self._root / "scratch"
        scratch.mkdir()
        if name != GROWING:
            await asyncio.to_thread(FILES[name], scratch)
        before = (await self._daemon.get("/v1/status"))["config"]
        await self._watcher.span()
        began = time.monotonic()
        growing = asyncio.create_task(_grow(self._tree / "bad.yaml")) if name == GROWING else None
        dropped = [entry.rename(self._tree / entry.name) for entry in sorted(scratch.iterdir())]
        after = await self._refused(before["last_reload"]["at"])
        self._verdicts_s[name] = time.monotonic() - began
        self._lags[name] = await self._watcher.span()
        if growing is not None:
            growing.cancel()
            dropped = [self._tree / "bad.yaml"]
        self._judge(name, before, after)
        if name != GROWING:
            await self._start_and_check(name)
        await asyncio.to_thread(_remove, [*dropped, scratch])
        code, answer = await self._daemon.request("POST", "/v1/reload")
        self._found.expect(
            code == 200, f"{name}: afterwards a reload is answered {code}: {str(answer)[:300]}"
        )

    async def _refused(self, last_at: str) -> Any:
        """The status once there is a verdict later than that."""
        give_up_at = time.monotonic() + 2 * VERDICT_S
        while True:
            config = (await self._daemon.get("/v1/status"))["config"]
            if config["last_reload"]["at"] != last_at or time.monotonic() > give_up_at:
                return config
            await asyncio.sleep(0.02)

    def _judge(self, name: str, before: Any, after: Any) -> None:
        last, expect = after["last_reload"], self._found.expect
        expect(not last["ok"], f"{name}: not refused")
        told = str(last["faults"][:1])
        expect("bad" in told or name == GROWING, f"{name}: the fault names no file: {told[:300]}")
        expect("inside hookd" not in told, f"{name}: {told[:300]}")
        expect(after["number"] == before["number"], f"{name}: another configuration is in force")
        took_s, lag = self._verdicts_s[name], self._lags[name]
        # A thread that holds the interpreter's lock may be kept from a CPU as well, which the twin tells.
        own_ms = min(lag["daemon"]["own"], lag["daemon"]["whole"] - lag["bare"]["whole"])
        expect(took_s < VERDICT_S, f"{name}: the verdict took {took_s:.1f} s")
        expect(own_ms < LAG_MS, f"{name}: the loop was {own_ms} ms late ({self._lags[name]})")

    async def _start_and_check(self, name: str) -> None:
        """`hookd run` ends with 78 and `hookd check` with 1, both soon, naming the file and without a traceback."""
        began = time.monotonic()
        for command, wanted in (("run", 78), ("check", 1)):
            ended = await hookd(command, "-c", self._tree, cwd=self._root)
            took_s, began = time.monotonic() - began, time.monotonic()
            took_s -= self._idle_s  # what the machine takes to do the same with a good tree
            self._others_s[f"{command}: {name}"] = took_s
            output = ended.out + ended.err
            said = output[:300]
            expect = self._found.expect
            expect(ended.code == wanted, f"{command} with {name} ended with {ended.code}: {said}")
            expect(took_s < VERDICT_S, f"{command} with {name} took {took_s:.1f} s")
            expect("Traceback" not in output, f"{command} with {name}: {said}")
            expect("bad" in output, f"{command} with {name} names no file: {said}")

    def report(self) -> None:
        """Put what was seen into figures."""
        slowest = max(self._verdicts_s, key=lambda name: self._verdicts_s[name])
        latest = max(self._lags, key=lambda name: float(self._lags[name]["daemon"]["own"]))
        other = max(self._others_s, key=lambda name: self._others_s[name])
        asked = sum(int(lag["daemon"]["asked"]) for lag in self._lags.values())
        self._found.figures |= {
            "hostile files": len(self._verdicts_s),
            "slowest verdict, s": [round(self._verdicts_s[slowest], 1), slowest],
            "slowest start or check, s": [round(self._others_s[other], 1), other],
            "longest answer meanwhile, ms": {**self._lags[latest], "file": latest, "asked in all": asked},
            "most memory of the daemon, MiB": self._memory_mib,
        }


async def _grow(path: Path) -> None:
    with path.open("w") as file:
        file.write("webhooks: {}\n")
        while True:
            file.write("# more\n")
            file.flush()
            await asyncio.sleep(0.05)


def _remove(paths: Iterable[Path]) -> None:
    """As `rm` does it: a thousand directories in each other are too many for `shutil.rmtree`."""
    subprocess.run(["rm", "-rf", "--", *map(str, paths)], check=True)
