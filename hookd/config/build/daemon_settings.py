"""`daemon:` to a `DaemonDef`, with the defaults that the environment decides (spec 1, 8).

Must never: bind, create or open what it names; certificates apart, which are proven.
"""

import grp
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path

from hookd.config.build.certificates import read_chain
from hookd.config.build.secrets import read_secret, stands_in
from hookd.config.build.unfilled import refuse_in_text
from hookd.config.build.units import Range, is_zone, read_duration, read_size, read_timezone
from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import DaemonDef, HttpListen, Secret, SqliteDef, StoreDef, UnixListen
from hookd.domain.text import quoted

_RUNTIME_DIRECTORY = "/run/hookd"
_SOCKET_NAME = "hookd.sock"
_STORE_NAME = "hookd.db"
_DEFAULT_HTTP = HttpListen("127.0.0.1", 8420)
_MAX_SOCKET_PATH = 107  # sun_path of Linux, without its NUL
_MAX_PORT = 65535
_TOKEN = re.compile(r"[\x21-\x7e]+")
_EVENT_SIZE = Range(1 << 10, 64 << 20, "a size from 1KiB to 64MiB")
_KEEP = Range(1, 3650 * 86400, "a duration from 1s to 3650d")
_GRACE = Range(0, 3600, "a duration of at most 1h")
_ZONEINFO = "zoneinfo/"


def build_daemon(cursor: Cursor | None, env: Mapping[str, str]) -> DaemonDef:
    """The settings of `daemon:`, or all defaults without one; what is wrong is reported."""
    defaults = DaemonDef(
        listen=_default_listen(env), store=_default_store(env), timezone=_system_timezone(env)
    )
    if cursor is None:
        return defaults
    limits, retention, log = cursor.get("limits"), cursor.get("retention"), cursor.get("log")
    return DaemonDef(
        listen=_read_listen(cursor.get("listen"), defaults),
        store=_read_store(cursor.get("store"), defaults.store),
        timezone=read_timezone(cursor.get("timezone"), defaults.timezone),
        event_size=_read_event_size(limits, defaults.event_size),
        pending=int(_plain(limits, "pending", defaults.pending)),
        in_flight=int(_plain(limits, "in_flight", defaults.in_flight)),
        keep_delivered_s=_read_keep(retention, "delivered", defaults.keep_delivered_s),
        keep_dead_s=_read_keep(retention, "dead", defaults.keep_dead_s),
        shutdown_grace_s=read_duration(cursor.get("shutdown_grace"), defaults.shutdown_grace_s, _GRACE),
        log_level=str(_plain(log, "level", defaults.log_level)),
        log_format=str(_plain(log, "format", defaults.log_format)),
        spool=_read_spool(cursor.get("spool"), defaults.spool),
    )


def default_socket(env: Mapping[str, str]) -> str:
    """The Unix socket without `listen`: in systemd's `$RUNTIME_DIRECTORY`, else `/run/hookd` (spec 8)."""
    return str(Path(_first_directory(env, "RUNTIME_DIRECTORY") or _RUNTIME_DIRECTORY) / _SOCKET_NAME)


def _default_listen(env: Mapping[str, str]) -> tuple[UnixListen | HttpListen, ...]:
    return (UnixListen(default_socket(env)), _DEFAULT_HTTP)


def _default_store(env: Mapping[str, str]) -> StoreDef:
    return SqliteDef(str((Path(_first_directory(env, "STATE_DIRECTORY")) / _STORE_NAME).absolute()))


def _first_directory(env: Mapping[str, str], name: str) -> str:
    """The directory systemd gave; where it gave several, colons separate them."""
    return env.get(name, "").split(":", 1)[0]


def _plain(cursor: Cursor | None, key: str, default: float | str) -> float | str:
    value: float | str = default if cursor is None else cursor.plain(key, default)
    return value


def _read_store(cursor: Cursor | None, default: StoreDef) -> StoreDef:
    if cursor is None:
        return default
    if refuse_in_text(cursor):
        return default
    if "://" in cursor.value:
        cursor.error("must be the path of a file, not a URL")
        return default
    return SqliteDef(str(cursor.file_of(cursor.value)))


def _read_spool(cursor: Cursor | None, default: str) -> str:
    return default if cursor is None or refuse_in_text(cursor) else str(cursor.file_of(cursor.value))


def _read_event_size(limits: Cursor | None, default: int) -> int:
    cursor = None if limits is None else limits.get("event_size")
    return read_size(cursor, default, _EVENT_SIZE)


def _read_keep(retention: Cursor | None, key: str, default_s: float) -> float:
    cursor = None if retention is None else retention.get(key)
    return read_duration(cursor, default_s, _KEEP)


def _system_timezone(env: Mapping[str, str]) -> str:
    candidates = (env.get("TZ", "").lstrip(":"), _etc_timezone(), _localtime_target())
    return next((name for name in candidates if name and is_zone(name)), "UTC")


def _etc_timezone() -> str:
    try:
        return Path("/etc/timezone").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _localtime_target() -> str:
    return os.path.realpath("/etc/localtime").rpartition(_ZONEINFO)[2]


def _read_listen(cursor: Cursor | None, defaults: DaemonDef) -> tuple[UnixListen | HttpListen, ...]:
    if cursor is None:
        return defaults.listen
    taken: set[object] = set()
    found: list[UnixListen | HttpListen] = []
    for item in cursor.items():
        listener = _read_listener(item)
        if listener is None:
            continue
        address = listener.path if isinstance(listener, UnixListen) else (listener.host, listener.port)
        any_port = isinstance(listener, HttpListen) and listener.port == 0
        if address in taken and not any_port:
            item.error("this address stands in the list twice")
        taken.add(address)
        found.append(listener)
    return tuple(found)


def _read_listener(cursor: Cursor) -> UnixListen | HttpListen | None:
    if (unix := cursor.get("unix")) is not None:
        return _read_unix(cursor, unix)
    if (http := cursor.get("http")) is not None:
        return _read_http(cursor, http)
    return None


def _read_unix(cursor: Cursor, unix: Cursor) -> UnixListen:
    refuse_in_text(unix)
    path = str(unix.file_of(unix.value))
    # Where a relative one will lie on the machine that runs it, a portable load cannot know.
    length = len(os.fsencode(unix.value if cursor.scope.portable else path))
    if length > _MAX_SOCKET_PATH:
        unix.error(f"the path of a socket has at most {_MAX_SOCKET_PATH} bytes, this one {length}")
    group = cursor.get("group")
    if group is not None and not cursor.scope.portable and not _is_group(group.value):
        group.error(f"there is no group {quoted(group.value)} on this system")
    return UnixListen(path, int(cursor.plain("mode", "0660"), 8), None if group is None else group.value)


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except (KeyError, ValueError):
        return False
    return True


def _read_http(cursor: Cursor, http: Cursor) -> HttpListen | None:
    host, _, port = http.value.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host != "localhost" and not _is_address(host):
        http.error(f"the host must be an IP address or localhost, not {quoted(host)}")
        return None
    if int(port) > _MAX_PORT:
        http.error(f"the port must be from 0 (any free one) to {_MAX_PORT}, not {int(port)}")
        return None
    tokens = _read_tokens(cursor.get("tokens"))
    if "tokens" not in cursor.node.value and not _is_loopback(host):
        cursor.error_at_key(f"{host} is reachable from outside, so tokens are required")
    cert, key = _read_certificate(cursor.get("tls"))
    hosts = cursor.get("allowed_hosts")
    allowed = () if hosts is None else tuple(str(item.value) for item in hosts.items())
    return HttpListen(host, int(port), tokens, allowed, cert, key)


def _read_certificate(cursor: Cursor | None) -> tuple[str | None, str | None]:
    return (None, None) if cursor is None or cursor.scope.portable else read_chain(cursor)


def _read_tokens(cursor: Cursor | None) -> tuple[Secret, ...]:
    tokens = []
    for item in () if cursor is None else cursor.items():
        token = read_secret(item)
        if token is None:
            continue
        if not _TOKEN.fullmatch(token.value) and not stands_in(item, token):
            item.error("a token can hold visible ASCII characters only, since it is sent in a header")
        tokens.append(token)
    return tuple(tokens)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
