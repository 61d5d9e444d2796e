"""What clients of the listener may take: times, sizes and numbers (spec 14).

Must never: hold anything but figures.
"""

from hookd.domain.value_class import value_class

BODY_S = 30.0
"""How long a body may take (seconds)."""


@value_class
class Limits:
    """What a client may take (spec 14). Seconds, bytes and numbers.

    Attributes:
        head_s: from a head's first byte, or a connection's begin, to the head's end.
        body_s: from a head's end to its body's; it ranks connections, `body` enforces it.
        idle_s: between two requests.
        unread_s: how long an answer may lie unread.
        linger_s: how long the rest of a refused body is read and thrown away, so that the client sees the answer.
        linger_bytes: how much of it.
        sweep_s: how often connections are looked at.
        slow: the fraction of its time from which on a client counts as slow, and makes room for others.
        refused: connections past `connections` that still get a 503; those past these too are closed at once.
        head_line: bytes of a request line's target, and of one header field.
    """

    head_s: float = 10.0
    body_s: float = BODY_S
    idle_s: float = 75.0
    unread_s: float = 30.0
    linger_s: float = 2.0
    linger_bytes: int = 16 * 1024 * 1024
    sweep_s: float = 1.0
    slow: float = 0.02
    connections: int = 1000
    refused: int = 1000
    head_line: int = 8190
    headers: int = 64
