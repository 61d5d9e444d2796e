"""What a process of hookd asks of the kernel for itself.

That its memory, in which secrets are, stays out of core files and from other processes of its user (root may still
look into it), and that it does not outlive the process it works for. Where the system refuses, hookd goes on: each is a
second wall, and LimitCORE=0 in the unit another.

Must never: raise.
"""

import os
import resource
import signal
from collections.abc import Mapping
from contextlib import suppress

ALLOWED_BY = "HOOKD_DUMPABLE"
"""The environment variable that, set to 1, leaves the process to debuggers and core files."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def refuse_dumps(env: Mapping[str, str] = os.environ) -> None:
    """Write no core file, and let no other process of this user trace this one or read its memory.

    Children inherit the first and not the second: it ends with `exec`.
    """
    if env.get(ALLOWED_BY) == "1":
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent() -> None:
    """Be killed when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    with suppress(ImportError, OSError, MemoryError, AttributeError):
        from ctypes import CDLL  # noqa: PLC0415 - it fails where libffi may make no memory executable

        CDLL(None).prctl(option, value, 0, 0, 0)
