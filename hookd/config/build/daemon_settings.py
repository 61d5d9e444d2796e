"""`daemon:` to a `DaemonDef`, with the defaults that the environment decides (spec 1, 8).

Must never: bind, create or open what it names; certificates apart, which are proven.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from hookd.config.build.listeners import read_listeners
from hookd.config.build.paths import path_fault
from hookd.config.build.store_location import read_store
from hookd.config.build.unfilled import refuse_in_text
from hookd.config.build.units import Range, is_zone, read_duration, read_size, read_timezone
from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import DaemonDef, HttpListen, SqliteDef, StoreDef, UnixListen

_RUNTIME_DIRECTORY = "/run/hookd"
_SOCKET_NAME = "hookd.sock"
_STORE_NAME = "hookd.db"
_DEFAULT_HTTP = HttpListen("127.0.0.1", 8420)
_ONE_SIZE = Range(1 << 10, 64 << 20, "a size from 1KiB to 64MiB")
_KEEP = Range(1, 3650 * 86400, "a duration from 1s to 3650d")
_SHORT_S = 3600
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
        listen=read_listeners(cursor.get("listen"), defaults.listen),
        store=read_store(cursor.get("store"), defaults.store),
        store_process=_read_store_process(cursor, defaults.store_process),
        timezone=read_timezone(cursor.get("timezone"), defaults.timezone),
        event_size=_read_size(limits, "event_size", defaults.event_size),
        message_size=_read_size(limits, "message_size", defaults.message_size),
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


def _read_store_process(cursor: Cursor, default: bool | str) -> bool | str:
    value: bool | str = cursor.plain("store_process", default)
    return value


def _plain(cursor: Cursor | None, key: str, default: float | str) -> float | str:
    value: float | str = default if cursor is None else cursor.plain(key, default)
    return value


def _read_spool(cursor: Cursor | None, default: str) -> str:
    if cursor is None or refuse_in_text(cursor):
        return default
    if fault := path_fault(cursor, is_file=False):
        cursor.error(fault)
    return str(cursor.file_of(cursor.value))


def _read_size(limits: Cursor | None, key: str, default: int) -> int:
    cursor = None if limits is None else limits.get(key)
    return read_size(cursor, default, _ONE_SIZE)


def _read_keep(retention: Cursor | None, key: str, default_s: float) -> float:
    cursor = None if retention is None else retention.get(key)
    kept_s = read_duration(cursor, default_s, _KEEP)
    if cursor is not None and not isinstance(cursor.value, str) and kept_s < _SHORT_S:
        cursor.warn(
            f"is {cursor.value} seconds, since it has no unit; write {cursor.value}d where it is days"
        )
    return kept_s


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
