"""The memory of a large answer from when it is written until its client has read it.

Must never: write anything, or look at what an answer says.
"""

from typing import Final

from hookd.server.memory_budget import BudgetExceeded, MemoryBudget, Reservation
from hookd.server.messages import Response
from hookd.server.problems import unavailable

LARGE_ANSWER: Final = 64 * 1024
"""Answers of more bytes count until they are read; of others, a connection holds no more than this."""


class UnreadAnswer:
    """That of one connection."""

    __slots__ = ("_held", "_memory")

    def __init__(self, memory: MemoryBudget) -> None:
        self._memory = memory
        self._held: Reservation | None = None

    def within_budget(self, response: Response, method: str) -> Response:
        """A response that memory has room for until it is read: this one, or a refusal where nothing was changed."""
        self.forget()
        size = len(response.body)
        if size <= LARGE_ANSWER:
            return response
        answer = self._memory.reserve()
        try:
            answer.hold_answer(size, refusable=method == "GET")
        except BudgetExceeded:
            return unavailable("too many answers wait to be read by their clients; ask again").response()
        self._held = answer
        return response

    def forget(self) -> None:
        """The client has read it, or is gone."""
        if self._held is not None:
            self._held.release()
            self._held = None
