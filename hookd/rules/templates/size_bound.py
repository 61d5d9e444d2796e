r"""A message that was not made because it would have been too large: what is stored in its place, and reported.

The mark begins with a byte that UTF-8 never holds, so no message can be taken for one.

Must never: hold a part of the message.
"""

_BEGIN = b"\xfftoo_large:"
_END = b"\xfe"


class MessageTooLarge(Exception):
    """A stored delivery has no message, since that would have been larger than the limit.

    Attributes:
        limit: `daemon.limits.message_size` when it was to be made, in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the message is larger than {limit} bytes (daemon.limits.message_size)")
        self.limit = limit


def in_place_of(limit: int) -> bytes:
    """What is stored for a message that would have more than `limit` bytes."""
    return b"%b%d%b" % (_BEGIN, limit, _END)


def is_missing(body: bytes) -> bool:
    """Whether this stands in the place of a message."""
    return body.startswith(_BEGIN)


def expect_made(body: bytes) -> None:
    """Let a message pass.

    Raises:
        MessageTooLarge: it is what stands in the place of one.
    """
    if is_missing(body):
        raise MessageTooLarge(int(body[len(_BEGIN) : -len(_END)]))
