"""The one exception by which a command ends early, with what to print and the exit code (spec 8).

Must never: import anything; it is loaded on the way of `hookd emit`. Raised by: every command and the
client; caught once, in `hookd.cli.main`.
"""

REFUSED = 1
"""Refused or failed."""

USAGE = 2
"""Wrong usage."""

UNREACHABLE = 3
"""The daemon cannot be reached."""

WAITING = 4
"""`emit --wait`: a delivery still waited when the time was up."""


class Failure(Exception):
    """A command cannot do what was asked.

    Attributes:
        lines: what is said on standard error, escaped for a terminal when it is printed.
        code: the exit code.
    """

    def __init__(self, *lines: str, code: int = REFUSED) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code
