"""How a reload ended: a value that `reload` makes and `api`, `daemon` and the log show.

Must never: compare configurations or load anything.
"""

from collections.abc import Mapping
from dataclasses import field

from hookd.domain.value_class import value_class


@value_class
class Changes:
    """What a reload changed in one section of the configuration, by name."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    @property
    def counts(self) -> str:
        """`+1 ~2 -0`."""
        return f"+{len(self.added)} ~{len(self.changed)} -{len(self.removed)}"

    def __str__(self) -> str:
        """`+1 ~2 -0 a, b, c`: counts, then the names."""
        names = ", ".join(
            [
                *(f"+{n}" for n in self.added),
                *(f"~{n}" for n in self.changed),
                *(f"-{n}" for n in self.removed),
            ]
        )
        return f"{self.counts} {names}".rstrip()


@value_class
class ReloadResult:
    """How a reload ended.

    Attributes:
        at: seconds since the epoch.
        faults: why it was refused, each with its place; empty when it was applied or nothing had changed.
        changes: by section of the configuration.
        restart_needed: keys of `daemon:` that differ from what the process was started with.
    """

    at: float
    faults: tuple[str, ...] = ()
    changes: Mapping[str, Changes] = field(default_factory=dict)
    restart_needed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the configuration on disk is the one in force."""
        return not self.faults
