"""Waiting for what announces nothing, such as another process, a file or the kernel: it is asked again and again."""

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 15.0
"""Long enough for a busy machine; what fails takes this long to say so, what passes never does."""


async def until(
    look: Callable[[], T | Awaitable[T]], *, within_s: float = WITHIN_S, every_s: float = 0.01
) -> T:
    """What `look` (a function or a coroutine function) returns once that is true; TimeoutError if it never is."""
    async with asyncio.timeout(within_s):
        while True:
            found = look()
            seen = await found if inspect.isawaitable(found) else found
            if seen:
                return seen
            await asyncio.sleep(every_s)


def listens(port: int) -> bool:
    """Whether something takes connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
