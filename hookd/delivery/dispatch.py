"""What the lanes want to claim now.

Must never: claim, or read a clock.
"""

from dataclasses import dataclass

from hookd.domain.deliveries import ClaimRequest


@dataclass(frozen=True, slots=True)
class DispatchPlan:
    """What the lanes want now, which of them want it as a probe, and when to look again at the latest (seconds)."""

    wants: tuple[ClaimRequest, ...]
    sleep_s: float
    probing: frozenset[str] = frozenset()
