"""What every proof takes and gives back.

A proof is a module of this package with `async def prove(options) -> Findings`. It drives the real daemon from outside,
counts what it saw, and says what should not have been. Called by: `__main__`.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """How to run a proof.

    Attributes:
        directory: an empty directory of its own.
        seed: where its chance comes from; printed, so that a run can be repeated.
        short: a version of less than a minute for CI; the figures of docs/proofs.md come from the long one.
    """

    directory: Path
    seed: int = 1
    short: bool = False

    def chance(self) -> random.Random:
        """Random numbers that depend on the seed alone."""
        return random.Random(self.seed)

    def scale(self, *, short: int, long: int) -> int:
        """How often to do something."""
        return short if self.short else long

    def place(self, name: str) -> Path:
        """A new directory below the proof's own."""
        place = self.directory / name
        place.mkdir()
        return place


@dataclass
class Findings:
    """What a proof saw.

    Attributes:
        figures: by name, each with its denominator, fit for JSON.
        violations: what should not have been, each with enough to find it; empty when the promise held.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def expect(self, holds: object, violation: str) -> None:
        """Note a violation unless something holds."""
        if not holds:
            self.violations.append(violation)
