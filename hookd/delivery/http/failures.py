"""What went wrong in an attempt, as a reason and a sentence for people.

Nothing here prints an exception as aiohttp words it: those texts may hold the URL, or bytes of the receiver's
choice.

Must never: hold a secret, a control character, or a judgement about retries.
"""

import errno
import re
import socket
import ssl
from enum import StrEnum

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, InvalidHeader, LineTooLong

from hookd.domain.deliveries import Reason
from hookd.domain.text import JOINED_ERRNO, error_text, host_and_port, shown, tls_words
from hookd.domain.value_class import value_class
from hookd.rules.templates import MessageTooLarge, UnknownSecret

LOCAL_ERRNOS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EAGAIN}
)
"""Error numbers that speak of this machine, never of the receiver (spec 14, Lane state)."""

HEAD_TOO_LONG = "its head is longer than 64 KiB"

REMOTE = (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError)
"""Everything a connection may raise; uvloop has a `RuntimeError` where asyncio has an `OSError`."""

_TLS_ALERT = re.compile(r"\[SSL: (\w+)\]")


class Phase(StrEnum):
    """How far an attempt came."""

    RESOLVING = "while looking up the name"
    CONNECTING = "while connecting"
    HANDSHAKING = "in the TLS handshake"
    WAITING = "while waiting for the answer"
    READING = "while reading the answer"


class TlsUnusable(Exception):
    """A TLS context cannot be built from the webhook's files; the message is a sentence for people."""


class NeverCalled(OSError):
    """An address that hookd does not connect to (spec 12). As an `OSError`, the next address of the name is tried."""

    TEXT = "it is a link-local or cloud metadata address, which hookd never calls"

    def __init__(self) -> None:
        super().__init__(self.TEXT)


@value_class
class AttemptFailure:
    """Why there is no answer."""

    reason: Reason
    message: str


def is_local_lack(exc: OSError) -> bool:
    """Whether an error is hookd's own lack of descriptors, memory, ports or threads."""
    if isinstance(exc, (ssl.SSLError, socket.gaierror)):  # their numbers are not the system's
        return False
    if exc.errno is not None:
        return exc.errno in LOCAL_ERRNOS
    # Of several addresses that failed differently, the numbers survive in the joined text alone.
    numbers = {int(number) for number in JOINED_ERRNO.findall(str(exc))}
    return bool(numbers) and numbers <= LOCAL_ERRNOS


def explain(
    exc: Exception, *, host: str, port: int | None, phase: Phase, timeout_s: float, began: bool = False
) -> AttemptFailure:
    """Say why an attempt that ended in `exc` got no answer.

    Args:
        exc: one of `REMOTE`, `TlsUnusable`, `MessageTooLarge` or `UnknownSecret`.
        host: of the URL.
        port: of the URL.
        phase: how far the attempt came.
        timeout_s: of the webhook, for the sentence.
        began: whether anything of an answer came.
    """
    place = host_and_port(host, port)
    match exc:
        case MessageTooLarge():
            failure = AttemptFailure(
                Reason.SIZE,
                f"{exc}, so it was never made; raise the limit or shorten the task's message, and post the event anew",
            )
        case UnknownSecret():
            failure = AttemptFailure(
                Reason.CONFIG,
                f"the message needs the secret {exc}, which the webhook does not have; declare it under its secrets",
            )
        case TlsUnusable():
            failure = AttemptFailure(Reason.TLS, str(exc))
        case aiohttp.ClientConnectorCertificateError():
            failure = AttemptFailure(
                Reason.TLS, f"the certificate of {place} was refused: {_verify_text(exc)}"
            )
        case aiohttp.ClientConnectorError():
            failure = _not_connected(exc, host, place)
        case aiohttp.InvalidURL():
            failure = AttemptFailure(Reason.CONNECT, "the URL's host is not a host that can be called")
        case HttpProcessingError():
            failure = AttemptFailure(Reason.PROTOCOL, _not_http(exc))
        case TimeoutError():
            failure = AttemptFailure(Reason.TIMEOUT, f"timed out after {timeout_s:g} s {phase}")
        case OSError() if is_local_lack(exc):
            failure = _lack(exc)
        case _:
            failure = _cut(exc, place, began=began)
    return failure


def _not_connected(exc: aiohttp.ClientConnectorError, host: str, place: str) -> AttemptFailure:
    cause = exc.os_error
    if is_local_lack(cause):
        return _lack(cause)
    if isinstance(cause, NeverCalled):
        return AttemptFailure(Reason.FORBIDDEN, f"{place} was not called: {NeverCalled.TEXT}")
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return AttemptFailure(Reason.DNS, f"the name {host} does not resolve: {_os_text(cause)}")
    if isinstance(cause, ssl.SSLError):
        return AttemptFailure(Reason.TLS, f"TLS with {place} failed: {tls_words(cause.reason)}")
    if isinstance(cause, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)) and isinstance(
        exc.ssl, ssl.SSLContext
    ):
        return AttemptFailure(Reason.TLS, f"{place} closed the connection during the TLS handshake")
    return AttemptFailure(Reason.CONNECT, f"cannot connect to {place}: {_os_text(cause)}")


def _lack(exc: OSError) -> AttemptFailure:
    return AttemptFailure(Reason.LOCAL, f"hookd itself lacks resources: {_os_text(exc)}")


def _cut(exc: Exception, place: str, *, began: bool) -> AttemptFailure:
    """Closed or reset before a whole head; TLS 1.3 servers refuse a client certificate only then."""
    alert = _TLS_ALERT.search(str(exc))
    if alert:
        return AttemptFailure(Reason.TLS, f"TLS with {place} failed: {tls_words(alert[1])}")
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        how = "before its answer was complete" if began else "without an answer"
        return AttemptFailure(Reason.DISCONNECTED, f"{place} closed the connection {how}")
    when = "before its answer was complete" if began else "before an answer"
    return AttemptFailure(Reason.DISCONNECTED, f"the connection to {place} broke {when}: {_os_text(exc)}")


def _verify_text(exc: aiohttp.ClientConnectorCertificateError) -> str:
    cause = exc.certificate_error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "not valid"


def _os_text(exc: Exception) -> str:
    """What the system says of an error; an event loop's own words for a closed connection name its objects."""
    number = getattr(exc, "errno", None)
    if number is None and NeverCalled.TEXT in str(exc):
        return f"{error_text(exc)}; another of its addresses was not called: {NeverCalled.TEXT}"
    if isinstance(exc, OSError) and (number is not None or JOINED_ERRNO.search(str(exc))):
        return error_text(exc)
    return "it was closed"


def _not_http(exc: HttpProcessingError) -> str:
    cause = exc.__cause__ or exc  # aiohttp's client hands on what its parser found without its class
    if isinstance(cause, LineTooLong):
        return f"the answer is not valid HTTP: {HEAD_TOO_LONG}"
    if isinstance(cause, InvalidHeader):
        return "the answer is not valid HTTP: a header holds what no header may"
    # Later lines of the parser's message quote the receiver's bytes, and those two errors in the first.
    first, _, _ = exc.message.partition("\n")
    return f"the answer is not valid HTTP: {shown(first.rstrip(':'), 200)}"
