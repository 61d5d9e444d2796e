"""The states of a client's connection and what leads from one to another: a table that code, tests and docs read.

    state      waits for                                  at most    then
    HEAD       the head of the first or the next request  head_s     BODY SERVING LINGERING CLOSING CLOSED
    BODY       the rest of its body, while it is served   body_s     SERVING STREAMING LINGERING CLOSING ABANDONED
    SERVING    the application                            -          DRAINING STREAMING LINGERING CLOSING ABANDONED
    STREAMING  the application's next chunk               -          LINGERING CLOSING ABANDONED
    DRAINING   the client to read the response            unread_s   IDLE BODY SERVING ABANDONED
    IDLE       the first byte of the next request         idle_s     HEAD BODY SERVING CLOSING CLOSED
    LINGERING  the client to close; it may still send     linger_s   CLOSING CLOSED
    CLOSING    the kernel to take the last bytes          unread_s   CLOSED
    ABANDONED  the application; the client is gone        -          CLOSED
    CLOSED     nothing                                    -          -

    HEAD ─▶ BODY ─▶ SERVING ─▶ DRAINING ─▶ IDLE ─▶ HEAD …     one request after the other on a kept connection
                       └─────▶ STREAMING ─▶ CLOSING           a response without end is the last one
    any ─▶ LINGERING ─▶ CLOSING ─▶ CLOSED                     a refusal, while the client may still send

`unread_s` also bounds HEAD and IDLE while bytes of the last response are unread, and STREAMING while the client does
not read. When the time is up the connection is closed; in BODY the application's reading ends, with a 408.

Must never: do I/O, or read a clock.
"""

from collections.abc import Mapping
from enum import StrEnum


class ConnectionState(StrEnum):
    """What a connection waits for; each is explained above."""

    HEAD = "head"
    BODY = "body"
    SERVING = "serving"
    STREAMING = "streaming"
    DRAINING = "draining"
    IDLE = "idle"
    LINGERING = "lingering"
    CLOSING = "closing"
    ABANDONED = "abandoned"
    CLOSED = "closed"


class ConnectionInput(StrEnum):
    """What happens to a connection. The first four come from outside, and so at any time; the others are our own."""

    BYTES = "bytes"  # the client sends; a head that they complete is the next inputs
    EOF = "eof"  # the client has sent all
    CLOSE = "close"  # the listener wants it closed: its time is up, others need its place, or hookd stops
    LOST = "lost"  # the transport is gone

    HEAD_COMPLETE = "head_complete"  # a request with a body still to come is served now
    REQUEST_COMPLETE = "request_complete"  # one with all of its body, or none
    BODY_COMPLETE = "body_complete"  # the body's last byte has come
    STREAM = "stream"  # the head of an endless response is written
    RESPONSE = "response"  # a response is written; the connection is kept
    LAST_RESPONSE = "last_response"  # a response is written; the connection is closed
    LINGER = "linger"  # likewise, but first the client gets time to read it
    SERVED = "served"  # nothing is served any more


HEAD, BODY, SERVING, STREAMING, DRAINING, IDLE, LINGERING, CLOSING, ABANDONED, CLOSED = ConnectionState
BYTES, EOF, CLOSE, LOST, *_OURS = ConnectionInput
HEAD_COMPLETE, REQUEST_COMPLETE, BODY_COMPLETE, STREAM, RESPONSE, LAST_RESPONSE, LINGER, SERVED = _OURS
"""The members under their own names: looking one up in its class costs as much as a call (Python 3.11)."""

OUTSIDE = (BYTES, EOF, CLOSE, LOST)
"""The inputs that can come in every state."""

# fmt: off
TRANSITIONS: Mapping[ConnectionState, Mapping[ConnectionInput, ConnectionState]] = {
    HEAD: {
        BYTES: HEAD, EOF: CLOSING, CLOSE: CLOSING, LOST: CLOSED,
        HEAD_COMPLETE: BODY, REQUEST_COMPLETE: SERVING,
        LAST_RESPONSE: CLOSING, LINGER: LINGERING,  # a new connection is refused
    },
    BODY: {
        BYTES: BODY, EOF: BODY, CLOSE: BODY, LOST: ABANDONED,
        BODY_COMPLETE: SERVING, STREAM: STREAMING,
        LAST_RESPONSE: CLOSING, LINGER: LINGERING, SERVED: CLOSING,
    },
    SERVING: {
        BYTES: SERVING, EOF: SERVING, CLOSE: SERVING, LOST: ABANDONED,
        RESPONSE: DRAINING, STREAM: STREAMING,
        LAST_RESPONSE: CLOSING, LINGER: LINGERING, SERVED: CLOSING,
    },
    STREAMING: {
        BYTES: STREAMING, EOF: STREAMING, CLOSE: STREAMING, LOST: ABANDONED,
        LAST_RESPONSE: CLOSING, LINGER: LINGERING, SERVED: CLOSING,
    },
    DRAINING: {
        BYTES: DRAINING, EOF: DRAINING, CLOSE: DRAINING, LOST: ABANDONED,
        HEAD_COMPLETE: BODY, REQUEST_COMPLETE: SERVING, SERVED: IDLE,
    },
    IDLE: {
        BYTES: HEAD, EOF: CLOSING, CLOSE: CLOSING, LOST: CLOSED,
        HEAD_COMPLETE: BODY, REQUEST_COMPLETE: SERVING,  # its head came at once
    },
    LINGERING: {
        BYTES: LINGERING, EOF: CLOSING, CLOSE: CLOSING, LOST: CLOSED,
        SERVED: LINGERING,
    },
    CLOSING: {
        BYTES: CLOSING, EOF: CLOSING, CLOSE: CLOSING, LOST: CLOSED,
        SERVED: CLOSING,
    },
    ABANDONED: dict.fromkeys(ConnectionInput, ABANDONED) | {SERVED: CLOSED},
    CLOSED: dict.fromkeys(OUTSIDE, CLOSED),
}
# fmt: on
"""The state that follows, by state and input; what does not stand here is a fault of ours."""

BUSY = frozenset({BODY, SERVING, STREAMING, DRAINING, ABANDONED})
"""The states in which a request is being served."""

DEADLINES: Mapping[ConnectionState, str | None] = {
    HEAD: "head_s",
    BODY: "body_s",
    SERVING: None,
    STREAMING: None,
    DRAINING: "unread_s",
    IDLE: "idle_s",
    LINGERING: "linger_s",
    CLOSING: "unread_s",
    ABANDONED: None,
    CLOSED: None,
}
"""The limit (a field of `Limits`) on how long the client may take; None: it is not the client that is waited for."""


class IllegalTransition(Exception):
    """An input that cannot come in a state: the server's own code is wrong."""


def next_state(state: ConnectionState, given: ConnectionInput) -> ConnectionState:
    """The state that follows.

    Raises:
        IllegalTransition: the table has none.
    """
    try:
        return TRANSITIONS[state][given]
    except KeyError:
        raise IllegalTransition(f"a connection in the state {state} cannot have the input {given}") from None
