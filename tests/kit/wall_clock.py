"""A wall clock that a test sets, under a daemon that runs: libfaketime between the process and the system.

The clock of a stage is that of its daemon and of every command. It goes at the machine's pace from whatever it is set
to. The monotonic clock stays the machine's, as it does where a system's clock is stepped.

Must never: import anything of `hookd`. Used by the tests of schedules and of what runs once only.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest

from tests.kit.stage import Stage
from tests.kit.waiting import until

_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
_SHARED = Path("/dev/shm")


def installed() -> Path | None:
    """The preload library, the one for programs with threads, if there is one."""
    found = (path for place in _PLACES for path in Path("/").glob(f"{place[1:]}/libfaketimeMT.so.1"))
    return next(found, None)


def library() -> Path:
    """The preload library; skips the test where it is not installed."""
    found = installed()
    if found is None:
        pytest.skip("libfaketime is not installed (Debian: apt install faketime), no clock can be set")
    return found


@dataclass
class WallClock:
    """The clock that processes with `env` see; `file` tells them how far it is from the machine's."""

    file: Path
    _ahead_s: float = 0.0

    @property
    def env(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else each wait with a timeout ends at once, and threads take the interpreter's lock from each other.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._ahead_s

    def set(self, moment: str | float, *, before_s: float = 0.0) -> None:
        """Step the clock, at once, for all who look at it.

        Args:
            moment: RFC 3339, or seconds since the epoch.
            before_s: so long before it, in seconds.
        """
        at = datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else moment
        self._ahead_s = at - before_s - time.time()
        aside = self.file.with_suffix(".new")
        aside.write_text(f"{self._ahead_s:+.6f}")
        aside.replace(self.file)


@dataclass
class TimedStage(Stage):
    """A stage whose wall clock a test sets; `starts` is what it shows at first (RFC 3339).

    It should start some minutes before a moment that is to be seen: a daemon takes a while to start, and a moment that
    passed before a schedule was first loaded never fires.
    """

    starts: str = "2026-06-01T11:50:00Z"
    clock: WallClock = field(init=False)
    _pids: list[int] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        (self.directory / "clock").mkdir(parents=True)
        self.clock = WallClock(self.directory / "clock" / "ahead")
        self.clock.set(self.starts)
        self.env.update(self.clock.env)
        return await super().__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        _tidy_up(self._pids)

    async def start(self, config: str = "hookd.yaml") -> None:
        await super().start(config)
        self._pids.append(self.daemon.pid)

    async def said(self, fact: str, count: int = 1, *, within_s: float = 20.0, **keys: Any) -> None:
        """Wait until the log has told a fact so often, with these keys."""
        await until(lambda: len(self.daemon.logged(fact, **keys)) >= count, within_s=within_s)


def _tidy_up(pids: Iterable[int]) -> None:
    """Remove what the library shared between a process and its children where the process was killed."""
    for pid in pids:
        for path in _SHARED.glob(f"*faketime_*_{pid}"):
            path.unlink(missing_ok=True)
