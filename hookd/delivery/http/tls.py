"""TLS contexts: one for each distinct `defs.Tls`, built ahead at load or lazily in a thread.

TLS 1.2 or newer, always (spec 1). A context is part of aiohttp's key for pooled connections, so webhooks with
different settings never share one (spec 5).

Must never: read a file on the event loop.
"""

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from hookd.delivery.http.failures import TlsUnusable, is_local_lack
from hookd.domain.definitions import Tls
from hookd.domain.text import error_text, tls_words


class Contexts:
    """The contexts in use, by settings. A failure is not kept: a file that returns heals the webhook."""

    def __init__(self) -> None:
        self._built: dict[Tls, ssl.SSLContext] = {}

    def prepare(self, wanted: Iterable[Tls]) -> None:
        """Build what is wanted and forget the rest. Takes some 20 ms for each: call it in a thread."""
        built: dict[Tls, ssl.SSLContext] = {}
        for tls in set(wanted):
            with suppress(TlsUnusable, OSError):
                built[tls] = self._built.get(tls) or build(tls)
        self._built = built

    async def get(self, tls: Tls) -> ssl.SSLContext:
        """Return the one context for these settings.

        Raises:
            TlsUnusable: a file is missing or wrong.
            OSError: no descriptor or memory to read it.
        """
        context = self._built.get(tls)
        if context is None:
            context = self._built.setdefault(tls, await asyncio.to_thread(build, tls))
        return context


def build(tls: Tls) -> ssl.SSLContext:
    """Make a client context. Reads files; for what it raises see `Contexts.get`."""
    context = _unverified() if tls.insecure else _verified(tls.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if tls.cert is not None:
        with _reading(f"the client certificate {tls.cert}"):
            context.load_cert_chain(tls.cert, tls.key, password=_no_password)
    return context


def _verified(ca: str | None) -> ssl.SSLContext:
    with _reading("the system's certificates" if ca is None else f"the CA bundle {ca}"):
        context = ssl.create_default_context(cafile=ca)
    if ca is not None:
        # Whatever stands in the file is trusted as it is: an intermediate without its root, and a receiver's own
        # certificate, which is no authority and so vouches for itself alone.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _no_password() -> NoReturn:
    """Refuse; without this OpenSSL would ask on the terminal and wait."""
    raise ValueError("its key is encrypted")


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as exc:
        raise TlsUnusable(
            f"{what} cannot be used: {tls_words(exc.reason) if exc.reason else 'not PEM'}"
        ) from exc
    except OSError as exc:
        if is_local_lack(exc):
            raise
        raise TlsUnusable(f"{what} cannot be read: {error_text(exc)}") from exc
    except ValueError as exc:
        raise TlsUnusable(f"{what} cannot be used: {exc}") from exc
