"""One generation of the configuration made ready for use, and the one reference that a reload swaps.

Whoever acts on the configuration takes `holder.current` once, at the start of an event or an attempt, and passes it
down.

Must never: load anything, or change a generation that is in force. Called by: `daemon`, `reload` (swap), `intake`,
`worker`, `api` (read).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from hookd.defs import Config
from hookd.match import Matcher


@dataclass(frozen=True, slots=True)
class Generation:
    """A configuration with what is derived from it.

    Attributes:
        number: counts the generations of this process, from 1.
        loaded_at: when it came into force, seconds since the epoch.
    """

    number: int
    config: Config
    loaded_at: float
    matcher: Matcher
    timezone: ZoneInfo

    @classmethod
    def of(cls, config: Config, *, number: int, now: float) -> "Generation":
        """Derive everything from a configuration; takes CPU time in proportion to its size, so call it in a thread.

        Raises:
            ConditionError: a `where` does not compile, which `config` does not let through.
        """
        return cls(
            number=number,
            config=config,
            loaded_at=now,
            matcher=Matcher(config.event_rules()),
            timezone=ZoneInfo(config.daemon.timezone),
        )


@dataclass(slots=True)
class Holder:
    """Holds the generation in force and tells listeners when it is swapped."""

    current: Generation
    _listeners: list[Callable[[], None]] = field(default_factory=list)

    def on_swap(self, listener: Callable[[], None]) -> None:
        """Call `listener` (which must not raise) after every swap."""
        self._listeners.append(listener)

    def swap(self, generation: Generation) -> None:
        """Put a generation into force."""
        self.current = generation
        for listener in self._listeners:
            listener()
