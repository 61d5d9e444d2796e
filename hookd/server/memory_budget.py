"""How much memory requests may take: their bodies until they are answered, and their answers until they are read.

The number of connections alone bounds nothing: a thousand bodies of 1 MiB are a GiB, and parsed many times that. What
does not fit is refused (503 with Retry-After); among unfinished bodies, the one that has been coming longest is evicted
(spec 2, 12).

Must never: count what a client only announced; a large Content-Length costs nobody anything.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hookd.domain.errors import HookdError

PER_VALUE = 64
"""Bytes that an object, array or further value in them takes once it is parsed, about."""

PER_KEY = 100
"""Bytes that a key of an object takes beside its value, about."""


class BudgetExceeded(HookdError):
    """More is being taken in than memory is meant for; nothing was stored. Answered 503."""


@dataclass(slots=True)
class MemoryBudget:
    """What all requests of a daemon have in common.

    Attributes:
        max_unfinished: bytes that unfinished bodies may take.
        max_complete: bytes that requests whose body is complete may take; one alone may take more.
        timeout_s: a request that has waited longer to be looked at is refused, and so is every one while `max_waiting`
            others wait and one of them has been waiting longer for its answer. So an answer is prompt, also a refusal.
        max_answers: bytes that large answers may take until they are read; one alone may take more.
        max_waiting: requests that may wait for however long their commit takes, as on a slow disk.
        unfinished: the reservations of unfinished bodies, the oldest first, and `unfinished_bytes` those they take.
        waiting: the reservations of complete requests, the oldest first, with since when (monotonic seconds), and
            `complete_bytes` those they take. Only a `Reservation` changes these four, and `answer_bytes`.
    """

    max_unfinished: int = 16 * 1024 * 1024
    max_complete: int = 24 * 1024 * 1024
    max_answers: int = 16 * 1024 * 1024
    timeout_s: float = 3.0
    max_waiting: int = 100
    unfinished: dict["Reservation", None] = field(default_factory=dict)
    unfinished_bytes: int = 0
    waiting: dict["Reservation", float] = field(default_factory=dict)
    complete_bytes: int = 0
    answer_bytes: int = 0

    def reserve(self) -> "Reservation":
        """The reservation of one request, of nothing so far; it is to be released."""
        return Reservation(self)


def _nothing() -> None:
    """Where no body is being read there is nothing to end."""


@dataclass(slots=True, eq=False)
class Reservation:
    """What one request takes.

    Attributes:
        evicted: it was ended to make room for others.
        evict: ends the reading of its body.
    """

    budget: MemoryBudget
    evicted: bool = False
    evict: Callable[[], None] = _nothing
    _unfinished: int = 0
    _complete: int = 0
    _answer: int = 0

    def grow(self, size: int) -> None:
        """Note bytes of an unfinished body; past the bound, the oldest of several is evicted."""
        budget = self.budget
        budget.unfinished[self] = None
        self._unfinished += size
        budget.unfinished_bytes += size
        if budget.unfinished_bytes > budget.max_unfinished and len(budget.unfinished) > 1:
            oldest = next(iter(budget.unfinished))
            oldest.evicted = True
            oldest.finish()
            oldest.evict()

    def finish(self) -> None:
        """Nothing of the body is still to come."""
        if self._unfinished:
            self.budget.unfinished.pop(self, None)
            self.budget.unfinished_bytes -= self._unfinished
            self._unfinished = 0

    def hold(self, size: int) -> None:
        """Take `size` bytes until the request is answered.

        Raises:
            BudgetExceeded: others take too much already.
        """
        budget = self.budget
        if budget.complete_bytes + size > budget.max_complete and budget.complete_bytes > self._complete:
            raise BudgetExceeded
        self._complete += size
        budget.complete_bytes += size

    def admit(self, size: int, *, since: float, now: float) -> None:
        """As `hold`, for a request that is complete `since` then (both instants by the monotonic clock).

        Raises:
            BudgetExceeded: others take too much, or have been waiting too long.
        """
        budget = self.budget
        waiting = budget.waiting
        late = len(waiting) >= budget.max_waiting and now - next(iter(waiting.values())) > budget.timeout_s
        if late or now - since > budget.timeout_s:
            raise BudgetExceeded
        self.hold(size)
        waiting[self] = since

    def hold_answer(self, size: int, *, refusable: bool) -> None:
        """Take the bytes of an answer until it is read.

        Args:
            size: of the answer.
            refusable: whether a refusal may go out in its place; an answer that says what was done must.

        Raises:
            BudgetExceeded: others leave too much unread.
        """
        budget = self.budget
        if refusable and budget.answer_bytes and budget.answer_bytes + size > budget.max_answers:
            raise BudgetExceeded
        self._answer += size
        budget.answer_bytes += size

    def release(self) -> None:
        """Give everything back."""
        self.finish()
        self.budget.answer_bytes -= self._answer
        self._answer = 0
        self.budget.waiting.pop(self, None)
        self.budget.complete_bytes -= self._complete
        self._complete = 0


def estimated_size(raw: bytes) -> int:
    """About how many bytes a JSON text takes while it is served."""
    values = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
    return len(raw) + PER_VALUE * values + PER_KEY * raw.count(b":")
