"""Which local user is at the other end of a connection, as the kernel knows it.

Must never: decide what somebody may do, or trust what a client says of itself.
"""

import asyncio
import os
import pwd
import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

_SO_PEERGROUPS = 59
"""Linux 4.13, asm-generic/socket.h; Python has no name for it."""

_MOST_GROUPS = 256
"""Groups that `getsockopt` of Python has room for; of a user with more, the primary one counts alone."""

_ESTABLISHED = b"01"


class Peer(NamedTuple):
    """A local user: the uid, and the groups that the process had when it connected."""

    uid: int
    gids: frozenset[int]


async def peer_of(transport: asyncio.BaseTransport) -> Peer | None:
    """The local user behind a connection; None where that is not a local user, or cannot be known.

    Raises:
        OSError: the kernel could not be asked now, as without descriptors.
    """
    sockname, peername = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    sock = transport.get_extra_info("socket")
    if sock is None:
        return None
    if sock.family == socket.AF_UNIX:
        return _unix_peer(sock.fileno())
    if not isinstance(sockname, tuple) or not isinstance(peername, tuple):
        return None
    return await asyncio.to_thread(_tcp_peer, sockname[:2], peername[:2])


def _unix_peer(descriptor: int) -> Peer | None:
    """By SO_PEERCRED and SO_PEERGROUPS (unix(7)): who called connect(). Needs no descriptor, as there may be none."""
    if descriptor < 0:  # gone
        return None
    sock = socket.socket(fileno=descriptor)  # uvloop's has no getsockopt
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        _pid, uid, gid = struct.unpack("iII", raw)
        gids = {gid}
        with suppress(OSError):
            groups = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
            gids.update(struct.unpack(f"{len(groups) // 4}I", groups))
    finally:
        sock.detach()
    return Peer(uid, frozenset(gids))


def _tcp_peer(own: tuple[str, int], other: tuple[str, int]) -> Peer | None:
    """By the kernel's tables of connections (proc(5)): the owner of the socket whose ends are ours, swapped."""
    if not _address(other).is_loopback:
        return None
    for table, mapped in (("/proc/self/net/tcp", False), ("/proc/self/net/tcp6", True)):
        ends = b" %b %b %b " % (_written(other, mapped), _written(own, mapped), _ESTABLISHED)
        with suppress(FileNotFoundError), Path(table).open("rb") as rows:
            for row in rows:
                if ends in row and (uid := _owner(row)) is not None:
                    return Peer(uid, _groups_of(uid))
    return None


def _address(end: tuple[str, int]) -> IPv4Address | IPv6Address:
    address = ip_address(end[0].partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _written(end: tuple[str, int], mapped: bool) -> bytes:
    """One end as the tables write it: words of 32 bits in the machine's order, in hexadecimal digits."""
    address = _address(end)
    packed = address.packed
    if mapped and len(packed) == 4:  # a client whose socket speaks both, as Java's do
        packed = bytes(10) + b"\xff\xff" + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return b"%b:%04X" % (b"".join(b"%08X" % word for word in words), end[1])


def _owner(row: bytes) -> int | None:
    """The uid in a row; None without an inode: a socket that its owner has closed is listed as root's."""
    fields = row.split()
    uid, inode = int(fields[7]), int(fields[9])
    return uid if inode else None


def _groups_of(uid: int) -> frozenset[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
