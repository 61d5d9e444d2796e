"""A `hookd` command as a process of its own, run to its end."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


async def hookd(
    *words: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    within_s: float = 60.0,
) -> Ended:
    """Run a command with what tells it from this process: its words, directory, environment, input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hookd", *words, cwd=cwd, env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(within_s):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def emit(directory: Path, *words: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run `hookd emit` on the configuration in `directory`."""
    return await hookd("emit", *words, "-c", directory / "hookd.yaml", env=env)
