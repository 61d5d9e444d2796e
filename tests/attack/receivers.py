"""Receivers that send secrets back in every form, or stand at addresses that are never called.

The proof is that of `tests.chaos`, whose subject is the same.
"""

from tests.chaos.secrets import prove

__all__ = ["prove"]
