"""Waiting for what announces nothing, such as another process, a file or the kernel: it is asked again and again."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

WITHIN_S = 15.0
"""Long enough for a busy machine; what fails takes this long to say so, what passes never does."""


@overload
async def until(
    look: Callable[[], Awaitable[T]], *, within_s: float = WITHIN_S, every_s: float = 0.01
) -> T: ...
@overload
async def until(look: Callable[[], T], *, within_s: float = WITHIN_S, every_s: float = 0.01) -> T: ...
async def until(look: Callable[[], Any], *, within_s: float = WITHIN_S, every_s: float = 0.01) -> Any:
    """What `look` (a function or a coroutine function) returns once that is true; TimeoutError if it never is."""
    async with asyncio.timeout(within_s):
        while True:
            found = look()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(every_s)


async def comes_true(look: Callable[[], Any], *, within_s: float = WITHIN_S, every_s: float = 0.01) -> bool:
    """Whether that is ever true, for what is judged later."""
    try:
        await until(look, within_s=within_s, every_s=every_s)
    except TimeoutError:
        return False
    return True
