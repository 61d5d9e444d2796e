"""Looks through a write-ahead log before SQLite does, which takes the first broken frame for the log's end.

SQLite is right where the break is a transaction cut off in the middle: nobody was told that it is stored. But each
transaction is synced before the next one is written, so that whatever another one follows was promised to somebody.
The format: https://www.sqlite.org/fileformat2.html#walformat

Must never: change anything, or refuse what a crash leaves behind.
"""

import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from struct import Struct, iter_unpack
from typing import BinaryIO, Self

from hookd.domain.value_class import value_class

_HEADER = Struct(">8I")
_FRAME = Struct(">6I")
_MAGIC = 0x377F0682
"""The last bit tells the byte order of the checksums."""

Sums = tuple[int, int]


@value_class
class _WalFrame:
    """One page in the log.

    Attributes:
        ends: whether a transaction ends here.
        salts: what ties it to this round of the log; frames of earlier rounds have others.
        sums: the checksum it claims.
        summed: the bytes the checksum is over.
    """

    ends: bool
    salts: Sums
    sums: Sums
    summed: bytes


@value_class
class _Log:
    """An open log whose header is sound."""

    file: BinaryIO
    order: str
    page_size: int
    salts: Sums
    sums: Sums

    @classmethod
    def read(cls, file: BinaryIO) -> Self | None:
        """None: the header is not sound."""
        raw = file.read(_HEADER.size)
        if len(raw) < _HEADER.size:
            return None
        magic, _, page_size, _, *rest = _HEADER.unpack(raw)
        order = ">" if magic & 1 else "<"
        sums = (rest[2], rest[3])
        if magic | 1 != _MAGIC | 1 or _add((0, 0), raw[:24], order) != sums:
            return None
        return cls(file, order, page_size, (rest[0], rest[1]), sums)

    def frames(self, until_mono: float) -> Iterator[_WalFrame]:
        """The frames of this round, in order, broken ones among them, as far as the time allows."""
        size = _FRAME.size + self.page_size
        self.file.seek(_HEADER.size)
        while time.monotonic() < until_mono and len(raw := self.file.read(size)) == size:
            _, pages, salt_1, salt_2, sum_1, sum_2 = _FRAME.unpack_from(raw)
            yield _WalFrame(pages != 0, (salt_1, salt_2), (sum_1, sum_2), raw[:8] + raw[_FRAME.size :])

    def follows(self, frame: _WalFrame, before: Sums) -> bool:
        """Whether a frame was written right behind the one with that checksum."""
        return frame.salts == self.salts and _add(before, frame.summed, self.order) == frame.sums


def fault_in(log: Path, *, timeout_s: float = inf) -> str:
    """What is wrong with a log that holds transactions which can no longer be read; nothing where it is sound.

    A log that is not there, is empty, or ends in a transaction that was cut off is sound. So is one of which the part
    that can be looked at within `timeout_s` is.
    """
    try:
        with log.open("rb") as file:
            if log.stat().st_size <= _HEADER.size:
                return ""
            opened = _Log.read(file)
            return (
                _first_loss(opened, time.monotonic() + timeout_s)
                if opened
                else "the header of its write-ahead log is not valid"
            )
    except FileNotFoundError:
        return ""


def _first_loss(log: _Log, until_mono: float) -> str:
    frames, sums, sound = log.frames(until_mono), log.sums, 0
    for frame in frames:
        if not log.follows(frame, sums):
            break
        sums, sound = frame.sums, sound + 1
    else:
        return ""
    claimed = _add(sums, frame.summed, log.order)  # in case it is the checksum itself that is broken
    if _goes_on(log, frame, claimed, frames):
        return f"its write-ahead log is broken at frame {sound + 1}, before transactions that were committed"
    return ""


def _goes_on(log: _Log, broken: _WalFrame, claimed: Sums, rest: Iterator[_WalFrame]) -> bool:
    """Whether some transaction from the broken frame on was followed by another one."""
    before = broken
    for frame in rest:
        if before.ends and (log.follows(frame, before.sums) or log.follows(frame, claimed)):
            return True
        before, claimed = frame, frame.sums
    return False


def _add(sums: Sums, data: bytes, order: str) -> Sums:
    first, second = sums
    for even, odd in iter_unpack(f"{order}II", data):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
