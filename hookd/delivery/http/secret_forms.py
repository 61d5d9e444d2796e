"""What to look for to find a webhook's secrets in a text, in whatever form (spec 14, Echoed secrets).

The secrets are those of the definition itself: of `auth`, secret headers, `secrets`, `signing` and the URL. A receiver
may give them back in other forms than it got them: as base64 within longer base64, as hexadecimal digits, cut short.
Escapes (`%41`, `&#65;`) are not forms: they are taken out of the text before it is searched.

Must never: show what it holds.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from hookd.delivery.http.unescaped import without_escapes
from hookd.domain.definitions import Secret, Signing, WebhookDef, kept_elsewhere, names_credential
from hookd.domain.signatures import decoded, encoded_part

SHORTEST = 4
"""Shorter texts are not masked: they occur at random, and every word would be torn."""

BEGINNING = 8
"""From this many characters of its beginning on, a secret is masked also where it is cut short."""

_SHORTEST_SEGMENT = 8
"""Shorter parts of a URL's path are words such as `hooks`, not tokens."""

_SHORTEST_PLAIN_SEGMENT = 16
"""In a URL that the configuration shows to everybody who reads it, only what looks like a token is masked."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9._-]*) +(?=\S)")
"""The scheme of an `Authorization` header: it is no secret, nor is a beginning that is little more than it."""

_BEFORE_OFFSET = (0, 2, 3)
"""Characters of base64 that also hold bits of what comes before, where that is 0, 1 or 2 bytes beyond three."""

_FOR_URLS = bytes.maketrans(b"+/", b"-_")
"""The other alphabet of base64 (RFC 4648, section 5)."""

Needle: TypeAlias = tuple[bytes, bytes]
"""In lower case: a beginning that is enough to know a secret by, and all of it."""


def needles(webhook: WebhookDef) -> tuple[Needle, ...]:
    """What to look for, in lower case."""
    wholes = {text for text in _wholes(webhook) if len(text) >= SHORTEST}
    found = {form: form for text in wholes for written in _as_written(text) for form in _in_bytes(written)}
    credentials = {text for text in _credentials(webhook) if len(text) >= SHORTEST}
    for beginning, whole in (form for text in credentials for form in _forms(text)):
        found[whole] = min(beginning, found.get(whole, beginning), key=len)
    return tuple((beginning, whole) for whole, beginning in found.items())


def _credentials(webhook: WebhookDef) -> Iterator[str | bytes]:
    """The secrets themselves; a beginning of one is a part of it."""
    yield from _auth_credentials(webhook)
    for name, secret in webhook.headers:
        if _is_secret(name, secret):
            yield from _header_credentials(secret)
    yield from (secret.value for secret in webhook.secrets.values())
    if webhook.signing is not None:
        for secret in webhook.signing.secrets:
            yield from _signing_credentials(secret.value, webhook.signing)
    yield from _url_credentials(webhook.url)


def _wholes(webhook: WebhookDef) -> Iterator[str]:
    """Texts that hold a secret and begin with what is none."""
    for name, secret in webhook.headers:
        if _is_secret(name, secret):
            yield secret.value
            yield secret.value.rstrip("=")
    if webhook.signing is not None:
        yield from (secret.value for secret in webhook.signing.secrets)
    if webhook.url.reference != "plain":
        parts = urlsplit(webhook.url.value)
        yield webhook.url.value
        yield parts.path.removesuffix("/")
        if parts.query:
            yield f"{parts.path}?{parts.query}"
            yield parts.query


def _auth_credentials(webhook: WebhookDef) -> Iterator[str]:
    """What `auth` is made of, whatever stands before it in the header; a user name where it is kept like a secret."""
    written = webhook.auth or {}
    for key in ("token", "key", "password"):
        if isinstance(secret := written.get(key), Secret):
            yield _without_scheme(secret.value)
    username = written.get("username")
    if isinstance(username, Secret) and kept_elsewhere(username.reference):
        yield username.value


def _is_secret(name: str, secret: Secret) -> bool:
    return secret.reference != "plain" or names_credential(name)


def _without_scheme(value: str) -> str:
    return _SCHEME.sub("", value, count=1) if _SCHEME.match(value) else value


def _header_credentials(secret: Secret) -> Iterator[str]:
    """The value without its scheme, what follows a prefix, and a Basic password (its user name where that is empty)."""
    value = _without_scheme(secret.value)
    yield value
    for separator in (" ", "=", ":"):
        yield value.partition(separator)[2]
    if secret.value.lower().startswith("basic "):
        yield from _basic_credentials(value)


def _basic_credentials(credentials: str) -> Iterator[str]:
    try:
        pair = base64.b64decode(credentials + "=" * (-len(credentials) % 4)).decode()
    except ValueError:
        return
    yield pair
    username, _, password = pair.partition(":")
    yield password or username


def _signing_credentials(secret: str, signing: Signing) -> Iterator[str | bytes]:
    """The text without what stands before the key, and the key."""
    yield secret.removeprefix("v1,").removeprefix("whsec_")
    key = decoded(encoded_part(secret, signing.secret_format) or "")
    if key:
        yield key


def _url_credentials(url: Secret) -> Iterator[str]:
    """The parts of a URL that may be tokens; the host is not secret (spec 8, explain)."""
    parts, plain = urlsplit(url.value), url.reference == "plain"
    for segment in parts.path.split("/"):
        if len(segment) >= (_SHORTEST_PLAIN_SEGMENT if plain else _SHORTEST_SEGMENT):
            yield segment
            yield unquote(segment)
    for _, value in parse_qsl(parts.query):
        if not plain or len(value) >= _SHORTEST_SEGMENT:
            yield value


def _forms(text: str | bytes) -> Iterator[Needle]:
    """A secret in each form: a beginning that is enough to know it by, and the whole."""
    if isinstance(text, bytes):
        yield text[:BEGINNING].lower(), text.lower()
        yield from _encoded(text[:BEGINNING], text)
        return
    for written in _as_written(text):
        yield from zip(_in_bytes(written[:BEGINNING]), _in_bytes(written), strict=False)
    for beginning, whole in {(spelling(text[:BEGINNING]), spelling(text)) for spelling in _SPELLINGS}:
        yield from _encoded(_utf8(beginning), _utf8(whole))


def _as_written(text: str) -> set[str]:
    """A text; what is left of it where its own escapes are undone, too; both with `+` for a space, as in a form."""
    undone = without_escapes(_utf8(text)).decode(errors="surrogateescape")
    return {text, undone, text.replace(" ", "+"), undone.replace(" ", "+")}


def _in_bytes(text: str) -> Iterator[bytes]:
    """In UTF-8 and, where that differs and can be, in Latin-1; in lower case."""
    yield _utf8(text).lower()
    if not text.isascii():
        with suppress(UnicodeEncodeError):
            yield text.encode("latin-1").lower()


def _encoded(beginning: bytes, whole: bytes) -> Iterator[Needle]:
    """As hexadecimal digits, and as base64 in either alphabet, at each place that it may have in longer base64."""
    yield beginning.hex().encode(), whole.hex().encode()
    for offset, skipped in enumerate(_BEFORE_OFFSET):
        certain = (offset + len(beginning)) * 8 // 6
        form = base64.b64encode(bytes(offset) + whole).rstrip(b"=").lower()
        for spelt in {form, form.translate(_FOR_URLS)}:
            yield spelt[skipped:certain], spelt[skipped:]


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_json_of_unicode(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_url(text: str) -> str:
    return quote(text, safe="", errors="replace")


_SPELLINGS: tuple[Callable[[str], str], ...] = (str, _in_json, _in_json_of_unicode, _in_url)
"""What a secret is written as in a request that comes back encoded as a whole."""


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
