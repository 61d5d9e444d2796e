"""The layout of the spool directory, which `hookd emit --spool` fills and the daemon empties (spec 11).

A file in it holds what `POST /v1/events` takes as a body: JSON, or NDJSON for a batch. Names sort by time. What begins
with a dot is not finished.

Must never: touch a disk; it is loaded on the way of `hookd emit`.
"""

from typing import NamedTuple

DEFAULT = "/var/spool/hookd"

REJECTED = "rejected"
"""The directory in the spool into which the daemon moves what it cannot take in."""

REASON = ".reason"
"""What is added to a rejected file's name for the file that says why."""

JSON = ".json"
NDJSON = ".ndjson"

PART = ".part"
"""What ends the name of a file that is still being written; it begins with a dot."""

BATCH_BYTES = 1 << 20
"""NDJSON may have this many bytes also where `limits.event_size` is smaller: `hookd emit` makes parts of half of that,
and gives the events ids."""


class SpoolState(NamedTuple):
    """What the daemon knows of its spool.

    Attributes:
        path: the directory.
        waiting: files that are still to be taken in.
        rejected: files in `rejected/`, reasons not counted.
        skipped: what is no regular file and is left alone, by name; the first of many.
        error: why what waits does; None where nothing keeps it.
    """

    path: str = DEFAULT
    waiting: int = 0
    rejected: int = 0
    skipped: tuple[str, ...] = ()
    error: str | None = None


def file_name(*, now_ns: int, pid: int, entropy: bytes, suffix: str) -> str:
    """A name that sorts by time and that no other process gives.

    Args:
        now_ns: nanoseconds since the epoch.
        pid: the writer's process.
        entropy: 8 random bytes.
        suffix: `JSON` or `NDJSON`.
    """
    return f"{now_ns:020d}-{pid}-{entropy.hex()}{suffix}"
