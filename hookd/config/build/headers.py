"""A webhook's headers: what the user wrote, the default Content-Type, the authorization (spec 1, 5).

Must never: let CR, LF, NUL or another control character pass, or repeat a value in a message.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from hookd.config.build.header_values import media_type_fault, oddity
from hookd.config.build.secrets import PLAIN, read_secret, stands_in
from hookd.config.build.unfilled import refuse_in_header
from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.diagnostics import Severity
from hookd.domain.definitions import Secret, names_credential
from hookd.domain.message_templates import BodyFormat
from hookd.domain.value_class import value_class

Header = tuple[str, Secret]

CONTENT_TYPE = "content-type"
DEFAULT_CONTENT_TYPE: Header = ("Content-Type", Secret("application/json"))

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_RESERVED = frozenset(
    {
        "content-length", "host", "transfer-encoding", "connection",
        "webhook-id", "webhook-timestamp", "webhook-signature",
    }
)  # fmt: skip
_NONE_TAKEN: Final[Mapping[str, str]] = MappingProxyType({})
_FORMATS = tuple(
    (re.compile(pattern), body_format)
    for pattern, body_format in (
        (r".+/(?:.+\+)?json-seq", BodyFormat.JSON_SEQUENCE),
        (r".+/(?:.+\+)?(?:x-)?(?:ndjson|ldjson|jsonl|jsonlines|json-lines)", BodyFormat.JSON_LINES),
        (r"(?:application|text)/(?:x-)?json|application/x-amz-json-[0-9.]+|.+/.+\+json", BodyFormat.JSON),
        (r"application/x-www-form-urlencoded", BodyFormat.FORM),
        (r"text/html|(?:application|text)/xml(?:-.+)?|.+/.+\+xml", BodyFormat.MARKUP),
    )
)
"""What media types make of a message; all others are text."""


@value_class
class Headers:
    """What the user wrote: headers in order, and whether the default Content-Type was removed."""

    written: tuple[Header, ...] = ()
    removed: bool = False

    def with_defaults(self, authorization: Header | None) -> tuple[Header, ...]:
        """All headers to send, in order: the default Content-Type, the user's, the authorization.

        The user's Content-Type replaces the default, whatever the case of its name (spec 5).
        """
        names = {name.lower() for name, _ in self.written}
        default = () if self.removed or CONTENT_TYPE in names else (DEFAULT_CONTENT_TYPE,)
        return (*default, *self.written, *(() if authorization is None else (authorization,)))


def body_format(headers: tuple[Header, ...]) -> BodyFormat:
    """What the Content-Type makes of messages, parameters apart (spec 4)."""
    for name, secret in headers:
        if name.lower() == CONTENT_TYPE:
            given = secret.value.split(";", 1)[0].strip().lower()
            return next((found for form, found in _FORMATS if form.fullmatch(given)), BodyFormat.TEXT)
    return BodyFormat.UNTYPED


def read_headers(cursor: Cursor | None, *, taken: Mapping[str, str] = _NONE_TAKEN) -> Headers:
    """The headers of `headers:`, in either form; what is wrong is reported and left out.

    Args:
        cursor: the value of `headers`.
        taken: the headers that other keys send, and that none of these may be: name in lower case to the key.
    """
    if cursor is None:
        return Headers()
    in_block = isinstance(cursor.value, str)
    found = list(_of_block(cursor, taken) if in_block else _of_mapping(cursor, taken))
    written = tuple((name, secret) for name, secret in found if secret is not None)
    if sum(name.lower() == CONTENT_TYPE for name, _ in written) > 1:
        cursor.error("Content-Type can be sent only once")
    return Headers(written, removed=any(secret is None for _, secret in found))


def name_fault(name: str, taken: Mapping[str, str] = _NONE_TAKEN) -> str | None:
    """What is wrong with a header's name, or None; `taken` as in `read_headers`."""
    if not _TOKEN.fullmatch(name):
        return "this is not a header name; one holds letters, digits and !#$%&'*+-.^_`|~ only"
    if name[0] == "'" or name[-1] == "'":
        return "this header name stands in quotes; remove them"
    if name.lower() in _RESERVED:
        return f"{name} is set by hookd itself and cannot be replaced"
    if key := taken.get(name.lower()):
        return f"{name} is sent by {key}; keep one of the two"
    return None


def value_fault(value: str) -> str | None:
    """What is wrong with a header's value, as the end of a sentence that begins with the header, or None."""
    if _BAD_VALUE.search(value) is None:
        return None
    if any(char in value for char in "\r\n"):
        return "holds a line break"
    return "holds a control character, which a header cannot carry"


def _of_mapping(cursor: Cursor, taken: Mapping[str, str]) -> Iterator[tuple[str, Secret | None]]:
    for name, value in cursor.entries():
        if fault := name_fault(name, taken):
            value.error_at_key(fault)
        elif value.value is None:
            yield from _removal(name, value)
        else:
            yield from _values(name, value)


def _removal(name: str, cursor: Cursor) -> Iterator[tuple[str, None]]:
    if name.lower() == CONTENT_TYPE:
        yield name, None
    else:
        cursor.error('has no value; only Content-Type can be removed (an empty value is written "")')


def _values(name: str, cursor: Cursor) -> Iterator[Header]:
    for item in cursor.items() if isinstance(cursor.value, list) else (cursor,):
        secret = read_secret(
            item, sensitive=names_credential(name), may_be_empty=True, refuse=refuse_in_header
        )
        if secret is None:
            continue
        value = secret.value.strip(" \t")
        known = not stands_in(item, secret)
        begin = "" if secret.reference == PLAIN else f"{secret.reference} "
        if known and (fault := value_fault(secret.value) or media_type_fault(name, value)):
            item.error(begin + fault)
            continue
        if known and (odd := oddity(name, value)):
            item.warn(begin + odd)
        yield name, Secret(value, secret.reference)


def _of_block(cursor: Cursor, taken: Mapping[str, str]) -> Iterator[tuple[str, Secret | None]]:
    sensitive = False
    for index, line in enumerate(cursor.value.split("\n")):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        value = value.strip(" \t\r")
        if fault := _line_fault(name, colon, value, taken):
            cursor.error_in_text(index, fault)
        elif not refuse_in_header(cursor, line, index):
            sensitive = sensitive or (names_credential(name) and bool(value))
            if odd := oddity(name, value):
                cursor.error_in_text(index, f"{name} {odd}", severity=Severity.WARNING)
            yield name, Secret(value) if value else None
    if sensitive and cursor.document.in_work_tree:
        cursor.warn(
            "a plain secret in a git work tree; write the headers as a mapping and refer to it by {env: NAME}"
        )


def _line_fault(name: str, colon: str, value: str, taken: Mapping[str, str]) -> str | None:
    if not colon:
        # The line is not repeated: it may be the rest of a secret.
        return 'this line is not of the form "Name: value"'
    if fault := name_fault(name, taken):
        return fault
    if not value and name.lower() != CONTENT_TYPE:
        return f'{name} has no value; only Content-Type can be removed (in a mapping, "" is an empty value)'
    fault = value_fault(value) or (media_type_fault(name, value) if value else None)
    return f"{name} {fault}" if fault else None
