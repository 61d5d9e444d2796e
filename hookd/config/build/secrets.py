"""Secrets: plain, from the environment, from a file, or from a systemd credential (spec 1, Secrets).

Must never: put a value into a finding; what is missing is named by its reference.
"""

from pathlib import Path

from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.files import Unreadable
from hookd.domain.definitions import Secret, kept_elsewhere

PLAIN = "plain"


def stands_in(view: Cursor, secret: Secret) -> bool:
    """Whether a secret is only its reference (`env:NAME`), since the load is portable."""
    return view.scope.portable and kept_elsewhere(secret.reference)


def read_secret(view: Cursor | None, *, sensitive: bool = True, may_be_empty: bool = False) -> Secret | None:
    """The secret at this place, or None where it is missing or wrong; what is wrong is reported.

    Args:
        view: a text, or a mapping with one of `env`, `file`, `credential`.
        sensitive: whether a plain text in a git work tree deserves a warning.
        may_be_empty: whether a plain text may be empty.
    """
    if view is None:
        return None
    if isinstance(view.value, str):
        secret: Secret | None = _plain(view, sensitive=sensitive)
    else:
        secret = _referred(view)
    if secret is not None and not secret.value and not (may_be_empty and secret.reference == PLAIN):
        view.error("must not be empty" if secret.reference == PLAIN else f"{secret.reference} is empty")
        return None
    return secret


def _plain(view: Cursor, *, sensitive: bool) -> Secret:
    if sensitive and view.document.in_work_tree:
        view.warn(
            "a plain secret in a git work tree; write {env: NAME}, {file: PATH} or {credential: NAME} instead"
        )
    return Secret(view.value)


def _referred(view: Cursor) -> Secret | None:
    for kind, read in (("env", _from_env), ("file", _from_file), ("credential", _from_credential)):
        reference = view.get(kind)
        if reference is not None:
            value = f"{kind}:{reference.value}" if view.scope.portable else read(reference)
            return None if value is None else Secret(value, f"{kind} {reference.value}")
    return None


def _from_env(view: Cursor) -> str | None:
    value = view.scope.env.get(view.value)
    if value is None:
        view.error(f"the environment variable {view.value} is not set")
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        view.error(f"the environment variable {view.value} is not UTF-8 text")
        return None
    return value


def _from_file(view: Cursor) -> str | None:
    return _content(view, view.file_of(view.value), f"the file {view.value}")


def _from_credential(view: Cursor) -> str | None:
    directory = view.scope.env.get("CREDENTIALS_DIRECTORY")
    if not directory:
        view.error(
            f"the credential {view.value} cannot be read: systemd passes none ($CREDENTIALS_DIRECTORY is not set)"
            f"; {_credential_remedy(view)}"
        )
        return None
    path = Path(directory).absolute() / view.value
    return _content(view, path, f"the credential {view.value}", remedy=_credential_remedy(view))


def _credential_remedy(view: Cursor) -> str:
    return f"add LoadCredential={view.value}:PATH to the unit, and restart it"


def _content(view: Cursor, path: Path, named: str, *, remedy: str = "") -> str | None:
    try:
        text = view.scope.read(path).decode()
    except Unreadable as error:
        view.error(f"{named} {error.reason}" + (f"; {remedy}" if remedy else ""))
        return None
    except UnicodeDecodeError:
        view.error(f"{named} is not UTF-8 text")
        return None
    return text.removesuffix("\n").removesuffix("\r")
