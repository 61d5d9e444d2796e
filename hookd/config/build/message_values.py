"""The values of a message as YAML reads them: what is pasted from elsewhere and would be sent otherwise than it looks.

Must never: look into variables; those are `rules.templates`'.
"""

import re
from typing import Any

from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.diagnostics import Severity
from hookd.config.yaml.tree import read_as
from hookd.domain.text import quoted

_LIKE_JSON = re.compile(
    r"true|false|null|~|0x[0-9a-f]+|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.IGNORECASE
)
"""Scalars that mean in YAML 1.1 what they look like."""
_VERSION = re.compile(r"[0-9]+\.[0-9]*[1-9]0+")
"""What loses its last digit as a number, as the version 1.10 does."""
_EXPONENT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][-+]?[0-9]+")
_LINE_ESCAPE = re.compile(r"(?<!\\)\\[nt](?![\w\\-]*\\)")
_DRIVE = re.compile(r"(?<![A-Za-z])[A-Za-z]:\\|\\\\")
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


def check_values(cursor: Cursor, *, is_json_text: bool) -> None:
    """Report what a message would not say as it looks: numbers, empty values, comments, escapes, references.

    Args:
        cursor: the message.
        is_json_text: whether it is JSON where it is a text, which has escapes of its own.
    """
    if not (is_json_text and isinstance(cursor.value, str)):
        _check(cursor)


def _check(cursor: Cursor) -> None:
    if isinstance(cursor.value, dict):
        children = list(cursor.entries())
        for key, child in children:
            _warn_of_key(key, child)
            _check(child)
        if len(children) == 1:
            _refuse_reference(cursor, *children[0])
    elif isinstance(cursor.value, list):
        for child in cursor.items():
            _check(child)
    elif isinstance(cursor.value, str):
        _warn_of_exponent(cursor)
        _warn_of_escape(cursor)
    else:
        _warn_of_reading(cursor)


def _warn_of_reading(cursor: Cursor) -> None:
    """Warns of a value that YAML 1.1 does not read as it looks (`12:30`, `on`, `012`, nothing at all)."""
    text = cursor.node.text
    if not text and cursor.value is None:
        cursor.warn(
            "nothing stands here, so null is sent; write null where it is meant, and quote text that begins with #"
        )
    elif text and (_LIKE_JSON.fullmatch(text) is None or _VERSION.fullmatch(text)):
        cursor.warn(f"{read_as(cursor.node)}; if it is meant as text, quote it: {quoted(text)}")


def _warn_of_exponent(cursor: Cursor) -> None:
    """Warns of a number of JSON that YAML 1.1 takes for text, since it lacks the dot or the sign."""
    text = cursor.value
    if not cursor.node.style and _EXPONENT.fullmatch(text):
        cursor.warn(
            f'YAML reads {text} as text, and "{text}" is sent; write {_as_yaml(text)} for the number, or quote it'
        )


def _as_yaml(text: str) -> str:
    """A number with an exponent as YAML 1.1 reads it: with a dot and a sign."""
    mantissa, _, exponent = text.lower().partition("e")
    dotted = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{dotted}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _warn_of_key(key: str, child: Cursor) -> None:
    """Warns of a key that reads as a comment, or as one with a variable, and is sent as it stands."""
    if key.startswith(("//", "/*")):
        odd = "is sent as a key; a comment begins with #"
    elif "${" in key:
        odd = (
            "is sent as it stands: variables are not filled in keys; "
            "where the name is to come from the event, write the message as JSON text"
        )
    else:
        return
    child.report(*child.key_location, child.steps, odd, Severity.WARNING)


def _warn_of_escape(cursor: Cursor) -> None:
    """Warns of a line break as in JSON, outside double quotes, where YAML takes it for a backslash and an n."""
    text = cursor.value
    if cursor.node.style == '"' or _DRIVE.search(text):
        return
    if found := _LINE_ESCAPE.search(text):
        what = "a line break" if found[0] == "\\n" else "a tab"
        cursor.warn(f"{found[0]} is sent as these two characters; in double quotes it is {what}")


def _refuse_reference(cursor: Cursor, key: str, child: Cursor) -> None:
    """Reports a mapping that looks like a reference to a secret, which would be sent as it stands."""
    if _is_reference(key, child.value):
        cursor.error(
            f"this looks like a reference to a secret, and would be sent as it stands; declare it in the webhook, "
            f"secrets: {{NAME: {{{key}: {child.value}}}}}, and write ${{secret.NAME}} here (where it is meant as "
            "it stands, write the message as JSON text)"
        )


def _is_reference(key: str, value: Any) -> bool:
    if not isinstance(value, str) or "${" in value:
        return False
    return key in {"file", "credential"} or (key == "env" and _VARIABLE_NAME.fullmatch(value) is not None)
