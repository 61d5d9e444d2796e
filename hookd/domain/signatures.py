"""Signatures over a delivery: making them for the receiver, and checking them for `hookd receive`.

Two styles: Standard Webhooks 1.0
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) and GitHub's
`X-Hub-Signature-256` (spec 5).

Must never: put a secret or a correct signature into an error text.
"""

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from hookd.domain.definitions import SecretFormat, Signing, SigningStyle
from hookd.domain.value_class import value_class

TOLERANCE_S = 300.0
"""How far a signed timestamp may be off, either way: five minutes, as the Standard Webhooks libraries do."""

_VERSION_PREFIX = "v1,"
"""Of a secret as consoles show it: the version of the signatures that are made with it, not a part of the secret."""

_ENCODED_PREFIX = "whsec_"
_TOLD = {
    SecretFormat.AUTO: "that begins with whsec_",
    SecretFormat.BASE64: "with secret_format: base64",
}
_GITHUB_PREFIX = "sha256="
_URL_SAFE = re.compile(r"[A-Za-z0-9_=-]*[-_][A-Za-z0-9_=-]*")


@lru_cache(maxsize=4096)
def signing_key(secret: str, secret_format: SecretFormat = SecretFormat.AUTO) -> bytes:
    """Return the key bytes of a `standard` secret.

    Args: secret: as the operator wrote it, also as consoles show it (`v1,whsec_…`), with or without padding.
        secret_format: how it is read; `auto` decodes what begins with `whsec_` and takes any other text as raw UTF-8.

    Raises:
        ValueError: it is to be base64 and is not, or is empty; the message ends a sentence about the secret.
    """
    encoded = encoded_part(secret, secret_format)
    if encoded is None:
        return secret.encode()
    if (key := decoded(encoded)) and not _URL_SAFE.fullmatch(encoded):
        return key
    fault = "it is empty" if key == b"" else ""
    if _URL_SAFE.fullmatch(encoded):
        fault = "this one is URL-safe; write + for each - and / for each _, at the receiver too"
    told = f"a secret {_TOLD[secret_format]} must be standard base64"
    raise ValueError(f"{told}: {fault}" if fault else told)


def encoded_part(secret: str, secret_format: SecretFormat) -> str | None:
    """The base64 of a `standard` secret, or None where its text is the key as it stands."""
    if secret_format is SecretFormat.TEXT:
        return None
    bare = secret.removeprefix(_VERSION_PREFIX)
    if secret_format is SecretFormat.BASE64 or bare.startswith(_ENCODED_PREFIX):
        return bare.removeprefix(_ENCODED_PREFIX)
    return None


def decoded(encoded: str) -> bytes | None:
    """The bytes of base64, with or without its padding; None of any other text."""
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return None


def signature_header(style: SigningStyle) -> str:
    """The name of the header that carries signatures of this style."""
    match style:
        case SigningStyle.STANDARD:
            return "webhook-signature"
        case SigningStyle.GITHUB:
            return "X-Hub-Signature-256"
        case _:
            assert_never(style)


def signature_headers(
    signing: Signing, *, delivery_id: str, timestamp: int, body: bytes
) -> list[tuple[str, str]]:
    """Return the signature headers of one attempt, as (name, value) in wire order.

    Args: signing: style and secrets; `standard` makes one entry per secret, `github` uses the first (newest)
        alone. delivery_id: the value of `webhook-id`. timestamp: the value of `webhook-timestamp`, whole
        seconds since the epoch. body: exactly the bytes that are sent.
    """
    match signing.style:
        case SigningStyle.STANDARD:
            content = _standard_content(delivery_id, str(timestamp), body)
            keys = (signing_key(secret.value, signing.secret_format) for secret in signing.secrets)
            entries = [_standard_entry(key, content) for key in keys]
            value = " ".join(entries)
        case SigningStyle.GITHUB:
            value = _github_value(signing.secrets[0].value, body)
        case _:
            assert_never(signing.style)
    return [(signature_header(signing.style), value)]


class SignatureCheck(StrEnum):
    """What checking a signature found."""

    VALID = "valid"
    INVALID = "invalid"
    ABSENT = "absent"  # the request carries no signature of a known style


@value_class
class Verification:
    """The result of `verify`; without a signature `style` is None, with a valid one `reason` is empty."""

    verdict: SignatureCheck
    style: SigningStyle | None = None
    reason: str = ""


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    now: float,
    secret_format: SecretFormat = SecretFormat.AUTO,
    tolerance_s: float = TOLERANCE_S,
) -> Verification:
    """Check a received request as its receiver would; one matching secret is enough.

    Args:
        headers: of the request; names in any case.
        body: exactly the bytes received.
        secrets: as the operator wrote them.
        now: seconds since the epoch.
        secret_format: how the key of a `standard` signature is read out of a secret.
        tolerance_s: how far `webhook-timestamp` may be off, either way.

    Raises:
        ValueError: a secret that is to be base64 is not.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    if "webhook-signature" in lowered:
        keys = [signing_key(secret, secret_format) for secret in secrets]
        reason = _standard_fault(lowered, body, keys, now, tolerance_s)
        return _verification(SigningStyle.STANDARD, reason)
    if "x-hub-signature-256" in lowered:
        reason = _github_fault(lowered["x-hub-signature-256"], body, secrets)
        return _verification(SigningStyle.GITHUB, reason)
    return Verification(SignatureCheck.ABSENT, reason="the request carries no signature")


def _verification(style: SigningStyle, fault: str) -> Verification:
    return Verification(SignatureCheck.INVALID if fault else SignatureCheck.VALID, style, fault)


def _standard_fault(
    headers: Mapping[str, str], body: bytes, keys: Sequence[bytes], now: float, tolerance_s: float
) -> str:
    delivery_id, timestamp = headers.get("webhook-id"), headers.get("webhook-timestamp")
    if not delivery_id:
        return "webhook-id is missing"
    if not timestamp:
        return "webhook-timestamp is missing"
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return "webhook-timestamp is not a number of seconds"
    if abs(now - int(timestamp)) > tolerance_s:
        return f"webhook-timestamp is more than {tolerance_s:g} seconds away from now"
    content = _standard_content(delivery_id, timestamp, body)
    given = headers["webhook-signature"].split()
    expected = [_standard_entry(key, content) for key in keys]
    return "" if _any_equal(given, expected) else "no signature matches a secret"


def _github_fault(given: str, body: bytes, secrets: Sequence[str]) -> str:
    if not given.startswith(_GITHUB_PREFIX):
        return "X-Hub-Signature-256 does not begin with sha256="
    expected = [_github_value(secret, body) for secret in secrets]
    return "" if _any_equal([given.strip().lower()], expected) else "the signature matches no secret"


def _any_equal(given: Sequence[str], expected: Sequence[str]) -> bool:
    """Compare every pair in constant time."""
    pairs = [(one.encode(), other.encode()) for one in given for other in expected]
    return any([hmac.compare_digest(one, other) for one, other in pairs])  # noqa: C419 - no early end


def _standard_content(delivery_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{delivery_id}.{timestamp}.".encode() + body


def _standard_entry(key: bytes, content: bytes) -> str:
    return _VERSION_PREFIX + base64.b64encode(_sha256(key, content)).decode()


def _github_value(secret: str, body: bytes) -> str:
    return _GITHUB_PREFIX + _sha256(secret.encode(), body).hex()


def _sha256(key: bytes, content: bytes) -> bytes:
    code = _keyed(key).copy()
    code.update(content)
    return code.digest()


@lru_cache(maxsize=4096)
def _keyed(key: bytes) -> hmac.HMAC:
    """An HMAC that has taken in its key, the dearer part for short messages."""
    return hmac.new(key, digestmod="sha256")
