"""Which socket that systemd passed stands in for which entry of `daemon.listen` (spec 11).

A passed socket of an entry's family and address is used in its place. A Unix socket without an entry is served as well,
since its file's mode, which the unit sets, decides who may connect; a TCP socket without one is an error, since tokens,
certificate and hosts stand in the entry.

Must never: bind, accept or unlink.
"""

import os
import socket
from collections.abc import Iterable, Sequence

from hookd.domain.definitions import HttpListen, UnixListen
from hookd.domain.errors import SocketsUnfit
from hookd.domain.text import error_text, host_and_port
from hookd.domain.value_class import value_class
from hookd.server.systemd import PassedDescriptor

_NO_STREAM = "a socket unit needs ListenStream= and Accept=no"


@value_class
class PassedSocket:
    """A listening socket that was passed.

    Attributes:
        name: what the unit calls it, for messages.
    """

    sock: socket.socket
    name: str

    @property
    def unix_path(self) -> str | None:
        """The path of a Unix socket (`@NAME` for an abstract one); None for another family."""
        if self.sock.family != socket.AF_UNIX:
            return None
        address = self.sock.getsockname()
        text = os.fsdecode(address)
        return "@" + text[1:] if text.startswith("\0") else text

    def shown(self) -> str:
        """Its address, as one would write it into `daemon.listen`."""
        path = self.unix_path
        if path is not None:
            return path
        host, port = self.sock.getsockname()[:2]
        return host_and_port(host, port)


@value_class
class ListenTarget:
    """Where hookd listens: an entry and the socket that stands in for it; without one, it is to be bound."""

    listen: UnixListen | HttpListen
    passed: PassedSocket | None = None


def adopt(descriptors: Iterable[PassedDescriptor]) -> list[PassedSocket]:
    """The sockets behind the descriptors, not blocking, and not for child processes.

    Raises:
        SocketsUnfit: one of them is no listening stream socket of a family that hookd serves.
    """
    return [_adopt(each) for each in descriptors]


def _adopt(descriptor: PassedDescriptor) -> PassedSocket:
    shown = f"descriptor {descriptor.fd} ({descriptor.name}), passed by systemd,"
    try:
        os.set_inheritable(descriptor.fd, False)
        sock = socket.socket(fileno=descriptor.fd)
    except OSError as exc:
        raise SocketsUnfit(f"{shown} is not a socket ({error_text(exc)}): {_NO_STREAM}") from None
    if not _listens(sock):
        sock.close()
        raise SocketsUnfit(f"{shown} is not a listening Unix or TCP socket: {_NO_STREAM}")
    sock.setblocking(False)
    return PassedSocket(sock, descriptor.name)


def _listens(sock: socket.socket) -> bool:
    return (
        sock.family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
        and sock.type == socket.SOCK_STREAM
        and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    )


def listen_targets(
    listen: Sequence[UnixListen | HttpListen], passed: Iterable[PassedSocket]
) -> list[ListenTarget]:
    """Every place to listen at: the entries in order, then passed Unix sockets that have none.

    Raises:
        SocketsUnfit: a passed TCP socket has no entry.
    """
    unused = list(passed)
    targets = []
    for entry in listen:
        fits = next((each for each in unused if _stands_for(each, entry)), None)
        if fits is not None:
            unused.remove(fits)
        targets.append(ListenTarget(entry, fits))
    return targets + [_without_entry(each, listen) for each in unused]


def _stands_for(passed: PassedSocket, entry: UnixListen | HttpListen) -> bool:
    path = passed.unix_path
    if isinstance(entry, UnixListen):
        return path is not None and os.path.realpath(path) == os.path.realpath(entry.path)
    if path is not None:
        return False
    host, port = passed.sock.getsockname()[:2]
    return port == entry.port and any(
        (family, address[0]) == (passed.sock.family, host) for family, address in _addresses(entry)
    )


def _addresses(entry: HttpListen) -> list[tuple[int, tuple[str, int]]]:
    """What the entry's host stands for: one address, or both loopback ones of `localhost`."""
    try:
        found = socket.getaddrinfo(entry.host, entry.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(family, (str(address[0]), entry.port)) for family, _, _, _, address in found]


def _without_entry(passed: PassedSocket, listen: Sequence[UnixListen | HttpListen]) -> ListenTarget:
    path = passed.unix_path
    if path is not None:
        return ListenTarget(UnixListen(path), passed)
    shown = passed.shown()
    entries = ", ".join(each.shown for each in listen if isinstance(each, HttpListen)) or "none"
    raise SocketsUnfit(
        f"systemd passes the TCP socket {shown} ({passed.name}), which daemon.listen does not have"
        f' (its http entries: {entries}): add "- http: {shown}" there, or take ListenStream={shown}'
        " out of the socket unit"
    )
