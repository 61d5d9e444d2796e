"""The record of attempts, and the token that names one: what claiming and settling share.

Must never: begin or end a transaction.
"""

from typing import Any

from hookd.domain.deliveries import Attempt, Reason
from hookd.store.sqlite.encoding import ManyRows
from hookd.store.stored_values import micros

INSERT_ATTEMPTS = ManyRows(
    """INSERT INTO attempts (
           delivery_seq, number, started_at, duration_s, status, reason, error, response, insecure, generation, resent)
       SELECT * FROM ({values}) WHERE column1 IS NOT NULL""",
    width=11,
)

_TOKEN_SHIFT = 32
UNRECORDED = "interrupted: the answer was not recorded"
UNANSWERED = "hookd lost what it had claimed before the request was made"


def token_of(seq: int, number: int) -> int:
    """The lease's token: the delivery's key and the attempt's number in one integer."""
    return seq << _TOKEN_SHIFT | number


def seq_of(token: int) -> int:
    """The delivery's key in a token."""
    return token >> _TOKEN_SHIFT


def attempt_row(seq: int, number: int, attempt: Attempt, generation: int | None) -> tuple[Any, ...]:
    """The row of a finished attempt, with the key of its generation's row."""
    return (
        seq,
        number,
        micros(attempt.started_at),
        attempt.duration_s,
        attempt.status,
        attempt.reason.value,
        attempt.error,
        attempt.response,
        int(attempt.insecure),
        generation,
        int(attempt.resent),
    )


def interrupted_row(
    seq: int, number: int, *, started_at: int, ended_at: int, error: str = UNRECORDED
) -> tuple[Any, ...]:
    """The row of an attempt that came to no answer that was recorded; instants in microseconds."""
    duration_s = max(0, ended_at - started_at) / 1_000_000
    return (seq, number, started_at, duration_s, None, Reason.INTERRUPTED.value, error, b"", 0, None, 0)
