"""Secrets: plain, from the environment, from a file, or from a systemd credential (spec 1, Secrets).

Must never: put a value into a diagnostic; what is missing is named by its reference.
"""

import re
from collections.abc import Callable
from pathlib import Path

from hookd.config.build.unfilled import refuse_in_secret
from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.files import Unreadable
from hookd.domain.definitions import Secret, kept_elsewhere
from hookd.domain.text import is_utf8

PLAIN = "plain"

_BOM = "\ufeff"
_TYPESET = re.compile("[\u201c\u201d\u201e\u2018\u2019\u201a\u00ab].+[\u201c\u201d\u2018\u2019\u00bb]")
_QUOTED = re.compile(r"([\"'`]).*\1")
_ASSIGNED = re.compile(r"(?:export[ ]+)?[A-Z_][A-Z0-9_]*=(?=[^=])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def stands_in(cursor: Cursor, secret: Secret) -> bool:
    """Whether a secret is only its reference (`env:NAME`), since the load is portable."""
    return cursor.scope.portable and kept_elsewhere(secret.reference)


def read_secret(
    cursor: Cursor | None,
    *,
    sensitive: bool = True,
    may_be_empty: bool = False,
    refuse: Callable[[Cursor], bool] = refuse_in_secret,
) -> Secret | None:
    """The secret at this place, or None where it is missing or wrong; what is wrong is reported.

    Args:
        cursor: a text, or a mapping with one of `env`, `file`, `credential`.
        sensitive: whether a plain text in a git work tree deserves a warning.
        may_be_empty: whether a plain text may be empty.
        refuse: whether a plain text holds what is not filled in there; reports it.
    """
    if cursor is None:
        return None
    if isinstance(cursor.value, str):
        if refuse(cursor):
            return None
        secret: Secret | None = _plain(cursor, sensitive=sensitive)
    else:
        secret = _referred(cursor)
    if secret is not None and not secret.value and not (may_be_empty and secret.reference == PLAIN):
        cursor.error("must not be empty" if secret.reference == PLAIN else f"{secret.reference} is empty")
        return None
    return None if secret is None or _is_spoilt(cursor, secret) else secret


def _is_spoilt(cursor: Cursor, secret: Secret) -> bool:
    """Whether a secret holds what no receiver takes for part of it: a BOM or a control character; reported.

    A tab in a text that is written out is the author's own. A space at an end of a reference's value is warned of.
    """
    referred = kept_elsewhere(secret.reference)
    begin = f"{secret.reference} " if referred else ""
    if _BOM in secret.value:
        cursor.error(f"{begin}holds a byte order mark (BOM), an invisible character; save it without one")
        return True
    found = _CONTROL.search(secret.value if referred else secret.value.replace("\t", " "))
    if found is not None:
        what = "a line break" if found[0] in "\r\n" else "a control character"
        cursor.error(f"{begin}holds {what}")
        return True
    if not (referred and cursor.scope.portable):
        _warn_of_wrapping(cursor, secret.value, begin)
    return False


def _warn_of_wrapping(cursor: Cursor, value: str, begin: str) -> None:
    """Warns of what is likely not part of a secret: spaces, quotes and `NAME=` of a file that a shell reads."""
    if _TYPESET.fullmatch(value):
        cursor.warn(f"{begin}stands in typeset quotes, which are taken for a part of it; write straight ones")
    if not begin:
        return
    if value != value.strip():
        cursor.warn(f"{begin}begins or ends with a space; remove it where it is not part of the secret")
    elif _QUOTED.fullmatch(value):
        cursor.warn(f"{begin}stands in quotes; remove them where they are not part of the secret")
    elif _ASSIGNED.match(value):
        cursor.warn(f"{begin}begins with NAME=, as in a file of variables; give the value alone")


def _plain(cursor: Cursor, *, sensitive: bool) -> Secret:
    if sensitive and cursor.document.in_work_tree:
        cursor.warn(
            "a plain secret in a git work tree; write {env: NAME}, {file: PATH} or {credential: NAME} instead"
        )
    return Secret(cursor.value)


def _referred(cursor: Cursor) -> Secret | None:
    for kind, read in (("env", _from_env), ("file", _from_file), ("credential", _from_credential)):
        reference = cursor.get(kind)
        if reference is not None:
            value = f"{kind}:{reference.value}" if cursor.scope.portable else read(reference)
            return None if value is None else Secret(value, f"{kind} {reference.value}")
    return None


def _from_env(cursor: Cursor) -> str | None:
    value = cursor.scope.env.get(cursor.value)
    if value is None:
        hint = "; write its name without $" if cursor.value.startswith("$") else ""
        cursor.error(f"the environment variable {cursor.value} is not set{hint}")
        return None
    if not is_utf8(value):
        cursor.error(f"the environment variable {cursor.value} is not UTF-8 text")
        return None
    return _without_line_end(value)


def _from_file(cursor: Cursor) -> str | None:
    if "-----BEGIN" in cursor.value:
        cursor.error("holds the secret itself; put it into a file and give the path")
        return None
    path = cursor.file_of(cursor.value)
    content = _content(cursor, path, f"the file {cursor.value}")
    if content is not None:
        cursor.warn_of_others(path, secret=True)
    return content


def _from_credential(cursor: Cursor) -> str | None:
    directory = cursor.scope.env.get("CREDENTIALS_DIRECTORY")
    if not directory:
        cursor.error(
            f"the credential {cursor.value} cannot be read: systemd passes none ($CREDENTIALS_DIRECTORY is not set)"
            f"; {_credential_remedy(cursor)}"
        )
        return None
    path = Path(directory).absolute() / cursor.value
    return _content(cursor, path, f"the credential {cursor.value}", remedy=_credential_remedy(cursor))


def _credential_remedy(cursor: Cursor) -> str:
    return f"add LoadCredential={cursor.value}:PATH to the unit, and restart it"


def _content(cursor: Cursor, path: Path, named: str, *, remedy: str = "") -> str | None:
    try:
        text = cursor.scope.read(path).decode()
    except Unreadable as error:
        cursor.error(f"{named} {error.reason}" + (f"; {remedy}" if remedy else ""))
        return None
    except UnicodeDecodeError:
        cursor.error(f"{named} is not UTF-8 text")
        return None
    return _without_line_end(text)


def _without_line_end(text: str) -> str:
    """The text without the line end that editors and `$(…)` leave; a second one is not cut."""
    return text.removesuffix("\n").removesuffix("\r")
