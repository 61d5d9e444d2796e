"""The clock: wall time for what is stored, monotonic time for what is waited.

Must never: be read inside a pure function; only loops and edges hold a `Clock`, everything else takes `now`.
"""

import time


class Clock:
    """Reads the machine's clocks."""

    def now(self) -> float:
        """Wall time, seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never step; only differences mean anything."""
        return time.monotonic()
