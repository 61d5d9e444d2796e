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

    BYTES = "bytes"  # the client sends
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


OUTSIDE = (ConnectionInput.BYTES, ConnectionInput.EOF, ConnectionInput.CLOSE, ConnectionInput.LOST)
"""The inputs that can come in every state."""

_S, _I = ConnectionState, ConnectionInput

# fmt: off
TRANSITIONS: Mapping[ConnectionState, Mapping[ConnectionInput, ConnectionState]] = {
    _S.HEAD: {
        _I.BYTES: _S.HEAD, _I.EOF: _S.CLOSING, _I.CLOSE: _S.CLOSING, _I.LOST: _S.CLOSED,
        _I.HEAD_COMPLETE: _S.BODY, _I.REQUEST_COMPLETE: _S.SERVING,
        _I.LAST_RESPONSE: _S.CLOSING, _I.LINGER: _S.LINGERING,  # a new connection is refused
    },
    _S.BODY: {
        _I.BYTES: _S.BODY, _I.EOF: _S.BODY, _I.CLOSE: _S.BODY, _I.LOST: _S.ABANDONED,
        _I.BODY_COMPLETE: _S.SERVING, _I.STREAM: _S.STREAMING,
        _I.LAST_RESPONSE: _S.CLOSING, _I.LINGER: _S.LINGERING, _I.SERVED: _S.CLOSING,
    },
    _S.SERVING: {
        _I.BYTES: _S.SERVING, _I.EOF: _S.SERVING, _I.CLOSE: _S.SERVING, _I.LOST: _S.ABANDONED,
        _I.RESPONSE: _S.DRAINING, _I.STREAM: _S.STREAMING,
        _I.LAST_RESPONSE: _S.CLOSING, _I.LINGER: _S.LINGERING, _I.SERVED: _S.CLOSING,
    },
    _S.STREAMING: {
        _I.BYTES: _S.STREAMING, _I.EOF: _S.STREAMING, _I.CLOSE: _S.STREAMING, _I.LOST: _S.ABANDONED,
        _I.LAST_RESPONSE: _S.CLOSING, _I.LINGER: _S.LINGERING, _I.SERVED: _S.CLOSING,
    },
    _S.DRAINING: {
        _I.BYTES: _S.DRAINING, _I.EOF: _S.DRAINING, _I.CLOSE: _S.DRAINING, _I.LOST: _S.ABANDONED,
        _I.HEAD_COMPLETE: _S.BODY, _I.REQUEST_COMPLETE: _S.SERVING, _I.SERVED: _S.IDLE,
    },
    _S.IDLE: {
        _I.BYTES: _S.HEAD, _I.EOF: _S.CLOSING, _I.CLOSE: _S.CLOSING, _I.LOST: _S.CLOSED,
        _I.HEAD_COMPLETE: _S.BODY, _I.REQUEST_COMPLETE: _S.SERVING,  # the parser had it already
    },
    _S.LINGERING: {
        _I.BYTES: _S.LINGERING, _I.EOF: _S.CLOSING, _I.CLOSE: _S.CLOSING, _I.LOST: _S.CLOSED,
        _I.SERVED: _S.LINGERING,
    },
    _S.CLOSING: {
        _I.BYTES: _S.CLOSING, _I.EOF: _S.CLOSING, _I.CLOSE: _S.CLOSING, _I.LOST: _S.CLOSED,
        _I.SERVED: _S.CLOSING,
    },
    _S.ABANDONED: dict.fromkeys(_I, _S.ABANDONED) | {_I.SERVED: _S.CLOSED},
    _S.CLOSED: dict.fromkeys(OUTSIDE, _S.CLOSED),
}
# fmt: on
"""The state that follows, by state and input; what does not stand here is a fault of ours."""

BUSY = frozenset({_S.BODY, _S.SERVING, _S.STREAMING, _S.DRAINING, _S.ABANDONED})
"""The states in which a request is being served."""

DEADLINES: Mapping[ConnectionState, str | None] = {
    _S.HEAD: "head_s",
    _S.BODY: "body_s",
    _S.SERVING: None,
    _S.STREAMING: None,
    _S.DRAINING: "unread_s",
    _S.IDLE: "idle_s",
    _S.LINGERING: "linger_s",
    _S.CLOSING: "unread_s",
    _S.ABANDONED: None,
    _S.CLOSED: None,
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
