"""Keeps the memory of this process, in which secrets are, out of core files and from other processes of its user.

Root may still look into it. Where the system refuses either, hookd goes on: it is a second wall, and LimitCORE=0 in the
unit another.

Must never: raise.
"""

import os
import resource
from collections.abc import Mapping
from contextlib import suppress

ALLOWED_BY = "HOOKD_DUMPABLE"
"""The environment variable that, set to 1, leaves the process to debuggers and core files."""

_PR_SET_DUMPABLE = 4


def refuse_dumps(env: Mapping[str, str] = os.environ) -> None:
    """Write no core file, and let no other process of this user trace this one or read its memory.

    Children inherit the first and not the second: it ends with `exec`.
    """
    if env.get(ALLOWED_BY) == "1":
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ImportError, OSError, MemoryError, AttributeError):
        from ctypes import CDLL  # noqa: PLC0415 - it fails where libffi may make no memory executable

        CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
