"""The certificates that the listeners serve: loaded at the start, and again whenever their files are replaced (spec 7).

What renews certificates (certbot, acme.sh) replaces the files, or the links that lead to them, one after the other, so
that for a moment certificate and key do not belong together. So what cannot be loaded is reported only where two looks
have found the same files; until there is something better, what was loaded before is served.

Must never: give up the certificate in force because the new one is broken, ask for a passphrase on the terminal, or put
key material into a message.
"""

import asyncio
import binascii
import re
import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import NoReturn

from hookd.domain.definitions import HttpListen
from hookd.domain.errors import ListenFailed
from hookd.domain.text import error_text
from hookd.domain.value_class import value_class
from hookd.observability import log

LOOK_S = 1.0
"""How often the files are looked at (seconds)."""

_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END ", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17  # tags of ASN.1: X.509's version is explicit, [0]
_VALIDITY = 3  # behind serial number, algorithm and issuer (RFC 5280, 4.1)


@value_class
class CertificateState:
    """A certificate as it is served.

    Attributes:
        path: the file it came from.
        ends_at: when it is no longer valid (seconds since the epoch); None where that cannot be read.
        error: why what is in the files now is not served; None where it is.
    """

    path: str
    ends_at: float | None
    error: str | None


class _UnusablePair(Exception):
    """The files cannot be served; the text says why."""


@value_class
class _LoadedPair:
    """What was in the files; `identity` tells them from those that replace them."""

    context: ssl.SSLContext
    ends_at: float | None
    identity: tuple[object, ...]


class ServedCertificate:
    """The certificate of one listener. `look` may be called in any thread, the rest is read in the event loop.

    Attributes:
        address: the listener's, for messages.
    """

    def __init__(self, cert: str, key: str | None) -> None:
        """Load it. Raises ListenFailed."""
        self.address = ""
        self._cert, self._key = cert, key
        self._error: str | None = None
        self._suspect: tuple[object, ...] | None = None
        self._renewed = False
        self._looking = Lock()
        try:
            self._pair = self._load()
        except _UnusablePair as exc:
            raise ListenFailed(f"cannot load the certificate {cert}: {exc}") from None

    @property
    def context(self) -> ssl.SSLContext:
        """What the next handshake uses."""
        return self._pair.context

    @property
    def state(self) -> CertificateState:
        """The certificate as it is served."""
        return CertificateState(self._cert, self._pair.ends_at, self._error)

    def take_renewed(self) -> bool:
        """Whether another certificate was loaded since this was asked last."""
        renewed, self._renewed = self._renewed, False
        return renewed

    def look(self) -> None:
        """Load what is in the files, where that is something else than before. Reads files."""
        with self._looking:
            found = self._identity()
            if found == self._pair.identity:
                self._error = self._suspect = None
                return
            try:
                self._pair = self._load()
            except _UnusablePair as exc:
                self._refuse(found, str(exc))
                return
            self._error, self._suspect, self._renewed = None, None, True
            log.info(
                "listener.certificate_renewed",
                listen=self.address,
                path=self._cert,
                ends_at=_shown(self._pair.ends_at),
            )

    def _refuse(self, found: tuple[object, ...], error: str) -> None:
        if found == self._suspect and error != self._error:
            self._error = error
            log.error(
                "listener.certificate_refused",
                listen=self.address,
                path=self._cert,
                error=error,
                detail="the certificate from before is served",
                ends_at=_shown(self._pair.ends_at),
            )
        self._suspect = found

    def _load(self) -> _LoadedPair:
        identity, pem = self._identity(), _content(self._cert)
        if self._key is not None:
            _content(self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._cert, self._key, password=_refuse_passphrase)
        except ssl.SSLError as exc:
            raise _UnusablePair(self._why(exc)) from None
        except OSError as exc:
            raise _UnusablePair(f"it cannot be read: {error_text(exc)}") from None
        except ValueError as exc:
            raise _UnusablePair(str(exc)) from None
        return _LoadedPair(context, _ends_at(pem), identity)

    def _why(self, exc: ssl.SSLError) -> str:
        if exc.reason == "KEY_VALUES_MISMATCH":
            return f"it does not belong to the key {self._key or 'in the same file'}"
        return "a certificate and its key in PEM form are needed"

    def _identity(self) -> tuple[object, ...]:
        return (_identity(self._cert), None if self._key is None else _identity(self._key))


class ServedCertificates:
    """The certificates of all listeners."""

    def __init__(self) -> None:
        self._all: list[ServedCertificate] = []

    def of(self, listen: HttpListen) -> ServedCertificate | None:
        """That of an entry, looked after from now on; None where it speaks plain HTTP. Raises ListenFailed."""
        if listen.cert is None:
            return None
        self._all.append(ServedCertificate(listen.cert, listen.key))
        return self._all[-1]

    def look(self) -> None:
        """Load those that were replaced. Reads files: call it in a thread."""
        for each in self._all:
            each.look()

    def take_renewed(self) -> tuple[str, ...]:
        """The addresses whose certificate was replaced since this was asked last."""
        return tuple(each.address for each in self._all if each.take_renewed())

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._all:
                await asyncio.to_thread(self.look)


def _identity(path: str) -> object:
    try:
        facts = Path(path).stat()
    except OSError as exc:
        return exc.errno
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _content(path: str) -> bytes:
    """The file's content, by the rules of every file that a configuration refers to. Raises _UnusablePair."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise _UnusablePair(f"{path} is no regular file")
        if mode & stat.S_IWOTH:
            raise _UnusablePair(f"{path} is world-writable")
        return Path(path).read_bytes()
    except OSError as exc:
        raise _UnusablePair(f"{path} cannot be read: {error_text(exc)}") from None


def _refuse_passphrase() -> NoReturn:
    raise ValueError("its key has a passphrase, and there is nobody to ask for it")


def _shown(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, tz=UTC).isoformat()


def _ends_at(pem: bytes) -> float | None:
    """When the first certificate of a PEM file ends: the one that OpenSSL serves, those behind it are its issuers'."""
    found = _PEM.search(pem)
    try:
        return None if found is None else _not_after(binascii.a2b_base64(found[1]))
    except (ValueError, IndexError, StopIteration):
        return None


def _not_after(der: bytes) -> float:
    """`notAfter` of a certificate; the ssl module shows it of a peer's verified certificate only."""
    _, certificate = next(_elements(der))
    _, signed = next(_elements(certificate))
    fields = [content for tag, content in _elements(signed) if tag != _VERSION]
    _, (tag, end) = _elements(fields[_VALIDITY])
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(end.decode("ascii"), form).replace(tzinfo=UTC).timestamp()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of DER, one behind the other: tag and content (X.690, 8.1)."""
    while data:
        tag, length, begin = data[0], data[1], 2
        if length & 0x80:
            begin += length & 0x7F
            length = int.from_bytes(data[2:begin], "big")
        yield tag, data[begin : begin + length]
        data = data[begin + length :]
