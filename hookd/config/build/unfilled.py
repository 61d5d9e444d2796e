"""Variables where none are filled: `${NAME}` is an error, what looks like another tool's is a warning (spec 1).

Must never: repeat a value in a message; of `${NAME}`, the name of an environment variable apart.
"""

import re

from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.diagnostics import Severity

_VARIABLE = "${"
_WHOLE = re.compile(r"(?:[A-Za-z-]+: *)?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-=?+][^{}]*)?\}")
"""One variable of a shell or a compose file, and nothing else; of a line of headers, behind its name."""
_FOREIGN = re.compile(
    r"(?<!\S)\$[A-Za-z_][A-Za-z0-9_]*(?!\S)"  # a word of its own
    r"|\$[A-Z_][A-Z0-9_]+(?![A-Za-z0-9_])"
    r"|\{\{.*\}\}"
    r"|\$\([^()]*\)",
    re.DOTALL,
)
_PATTERN = re.compile(r"\*|\{\{.*\}\}|^\^|\||\.\+")
"""What people write for "any of these" elsewhere: a wildcard, a template, a regular expression."""


def refuse_in_secret(cursor: Cursor) -> bool:
    """Whether a secret that is written out holds a variable; reported."""
    if _VARIABLE not in cursor.value:
        return warn_of_foreign(cursor)
    cursor.error(
        f"holds ${{, and variables are filled in messages only; a secret is written {_reference(cursor.value)}"
    )
    return True


def refuse_in_header(cursor: Cursor, text: str | None = None, line: int = 0) -> bool:
    """Whether a header holds a variable; reported. Of a text block: the text of a line, and its number from 0."""
    form = "" if text is None else ", in headers written as a mapping"
    text = cursor.value if text is None else text
    if _VARIABLE not in text:
        return warn_of_foreign(cursor, text, line)
    cursor.error_in_text(
        line,
        "holds ${, and variables are not filled in headers; a value from the event belongs in the message, "
        f"a secret is written {_reference(text)}{form}",
    )
    return True


def refuse_in_text(cursor: Cursor) -> bool:
    """Whether a text that cannot be a reference (a path, a user name) holds a variable; reported."""
    if _VARIABLE in cursor.value:
        cursor.error("holds ${, and variables are filled in messages only; write the value itself")
    return _VARIABLE in cursor.value


def warn_of_foreign(cursor: Cursor, text: str | None = None, line: int = 0) -> bool:
    """Warns of what other tools fill (`$NAME`, `{{ name }}`, `$(command)`); false, since it may be meant."""
    if _FOREIGN.search(cursor.value if text is None else text):
        message = (
            "looks like a variable, but nothing is filled in here, and it is sent as it stands; "
            "a secret from the environment is written {env: NAME}"
        )
        cursor.error_in_text(line, message, severity=Severity.WARNING)
    return False


def _reference(text: str) -> str:
    whole = _WHOLE.fullmatch(text.strip())
    return f"{{env: {whole[1] if whole else 'NAME'}}}"


def check_word(cursor: Cursor | None) -> None:
    """Reports a word of a rule or of the catalogue that can hardly match: a variable, or what looks like a pattern."""
    if cursor is None or refuse_in_text(cursor) or _PATTERN.search(cursor.value) is None:
        return
    cursor.warn(
        "is compared exactly, as it is written, and matches no other text; name each in a rule of its own, "
        'or write a pattern in where, such as object.name.startsWith("web-")'
    )
