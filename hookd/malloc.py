"""What the process asks of the C library's allocator (mallopt(3)): that large blocks go back to the system when freed.

glibc raises the size from which on a block is mapped by itself to that of the largest one freed so far. After one body
of a megabyte all others would come out of the heap, and leave holes that no smaller need fills. Where the library has
no such setting, all goes on without.

Must never: raise.
"""

from contextlib import suppress

LARGE = 256 * 1024
"""Bytes of a block that is mapped by itself, and unmapped when it is freed."""

_M_MMAP_THRESHOLD = -3


def give_large_blocks_back() -> None:
    """Keep the size from which on blocks are mapped by themselves at `LARGE`."""
    with suppress(ImportError, OSError, MemoryError, AttributeError):
        from ctypes import CDLL  # noqa: PLC0415 - it fails where libffi may make no memory executable

        CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)
