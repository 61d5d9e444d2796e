"""What may be stored of a batch: the rules that every engine keeps, over what it knows to be stored.

Must never: touch the database.
"""

from collections.abc import Callable

from hookd.domain.errors import PendingLimitReached, PendingLimitTooSmall, TaskSpent
from hookd.domain.events import Kind, NewDelivery, Submission
from hookd.store.stored_values import OneShotKey


def unspent(
    submission: Submission, marks: dict[OneShotKey, str], is_spent: Callable[[OneShotKey], bool]
) -> tuple[NewDelivery, ...]:
    """The submission's deliveries without those of one-shots that have run.

    Args:
        submission: the event with its deliveries.
        marks: one-shots that run with this batch, by what runs them; those that run now are added.
        is_spent: whether a one-shot has run before.

    Raises:
        TaskSpent: a trigger of a task that is spent.
    """
    if not any(each.one_shot_digest for each in submission.deliveries):
        return submission.deliveries
    left: list[NewDelivery] = []
    for delivery in submission.deliveries:
        mark = (delivery.task, delivery.one_shot_digest)
        if not delivery.one_shot_digest:
            left.append(delivery)
        elif mark not in marks and not is_spent(mark):
            left.append(delivery)
            marks[mark] = delivery.id
        elif submission.event.kind is Kind.TRIGGER:
            raise TaskSpent(delivery.task)
    return tuple(left)


def unfinished_after(unfinished: int, more: int, limit: int) -> int:
    """How many deliveries are unfinished once so many more are stored.

    Raises:
        PendingLimitReached: that is more than `limit`; PendingLimitTooSmall: even if nothing waited.
    """
    if more > limit:
        raise PendingLimitTooSmall(f"{more} deliveries would be made; daemon.limits.pending is {limit}")
    if more and unfinished + more > limit:
        raise PendingLimitReached(
            f"{unfinished + more} deliveries would be waiting; daemon.limits.pending is {limit}"
        )
    return unfinished + more
