"""Distributed tracing: the trace that came with an event's request and goes out with its deliveries (spec 10).

By W3C Trace Context, level 1: https://www.w3.org/TR/trace-context-1/.

Must never: draw randomness (ids of spans are passed in), or raise for what a client sent.
"""

import re
from collections.abc import Sequence
from typing import Self

from hookd.domain.value_class import value_class

LONGEST_STATE = 512
"""Characters of `tracestate` that are carried along (section 3.3.1.5); a longer list is left out as a whole."""

MOST_MEMBERS = 32
"""Members of a `tracestate` list (section 3.3.1.1)."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_MEMBER = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_VERSION = "00"
_NO_VERSION = "ff"
_SAMPLED = 1
_RANDOM = 2
"""That the trace id is random (level 2, section 3.2.2.5.2)."""


@value_class
class Trace:
    """The trace that an event belongs to.

    Attributes:
        trace_id: 32 lower-case hex digits.
        flags: 2 lower-case hex digits.
        state: the `tracestate` list as it came; empty where there is none.
    """

    trace_id: str
    flags: str
    state: str = ""

    def parent(self, span_id: str) -> str:
        """The `traceparent` of a request made in this trace; `span_id` is 16 lower-case hex digits, not all zero."""
        return f"{_VERSION}-{self.trace_id}-{span_id}-{self.flags}"

    def as_text(self) -> str:
        """One line, from which `from_text` makes the same trace."""
        return f"{self.trace_id}-{self.flags} {self.state}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The trace that `as_text` wrote."""
        ids, _, state = text.partition(" ")
        trace_id, _, flags = ids.partition("-")
        return cls(trace_id, flags, state)


def read_trace(parents: Sequence[str], states: Sequence[str]) -> Trace | None:
    """The trace that a request's headers name, or None.

    Args:
        parents: every `traceparent`; there must be one, and a valid one (section 3.2).
        states: every `tracestate`, in order; together they are one list (section 3.3.1). An invalid one is left out.
    """
    found = _PARENT.fullmatch(parents[0].strip(" \t")) if len(parents) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if (
        version == _NO_VERSION
        or (version == _VERSION and more)
        or not (int(trace_id, 16) and int(span_id, 16))
    ):
        return None
    # what else a later version may say with its flags is not known (section 3.2.4), and others are sent as zero
    known = _SAMPLED | _RANDOM if version == _VERSION else _SAMPLED
    return Trace(trace_id, f"{int(flags, 16) & known:02x}", _state(",".join(states).strip(" \t")))


def _state(text: str) -> str:
    """The list, or an empty text where it is not valid."""
    if len(text) > LONGEST_STATE:
        return ""
    members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    keys = [found[1] for member in members if (found := _MEMBER.fullmatch(member))]
    valid = len(keys) == len(members) <= MOST_MEMBERS and len(set(keys)) == len(keys)
    return text if valid and members else ""
