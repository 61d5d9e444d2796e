"""A temporary machine on which a page's commands are run, in order, as a reader runs them.

The places that a page names are this stage's: ports are free ones, `/etc/hookd` and the like lie in its directory,
`sudo` is left out. What commands print is compared with what the page shows, the figures that differ from run to run
apart.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.pages import TOP, Block
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port, listens
from tests.kit.receiver import Receiver, answer
from tests.kit.waiting import until

PATIENCE_S = 60.0
CTRL_C = "^C\n"
"""Ends the output of a command that goes on until it is interrupted."""

CONFIG = """\
daemon:
  listen: [{{unix: ../hookd.sock}}, {{http: '127.0.0.1:8420'}}]
  store: h.db
  spool: ../spool
webhooks:
  ops-slack: {{url: '{url}'}}
tasks:
  sync-failed: {{webhook: ops-slack}}
  machine-on: {{webhook: ops-slack}}
  nightly-report: {{webhook: ops-slack}}
  first-boot: {{webhook: ops-slack, delete_after_running: true}}
events:
  sync-failed: {{type: outgoing_sync, event: error, task: sync-failed}}
  machine-on: {{type: virtual_machine, event: powered_on, task: machine-on}}
"""

_FIGURES = (
    (r"\b(evt|dlv)_[0-9a-f]{32}\b", r"\1_ID"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "INSTANT"),
)


class Session:
    """One page's machine, with a daemon on `CONFIG` where `daemon` asks for one."""

    def __init__(self, directory: Path, *, daemon: bool) -> None:
        self.directory = directory
        self._daemon = daemon
        self._stack = AsyncExitStack()
        self._out = b""
        self._ports = {"8420": str(free_port()), "9099": str(free_port())}
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HOOKD_", "GIT_"))},
            "HOME": str(directory),
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(TOP),
            "SLACK_URL": "http://127.0.0.1:9/",
        }

    async def __aenter__(self) -> Self:
        (self.directory / "bin").mkdir()
        self.file("bin/hookd", f'#!/bin/sh\nexec "{sys.executable}" -m hookd "$@"\n').chmod(0o755)
        for place in (
            ".zfunc",
            ".config/fish/completions",
            ".local/share/bash-completion/completions",
            "spool",
        ):
            (self.directory / place).mkdir(parents=True)
        if self._daemon:
            receiver = await self._stack.enter_async_context(Receiver(answer(200)))
            home = self.directory / "daemon"
            home.mkdir()
            (home / "hookd.yaml").write_text(self.here(CONFIG.format(url=receiver.to())))
            await self._stack.enter_async_context(DaemonProcess(home))
            self.env["HOOKD_SOCKET"] = str(self.directory / "hookd.sock")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def here(self, text: str) -> str:
        """A page's text with the places of this stage."""
        places = {
            "sudo ": "",
            "/etc/hookd": f"{self.directory}/etc/hookd",
            "/usr/local": f"{self.directory}/usr/local",
            "/srv/checkout": f"{self.directory}/srv/checkout",
            "hookd receive": f"hookd receive --listen 127.0.0.1:{self._ports['9099']}",
            **{f"127.0.0.1:{port}": f"127.0.0.1:{free}" for port, free in self._ports.items()},
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    @property
    def printed(self) -> str:
        """What the block played last printed on standard output."""
        return self._out.decode()

    def file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(self.here(text), encoding="utf-8")
        return path

    async def play(self, block: Block) -> None:
        """Do what a reader does with a block: write the file, run the commands, compare what is shown."""
        if "file" in block.words:
            self.file(block.words["file"], block.text)
        elif block.language == "console":
            await self._console(block)
        elif block.language == "json":
            seen, shown = (json.loads(figureless(text)) for text in (self.printed, block.text))
            assert seen == shown, str(block)
        elif "terminal" in block.words:
            await self._terminal(block)
        else:
            command = (
                [sys.executable, "-c"] if block.language == "python" else ["bash", "-euo", "pipefail", "-c"]
            )
            code, self._out = await self._run([*command, self.here(block.text)], merged=False)
            assert code == 0, f"{block}: {self.printed}"

    async def _console(self, block: Block) -> None:
        for command, shown, code in console(block.text):
            interrupted = shown.endswith(CTRL_C)
            run = ["bash", "-c", f"exec {self.here(command)}" if interrupted else self.here(command)]
            ended, out = await self._run(run, merged=True, interrupted=interrupted)
            seen = out.decode().replace(f"{self.directory}/", "")
            assert ended == code, f"{block}: `{command}` ended with {ended}: {seen}"
            assert matches(shown.removesuffix(CTRL_C), seen), f"{block}: `{command}` printed\n{seen}"

    async def _terminal(self, block: Block) -> None:
        """Run all lines but the last to their end, and that one until the page is over; wait until it listens."""
        *before, last = self.here(block.text).splitlines()
        code, out = await self._run(["bash", "-euc", "\n".join(before)], merged=True)
        assert code == 0, f"{block}: {out.decode()}"
        exports = [line for line in before if line.startswith("export ")]
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            "\n".join([*exports, f"exec {last}"]),
            cwd=self.directory,
            env=self.env,
            stdout=asyncio.subprocess.DEVNULL,
        )
        self._stack.push_async_callback(_ended, process)
        port = int(self._ports["9099" if "receive" in last else "8420"])
        await until(lambda: listens(port), within_s=PATIENCE_S)

    async def _run(
        self, words: Sequence[str], *, merged: bool, interrupted: bool = False
    ) -> tuple[int, bytes]:
        """Run it to its end, or to its first line and then Ctrl-C."""
        process = await asyncio.create_subprocess_exec(
            *words, cwd=self.directory, env=self.env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT if merged else None,
        )  # fmt: skip
        assert process.stdout
        begun = b""
        async with asyncio.timeout(PATIENCE_S):
            if interrupted:
                begun = await process.stdout.readline()
                process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, begun + out


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        await process.wait()


def console(text: str) -> list[tuple[str, str, int]]:
    """The commands of a console block, each with the output and the exit code that are shown."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        ended = re.search(r"^\[(\d+)\]\n\Z", shown, re.MULTILINE)
        found.append((command, shown[: ended.start()] if ended else shown, int(ended[1]) if ended else 0))
    return found


def matches(shown: str, seen: str) -> bool:
    """Whether output is what a page shows: `…` stands for the rest of what it cuts, alone in a line for any lines."""
    lines = (
        "(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
        for line in figureless(shown).splitlines()
    )
    return re.fullmatch("".join(lines), figureless(seen).rstrip("\n") + "\n") is not None


def figureless(text: str) -> str:
    """Text without what differs from run to run."""
    for figure, name in _FIGURES:
        text = re.sub(figure, name, text)
    return text
