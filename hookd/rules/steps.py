"""Work that is done in steps, so that who has other work as well can do it between them.

Must never: know what the work is.
"""

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")


def at_once(steps: Generator[None, None, Result]) -> Result:
    """All steps, without a pause: for who has nothing else to do."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
