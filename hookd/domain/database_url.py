"""The URL of a database server, as libpq takes it: what is wrong with one, and what may be shown of it.

Must never: show a password, or more of a URL than could be told apart from one.
"""

from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

SCHEMES = ("postgresql", "postgres")

_OPTIONS = frozenset({
    "database", "dbname", "gsslib", "host", "krbsrvname", "passfile", "password", "port", "service", "servicefile",
    "sslcert", "sslcrl", "sslkey", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslmode", "sslnegotiation",
    "sslpassword", "sslrootcert", "target_session_attrs", "user",
})  # fmt: skip
_BINDING = "channel_binding"


def is_database_url(text: str) -> bool:
    """Whether a text is meant to be such a URL."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def url_fault(text: str) -> str | None:
    """What is wrong with a URL, without anything of its values; None for a good one."""
    parts = _split(text) if is_database_url(text) else None
    if parts is None:
        return "must be a URL that begins with postgresql://; write special characters of a password as %XX"
    if parts.fragment or text.endswith("#"):
        return "has a #, which ends a URL: write one of the password as %23"
    if not all(port.isdigit() and 0 < int(port) < 1 << 16 for _, port in _hosts(parts) if port):
        return "has a port that is no number from 1 to 65535; write special characters of a password as %XX"
    return _option_fault(dict(parse_qsl(parts.query, keep_blank_values=True)))


def has_password(text: str) -> bool:
    """Whether a URL holds a password."""
    parts = _split(text)
    return (
        parts is None or ":" in parts.netloc.rpartition("@")[0] or "password" in dict(parse_qsl(parts.query))
    )


def _option_fault(options: Mapping[str, str]) -> str | None:
    if options.get(_BINDING) == "require":
        return "asks for channel_binding=require, which hookd cannot do; sslmode=verify-full proves who the server is"
    for name in options:
        if name not in _OPTIONS and name != _BINDING:
            return f"has an unknown option: {name}" if name.isidentifier() else "has an unknown option"
    return None


def shown_database(text: str) -> str:
    """The URL without what is secret in it: servers and the database's name."""
    parts = _split(text) if is_database_url(text) else None
    if parts is None:
        return "postgresql"
    options = dict(parse_qsl(parts.query))
    named = unquote(parts.path.lstrip("/")) or options.get("dbname") or options.get("database") or ""
    hosts = ",".join(f"{host}:{port}" if port else host for host, port in _hosts(parts))
    return f"postgresql://{hosts or options.get('host', '')}/{named}"


def _hosts(parts: SplitResult) -> list[tuple[str, str]]:
    """The hosts and ports, which may be several; `urlsplit` knows one only."""
    listed = parts.netloc.rpartition("@")[2]
    found = []
    for each in listed.split(",") if listed else []:
        host, _, port = each.rpartition(":") if ":" in each.rpartition("]")[2] else (each, "", "")
        found.append((unquote(host), port))
    return found


def _split(text: str) -> SplitResult | None:
    try:
        return urlsplit(text)
    except ValueError:
        return None
