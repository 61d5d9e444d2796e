"""The clocks: wall time for what is stored, monotonic time for what is waited; and where the two part.

The wall clock may be set at any time. `ClockStepDetector` is the one place where that is found out: a daemon has one,
and all that depends on the wall clock learns of each step once.

Must never: be read inside a pure function; only loops and edges hold a `Clock`, everything else takes `now`.
"""

import time
from collections.abc import Callable

from hookd.domain.value_class import value_class

STEP_S = 1.0
"""So far the wall clock may be from where the monotonic clock puts it before it counts as set."""


class Clock:
    """Reads the machine's clocks."""

    def now(self) -> float:
        """Wall time, seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never step; only differences mean anything."""
        return time.monotonic()


@value_class
class ClockStep:
    """The wall clock was set.

    Attributes:
        back_s: how far back; negative where it was set forward.
        noticed_mono: when that was noticed, on the monotonic clock.
    """

    back_s: float
    noticed_mono: float


class ClockStepDetector:
    """Compares the wall clock with the monotonic one. Pure: both are read by the caller.

    Attributes:
        since_last_run: how far the wall clock was from what it last showed to the run before, which includes the time
            in between; None: that is not known.
    """

    def __init__(self, *, now: float, mono: float, last_seen_at: float | None = None) -> None:
        """Begin to compare.

        Args:
            now: what the wall clock shows, seconds since the epoch.
            mono: what the monotonic clock shows.
            last_seen_at: what the wall clock showed last to the run before.
        """
        self.since_last_run = None if last_seen_at is None else ClockStep(last_seen_at - now, mono)
        self._now = now
        self._mono = mono
        self._listeners: list[Callable[[ClockStep], None]] = []

    def on_step(self, listener: Callable[[ClockStep], None]) -> None:
        """Call `listener` (which must not raise) once for every step from now on."""
        self._listeners.append(listener)

    def look(self, *, now: float, mono: float) -> None:
        """Compare the clocks as they are now; where the wall clock was set since the last step, tell every listener."""
        back_s = (mono - self._mono) - (now - self._now)
        if abs(back_s) > STEP_S:
            self._now, self._mono = now, mono
            for listener in self._listeners:
                listener(ClockStep(back_s, mono))
