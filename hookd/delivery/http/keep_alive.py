"""How long a connection may lie idle and how often it may be used, by the `Keep-Alive` headers of its answers.

A receiver closes an idle connection when its own time is up. A message that goes out at that moment is read by nobody,
or by somebody who does not answer: so hookd gives a connection up a second earlier.

Must never: do I/O or read a clock.
"""

import re
from collections.abc import Sequence

MARGIN_S = 1.0
"""How much sooner than the receiver hookd gives a connection up."""

_PARAMETER = re.compile(r"(?:^|[,;\s])(timeout|max)\s*=\s*\"?(\d{1,9})(?![\w.])", re.IGNORECASE)


class KeepAlive:
    """What is known of one connection.

    Args:
        longest_s: an idle connection is given up after so long in any case.
    """

    __slots__ = ("_idle_s", "_left", "_longest_s")

    def __init__(self, *, longest_s: float) -> None:
        self._longest_s = self._idle_s = longest_s
        self._left: int | None = None

    def idle_s(self, values: Sequence[str]) -> float:
        """How long the connection may be used again, after an answer with these `Keep-Alive` values; 0: never."""
        if self._left is not None:
            self._left -= 1
        for name, number in _PARAMETER.findall(",".join(values)) if values else ():
            if name.lower() == "timeout":
                self._idle_s = min(self._longest_s, int(number) - MARGIN_S)
            else:
                self._left = int(number)
        if self._left is not None and self._left <= 0:
            return 0.0
        return max(0.0, self._idle_s)
