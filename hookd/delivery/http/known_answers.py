"""A memory of heads that aiohttp's parser has accepted: what they mean need not be found out again.

A receiver answers with the same head again and again, or with one that differs only in the values of fields that
decide nothing here: the date, the id that it gives to each request. Such a head is recognized by its bytes, and what
the parser made of the first one holds for it too. Values of other fields always count, as they stand.

What is not known, or is in any way odd, is the parser's to judge; there are no rules of HTTP in here.

Must never: judge a head, or grow without bound.
"""

import re

from multidict import CIMultiDictProxy

from hookd.domain.value_class import value_class

MOST = 512
"""Heads that are remembered; when there are more, all are forgotten."""

LONGEST = 4096
"""Bytes of a head that is remembered."""

_PLAIN_VALUES = re.compile(
    rb"\r\n(?i:age|cf-ray|date|etag|expires|last-modified|request-id|server-timing|set-cookie|traceparent|tracestate"
    rb"|x-(?:amz(?:n)?-(?:cf-id|id-2|request-?id|trace-id)|cloud-trace-context|correlation-id"
    rb"|envoy-upstream-service-time|github-request-id|request-id|response-time|runtime|served-by|slack-req-id|timer"
    rb"|trace-id)):[ -~]*(?=\r\n)"
)
"""Fields whose values decide nothing: neither for hookd nor where an answer ends nor what follows it. A value that is
not plain text in one line stays as it is."""

_FIELD = b"\r\n\r\n"
"""Stands for such a field: an empty line, which a head has at its end alone."""


@value_class
class JudgedHead:
    """What the parser made of a head after which the connection may be used again.

    Attributes:
        status: of the answer.
        length: bytes of the body that follows.
        fields: those that decide something; the same for every head that is recognized by this one.
    """

    status: int
    length: int
    fields: CIMultiDictProxy[str]


class KnownAnswers:
    """The heads that are known, as they stand and without the values that decide nothing."""

    def __init__(self) -> None:
        self._exact: dict[bytes, JudgedHead] = {}
        self._plain: dict[bytes, JudgedHead] = {}

    def find(self, head: bytes) -> JudgedHead | None:
        """What is known of a complete head, from its first byte to its empty line."""
        judged = self._exact.get(head)
        if judged is None and self._plain and len(head) <= LONGEST:
            judged = self._plain.get(_PLAIN_VALUES.sub(_FIELD, head))
            if judged is not None:
                _keep(self._exact, head, judged)
        return judged

    def learn(self, head: bytes, judged: JudgedHead) -> None:
        """Remember a head that the parser has accepted."""
        if len(head) <= LONGEST:
            _keep(self._exact, head, judged)
            _keep(self._plain, _PLAIN_VALUES.sub(_FIELD, head), judged)


def _keep(known: dict[bytes, JudgedHead], head: bytes, judged: JudgedHead) -> None:
    if len(known) >= MOST:
        known.clear()
    known[head] = judged
