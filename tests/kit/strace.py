"""strace between a process and the kernel: calls that fail, take long, or kill.

A fault is written as strace has it, the call first: `fdatasync:error=EIO:when=20+40`.
"""

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from tests.kit.procfs import processes


def under(*faults: str, paths: Iterable[object] = ()) -> tuple[str, ...]:
    """A command that runs the one that follows it under these faults; on these paths only, if any are given."""
    # Under --seccomp-bpf, which stops a process at these calls alone, strace 6.1 injects no signal.
    fast = () if any(":signal=" in fault for fault in faults) else ("--seccomp-bpf",)
    return ("strace", "-f", "-qq", *fast, *_options(faults, paths), "--")


class Injection:
    """Faults in a process that runs: `async with Injection(pid, "fdatasync:error=EIO"):`.

    A thread that makes such a call waits for the tracer, for seconds on a busy machine.
    """

    def __init__(
        self, pid: int, *faults: str, threads: Iterable[int] | None = None, paths: Iterable[object] = ()
    ) -> None:
        """Trace all threads of hookd and its store, or those that are given; all files, or those of these paths."""
        self._traced = processes(pid) if threads is None else list(threads)
        self._command = ["strace", *(["-f"] if threads is None else []), *_options(faults, paths)]
        self._command += [f"-p{each}" for each in self._traced]
        self.tracer: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        self.tracer = await asyncio.create_subprocess_exec(*self._command, stderr=asyncio.subprocess.PIPE)
        assert self.tracer.stderr is not None
        for _ in self._traced:
            said = await self.tracer.stderr.readline()
            assert b"attached" in said, said
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self.tracer.send_signal(signal.SIGINT)
        await self.tracer.communicate()


def _options(faults: Iterable[str], paths: Iterable[object]) -> list[str]:
    faults = list(faults)
    calls = sorted({fault.partition(":")[0] for fault in faults})
    options = ["-o", os.devnull, "-e", f"trace={','.join(calls)}"]
    for fault in faults:
        options += ["-e", f"inject={fault}"]
    for path in paths:
        options += ["-P", str(path)]
    return options
