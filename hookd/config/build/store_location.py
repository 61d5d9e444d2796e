"""`daemon.store` to a `StoreDef`: the path of an SQLite file, or a PostgreSQL database (spec 1, 6).

Must never: open or make what it names, or put a URL into a diagnostic.
"""

from hookd.config.build.paths import path_fault
from hookd.config.build.secrets import read_secret, stands_in
from hookd.config.build.unfilled import refuse_in_text
from hookd.config.yaml.cursor import Cursor
from hookd.domain.database_url import has_password, is_database_url, url_fault
from hookd.domain.definitions import PostgresDef, SqliteDef, StoreDef

_REFERENCES = ("env", "file", "credential")


def read_store(cursor: Cursor | None, default: StoreDef) -> StoreDef:
    """The store, or the default without it; what is wrong is reported."""
    if cursor is None:
        return default
    if isinstance(cursor.value, str):
        return (_read_url(cursor) if is_database_url(cursor.value) else _read_path(cursor)) or default
    return _read_mapping(cursor) or default


def _read_path(cursor: Cursor) -> StoreDef | None:
    if refuse_in_text(cursor):
        return None
    fault = _store_fault(cursor.value) or path_fault(cursor, is_file=True)
    if fault:
        cursor.error(fault)
        return None
    return SqliteDef(str(cursor.file_of(cursor.value)))


def _store_fault(text: str) -> str | None:
    if "://" in text or "?" in text:
        return "must be the path of a file, or begin with postgresql://"
    if text == ":memory:":
        return "must be the path of a file, since what is only in memory is lost"
    return None


def _read_mapping(cursor: Cursor) -> StoreDef | None:
    named = [key for key in _REFERENCES if cursor.get(key) is not None]
    database = cursor.get("postgres")
    if len(named) + (database is not None) != 1:
        cursor.error("must have one of postgres, env, file and credential")
        return None
    if database is None:
        return _read_url(cursor)
    read = _read_url(database)
    if read is None:
        return None
    return PostgresDef(
        read.url,
        schema=cursor.plain("schema", read.schema),
        migrate=cursor.plain("migrate", read.migrate),
        allow_unsafe=cursor.plain("allow_unsafe", read.allow_unsafe),
    )


def _read_url(cursor: Cursor) -> PostgresDef | None:
    """The database that a URL names, which may be kept elsewhere."""
    url = read_secret(cursor, sensitive=isinstance(cursor.value, str) and has_password(cursor.value))
    if url is None:
        return None
    if not stands_in(cursor, url) and (fault := url_fault(url.value)):
        cursor.error(fault)
        return None
    return PostgresDef(url)
