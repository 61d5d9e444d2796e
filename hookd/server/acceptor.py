"""Accepting connections without spinning where descriptors have run out (spec 12).

uvloop's own server keeps one descriptor in reserve for that case; once it has lost it (another thread opened something
at the wrong moment) it asks the kernel again and again without a pause, and until then it drops every newcomer. Here a
newcomer waits in the kernel's queue until there is a descriptor again.

Must never: know HTTP.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from hookd.observability import log

AT_ONCE = 512
"""Connections accepted in one turn of the loop; a flood of them keeps nothing else waiting for long, nor itself."""

PAUSE_S = 1.0
"""How long nothing is accepted where descriptors or memory lack (seconds)."""

_LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts on one listening socket and gives each connection a protocol.

    Args:
        sock: listening and not blocking.
        make: makes the protocol of a connection.
        lacking: called when a connection waits for which there is no descriptor; may set one free.
        tls: where the listener speaks TLS; `handshake_s` and `shutdown_s` bound its begin and end.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[], asyncio.BaseProtocol],
        lacking: Callable[[], None],
        *,
        tls: ssl.SSLContext | None = None,
        handshake_s: float | None = None,
        shutdown_s: float | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._make = make
        self._lacking = lacking
        self._tls = tls
        self._handshake_s = handshake_s if tls else None
        self._shutdown_s = shutdown_s if tls else None
        self._beginning: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._short = False

    def start(self) -> None:
        """Begin to accept."""
        self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept no more; connections whose TLS handshake is under way are dropped."""
        self._leave()
        for task in self._beginning:
            task.cancel()

    async def retire(self, patience_s: float) -> None:
        """Accept no more, but let what was accepted begin, for `patience_s` seconds at most."""
        self._leave()
        if self._beginning:
            await asyncio.wait(self._beginning, timeout=patience_s)
        self.close()

    def _leave(self) -> None:
        if self._sock.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                self._rest(exc)
                return
            self._short = False
            sock.setblocking(False)
            task = self._loop.create_task(self._begin(sock))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _rest(self, exc: OSError) -> None:
        """Leave those who wait in the kernel for a while; the log hears of it once."""
        if exc.errno not in _LACKS:
            log.error("listener.failed", error=str(exc))
        elif not self._short:
            self._short = True
            log.error("listener.short", error=str(exc.strerror), detail="new connections wait")
        self._lacking()
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)

    async def _begin(self, sock: socket.socket) -> None:
        with suppress(OSError):  # gone before it began, or no TLS
            await self._loop.connect_accepted_socket(
                self._make,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=self._shutdown_s,
            )
