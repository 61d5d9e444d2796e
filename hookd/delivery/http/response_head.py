"""The head of an answer as far as it was received: where it ends, and the status that its first line names.

A status that was read counts, whatever stands behind it: aiohttp's parser refuses a whole head because of one line, and
the message would be sent again to a receiver that has taken it.

Must never: judge a status, or do I/O.
"""

import re
from collections.abc import Iterator

from aiohttp.http_exceptions import BadHttpMessage

INTERIM_ANSWERS = 16
"""Answers 1xx that are passed over before the final one."""

_PROTOCOL = b"HTTP/"
_STATUS_LINE = re.compile(rb"HTTP/\d\.\d +(\d{3})(?=[ \r\n])")
"""As RFC 9112, section 4, has it; nothing after the code decides anything."""

_END = re.compile(rb"\n\r?\n")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*?)[ \t\r]*")


class HeadReader:
    """Reads the head of one answer from pieces; those of interim answers are dropped."""

    __slots__ = ("_buffer", "_code", "_interim", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._code: int | None = None
        self._interim = 0
        self._searched = 0

    @property
    def status(self) -> int | None:
        """The final status, as soon as it is known."""
        return self._code if self._code is not None and is_final(self._code) else None

    @property
    def began(self) -> bool:
        """Whether anything has come, interim answers included."""
        return bool(self._buffer) or self._interim > 0

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take what was received; returns the whole head and what follows it, once that is there.

        Raises:
            BadHttpMessage: this is not an answer of HTTP/1.
        """
        self._buffer += data
        while True:
            if self._code is None:
                self._read_code()
            end = _END.search(self._buffer, self._searched) if self._code is not None else None
            if end is None:
                self._searched = max(0, len(self._buffer) - 2)
                return None
            if self.status is not None:
                rest = bytes(self._buffer[end.end() :])
                del self._buffer[end.end() :]
                return bytes(self._buffer), rest
            self._pass_over(end.end())

    def fields(self, name: str) -> Iterator[str]:
        """The values of a field in what has come of the head; lines that are not fields are passed over."""
        for line in self._buffer.decode("latin-1").split("\n")[1:]:
            field = _FIELD.fullmatch(line)
            if field is not None and field[1].lower() == name.lower():
                yield field[2]

    def _read_code(self) -> None:
        begin = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
        del self._buffer[:begin]
        found = _STATUS_LINE.match(self._buffer)
        if found is not None:
            self._code = int(found[1])
        elif b"\n" in self._buffer or not _PROTOCOL.startswith(self._buffer[: len(_PROTOCOL)]):
            raise BadHttpMessage("it does not begin with a status line")

    def _pass_over(self, size: int) -> None:
        del self._buffer[:size]
        self._code, self._searched = None, 0
        self._interim += 1
        if self._interim >= INTERIM_ANSWERS:
            raise BadHttpMessage("too many interim answers")


def is_final(status: int) -> bool:
    """101 ends HTTP on the connection, so nothing else can follow it; below 100 nothing promises that more does."""
    return not 100 <= status <= 199 or status == 101
