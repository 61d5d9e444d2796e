"""What the API needs from the rest of the daemon, handed in by `daemon` so that no route reaches for a neighbour.

Must never: hold logic.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hookd.config.diff import Comparison
from hookd.config.generation import CurrentConfig
from hookd.delivery.lane import LaneState
from hookd.domain.clock import Clock
from hookd.domain.reload_result import ReloadResult
from hookd.domain.spool_layout import SpoolState
from hookd.intake.pipeline import Intake
from hookd.observability.log_tail import LogTail
from hookd.observability.metrics import Metrics
from hookd.server.sockets import ListenerState
from hookd.store.contract import Store


class ReloadService(Protocol):
    """The part of the reloader that the API uses."""

    @property
    def last(self) -> ReloadResult:
        """The latest result."""
        ...

    async def request(self) -> ReloadResult:
        """Reload now and wait for the result."""
        ...

    async def compare_with_disk(self) -> Comparison:
        """What is on disk beside what is in force."""
        ...

    async def compare_with_checkout(self, path: Path, yaml_hash: str | None) -> Comparison:
        """What stands at another path beside what is in force."""
        ...

    async def compare_with_commit(self, revision: str) -> Comparison:
        """What a commit holds beside what is in force."""
        ...


class LaneService(Protocol):
    """The part of the worker that the API uses. Neither call depends on how many webhooks there are."""

    def lane_names(self) -> Iterable[str]:
        """The webhooks that are configured, and those whose lane has been used and is still known, one by one."""
        ...

    def lane_state(self, name: str, *, paused: bool) -> LaneState:
        """A webhook's lane as it is now, whether or not there is such a webhook; `paused`: by hand."""
        ...

    def try_again(self, name: str, *, probe: bool) -> None:
        """Take note that a webhook's hold was lifted by hand; `probe`: one whose receiver is down is probed at once."""
        ...


@dataclass(slots=True)
class Services:
    """The daemon's parts, as the routes see them.

    Attributes:
        started_at: seconds since the epoch.
        listeners: those that are open, as they are now.
        stopping: hookd goes down and new work is answered 503; never where sockets were passed, which outlive it.
    """

    intake: Intake
    store: Store
    current_config: CurrentConfig
    reload: ReloadService
    clock: Clock
    metrics: Metrics
    log_tail: LogTail
    lanes: LaneService
    schedule_fault: Callable[[], str | None]
    restart_needed: Callable[[], Sequence[str]]
    spool: Callable[[], SpoolState]
    started_at: float
    listeners: Callable[[], Sequence[ListenerState]] = tuple
    stopping: bool = False
