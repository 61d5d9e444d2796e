"""Accepting connections without spinning where descriptors have run out (spec 12).

uvloop's own server keeps one descriptor in reserve for that case; once it has lost it (another thread opened something
at the wrong moment) it asks the kernel again and again without a pause, and until then it drops every newcomer. Here a
newcomer waits in the kernel's queue until there is a descriptor again.

Must never: know HTTP.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

from hookd.domain.text import error_text
from hookd.observability import log
from hookd.server.served_certificate import ServedCertificate
from hookd.server.unserved import UnservedConnections

AT_ONCE = 512
"""Connections accepted in one turn of the loop; a flood of them keeps nothing else waiting for long, nor itself."""

PAUSE_S = 1.0
"""How long nothing is accepted where there are no descriptors or no memory (seconds)."""

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts on one listening socket and gives each connection a protocol.

    Args:
        sock: listening and not blocking.
        protocol_factory: makes the protocol of a connection.
        on_shortage: called when a connection waits for which there is no descriptor; may set one free.
        unserved: counts the handshakes that fail.
        certificate: where the listener speaks TLS; each handshake uses the one in force then.
        handshake_s: bounds the begin of TLS.
        shutdown_s: bounds its end.
    """

    def __init__(
        self,
        sock: socket.socket,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        on_shortage: Callable[[], None],
        unserved: UnservedConnections,
        *,
        certificate: ServedCertificate | None = None,
        handshake_s: float | None = None,
        shutdown_s: float | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._protocol_factory = protocol_factory
        self._on_shortage = on_shortage
        self._unserved = unserved
        self._certificate = certificate
        self._handshake_s = handshake_s if certificate else None
        self._shutdown_s = shutdown_s if certificate else None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._short = False

    def start(self) -> None:
        """Begin to accept."""
        self._loop.add_reader(self._sock, self._accept)

    def close(self) -> None:
        """Accept no more; connections whose TLS handshake is under way are dropped."""
        self._stop_accepting()
        for task in self._handshakes:
            task.cancel()

    async def drain(self, timeout_s: float) -> None:
        """Accept no more, but finish the handshakes under way, for `timeout_s` seconds at most."""
        self._stop_accepting()
        if self._handshakes:
            await asyncio.wait(self._handshakes, timeout=timeout_s)
        self.close()

    def _stop_accepting(self) -> None:
        if self._sock.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, client = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                self._pause_accepting(exc)
                return
            self._short = False
            sock.setblocking(False)
            task = self._loop.create_task(self._begin(sock, client))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _pause_accepting(self, exc: OSError) -> None:
        """Leave newcomers in the kernel's queue for a while; it is logged once."""
        if exc.errno not in _SHORTAGES:
            log.error("listener.failed", error=error_text(exc))
        elif not self._short:
            self._short = True
            log.error("listener.short", error=error_text(exc), detail="new connections wait")
        self._on_shortage()
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)

    async def _begin(self, sock: socket.socket, client: object) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol_factory,
                sock,
                ssl=None if self._certificate is None else self._certificate.context,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=self._shutdown_s,
            )
        except OSError as exc:  # gone before it began, or no TLS
            if self._certificate is not None:
                self._unserved.note_handshake(exc, client, self._handshake_s)
