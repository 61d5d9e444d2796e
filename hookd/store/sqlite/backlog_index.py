"""What a committed transaction changed, and the picture of what waits that is kept in memory.

The picture is never the truth: it is read from the file at open and follows each commit, so that counts and
the earliest due instants cost no query. Instants here are the microseconds that are stored.

Must never: touch the database. Runs on the writer's thread.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hookd.domain.deliveries import State
from hookd.store.stored_values import STATES, OneShotKey, seconds


@dataclass(slots=True)
class BacklogDelta:
    """The difference one transaction makes, collected while it runs.

    Attributes:
        unfinished: by webhook, how many more deliveries are unfinished.
        sending: by webhook, how many more are being sent.
        finished: by state number, how many more deliveries are in it.
        sooner: by webhook, instants at which something more can be claimed.
        earliest: by webhook, the first instant at which anything can be claimed, seen after a claim; None:
            nothing is left.
        holds: by webhook, until when it waits as a whole at least.
        moved_holds: by webhook, until when it waits as a whole, whatever it was before.
        paused: by webhook, since when it is paused (seconds since the epoch), or None: it is not any more.
        spent: by mark, whether the task is spent from now on.
    """

    unfinished: Counter[str] = field(default_factory=Counter)
    sending: Counter[str] = field(default_factory=Counter)
    finished: Counter[int] = field(default_factory=Counter)
    sooner: dict[str, int] = field(default_factory=dict)
    earliest: dict[str, int | None] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    moved_holds: dict[str, int] = field(default_factory=dict)
    paused: dict[str, float | None] = field(default_factory=dict)
    spent: dict[OneShotKey, bool] = field(default_factory=dict)

    def due(self, webhook: str, due_at: int) -> None:
        """Note that a delivery of this webhook can be claimed from `due_at` on."""
        known = self.sooner.get(webhook)
        if known is None or due_at < known:
            self.sooner[webhook] = due_at

    def hold(self, webhook: str, until: int) -> None:
        """Note that this webhook waits as a whole."""
        self.holds[webhook] = max(until, self.holds.get(webhook, until))


@dataclass(slots=True)
class BacklogIndex:
    """What waits, by webhook, and how many deliveries are in each finished state.

    Attributes:
        holds: until when (seconds since the epoch); like `paused` never changed in place, since both are handed out.
        paused: since when (seconds since the epoch).
        cut_off: attempts that were under way when the process before ended.
    """

    unfinished: dict[str, int] = field(default_factory=dict)
    sending: dict[str, int] = field(default_factory=dict)
    earliest: dict[str, int] = field(default_factory=dict)
    finished: Counter[int] = field(default_factory=Counter)
    holds: Mapping[str, float] = field(default_factory=dict)
    paused: Mapping[str, float] = field(default_factory=dict)
    total: int = 0
    cut_off: int = 0

    def apply(self, change: BacklogDelta) -> bool:
        """Follow a commit.

        Returns:
            Whether something may now be claimed sooner than was known before, or whether what is paused has changed.
        """
        self.finished.update(change.finished)
        self.total += change.unfinished.total()
        _add(self.unfinished, change.unfinished)
        _add(self.sending, change.sending)
        self.holds = held_after(self.holds, change)
        self.paused = paused_after(self.paused, change)
        rings = self._follow_due(change) or bool(change.paused or change.moved_holds)
        for webhook in change.unfinished:
            if webhook not in self.unfinished:
                self.earliest.pop(webhook, None)
        return rings

    def _follow_due(self, change: BacklogDelta) -> bool:
        rings = False
        for webhook, due_at in change.sooner.items():
            known = self.earliest.get(webhook)
            if known is None or due_at < known:
                self.earliest[webhook] = due_at
                rings = True
        for webhook, seen in change.earliest.items():
            if seen is None:
                self.earliest.pop(webhook, None)
            else:
                self.earliest[webhook] = seen
        return rings

    def totals(self) -> dict[State, int]:
        """How many deliveries are in each state."""
        sending = sum(self.sending.values())
        counts = (self.total - sending, sending, *(self.finished[code] for code in range(2, len(STATES))))
        return dict(zip(STATES, counts, strict=True))


def held_after(holds: Mapping[str, float], change: BacklogDelta) -> Mapping[str, float]:
    """Until when each webhook waits (seconds since the epoch) after a change; the given mapping stays as it is."""
    if not change.holds and not change.moved_holds:
        return holds
    longer = {name: max(seconds(until), holds.get(name, 0.0)) for name, until in change.holds.items()}
    moved = {name: seconds(until) for name, until in change.moved_holds.items()}
    return {**holds, **longer, **moved}


def paused_after(paused: Mapping[str, float], change: BacklogDelta) -> Mapping[str, float]:
    """Which webhooks are paused, and since when, after a change; the given mapping stays as it is."""
    if not change.paused:
        return paused
    changed = {**paused, **change.paused}
    return {webhook: since for webhook, since in changed.items() if since is not None}


def _add(counts: dict[str, int], differences: Counter[str]) -> None:
    for webhook, difference in differences.items():
        count = counts.get(webhook, 0) + difference
        if count:
            counts[webhook] = count
        else:
            counts.pop(webhook, None)
