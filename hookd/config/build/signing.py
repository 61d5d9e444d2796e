"""`signing:` of a webhook to a `Signing` (spec 1, 5).

Must never: put a secret, or a part of one, into a diagnostic.
"""

import re

from hookd.config.build.secrets import read_secret, stands_in
from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import Secret, SecretFormat, Signing, SigningStyle
from hookd.domain.signatures import decoded, encoded_part, signing_key

_STANDARD_BYTES = range(24, 65)
"""Standard Webhooks 1.0, "Signature scheme": 24 to 64 bytes."""

_ASYMMETRIC = re.compile(r"(?:v1a?,)?wh(?:sk|pk)_")
_PREFIX_INSIDE = re.compile(r"whsec[_-]", re.IGNORECASE)


def read_signing(cursor: Cursor | None) -> Signing | None:
    """What `signing:` says, or None where it is missing or wrong; what is wrong is reported."""
    if cursor is None:
        return None
    style = SigningStyle(cursor.plain("style", SigningStyle.STANDARD))
    secret_format = SecretFormat(cursor.plain("secret_format", SecretFormat.AUTO))
    listed = cursor.get("secrets")
    places = [cursor.get("secret")] if listed is None else list(listed.items())
    if style is SigningStyle.GITHUB:
        if len(places) > 1 and listed is not None:
            listed.error(
                "the style github carries one signature, so one secret; only the style standard can sign with several"
            )
            return None
        if secret_format is SecretFormat.BASE64:
            cursor.below(("secret_format",)).error(
                "the style github signs with the secret's text as it stands; leave secret_format out"
            )
    secrets = []
    for place in places:
        secret = read_secret(place)
        if place is None or secret is None:
            continue
        if style is SigningStyle.STANDARD and not stands_in(place, secret):
            _check_standard(place, secret, secret_format)
        secrets.append(secret)
    return Signing(tuple(secrets), style, secret_format)


def _check_standard(place: Cursor, secret: Secret, secret_format: SecretFormat) -> None:
    """Report a secret that is no key, and one that the receiver is likely to read otherwise."""
    encoded = encoded_part(secret.value, secret_format)
    if secret_format is not SecretFormat.TEXT and _ASYMMETRIC.match(secret.value):
        place.error(
            "is one of a pair of asymmetric keys (whsk_, whpk_), with which hookd does not sign; "
            "give the secret that begins with whsec_"
        )
        return
    if secret_format is SecretFormat.AUTO and encoded is None and _PREFIX_INSIDE.search(secret.value):
        place.error(
            "holds whsec_ and does not begin with it; give it as the console shows it, or write secret_format: text "
            "where it is the key as it stands"
        )
        return
    try:
        size = len(signing_key(secret.value, secret_format))
    except ValueError as error:
        place.error(str(error))
        return
    if secret_format is not SecretFormat.AUTO:
        return
    if encoded is None:
        _warn_of_base64(place, secret.value)
    elif size not in _STANDARD_BYTES:
        place.error(f"a secret that begins with whsec_ must hold 24 to 64 bytes in base64, not {size}")


def _warn_of_base64(place: Cursor, text: str) -> None:
    key = decoded(text.removeprefix("v1,"))
    if key is not None and len(key) >= _STANDARD_BYTES.start:
        place.warn(
            f"could be {len(key)} bytes in base64: hookd signs with its characters as they stand, while the Standard "
            "Webhooks libraries decode them; write `secret_format: base64` for what they do, or `text` for this"
        )
