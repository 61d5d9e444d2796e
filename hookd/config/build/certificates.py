"""Certificates and keys the configuration refers to: readable, and proven by building a TLS context of them.

Must never: ask for a passphrase on the terminal, or put key material into a diagnostic.
"""

import hashlib
import ssl
from pathlib import Path

from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.files import Unreadable
from hookd.domain.definitions import Tls


class _PassphraseWanted(Exception):
    """The key is encrypted."""


def read_tls(cursor: Cursor | None, *, insecure: bool) -> Tls:
    """`tls:` of a webhook; what is wrong is reported."""
    if cursor is None or cursor.scope.portable:
        return Tls(insecure=insecure)
    ca = _read_ca(cursor.get("ca"))
    cert, key = read_chain(cursor)
    digest = hashlib.sha256()
    for path in (ca, cert, key):
        digest.update(hashlib.sha256(_content(cursor, path)).digest())
    return Tls(insecure, ca, cert, key, digest.hexdigest())


def read_chain(cursor: Cursor) -> tuple[str | None, str | None]:
    """The absolute paths of `cert` and `key`, proven to belong together; None where missing or wrong."""
    cert_view, key_view = cursor.get("cert"), cursor.get("key")
    cert, key = _readable(cert_view, secret=key_view is None), _readable(key_view, secret=True)
    if cert_view is None or cert is None or (key_view is not None and key is None):
        return None, None
    if fault := _chain_fault(cursor, cert, key):
        cert_view.error(fault)
        return None, None
    return cert, key


def _read_ca(cursor: Cursor | None) -> str | None:
    path = _readable(cursor)
    if cursor is None or path is None:
        return None
    proven = cursor.scope.proven
    if path not in proven:
        proven[path] = _ca_fault(path)
    if fault := proven[path]:
        cursor.error(fault)
        return None
    return path


def _readable(cursor: Cursor | None, *, secret: bool = False) -> str | None:
    """The absolute path of a file that can be read; None where missing or wrong. `secret`: whether it holds a key."""
    if cursor is None:
        return None
    if "-----BEGIN" in cursor.value:
        cursor.error("holds the certificate or key itself; put it into a file and give the path")
        return None
    path = cursor.file_of(cursor.value)
    try:
        cursor.scope.read(path)
    except Unreadable as error:
        cursor.error(f"the file {cursor.value} {error.reason}")
        return None
    cursor.warn_of_others(path, secret=secret)
    return str(path)


def _content(cursor: Cursor, path: str | None) -> bytes:
    return b"" if path is None else cursor.scope.read(Path(path))


def _ca_fault(path: str) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        return "holds no certificate in PEM form"
    return None


def _chain_fault(cursor: Cursor, cert: str, key: str | None) -> str | None:
    proven = cursor.scope.proven
    if (cert, key) not in proven:
        proven[cert, key] = _try_chain(cert, key)
    return proven[cert, key]


def _try_chain(cert: str, key: str | None) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=_refuse_passphrase)
    except _PassphraseWanted:
        return "needs a key without a passphrase; hookd has nobody to ask for it"
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "does not belong to the key"
        return "cannot be loaded: a certificate and its key in PEM form are needed"
    except OSError:
        return "cannot be loaded"
    return None


def _refuse_passphrase() -> str:
    raise _PassphraseWanted
