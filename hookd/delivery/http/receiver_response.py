"""What a receiver has answered so far, filled in as it comes.

Must never: judge a status, or do I/O.
"""

from collections.abc import Sequence

from multidict import CIMultiDictProxy

from hookd.delivery.http.failures import Phase
from hookd.delivery.http.response_head import HeadReader


class ReceiverResponse:
    """An answer as far as it was received, so that an attempt that was cut off can be judged.

    Attributes:
        phase: how far the attempt came.
        status: of the final answer, once its code was read.
        fields: of the same, once the head is complete and valid: at least those that decide something.
        head: what has come of it piece by piece; None as long as nothing has, and where it came at once and was known.
        body: its first bytes.
        whole: the body was received to its end.
        resent: the message was written on a kept-alive connection that was being closed, and once more on a new one.
    """

    __slots__ = ("body", "fields", "head", "phase", "resent", "status", "whole")

    def __init__(self) -> None:
        self.phase = Phase.CONNECTING
        self.status: int | None = None
        self.fields: CIMultiDictProxy[str] | None = None
        self.head: HeadReader | None = None
        self.body = b""
        self.whole = False
        self.resent = False

    @property
    def began(self) -> bool:
        """Whether anything has come, interim answers included."""
        return self.status is not None or (self.head is not None and self.head.began)

    def values(self, name: str) -> Sequence[str]:
        """The values of a field, also of a head that is not valid or was cut off."""
        if self.fields is not None:
            return self.fields.getall(name, [])
        return [] if self.head is None else list(self.head.fields(name))
