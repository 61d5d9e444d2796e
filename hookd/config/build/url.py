"""What a webhook's URL must be: http or https, a host, nothing that cannot be called byte for byte (spec 1).

Must never: change the URL, or repeat it in a message (it may hold a token).
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from hookd.domain.blocked_addresses import is_never_called

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_SECOND = re.compile(r",\s*https?://", re.IGNORECASE)
_NOT_IN_URLS = re.compile(r"[<>{}|^`\"]")  # RFC 3986, section 2
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_REFERENCES = frozenset({"env", "file", "vault", "op", "secret", "credential"})
"""Schemes by which other tools refer to a secret."""
_MAX_PORT = 65535
_MAX_HOST = 253


def url_fault(url: str) -> str | None:
    """What is wrong with a URL, as the end of a sentence that begins "the URL", or None."""
    if url != url.strip():
        return "begins or ends with a space or a line break"
    if any(char.isspace() or not char.isprintable() for char in url):
        return "holds a space or a control character; write a space as %20"
    if "${" in url:
        return (
            "holds ${, and variables are filled in messages only; "
            "a URL with a secret in it stands as a whole where it is kept: {env: NAME}"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "has no valid host and port"
    return _scheme_fault(parts) or _place_fault(url, parts) or _port_fault(port) or _host_fault(parts)


def url_oddity(url: str) -> str | None:
    """What is likely to be wrong with a good URL, which is called as it stands, likewise."""
    if _SECOND.search(url):
        return "holds a second URL behind a comma; a webhook has one"
    path = url.replace(urlsplit(url).netloc, "", 1)
    if found := _NOT_IN_URLS.search(path):
        return (
            f"holds {found[0]}, which no URL holds: fill in the placeholder, or write it in percent-encoding"
        )
    if _BARE_PERCENT.search(path):
        return "holds a % that begins no percent-encoding; write %25"
    return None


def names_forbidden_address(url: str) -> bool:
    """Whether the host of a good URL is an address that is never called (spec 12); names are judged at each attempt."""
    try:
        return is_never_called(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _scheme_fault(parts: SplitResult) -> str | None:
    if parts.scheme in {"http", "https"}:
        return None
    hint = "; a reference is written {env: NAME} or {file: PATH}" if parts.scheme in _REFERENCES else ""
    return f"must begin with http:// or https://{hint}"


def _place_fault(url: str, parts: SplitResult) -> str | None:
    if "\\" in url:
        return "holds a backslash"
    if "@" in parts.netloc:
        return "holds user:password@; write it as auth: {type: basic, …}"
    if "#" in url:
        return "has a fragment (#…), which is never sent; write # as %23"
    if not all(char.isascii() for char in url.replace(parts.netloc, "", 1)):
        return "holds a character outside ASCII; write it in percent-encoding"
    return None


def _port_fault(port: int | None) -> str | None:
    return None if port is None or 1 <= port <= _MAX_PORT else f"has no port from 1 to {_MAX_PORT}"


def _host_fault(parts: SplitResult) -> str | None:
    host = parts.hostname or ""
    if not host:
        return "names no host"
    if parts.netloc.lower() == "unix:":
        return "names a Unix socket, and hookd calls TCP addresses only"
    return _ipv6_fault(host) if "[" in parts.netloc else _name_fault(host)


def _name_fault(host: str) -> str | None:
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return "has a host that is not a valid name"
    labels = ascii_host.removesuffix(".").split(".")
    if len(ascii_host) <= _MAX_HOST and all(_LABEL.fullmatch(label) for label in labels):
        return None
    return "has a host that is not a valid name"


def _ipv6_fault(host: str) -> str | None:
    try:
        ipaddress.IPv6Address(host.replace("%25", "%", 1))
    except ValueError:
        return "has a host that is not a valid IPv6 address"
    return None
