"""Connections of one listener that ended without being served: counted by kind, logged at most once a minute each.

Must never: let a client write into the log more often than that, or know why a client came.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hookd.domain.clock import Clock
from hookd.domain.text import error_text
from hookd.observability import log

LOG_EVERY_S = 60.0
"""For each kind and listener there is at most one line in so many seconds; it tells how many it stands for."""

_PLAIN = frozenset({"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"})
"""What OpenSSL calls a handshake that begins as HTTP does."""


class UnservedKind(StrEnum):
    """Why a connection was not served."""

    PAST_LIMIT = "past_limit"  # refused: as many as there may be were open
    EVICTED = "evicted"  # closed, since it was slow and another one needed its place
    TLS_FAILED = "tls_failed"  # no handshake came about: the client's versions, its trust, its patience
    PLAIN_HTTP = "plain_http"  # HTTP without TLS on a listener that speaks TLS
    NO_REQUEST = "no_request"  # it was closed, by the client or for its time, before it had asked anything


_LOST_TIME = (UnservedKind.PAST_LIMIT, UnservedKind.EVICTED)
"""Where an operator should look some day: somebody was turned away."""


@dataclass(slots=True)
class UnservedCount:
    """How many there were of a kind; `last_at`: when the latest ended (seconds since the epoch)."""

    count: int = 0
    last_at: float | None = None


@dataclass(slots=True)
class _Unlogged:
    """What has come since the last line of a kind."""

    count: int = 0
    next_mono: float = 0.0
    latest: dict[str, str] = field(default_factory=dict)


class UnservedConnections:
    """The counts of one listener.

    Attributes:
        address: the listener's, for the log.
    """

    def __init__(self, clock: Clock) -> None:
        self.address = ""
        self._clock = clock
        self._counts = {kind: UnservedCount() for kind in UnservedKind}
        self._unlogged = {kind: _Unlogged() for kind in UnservedKind}

    @property
    def counts(self) -> Mapping[UnservedKind, UnservedCount]:
        """How many there have been since the start."""
        return self._counts

    def note(self, kind: UnservedKind, client: object, error: str = "") -> None:
        """Count a connection.

        Args:
            kind: why it was not served.
            client: its address as the socket has it: host and port, or nothing that tells on a Unix socket.
            error: more about it.
        """
        count, unlogged = self._counts[kind], self._unlogged[kind]
        count.count += 1
        count.last_at = self._clock.now()
        unlogged.count += 1
        unlogged.latest = {"error": error} if error else {}
        if isinstance(client, tuple):
            unlogged.latest["client"] = str(client[0])
        self._log(kind)

    def note_handshake(self, exc: OSError, client: object, handshake_s: float | None) -> None:
        """Count a connection whose TLS handshake failed."""
        reason = (exc.reason or "") if isinstance(exc, ssl.SSLError) else ""
        if reason in _PLAIN:
            self.note(UnservedKind.PLAIN_HTTP, client)
        else:
            self.note(UnservedKind.TLS_FAILED, client, _handshake_error(exc, reason, handshake_s))

    def log_overdue(self) -> None:
        """Log what was counted, but not yet logged, where a minute is over."""
        for kind, unlogged in self._unlogged.items():
            if unlogged.count:
                self._log(kind)

    def _log(self, kind: UnservedKind) -> None:
        unlogged, mono = self._unlogged[kind], self._clock.monotonic()
        if mono < unlogged.next_mono:
            return
        say = log.warning if kind in _LOST_TIME else log.info
        say(
            "connection.unserved",
            listen=self.address,
            reason=kind.value,
            count=unlogged.count,
            **unlogged.latest,
        )
        self._unlogged[kind] = _Unlogged(next_mono=mono + LOG_EVERY_S)


def _handshake_error(exc: OSError, reason: str, handshake_s: float | None) -> str:
    if reason:
        return reason.lower().replace("_", " ")
    if isinstance(exc, ConnectionAbortedError):
        return f"it took longer than {handshake_s:.0f} s"
    if isinstance(exc, ConnectionResetError):
        return "the client closed the connection"
    return error_text(exc)
