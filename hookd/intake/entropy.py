"""What makes ids unlike each other.

Must never: give anything out twice.
"""

import os


class Entropy:
    """The kernel's randomness, fetched for many ids at once."""

    PIECE = 10
    PIECES = 400

    def __init__(self) -> None:
        self._left: list[bytes] = []

    def draw(self) -> bytes:
        """Ten bytes that were never given out before; in any thread."""
        while True:
            try:
                return self._left.pop()
            except IndexError:
                raw = os.urandom(self.PIECE * self.PIECES)
                self._left.extend(raw[at : at + self.PIECE] for at in range(0, len(raw), self.PIECE))
