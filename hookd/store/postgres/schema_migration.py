"""The server and the schema before anything is done with them: what is looked at first, and bringing it forward.

Must never: change a schema that a newer program made, or run where a commit may be lost that was promised.
"""

import re
from collections.abc import Iterator
from importlib import resources

from hookd.domain.value_class import value_class
from hookd.store.postgres.call_failures import Declined, Forbidden
from hookd.store.postgres.link import Link

OLDEST_SERVER = 140_000
"""PostgreSQL 14: the first that notices a client that is gone while a statement runs."""

_LOOK = """
    SELECT current_setting('server_version_num')::int, current_setting('server_version'),
      current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes'),
      pg_is_in_recovery(), current_user::text, current_database()::text,
      to_regnamespace($1) IS NOT NULL, to_regclass($1 || '.meta') IS NOT NULL
"""


@value_class
class ServerState:
    """What a server says of itself."""

    number: int
    version: str
    encoding: str
    fsync: str
    full_page_writes: str
    is_standby: bool
    role: str
    database: str
    has_schema: bool
    has_tables: bool


def quoted(name: str) -> str:
    """A name as an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


async def look(link: Link, schema: str) -> ServerState:
    """What the server says; raises like `Link.call`."""
    (row,) = await link.call(_LOOK, quoted(schema))
    return ServerState(*row)


def refuse_unfit(state: ServerState, target: str, *, allow_unsafe: bool) -> None:
    """Raise Forbidden for a server that hookd cannot, or must not, use."""
    if state.number < OLDEST_SERVER:
        raise Forbidden(f"{target} is PostgreSQL {state.version}; hookd needs 14 or newer")
    if state.is_standby:
        raise Forbidden(f"{target} is a standby, which only reads: daemon.store names the primary server")
    if state.encoding != "UTF8":
        raise Forbidden(
            f"the database {state.database} of {target} has the encoding {state.encoding}; hookd needs UTF8: "
            f"CREATE DATABASE {state.database} ENCODING 'UTF8' TEMPLATE template0"
        )
    if state.fsync != "on" and not allow_unsafe:
        raise Forbidden(
            f"{target} runs with fsync=off: what hookd has acknowledged would be lost with a crash of its machine. "
            "Set fsync=on, or allow_unsafe: true in daemon.store where that does not matter"
        )


async def versions(link: Link, schema: str) -> tuple[int, int]:
    """The schema's version, and the oldest whose programs can use it."""
    rows = await link.call(f"SELECT version, compatible_from FROM {quoted(schema)}.meta")  # noqa: S608  a name
    return int(rows[0][0]), int(rows[0][1])


async def bring_forward(link: Link, state: ServerState, schema: str, target: str, *, migrate: bool) -> None:
    """Bring the schema to this program's version, or make it.

    Raises:
        Forbidden: it is newer, or may not be changed; the message says what to do.
    """
    newest = schema_version()
    version, compatible_from = await versions(link, schema) if state.has_tables else (0, 0)
    if compatible_from > newest:
        raise Forbidden(
            f"the schema {schema} of {target} has version {version}, which programs from version {compatible_from} on "
            f"can use; this one knows version {newest}. Install the newer hookd"
        )
    if version >= newest:
        return
    if not migrate:
        raise Forbidden(
            f"the schema {schema} of {target} has version {version}, this program needs {newest} and may not change it "
            "(daemon.store has migrate: false): run `hookd store migrate`"
        )
    for number, sql in packaged_migrations():
        if number > version:
            await _migrate(link, state, number, sql, schema=schema, target=target)


async def _migrate(
    link: Link, state: ServerState, number: int, sql: str, *, schema: str, target: str
) -> None:
    name = quoted(schema)
    steps = [
        f"SELECT pg_advisory_xact_lock(hashtext('hookd.' || {_literal(schema)}))",
        *([] if state.has_schema else [f"CREATE SCHEMA IF NOT EXISTS {name}"]),
        f"SET LOCAL search_path = {name}, pg_temp",
        re.sub("@schema@", lambda _: name, sql),
    ]
    try:
        await link.script(";\n".join(steps))
    except Declined as error:
        again = await look(link, schema)
        if again.has_tables and (await versions(link, schema))[0] >= number:
            return  # another process has done it
        missing = f"SCHEMA {name}" if state.has_schema else f"DATABASE {quoted(state.database)}"
        raise Forbidden(
            f"the schema {schema} of {target} could not be brought to version {number}: {error}. Nothing was changed. "
            f"Where a right is missing: GRANT CREATE ON {missing} TO {quoted(state.role)}; "
            "or run `hookd store migrate` as a role that has it"
        ) from error


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def schema_version() -> int:
    """The schema version this program writes."""
    return max(number for number, _ in packaged_migrations())


def packaged_migrations() -> Iterator[tuple[int, str]]:
    """The packaged migrations with their numbers, in order."""
    files = resources.files("hookd.store.postgres").joinpath("migrations").iterdir()
    for file in sorted((file for file in files if file.name.endswith(".sql")), key=lambda file: file.name):
        yield int(file.name.partition("_")[0].removesuffix(".sql")), file.read_text("utf-8")
