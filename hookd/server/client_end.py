"""Who is at the other end of a connection, and which address of ours it reached: what a verdict may depend on.

Must never: judge anybody.
"""

import asyncio

from hookd.server.peers import Peer, peer_of


class ClientEnd:
    """The other end of one connection."""

    __slots__ = ("_peer", "_scope", "_transport")

    def __init__(self) -> None:
        self._transport: asyncio.BaseTransport | None = None
        self._peer: Peer | None = None
        self._scope: tuple[str, Peer | None] | None = None

    def connected(self, transport: asyncio.BaseTransport | None) -> None:
        """The connection was made, or (None) is gone."""
        self._transport = transport

    @property
    def address(self) -> object:
        """The client's address as the socket has it; None where it is gone."""
        return None if self._transport is None else self._transport.get_extra_info("peername")

    @property
    def scope(self) -> tuple[str, Peer | None]:
        """The address that was reached, and the local user, as far as he was asked for."""
        if self._scope is None:
            self._scope = (self.local_address(), self._peer)
        return self._scope

    def local_address(self) -> str:
        """The address that the client reached, or an empty text on a Unix socket."""
        own = None if self._transport is None else self._transport.get_extra_info("sockname")
        return str(own[0]) if isinstance(own, tuple) else ""

    async def find_peer(self) -> Peer | None:
        """The local user at the other end, who stays the same as long as the connection does."""
        if self._peer is None and self._transport is not None:
            self._peer = await peer_of(self._transport)
            self._scope = None
        return self._peer
