"""Keeps a webhook's secrets out of what is stored and shown of an attempt (spec 14, Echoed secrets).

Receivers echo what they got, and in other spellings than they got it: escaped for JSON, percent-encoded, only
the token without its scheme, in capitals. Every such form is masked.

Must never: show what it masks.
"""

import base64
import html
import json
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from hookd.domain.definitions import Secret, Signing, WebhookDef, names_credential
from hookd.domain.signatures import decoded, encoded_part

EXCERPT_BYTES = 4096
"""At most this much of an answer is kept (spec 5)."""

_MASK = b"***"

_SHORTEST = 4
"""Shorter texts are not masked: they occur at random, and every word would be torn."""

_SHORTEST_SEGMENT = 8
"""Shorter parts of a URL's path are words such as `hooks`, not tokens."""

_SHORTEST_PLAIN_SEGMENT = 16
"""In a URL that the configuration shows to everybody who reads it, only what looks like a token is masked."""


class Redactor:
    """Masks one webhook's secrets. Made once for a definition."""

    def __init__(self, webhook: WebhookDef) -> None:
        texts = {text for text in _secret_texts(webhook) if len(text) >= _SHORTEST}
        forms = {form.lower() for text in texts for form in _forms(text)}
        self._secret_forms = sorted(forms, key=len, reverse=True)
        self.window = EXCERPT_BYTES + (len(self._secret_forms[0]) if self._secret_forms else 0)
        """Bytes of an answer that must be kept so that no secret is cut in two at the excerpt's end."""

    def __repr__(self) -> str:
        return f"Redactor({len(self._secret_forms)} forms)"

    def excerpt(self, body: bytes, *, whole: bool) -> bytes:
        """Return what may be stored of an answer's body, at most 4 KiB.

        Args:
            body: its first bytes, up to `window`.
            whole: false: more followed, or should have; a secret may be cut off at the end.
        """
        if not self._secret_forms:
            return body[:EXCERPT_BYTES]
        masked = self._masked(body)
        if not whole:
            masked = self._without_cut_secret(masked)
        return masked[:EXCERPT_BYTES]

    def redact(self, text: str) -> str:
        """Return an error's text without secrets."""
        return self._masked(text.encode(errors="replace")).decode(errors="replace")

    def _masked(self, data: bytes) -> bytes:
        lowered = data.lower()  # of the same length: only ASCII letters change
        for form in self._secret_forms:
            while (at := lowered.find(form)) >= 0:
                data = data[:at] + _MASK + data[at + len(form) :]
                lowered = lowered[:at] + _MASK + lowered[at + len(form) :]
        return data

    def _without_cut_secret(self, data: bytes) -> bytes:
        """Mask the beginning of a secret at the end of data."""
        lowered = data.lower()
        for form in self._secret_forms:
            for length in range(min(len(form) - 1, len(data)), _SHORTEST - 1, -1):
                if lowered.endswith(form[:length]):
                    return data[:-length] + _MASK
        return data


def _secret_texts(webhook: WebhookDef) -> Iterator[str]:
    plain = webhook.url.reference == "plain"
    yield from _token_texts(webhook.url.value) if plain else _url_texts(webhook.url.value)
    for name, secret in webhook.headers:
        if _is_secret(name, secret):
            yield from _header_texts(secret.value)
    yield from (secret.value for secret in webhook.secrets.values())
    if webhook.signing is not None:
        for secret in webhook.signing.secrets:
            yield from _signing_texts(secret.value, webhook.signing)


def _is_secret(name: str, secret: Secret) -> bool:
    return secret.reference != "plain" or names_credential(name)


def _url_texts(url: str) -> Iterator[str]:
    """The whole, path and query, and parts that may be tokens; the host is not secret (spec 8, explain)."""
    parts = urlsplit(url)
    yield url
    yield parts.path.removesuffix("/")
    if parts.query:
        yield f"{parts.path}?{parts.query}"
        yield parts.query
    for segment in parts.path.split("/"):
        if len(segment) >= _SHORTEST_SEGMENT:
            yield segment
            yield unquote(segment)
    for _, value in parse_qsl(parts.query):
        yield value


def _token_texts(url: str) -> Iterator[str]:
    """What may be a token in a URL that stands in the configuration as plain text."""
    parts = urlsplit(url)
    for segment in parts.path.split("/"):
        if len(segment) >= _SHORTEST_PLAIN_SEGMENT:
            yield segment
            yield unquote(segment)
    for _, value in parse_qsl(parts.query):
        if len(value) >= _SHORTEST_SEGMENT:
            yield value


def _signing_texts(secret: str, signing: Signing) -> Iterator[str]:
    """The text as it is written, without what stands before the key, and the key in the forms that it is shown in."""
    yield secret
    bare = secret.removeprefix("v1,")
    yield bare
    yield bare.removeprefix("whsec_")
    key = decoded(encoded_part(secret, signing.secret_format) or "")
    if not key:
        return
    yield key.hex()
    yield key.decode("utf-8", "surrogateescape")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(key).decode()
        yield encode(key).decode().rstrip("=")


def _header_texts(value: str) -> Iterator[str]:
    """The value, what follows a scheme or prefix, and a Basic password, or its user name where that is empty."""
    yield value
    for separator in (" ", "=", ":"):
        yield value.partition(separator)[2]
    scheme, _, credentials = value.partition(" ")
    if scheme.lower() == "basic":
        yield from _basic_texts(credentials)


def _basic_texts(credentials: str) -> Iterator[str]:
    try:
        pair = base64.b64decode(credentials).decode()
    except ValueError:
        return
    yield pair
    username, _, password = pair.partition(":")
    yield password or username


def _forms(text: str) -> set[bytes]:
    """The spellings in which a receiver may echo a text."""
    escaped = json.dumps(text)[1:-1]
    spellings = {
        text,
        escaped,
        escaped.replace("/", "\\/"),
        json.dumps(text, ensure_ascii=False)[1:-1],
        quote(text, safe="", errors="replace"),
        quote(text, errors="replace"),
        quote_plus(text, errors="replace"),
        html.escape(text),
    }
    return {spelling.encode(errors="surrogateescape") for spelling in spellings}
