r"""Secrets in messages: what stands for one in a stored body, and how it is filled in at the attempt.

A mark begins with a byte that UTF-8 never holds. Everything else in a body is text that was encoded as UTF-8, so no
event and no client can make a mark, and no mark can be taken for text.

Must never: keep a secret, or fill one in anywhere but in a mark.
"""

import re
from collections.abc import Mapping

from hookd.domain.message_templates import Escaping, Placeholder
from hookd.rules.templates.escapes import escaped
from hookd.rules.templates.size_bound import expect_made, is_missing

_BEGIN = b"\xff"
_MARK = re.compile(rb"\xff([a-z_]+):([A-Za-z0-9_]+)\xfe")


class UnknownSecret(Exception):
    """A stored message needs a secret that its webhook does not have (any more); the message is the secret's name."""


def mark(slot: Placeholder) -> bytes:
    """What stands for a secret until the attempt."""
    return b"".join((_BEGIN, slot.fill.encode(), b":", slot.path[0].encode(), b"\xfe"))


def fill_secrets(body: bytes, secrets: Mapping[str, str]) -> bytes:
    """A stored body as it goes out, each secret escaped for where it stands.

    Raises:
        UnknownSecret: it needs one that is not there.
        MessageTooLarge: it was never made.
    """
    if _BEGIN not in body:
        return body
    expect_made(body)

    def filled(found: re.Match[bytes]) -> bytes:
        name = found[2].decode()
        if name not in secrets:
            raise UnknownSecret(name)
        return escaped(secrets[name], Escaping(found[1].decode())).encode()

    return _MARK.sub(filled, body)


def shown_body(body: bytes) -> str:
    """A stored body as it may be shown; nothing of one that was never made."""
    if is_missing(body):
        return ""
    return _MARK.sub(rb"${secret.\2}", body).decode("utf-8", "replace")
