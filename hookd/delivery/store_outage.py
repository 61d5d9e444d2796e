"""A store that cannot write, as the worker meets it: told once with each of its faults, and once when it is over.

Must never: ask the store anything.
"""

from hookd.domain.clock import Clock
from hookd.domain.errors import StoreUnavailable
from hookd.domain.operator_events import Emit, StoreRecovered
from hookd.observability import log
from hookd.observability.metrics import Metrics


class StoreOutage:
    """Whether the store is taken to be unable to write, and since when."""

    def __init__(self, clock: Clock, metrics: Metrics, emit: Emit, target: str) -> None:
        self._clock = clock
        self._metrics = metrics
        self._emit = emit
        self._target = target
        self._faults: set[str] = set()
        self._began_mono = 0.0
        self.is_on = False

    def began(self, exc: StoreUnavailable) -> None:
        """Note that it refused something; once it has begun, only what is new is logged."""
        if not self.is_on:
            self._began_mono = self._clock.monotonic()
        self.is_on = True
        self._metrics.store_writable.set(0)
        if (fault := str(exc)) not in self._faults:
            self._faults.add(fault)
            log.error("store.unavailable", error=fault)

    def ended(self) -> None:
        """Note that it writes again."""
        if not self.is_on:
            return
        self.is_on = False
        faults = "; ".join(sorted(self._faults))
        self._faults.clear()
        self._metrics.store_writable.set(1)
        log.info("store.recovered")
        lasted_s = self._clock.monotonic() - self._began_mono
        self._emit(StoreRecovered(self._target, faults, lasted_s))
