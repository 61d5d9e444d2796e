"""How many cores this process may use: what affinity leaves it, and what the quota of its cgroups comes to.

Must never: raise; where a quota cannot be read there is none.
"""

import os
from contextlib import suppress
from math import inf
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(proc: Path = Path("/proc/self/cgroup"), cgroups: Path = _CGROUPS) -> float:
    """The cores that may be used, a fraction where a quota leaves part of one."""
    return min(len(os.sched_getaffinity(0)), _quota(proc, cgroups))


def _quota(proc: Path, cgroups: Path) -> float:
    """The tightest CPU quota of this process's cgroup (version 2) and those above it, in cores."""
    own = PurePosixPath("/")
    with suppress(OSError, ValueError):
        for line in proc.read_text("utf-8").splitlines():
            if line.startswith("0::/"):
                own = PurePosixPath(line.removeprefix("0::"))
    return min(_quota_of(cgroups / str(each).lstrip("/")) for each in (own, *own.parents))


def _quota_of(cgroup: Path) -> float:
    with suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
        return inf if quota == "max" else int(quota) / int(period)
    return inf
