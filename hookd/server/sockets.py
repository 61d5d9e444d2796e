"""Opening the sockets of `daemon.listen` (spec 1, 12), and serving those that systemd passed (spec 11).

A Unix socket is made under a private name with its final mode and owner and then renamed into place, so that there is
no moment at which somebody else could connect; a stale socket is replaced, anything else at its path is left alone.
A passed socket stays systemd's: it is not unlinked, and clients that were not accepted wait in it for the next hookd.

Must never: speak HTTP.
"""

import asyncio
import errno
import grp
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from hookd.domain.clock import Clock
from hookd.domain.definitions import HttpListen, UnixListen
from hookd.domain.errors import ListenFailed
from hookd.domain.text import error_text, host_and_port
from hookd.domain.value_class import value_class
from hookd.server.acceptor import Acceptor
from hookd.server.access import AccessPolicy
from hookd.server.activation import ListenTarget
from hookd.server.limits import Limits
from hookd.server.listener import Listener
from hookd.server.memory_budget import MemoryBudget
from hookd.server.router import App, Router
from hookd.server.served_certificate import CertificateState, ServedCertificate, ServedCertificates
from hookd.server.unserved import UnservedCount, UnservedKind

BACKLOG = 1024

_IN_USE = "; if it is systemd for hookd.socket, start hookd by `systemctl start hookd`"
_HINTS = {
    errno.EADDRINUSE: _IN_USE,
    errno.EACCES: "; ports below 1024 need root or CAP_NET_BIND_SERVICE (in a unit, AmbientCapabilities= and"
    " CapabilityBoundingSet=): use a higher one",
}

FIRST_REQUEST_S = 2.0
"""How long clients of a passed socket that were accepted may take to send their request once hookd stops (seconds)."""


@value_class
class ListenerState:
    """A listener as it is shown.

    Attributes:
        certificate: what it serves, or None for plain HTTP.
        open: how many connections are.
        most: how many may be.
        unserved: how many connections ended without being served, by kind.
    """

    address: str
    certificate: CertificateState | None
    open: int
    most: int
    unserved: Mapping[UnservedKind, UnservedCount]


@dataclass(slots=True)
class Listeners:
    """The open listeners of a daemon; `software`: what the Server header of its responses names."""

    router: Router
    clock: Clock
    software: str
    limits: Limits = field(default_factory=Limits)
    memory: MemoryBudget = field(default_factory=MemoryBudget)
    certificates: ServedCertificates = field(default_factory=ServedCertificates)
    addresses: list[str] = field(default_factory=list)
    _bound: list[Acceptor] = field(default_factory=list)
    _passed: list[Acceptor] = field(default_factory=list)
    _listeners: list[Listener] = field(default_factory=list)
    _sockets: list[tuple[str, int]] = field(default_factory=list)
    _states: list[tuple[Listener, ServedCertificate | None]] = field(default_factory=list)

    @property
    def socket_activated(self) -> bool:
        """Whether a socket here was passed, so that clients may count on it while hookd is restarted."""
        return bool(self._passed)

    def states(self) -> list[ListenerState]:
        """Every listener as it is now."""
        return [
            ListenerState(
                listener.unserved.address,
                None if certificate is None else certificate.state,
                listener.open,
                self.limits.connections,
                listener.unserved.counts,
            )
            for listener, certificate in self._states
        ]

    async def open(self, target: ListenTarget) -> None:
        """Begin to serve one target; where no socket was passed for it, its address is bound.

        Raises:
            ListenFailed: the address cannot be bound; the message says why and what to do.
        """
        listen = target.listen
        listener = Listener(
            App(self.router, AccessPolicy.of(listen)).serve,
            self.clock,
            self.software,
            self.limits,
            self.memory,
        )
        self._listeners.append(listener)
        certificate = self.certificates.of(listen) if isinstance(listen, HttpListen) else None
        sock = self._bind(listen) if target.passed is None else target.passed.sock
        address = f"unix:{listen.path}" if isinstance(listen, UnixListen) else _url(listen, sock)
        if certificate is not None:
            certificate.address = address
        self.addresses.append(address)
        listener.unserved.address = address
        self._states.append((listener, certificate))
        limits = self.limits
        acceptor = Acceptor(
            sock,
            listener,
            listener.evict_slow,
            listener.unserved,
            certificate=certificate,
            handshake_s=limits.head_s,
            shutdown_s=limits.linger_s,
        )
        acceptor.start()
        (self._bound if target.passed is None else self._passed).append(acceptor)

    def _bind(self, listen: UnixListen | HttpListen) -> socket.socket:
        if isinstance(listen, HttpListen):
            return bind_tcp(listen)
        sock = bind_unix(listen)
        self._sockets.append((listen.path, os.lstat(listen.path).st_ino))
        return sock

    def disable_keep_alive(self) -> None:
        """Go on serving, one request a connection, so that no client is in the middle of one when hookd is gone."""
        for listener in self._listeners:
            listener.disable_keep_alive()

    async def close(self) -> None:
        """Stop accepting, finish what is being served, remove our own socket files.

        Where a socket was passed, clients that were accepted before are still served: their request may be under way.
        """
        for acceptor in self._bound:
            acceptor.close()
        for path, inode in self._sockets:
            with suppress(OSError):
                if os.lstat(path).st_ino == inode:
                    os.unlink(path)
        await asyncio.gather(*(acceptor.drain(FIRST_REQUEST_S / 2) for acceptor in self._passed))
        first_request_s = FIRST_REQUEST_S if self.socket_activated else 0.0
        await asyncio.gather(
            *(listener.stop(first_request_s=first_request_s) for listener in self._listeners)
        )


def bind_unix(listen: UnixListen) -> socket.socket:
    """A listening Unix socket at its path with its mode and group.

    Raises:
        ListenFailed: something that is no socket stands there, another process listens there, or the directory refuses.
    """
    _clear_stale(listen.path)
    private = f"{listen.path}.{os.getpid()}.new"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            os.unlink(private)
        _bind_with_mode(sock, private, listen.mode)
        if listen.group is not None:
            os.chown(private, -1, grp.getgrnam(listen.group).gr_gid, follow_symlinks=False)
        sock.listen(BACKLOG)  # until now nobody could connect
        os.rename(private, listen.path)
    except (OSError, KeyError) as exc:
        sock.close()
        with suppress(OSError):
            os.unlink(private)
        raise ListenFailed(_why_not_unix(listen, exc)) from None
    sock.setblocking(False)
    return sock


def _bind_with_mode(sock: socket.socket, path: str, mode: int) -> None:
    """Bind so that the file is made with its mode: set afterwards by its name, it might be that of another file."""
    os.fchmod(sock.fileno(), mode)
    previous = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(previous)


def _why_not_unix(listen: UnixListen, exc: Exception) -> str:
    if isinstance(exc, KeyError):
        return f"cannot listen on {listen.path}: there is no group {listen.group!r}"
    if isinstance(exc, FileNotFoundError):
        return (
            f"cannot listen on {listen.path}: its directory does not exist;"
            " create it (systemd: RuntimeDirectory=hookd), or set daemon.listen"
        )
    if isinstance(exc, PermissionError):
        return (
            f"cannot listen on {listen.path}: permission denied; make its directory writable for this user,"
            " be a member of the configured group, or set daemon.listen"
        )
    return f"cannot listen on {listen.path}: {error_text(exc)}"


def _clear_stale(path: str) -> None:
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ListenFailed(
            f"cannot listen on {path}: something that is not a socket stands there; it is left as it is"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as exc:
            hint = "; if hookd.socket left it, `systemctl status hookd.socket` shows why"
            left = hint if exc.errno == errno.EACCES else ""
            raise ListenFailed(
                f"cannot listen on {path}: a socket stands there and asking it failed: {error_text(exc)}{left}"
            ) from None
    raise ListenFailed(f"cannot listen on {path}: another process is listening there{_IN_USE}")


def bind_tcp(listen: HttpListen) -> socket.socket:
    """A bound TCP socket.

    Raises:
        ListenFailed: the address is in use or not this machine's.
    """
    where = host_and_port(listen.host, listen.port)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise ListenFailed(f"cannot listen on {where}: {error_text(exc)}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        hint = _HINTS.get(exc.errno or 0, "")
        raise ListenFailed(f"cannot listen on {where}: {error_text(exc)}{hint}") from None
    sock.setblocking(False)
    return sock


def _url(listen: HttpListen, sock: socket.socket) -> str:
    scheme = "https" if listen.cert else "http"
    return f"{scheme}://{host_and_port(listen.host, sock.getsockname()[1])}"
