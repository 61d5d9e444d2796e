"""The command line as a process of its own, beside a daemon."""

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


async def emit(directory: Path, *words: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run `hookd emit` on the configuration in `directory`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hookd", "emit", *words, "-c", str(directory / "hookd.yaml"),
        env={**os.environ, **(env or {})}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
