"""What commands ask of a schema while no daemon need run: whether it is sound, what it is, and bringing it forward.

Must never: change anything but by `migrate`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hookd.domain.definitions import PostgresDef
from hookd.domain.errors import StoreUnavailable, StoreUnreachable
from hookd.store.postgres import schema_migration
from hookd.store.postgres.call_failures import Forbidden
from hookd.store.postgres.link import Link, Server
from hookd.store.postgres.opening import server_of
from hookd.store.postgres.schema_migration import ServerState, quoted

T = TypeVar("T")

_FINDINGS = {
    "{} deliveries are in the queue and in the history at once": """
        SELECT count(*) FROM @schema@.queue AS q JOIN @schema@.finished AS f ON f.seq = q.seq""",
    "{} deliveries are neither in the queue nor in the history": """
        SELECT count(*) FROM @schema@.deliveries AS d
        WHERE NOT EXISTS (SELECT 1 FROM @schema@.queue AS q WHERE q.seq = d.seq)
          AND NOT EXISTS (SELECT 1 FROM @schema@.finished AS f WHERE f.seq = d.seq)""",
    "{} rows of the queue and the history have no delivery": """
        SELECT count(*) FROM (SELECT seq FROM @schema@.queue UNION ALL SELECT seq FROM @schema@.finished) AS s
        WHERE NOT EXISTS (SELECT 1 FROM @schema@.deliveries AS d WHERE d.seq = s.seq)""",
    "{} deliveries have no event": """
        SELECT count(*) FROM @schema@.deliveries AS d
        WHERE NOT EXISTS (SELECT 1 FROM @schema@.events AS e WHERE e.seq = d.event_seq)""",
    "{} indexes are not valid: REINDEX them": """
        SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE NOT i.indisvalid AND c.relnamespace = '@schema@'::regnamespace""",
}
_BACKLOG = """
    SELECT (SELECT coalesce(sum(unfinished), 0)::bigint FROM @schema@.counts), (SELECT count(*) FROM @schema@.queue)
"""


def check(definition: PostgresDef) -> list[str]:
    """What is wrong with the server, the schema or the rows in it; reads all of them.

    Raises:
        StoreUnusable: it cannot be used, or there is none yet.
    """
    return asyncio.run(_with_link(definition, lambda link, _: _check(link, definition)))


async def _check(link: Link, definition: PostgresDef) -> list[str]:
    state = await _fit(link, definition)
    if not state.has_tables:
        raise Forbidden(
            f"{definition.target} does not exist yet: `hookd run` or `hookd store migrate` makes it"
        )
    found = []
    for finding, sql in _FINDINGS.items():
        ((count,),) = await link.call(_named(sql, definition))
        if count:
            found.append(finding.format(count))
    ((counted, there),) = await link.call(_named(_BACKLOG, definition))
    if counted != there:
        found.append(f"{there} deliveries wait, and {counted} are counted")
    return found


def migrate(definition: PostgresDef) -> str:
    """Make the schema or bring it forward; says what was done.

    Raises:
        StoreUnusable: it cannot be; the message says why and what to do.
    """

    async def work(link: Link, _: Server) -> str:
        state = await _fit(link, definition)
        before = (await schema_migration.versions(link, definition.schema))[0] if state.has_tables else 0
        await schema_migration.bring_forward(link, state, definition.schema, definition.target, migrate=True)
        after = (await schema_migration.versions(link, definition.schema))[0]
        return f"version {after} already" if after == before else f"brought from version {before} to {after}"

    return asyncio.run(_with_link(definition, work))


def status(definition: PostgresDef) -> dict[str, str | int | bool | None]:
    """What the server and the schema are.

    Raises:
        StoreUnusable: it cannot be reached.
    """

    async def work(link: Link, server: Server) -> dict[str, str | int | bool | None]:
        state = await schema_migration.look(link, definition.schema)
        version = (await schema_migration.versions(link, definition.schema))[0] if state.has_tables else None
        return {
            "server": f"PostgreSQL {state.version}",
            "role": state.role,
            "pooled": server.is_pooled,
            "schema_version": version,
            "newest_version": schema_migration.schema_version(),
        }

    return asyncio.run(_with_link(definition, work))


async def _fit(link: Link, definition: PostgresDef) -> ServerState:
    state = await schema_migration.look(link, definition.schema)
    schema_migration.refuse_unfit(state, definition.target, allow_unsafe=definition.allow_unsafe)
    return state


async def _with_link(definition: PostgresDef, work: Callable[[Link, Server], Awaitable[T]]) -> T:
    """Connect, do it, and let go. Raises StoreUnreachable at once where there is no server."""
    server = server_of(definition, "hookd")
    link = Link(server)
    try:
        await server.settle_mode()
        return await work(link, server)
    except StoreUnavailable as error:
        raise StoreUnreachable(str(error)) from error
    finally:
        await link.close()


def _named(sql: str, definition: PostgresDef) -> str:
    return sql.replace("@schema@", quoted(definition.schema))
