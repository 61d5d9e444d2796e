"""The database's clock as this process knows it: the time since the machine's start, and the difference.

So the machine's own wall clock may be set as anybody likes; and time that the machine slept counts.

Must never: ask the database.
"""

import time

from hookd.domain.clock import Clock

_DRIFT = 1e-4
"""So much two clocks may part in a second."""

_SMALL_S = 0.5
"""A correction by less never makes the clock go back."""


def boottime() -> float:
    """Seconds since the machine's start, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class DatabaseClock(Clock):
    """Tells what the database's clock shows.

    Args:
        sent: what `boottime` showed before the database was asked.
        shown: what it answered.
        answered: what `boottime` showed then.
    """

    def __init__(self, *, sent: float, shown: float, answered: float) -> None:
        self._low, self._high = shown - answered, shown - sent
        self._at = answered
        self._last = 0.0

    def now(self) -> float:
        """The database's wall time, seconds since the epoch."""
        now = boottime() + (self._low + self._high) / 2
        if self._last - _SMALL_S < now < self._last:
            return self._last
        self._last = now
        return now

    def observe(self, *, sent: float, shown: float, answered: float) -> None:
        """Take an answer of the database's into account."""
        widened = (answered - self._at) * _DRIFT
        low, high = self._low - widened, self._high + widened
        new_low, new_high = shown - answered, shown - sent
        if max(low, new_low) <= min(high, new_high):
            self._low, self._high = max(low, new_low), min(high, new_high)
        else:  # it was set
            self._low, self._high = new_low, new_high
        self._at = answered
