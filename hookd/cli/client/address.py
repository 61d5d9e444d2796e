"""Where the daemon is: the options, the environment, the configuration, in that order (spec 8).

The address is `--socket` or `--url`, else `$HOOKD_SOCKET`, else the configuration's first Unix socket,
else `/run/hookd/hookd.sock`.

Must never: import anything of the configuration unless it is needed for that.
"""

from __future__ import annotations

import argparse
import os

from hookd.cli.client.api_client import Client
from hookd.cli.failure import USAGE, Failure
from hookd.domain.text import error_text

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_SOCKET = "/run/hookd/hookd.sock"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the daemon is."""
    group = parser.add_argument_group("where the daemon is")
    address = group.add_mutually_exclusive_group()
    address.add_argument(
        "--socket", metavar="PATH", help="its Unix socket (default: $HOOKD_SOCKET, else the config's)"
    )
    address.add_argument(
        "--url", metavar="URL", type=_url, help="its HTTP address, such as http://127.0.0.1:8420"
    )
    group.add_argument(
        "--token-env", metavar="NAME", help="the environment variable that holds the bearer token"
    )
    group.add_argument("-c", "--config", metavar="PATH", help="the config whose first Unix socket is used")


def _url(text: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if (
        not good
        or parts.username is not None
        or parts.query
        or parts.fragment
        or not (text.isascii() and text.isprintable())
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as http://127.0.0.1:8420")
    return text


def from_options(options: argparse.Namespace, *, or_default: bool = False) -> Client:
    """The client that the options and the environment ask for.

    Args:
        options: of a parser that `add_options` has added to.
        or_default: take the default address where the config named by `--config` cannot be read.

    Raises:
        Failure: the token's variable is not set (2), or the config named by `--config` cannot be read (1).
    """
    token = _token(options.token_env)
    if options.url:
        return Client(options.url, token)
    if path := options.socket or os.environ.get("HOOKD_SOCKET"):
        return Client(path, token)
    try:
        path, doubt = _configured_socket(options.config)
    except Failure as failure:
        if not or_default:
            raise
        path, doubt = DEFAULT_SOCKET, failure.lines[0]
    return Client(path, token, doubt)


def _token(name: str | None) -> str | None:
    if name is None:
        return None
    token = os.environ.get(name, "")
    if not token:
        raise Failure(f"--token-env: the environment variable {name} is not set", code=USAGE)
    if not (token.isascii() and token.isprintable()):
        raise Failure(
            f"--token-env: the value of {name} is not printable ASCII, so it cannot be a token", code=USAGE
        )
    return token


def config_path(config: str | None) -> Path:
    """Where the config is: `config` as `--config` names it, else as everywhere (spec 1).

    Raises:
        Failure: the one that was named is not there, or cannot be looked at (1).
    """
    from pathlib import Path

    from hookd.config import default_path

    if not config:
        return default_path()
    try:
        Path(config).stat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        why = "no such config" if missing else f"cannot be read: {error_text(error).lower()}"
        raise Failure(f"{config}: {why}") from None
    return Path(config)


def _configured_socket(config: str | None) -> tuple[str, str]:
    """The socket, and where the configuration names none because it cannot be read, a sentence that says so."""
    from hookd.config import first_unix_socket, why_unread

    path = config_path(config)
    if found := first_unix_socket(path):
        return found, ""
    why = why_unread(path)
    return DEFAULT_SOCKET, f"{why}, so its socket is not known" if why else ""
