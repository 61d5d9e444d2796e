"""Who is at the other end, by the kernel's own word."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from hookd.server.peers import Peer, peer_of


async def accepted(
    listening: socket.socket, client: socket.socket, address: tuple[str, int] | None = None
) -> asyncio.Transport:
    """The server's end of a connection that a client makes to `address`, else to where the server listens."""
    loop = asyncio.get_running_loop()
    client.setblocking(False)
    await loop.sock_connect(client, address or listening.getsockname())
    listening.setblocking(False)
    sock, _ = await loop.sock_accept(listening)
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, sock)
    return transport


@pytest.fixture
async def transports() -> AsyncIterator[list[asyncio.Transport]]:
    made: list[asyncio.Transport] = []
    yield made
    for transport in made:
        transport.abort()


async def test_a_unix_socket(tmp_path: Path, transports: list[asyncio.Transport]) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        transports.append(await accepted(listening, client))
        peer = await peer_of(transports[0])
    assert peer == Peer(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


async def test_a_unix_socket_where_no_descriptors_are_left(
    tmp_path: Path, transports: list[asyncio.Transport]
) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        transports.append(await accepted(listening, client))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            peer = await peer_of(transports[0])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert peer is not None
        assert peer.uid == os.geteuid()
        client.send(b"x")  # the connection is still open


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.1")),
        ((socket.AF_INET6, "::1"), (socket.AF_INET6, "::1")),
        ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")),
        ((socket.AF_INET6, "::"), (socket.AF_INET, "127.0.0.1")),
    ],
    ids=["IPv4", "IPv6", "a client that speaks both", "a listener that speaks both"],
)
async def test_the_owner_of_a_tcp_connection(
    server: tuple[socket.AddressFamily, str],
    client: tuple[socket.AddressFamily, str],
    transports: list[asyncio.Transport],
) -> None:
    with closing(socket.socket(server[0])) as listening, closing(socket.socket(client[0])) as connected:
        if server[0] == socket.AF_INET6:
            with suppress(OSError):
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listening.bind((server[1], 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        listening.listen()
        transports.append(await accepted(listening, connected, (client[1], listening.getsockname()[1])))
        peer = await peer_of(transports[0])
        assert peer is not None
        assert peer.uid == os.geteuid()
        assert os.getegid() in peer.gids


async def test_one_who_has_gone_is_nobody(transports: list[asyncio.Transport]) -> None:
    """The kernel lists a socket that its owner has closed as one of root's."""
    with closing(socket.socket()) as listening, closing(socket.socket()) as client:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        transports.append(await accepted(listening, client))
        client.close()
        assert await peer_of(transports[0]) is None
