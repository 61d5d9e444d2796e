"""Name resolution in daemon threads of its own, one lookup at a time for each name.

A shared pool of threads lets a few dead names delay every healthy one; here each name that is being looked up
has its own thread, and all who ask for it meanwhile wait for the same answer (spec 5: resolution neither
blocks the loop nor lets a dead name server for one host delay others). The threads are daemons: a lookup that
hangs never delays the exit.

Must never: block the event loop.
"""

import asyncio
import errno
import socket
import threading
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUPS = 512
"""Most names looked up at once; each holds a thread."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

_CacheKey = tuple[str, int, int]
_Addresses = list[tuple[Any, ...]]


class ThreadResolver(AbstractResolver):
    """Resolves by `getaddrinfo`. Belongs to the event loop it is first used in."""

    def __init__(self, *, lookups: int = LOOKUPS) -> None:
        self._limit = lookups
        self._lookups: dict[_CacheKey, asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up; giving up waiting does not end the lookup for others.

        Raises:
            socket.gaierror: the name does not resolve.
            OSError: with `EAGAIN`, `EMFILE` or another lack of our own: nothing is known about the name.
        """
        key = (host, port, family)
        lookup = self._lookups.get(key) or self._begin(key)
        return await asyncio.shield(lookup)

    def looks_up(self, host: str) -> bool:
        """Whether a lookup of this name is under way."""
        return any(key[0] == host for key in self._lookups)

    async def close(self) -> None:
        """Nothing to release: threads end with their lookup."""

    def _begin(self, key: _CacheKey) -> asyncio.Future[list[ResolveResult]]:
        if len(self._lookups) >= self._limit:
            raise OSError(errno.EAGAIN, f"{self._limit} names are being looked up already")
        loop = asyncio.get_running_loop()
        lookup: asyncio.Future[list[ResolveResult]] = loop.create_future()
        lookup.add_done_callback(_retrieve)
        thread = threading.Thread(
            target=self._run, args=(key, loop, lookup), name=f"lookup {key[0]}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as exc:
            raise OSError(errno.EAGAIN, "no thread for a name lookup") from exc
        self._lookups[key] = lookup
        return lookup

    def _run(
        self, key: _CacheKey, loop: asyncio.AbstractEventLoop, lookup: asyncio.Future[list[ResolveResult]]
    ) -> None:
        """The thread: look up, hand the answer to the loop, unless that has closed meanwhile."""
        result: list[ResolveResult] | Exception
        try:
            result = _look_up(*key)
        except OSError as exc:
            result = exc
        except MemoryError:
            result = OSError(errno.ENOMEM, "no memory for a name lookup")
        except BaseException as exc:  # noqa: BLE001  whatever ends the thread, those that wait for it must learn of it
            result = RuntimeError(f"a name lookup ended by {type(exc).__name__}")
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._end, key, lookup, result)

    def _end(
        self,
        key: _CacheKey,
        lookup: asyncio.Future[list[ResolveResult]],
        result: list[ResolveResult] | Exception,
    ) -> None:
        del self._lookups[key]
        if isinstance(result, Exception):
            lookup.set_exception(result)
        else:
            lookup.set_result(result)


def _retrieve(lookup: asyncio.Future[list[ResolveResult]]) -> None:
    """Look at the result, so that a failure nobody waits for any more is not reported as lost."""
    lookup.exception()


def _look_up(host: str, port: int, family: int) -> list[ResolveResult]:
    try:
        found = socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except ValueError:  # not to be written in IDNA, or with a NUL
        raise socket.gaierror(socket.EAI_NONAME, "not a valid host name") from None
    except OSError:  # with some of the system's name services it is not even a `gaierror`
        _raise_if_out_of_descriptors()
        raise
    return [_result(host, *entry) for entry in found]


def _raise_if_out_of_descriptors() -> None:
    """The C library reports its own lack of descriptors as a name that is unknown: tell the two apart."""
    socket.socket().close()


def _result(
    host: str, family: int, _type: int, proto: int, _canonical: str, address: tuple[Any, ...]
) -> ResolveResult:
    if family == socket.AF_INET6 and address[3]:
        # Only the numeric form with its scope ("fe80::1%eth0") reaches a link-local address.
        numeric, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    else:
        numeric = address[0]
    return ResolveResult(
        hostname=host, host=numeric, port=address[1], family=family, proto=proto, flags=_NUMERIC
    )
