"""A delivery on its way: its states, the lease, the attempt and its outcome, what follows from it; frozen values.

Must never: do I/O or read a clock. The words are those of spec section 0.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import assert_never

from hookd.domain.tracing import Trace
from hookd.domain.value_class import value_class


class State(StrEnum):
    """The state of a delivery (spec 5)."""

    PENDING = "pending"  # waits for its `due_at`: fresh, between retries, or parked
    SENDING = "sending"  # an attempt holds its lease
    DELIVERED = "delivered"  # a 2xx was received
    DEAD = "dead"  # will not be attempted again unless somebody asks
    CANCELLED = "cancelled"  # ended by hand


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SENDING, State.CANCELLED}),
    State.SENDING: frozenset({State.PENDING, State.DELIVERED, State.DEAD, State.SENDING}),
    State.DELIVERED: frozenset({State.PENDING}),
    State.DEAD: frozenset({State.PENDING}),
    State.CANCELLED: frozenset({State.PENDING}),
}
"""Every change of state there is; SENDING to itself is the claim of an expired lease."""


@value_class
class GenerationRef:
    """A generation of the configuration as logs, answers and attempts name it (spec 10).

    Attributes:
        number: counts the generations of one process, from 1.
        hash: 12 hex digits over the tree's content.
        commit: the commit that was checked out, in full; None where the files are in no git work tree, or git cannot
            tell.
        dirty: whether the files are anything but what that commit holds; None without a commit.
    """

    number: int
    hash: str
    commit: str | None = None
    dirty: bool | None = None


@value_class
class ClaimRequest:
    """A lane's wish to claim: how many deliveries of this webhook, and for how many seconds each is leased."""

    webhook: str
    slots: int
    lease_s: float


@value_class
class Lease:
    """A claimed delivery: the right to make one attempt and to settle it until `expires_at`.

    Attributes:
        token: fences the settling: a settle with a token that is no longer the row's changes nothing.
        attempt: number of this attempt, from 1; interrupted attempts have numbers too.
        failures: attempts so far that count against `retries`.
        started_at: the claim's instant, seconds since the epoch.
        trace: the trace of its event's request, or None.
    """

    delivery_id: str
    event_id: str
    task: str
    webhook: str
    body: bytes
    token: int
    attempt: int
    failures: int
    started_at: float
    expires_at: float
    trace: Trace | None = None


@value_class
class Claimed:
    """What a claim came to.

    Attributes:
        waits: the lanes that may not be claimed from now, and until when (seconds since the epoch); infinite for one
            that is paused, which the doorbell tells the end of.
    """

    leases: tuple[Lease, ...] = ()
    waits: Mapping[str, float] = field(default_factory=dict)


class Reason(StrEnum):
    """Why an attempt ended as it did: a closed set, used as metric label and log value."""

    OK = "ok"  # a 2xx
    STATUS = "status"  # any other status
    DNS = "dns"  # the name did not resolve
    CONNECT = "connect"  # refused, unreachable, no route
    TLS = "tls"  # handshake or certificate
    TIMEOUT = "timeout"  # the attempt's time was up
    DISCONNECTED = "disconnected"  # closed or reset before the answer's status
    FORBIDDEN = "forbidden"  # the address is never called: link-local, or a cloud's metadata
    PROTOCOL = "protocol"  # the answer was not HTTP
    INTERRUPTED = "interrupted"  # hookd stopped or crashed; the answer is unknown
    CONFIG = "config"  # the webhook lacks a secret that the message needs; never counted against the receiver
    SIZE = "size"  # the message was never made, since it would have been larger than `limits.message_size`
    LOCAL = "local"  # hookd's own lack (descriptors, memory); never counted against the receiver

    @property
    def is_remote(self) -> bool:
        """Whether the attempt failed on the receiver's side: only then it costs a retry and counts for the breaker."""
        match self:
            case (
                Reason.STATUS
                | Reason.DNS
                | Reason.CONNECT
                | Reason.TLS
                | Reason.TIMEOUT
                | Reason.DISCONNECTED
                | Reason.FORBIDDEN
                | Reason.PROTOCOL
            ):
                return True
            case Reason.OK | Reason.INTERRUPTED | Reason.CONFIG | Reason.SIZE | Reason.LOCAL:
                return False
            case _:
                assert_never(self)


@value_class
class Outcome:
    """What the world said to one attempt.

    Attributes:
        status: the HTTP status, or None without an answer.
        error: a sentence for people, secrets masked; of a success it says what was wrong with the answer's head, if
            anything.
        response: the first bytes of the answer's body, at most 4 KiB, secrets masked.
        duration_s: seconds from opening to the end of the answer.
        retry_after_s: seconds the receiver asked for (429 and 503 only, valid values only, at most 86,400), else None.
        insecure: the certificate was not checked.
        resent: the request was written twice: first on a kept-alive connection that the receiver was closing.
    """

    reason: Reason
    status: int | None = None
    error: str = ""
    response: bytes = b""
    duration_s: float = 0.0
    retry_after_s: float | None = None
    insecure: bool = False
    resent: bool = False


@value_class
class Settlement:
    """What hookd does about an outcome.

    Attributes:
        state: DELIVERED, DEAD or PENDING.
        counted: whether the attempt counts against `retries`.
        due_at: when the next attempt is due (seconds since the epoch), if nothing holds the webhook; only for PENDING.
        detail: why it is dead, one sentence; empty otherwise.
        hold_until: the whole webhook waits until then (seconds since the epoch), or None.
    """

    state: State
    counted: bool
    due_at: float | None = None
    detail: str = ""
    hold_until: float | None = None


@value_class
class Attempt:
    """One recorded HTTP request of a delivery (spec 9, `attempts`).

    Attributes:
        generation: of the configuration, in force when the attempt began; None where the attempt was cut off, or made
            before this was recorded.
        resent: as in `Outcome`.
    """

    number: int
    started_at: float
    duration_s: float
    status: int | None
    reason: Reason
    error: str
    response: bytes
    insecure: bool
    generation: GenerationRef | None = None
    resent: bool = False
