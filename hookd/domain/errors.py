"""The exceptions that are our own fault or our caller's; what a remote does is a value (`Outcome`), never one of these.

Must never: import anything of hookd.
"""

from hookd.domain.value_class import value_class


class HookdError(Exception):
    """Base of every exception hookd raises on purpose."""


@value_class
class Fault:
    """One thing wrong with a request: an RFC 6901 JSON pointer into its body and a sentence (spec 2)."""

    pointer: str
    message: str


class EventRejected(HookdError):
    """A posted event or request that is refused; becomes an RFC 9457 problem (spec 2).

    Attributes:
        status: HTTP status, 400 to 499.
        title: short, the same for every refusal of this kind.
        detail: one sentence for this occurrence.
        faults: where in the body, may be empty.
    """

    def __init__(self, status: int, title: str, detail: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.faults = faults

    def adding(self, remedy: str) -> "EventRejected":
        """The same refusal with what may be meant behind its detail."""
        return EventRejected(
            self.status, self.title, f"{self.detail.removesuffix('.')}; {remedy}", self.faults
        )


class StoreUnavailable(HookdError):
    """The store cannot record anything now (full or failing disk); nothing was half done. Answered 503."""


class StoreFailed(StoreUnavailable):
    """The store's own machinery has ended: it will do nothing more in this process, which ends. Exit code 1.

    What was asked last may be done, or not, as after a crash. The message names the store and the type of the error.
    """


class PendingLimitReached(HookdError):
    """`daemon.limits.pending` would be passed; nothing was stored. Answered 503."""


class PendingLimitTooSmall(PendingLimitReached):
    """It would be passed even if nothing waited, so that trying again does not help."""


class IdConflict(HookdError):
    """An event id that is already kept with other content. Answered 409.

    Attributes:
        event_id: the id in question.
        index: its position in the batch, from 0.
    """

    def __init__(self, event_id: str, index: int) -> None:
        super().__init__(f"event id {event_id!r} is already taken by an event with other content")
        self.event_id = event_id
        self.index = index

    def __reduce__(self) -> tuple[type["IdConflict"], tuple[str, int]]:
        return IdConflict, (self.event_id, self.index)


class TaskSpent(HookdError):
    """A trigger of a one-shot task that has run already (spec 13); nothing was stored. Answered 409."""

    def __init__(self, task: str) -> None:
        super().__init__(f"the task {task!r} has run once and is spent; `hookd rearm` lets it run again")
        self.task = task

    def __reduce__(self) -> tuple[type["TaskSpent"], tuple[str]]:
        return TaskSpent, (self.task,)


class StoreUnusable(HookdError):
    """The store cannot be opened at start: held by another process, damaged, newer, unreadable. Exit code 74.

    The message says what to do and is fit to be shown to an operator.
    """


class StoreUnreachable(StoreUnusable):
    """The store cannot be opened now, but may be in a while: its server does not answer. Exit code 75."""


class StoreDamaged(StoreUnusable):
    """What the store's file holds is not what was written to it."""


class CandidateRefused(HookdError):
    """A configuration that is to be compared with the one in force cannot be read; answered 422.

    The message says why and what to do.
    """


class ConfigInvalid(HookdError):
    """The configuration has errors; the diagnostics say where. Exit code 78 at start."""


class ListenFailed(HookdError):
    """An address of `daemon.listen` cannot be used; the message says why and what to do."""


class SocketsUnfit(HookdError):
    """What systemd passed is no socket to listen on, or does not fit `daemon.listen`. Exit code 78 at start.

    The message says what to change, in the unit or in the configuration.
    """
