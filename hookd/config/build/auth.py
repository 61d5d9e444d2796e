"""`auth:` of a webhook to the one header that carries it (spec 1).

Must never: put a credential into a diagnostic.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace

from hookd.config.build.header_values import oddity
from hookd.config.build.headers import CONTENT_TYPE, Header, name_fault, value_fault
from hookd.config.build.secrets import PLAIN, read_secret, stands_in
from hookd.config.build.unfilled import refuse_in_text
from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import Secret, kept_elsewhere
from hookd.domain.text import quoted
from hookd.domain.value_class import value_class

_BEARER = "bearer "
_ODD_TOKEN = re.compile(r"[\s\"'<>\u0080-\U0010ffff]|^(?i:authorization|bearer|token)[:=]")
"""What is not in a token: more than RFC 6750 allows is common, but none of this."""
_SCHEMED = frozenset({"authorization", "proxy-authorization"})
_REFERENCE = "auth"
"""The reference of a credential that is written out: unlike other plain text it is masked wherever it is shown."""


@value_class
class Auth:
    """The header that carries the credential, and what it is made of, by the keys it is written with."""

    header: Header
    written: Mapping[str, Secret | str]


def read_auth(cursor: Cursor | None) -> Auth | None:
    """What `auth:` says, or None where it asks for nothing; what is wrong is reported."""
    if cursor is None:
        return None
    return _KINDS[cursor.plain("type", "none")](cursor)


def _none(_view: Cursor) -> None:
    return None


def _bearer(cursor: Cursor) -> Auth | None:
    before = len(cursor.scope.diagnostics)
    token = _read(cursor, "token")
    if token is None:
        return None
    value = token.value
    while value.lower().startswith(_BEARER):
        value = value[len(_BEARER) :].lstrip()
    if value.lower() in {"", _BEARER.rstrip()}:
        cursor.below(("token",)).error("is the word Bearer without a token")
        return None
    if value != token.value:
        cursor.below(("token",)).warn('begins with "Bearer ", which hookd adds itself; it is dropped')
    said = len(cursor.scope.diagnostics) > before
    if not said and not stands_in(cursor, token) and _ODD_TOKEN.search(value):
        cursor.below(("token",)).warn(
            "holds a space, a quote or another character that no bearer token has; give the token alone"
        )
    header = "Authorization", Secret(f"Bearer {value}", token.reference)
    return Auth(header, {"type": "bearer", "token": token})


def _apikey(cursor: Cursor) -> Auth | None:
    header, prefix = cursor.plain("header", "X-API-Key"), cursor.plain("prefix", "")
    name_is_good = _check_header(cursor, header)
    prefix_view = cursor.get("prefix")
    if prefix_view is not None and not refuse_in_text(prefix_view) and (fault := value_fault(prefix)):
        prefix_view.error(fault)
    key = _read(cursor, "key")
    if key is None or not name_is_good:
        return None
    if prefix_view is not None and header.lower() in _SCHEMED and prefix[-1:].isalnum():
        prefix_view.warn(f"is put before the key without a space; write {quoted(prefix + ' ')} for a scheme")
    value = key.value
    if prefix.endswith(" ") and value.lower().startswith(prefix.lower()):
        cursor.below(("key",)).warn("begins with the prefix, which hookd adds itself; it is dropped")
        value = value[len(prefix) :].lstrip()
    if not stands_in(cursor, key) and (odd := oddity(header, value)):
        cursor.below(("key",)).warn(odd)
    sent = Secret((prefix + value).strip(" \t"), key.reference)
    return Auth(
        (header, sent), {"type": "apikey", "header": header, "prefix": Secret(prefix, _REFERENCE), "key": key}
    )


def _check_header(cursor: Cursor, header: str) -> bool:
    fault = name_fault(header)
    if header.lower() == CONTENT_TYPE:
        fault = "Content-Type cannot carry a key"
    if fault:
        cursor.below(("header",)).error(fault)
    return fault is None


def _basic(cursor: Cursor) -> Auth | None:
    alone = cursor.plain("password", None) == ""  # then the user name is the secret
    username = _read(cursor, "username", in_header=False, may_be_empty=True, sensitive=alone)
    password = _read(cursor, "password", in_header=False, may_be_empty=True)
    if username is None or password is None:
        return None
    if not stands_in(cursor, username) and ":" in username.value:
        cursor.below(("username",)).error(f"{username.reference} holds a colon, which a user name cannot")
        return None
    if not username.value and not password.value:
        cursor.error_at_key("username and password are both empty; one of them may be")
        return None
    pair = f"{username.value}:{password.value}"
    # What stands in for a part of it is there to be read.
    as_reference = stands_in(cursor, username) or stands_in(cursor, password)
    told = pair if as_reference else b64encode(pair.encode()).decode("ascii")
    kept = (
        username
        if kept_elsewhere(username.reference) and not kept_elsewhere(password.reference)
        else password
    )
    header = "Authorization", Secret(f"Basic {told}", kept.reference)
    return Auth(header, {"type": "basic", "username": username, "password": password})


def _read(
    cursor: Cursor, key: str, *, in_header: bool = True, may_be_empty: bool = False, sensitive: bool = True
) -> Secret | None:
    child = cursor.get(key)
    secret = read_secret(
        child, may_be_empty=may_be_empty, sensitive=sensitive and child is not None and child.value != ""
    )
    if child is None or secret is None:
        return None
    fault = value_fault(secret.value) if in_header and not stands_in(cursor, secret) else None
    if fault:
        child.error(fault)
        return None
    return replace(secret, reference=_REFERENCE) if secret.reference == PLAIN else secret


_KINDS: Mapping[str, Callable[[Cursor], Auth | None]] = {
    "none": _none,
    "bearer": _bearer,
    "apikey": _apikey,
    "basic": _basic,
}
