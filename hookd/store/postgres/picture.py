"""What waits, as this process knows it: what its own calls were answered, and what it read of all others' a moment ago.

The counts are two parts that never mix: what this process has added itself, exactly, and what the others had added
when the database was last asked.

Must never: ask the database. It is a picture: what may be claimed the database decides.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from hookd.domain.backlog import Backlog
from hookd.domain.value_class import value_class
from hookd.store.stored_values import seconds


@value_class
class LaneRow:
    """A lane as the database tells of it; instants in microseconds."""

    webhook: str
    due: int | None
    others: int
    hold_until: int
    paused_at: int | None


class Picture:
    """What waits, by webhook."""

    def __init__(self) -> None:
        self._own: Counter[str] = Counter()
        self._others: dict[str, int] = {}
        self._earliest: dict[str, int] = {}
        self._holds: dict[str, int] = {}
        self._paused: dict[str, int] = {}
        self._touched: dict[str, int] = {}
        self._moves = 0
        self._snapshot: Backlog | None = None
        self._fault: str | None = None
        self.total = 0

    @property
    def fault(self) -> str | None:
        """Why the last write failed."""
        return self._fault

    def set_fault(self, fault: str | None) -> bool:
        """Note why writing fails, None where it works; whether it has begun or ceased to."""
        changed = (self._fault is None) != (fault is None)
        if fault != self._fault:
            self._fault, self._snapshot = fault, None
        return changed

    def earliest(self, webhook: str) -> int | None:
        """When something of a lane may first be claimed, as far as is known."""
        return self._earliest.get(webhook)

    def count(self, webhook: str, more: int) -> None:
        """Note that so many more deliveries of a lane wait, by this process's doing."""
        self._own[webhook] += more
        self.total += more
        if not self._waits(webhook):
            self._earliest.pop(webhook, None)
        self._snapshot = None

    def due(self, webhook: str, at: int) -> bool:
        """Note that something can be claimed from an instant on; whether that is sooner than was known."""
        self._touch(webhook)
        known = self._earliest.get(webhook)
        if known is not None and known <= at:
            return False
        self._earliest[webhook] = at
        return True

    def looked(self, webhook: str, next_due: int | None) -> None:
        """Take over what a claim saw of a lane: when what it left there is due."""
        self._touch(webhook)
        if next_due is None:
            self._earliest.pop(webhook, None)
        else:
            self._earliest[webhook] = next_due

    def hold(self, webhook: str, until: int) -> None:
        """Note that a lane waits as a whole at least until an instant."""
        self._touch(webhook)
        self._holds[webhook] = max(until, self._holds.get(webhook, until))

    def lift_hold(self, webhook: str, now: int) -> None:
        """Note that a lane is not held any more."""
        self._touch(webhook)
        self._holds[webhook] = now

    def pause(self, webhook: str, since: int | None) -> None:
        """Note that a lane is paused, or, with None, that it is not any more."""
        self._touch(webhook)
        if since is None:
            self._paused.pop(webhook, None)
        else:
            self._paused[webhook] = since

    def _touch(self, webhook: str) -> None:
        self._moves += 1
        self._touched[webhook] = self._moves
        self._snapshot = None

    def mark(self) -> int:
        """The point up to which an answer that is asked for now knows of this process's own calls."""
        return self._moves

    def take_over(self, rows: Iterable[LaneRow], mark: int) -> bool:
        """Take over what the database was asked for at `mark`: nothing of lanes that have changed here since.

        Returns:
            Whether something may be claimed sooner than was known, or what is paused or held has changed.
        """
        rings = False
        others: dict[str, int] = {}
        for row in rows:
            if row.others:
                others[row.webhook] = row.others
            if self._touched.get(row.webhook, 0) <= mark:
                rings |= self._follow(row)
        self.total = self._own.total() + sum(others.values())
        self._others = others
        self._touched = {webhook: move for webhook, move in self._touched.items() if move > mark}
        self._snapshot = None
        return rings

    def _follow(self, row: LaneRow) -> bool:
        known = self._earliest.get(row.webhook)
        rings = row.due is not None and (known is None or row.due < known)
        if row.due is None:
            self._earliest.pop(row.webhook, None)
        else:
            self._earliest[row.webhook] = row.due
        rings |= self._holds.get(row.webhook, 0) != row.hold_until
        if row.hold_until:
            self._holds[row.webhook] = row.hold_until
        else:
            self._holds.pop(row.webhook, None)
        rings |= self._paused.get(row.webhook) != row.paused_at
        if row.paused_at is None:
            self._paused.pop(row.webhook, None)
        else:
            self._paused[row.webhook] = row.paused_at
        return rings

    def forget_own(self) -> None:
        """Note that this process counts anew: what it had added is among the others' from now on."""
        self._own.clear()
        self._snapshot = None

    def snapshot(self) -> Backlog:
        """What waits, as one value."""
        if self._snapshot is None:
            self._snapshot = Backlog(
                earliest_due={
                    webhook: seconds(due) for webhook, due in self._earliest.items() if self._waits(webhook)
                },
                holds=_in_seconds(self._holds),
                paused=_in_seconds(self._paused),
                pending=max(0, self.total),
                fault=self._fault,
            )
        return self._snapshot

    def _waits(self, webhook: str) -> bool:
        return self._own[webhook] + self._others.get(webhook, 0) > 0


def _in_seconds(instants: Mapping[str, int]) -> dict[str, float]:
    return {webhook: seconds(instant) for webhook, instant in instants.items()}
