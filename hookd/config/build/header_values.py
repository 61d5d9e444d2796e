"""What a header's value says that cannot be right for what hookd sends (RFC 9110).

Must never: repeat a value in a message; it may be a secret.
"""

import re

from hookd.domain.signatures import decoded

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}[ \t]*(?:;.*)?")
_CHARSET = re.compile(r""";\s*charset\s*=\s*"?([^";\s]*)""", re.IGNORECASE)
_BOUNDARY = re.compile(r";\s*boundary\s*=", re.IGNORECASE)
_SENT_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def media_type_fault(name: str, value: str) -> str | None:
    """What is wrong with a Content-Type, as the end of a sentence that begins with the header; None of any other."""
    if name.lower() == "content-type" and _MEDIA_TYPE.fullmatch(value) is None:
        return "is not one media type, such as application/json"
    return None


def oddity(name: str, value: str) -> str | None:
    """What is likely to be wrong with a value, likewise."""
    lowered = name.lower()
    if value.lower().startswith(f"{lowered}:"):
        return "begins with the header's own name, which is sent too; give the value alone"
    if lowered == "content-encoding" and value.lower() != "identity":
        return "says that the body is encoded, and hookd sends it as it is; remove the header"
    if lowered in {"authorization", "proxy-authorization"} and _is_plain_pair(value):
        return "is not base64 of user:password; write it as auth: {type: basic, username: …, password: …}"
    return _content_oddity(value) if lowered == "content-type" else None


def _is_plain_pair(value: str) -> bool:
    """Whether it is Basic with something else than the base64 of a pair."""
    scheme, _, credentials = value.partition(" ")
    pair = decoded(credentials.strip()) if credentials else b":"
    return scheme.lower() == "basic" and (pair is None or b":" not in pair)


def _content_oddity(value: str) -> str | None:
    charset = _CHARSET.search(value)
    if charset is not None and charset[1].lower() not in _SENT_CHARSETS:
        return "names another charset, and hookd sends UTF-8"
    if value.lower().startswith("multipart/") and _BOUNDARY.search(value) is None:
        return "names no boundary, without which no receiver can take the parts from one another"
    return None
