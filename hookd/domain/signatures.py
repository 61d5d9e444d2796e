"""Signatures over a delivery: making them for the receiver, and checking them for `hookd receive`.

Two styles: Standard Webhooks 1.0
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) and GitHub's
`X-Hub-Signature-256` (spec 5).

Must never: put a secret or a correct signature into an error text.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import assert_never

from hookd.domain.definitions import Signing, SigningStyle

TOLERANCE_S = 300.0
"""How far a signed timestamp may be off, either way: five minutes, as the Standard Webhooks libraries do."""

_ENCODED_PREFIX = "whsec_"
_GITHUB_PREFIX = "sha256="


@lru_cache(maxsize=4096)
def signing_key(secret: str) -> bytes:
    """Return the key bytes of a `standard` secret: `whsec_` + base64 decoded, any other text as raw UTF-8.

    Raises:
        ValueError: what follows `whsec_` is not base64, or is empty.
    """
    if not secret.startswith(_ENCODED_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_ENCODED_PREFIX), validate=True)
    except ValueError:
        raise ValueError("a secret that begins with whsec_ must go on in base64") from None
    if not key:
        raise ValueError("nothing follows whsec_")
    return key


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
            entries = [_standard_entry(secret.value, content) for secret in signing.secrets]
            return [("webhook-signature", " ".join(entries))]
        case SigningStyle.GITHUB:
            return [("X-Hub-Signature-256", _github_value(signing.secrets[0].value, body))]
        case _:
            assert_never(signing.style)


class SignatureCheck(StrEnum):
    """What checking a signature found."""

    VALID = "valid"
    INVALID = "invalid"
    ABSENT = "absent"  # the request carries no signature of a known style


@dataclass(frozen=True, slots=True)
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
    tolerance_s: float = TOLERANCE_S,
) -> Verification:
    """Check a received request as its receiver would; one matching secret is enough.

    Args:
        headers: of the request; names in any case.
        body: exactly the bytes received.
        secrets: as the operator wrote them.
        now: seconds since the epoch.
        tolerance_s: how far `webhook-timestamp` may be off, either way.

    Raises:
        ValueError: a `whsec_` secret is not base64.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    if "webhook-signature" in lowered:
        reason = _standard_fault(lowered, body, secrets, now, tolerance_s)
        return _verification(SigningStyle.STANDARD, reason)
    if "x-hub-signature-256" in lowered:
        reason = _github_fault(lowered["x-hub-signature-256"], body, secrets)
        return _verification(SigningStyle.GITHUB, reason)
    return Verification(SignatureCheck.ABSENT, reason="the request carries no signature")


def _verification(style: SigningStyle, fault: str) -> Verification:
    return Verification(SignatureCheck.INVALID if fault else SignatureCheck.VALID, style, fault)


def _standard_fault(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, tolerance_s: float
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
    expected = [_standard_entry(secret, content) for secret in secrets]
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


def _standard_entry(secret: str, content: bytes) -> str:
    return "v1," + base64.b64encode(_sha256(signing_key(secret), content)).decode()


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
