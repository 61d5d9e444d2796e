"""The statements, with the schema's name in them: each calls one function of the server's, or reads by key.

Must never: be put together from a value.
"""

import re

from hookd.store.postgres.schema_migration import quoted

_FUNCTIONS = {
    "enqueue": ("enqueue_v1", 32),
    "kept": ("kept_v1", 1),
    "claim": ("claim_v1", 7),
    "settle": ("settle_v1", 19),
    "recorded": ("recorded_v1", 3),
    "release": ("release_v1", 4),
    "end_leases": ("end_leases_v1", 3),
    "renew": ("renew_v1", 4),
    "make_due": ("make_due_v1", 2),
    "retry": ("retry_v1", 4),
    "cancel": ("cancel_v1", 3),
    "pause": ("pause_v1", 2),
    "resume": ("resume_v1", 1),
    "lift_hold": ("lift_hold_v1", 2),
    "reset_one_shot": ("reset_one_shot_v1", 2),
    "watch": ("watch_v1", 5),
    "note_alive": ("note_alive_v1", 2),
    "set_back": ("set_back_v1", 4),
    "set_clock": ("set_clock_v1", 1),
    "note_clock": ("note_clock_v1", 1),
    "prune": ("prune_v1", 4),
    "join": ("join_v1", 3),
    "leave": ("leave_v1", 3),
    "seen": ("seen_v1", 1),
    "probe": ("probe_v1", 1),
    "generation": ("generation_v1", 4),
    "waiting": ("waiting_v1", 1),
    "lanes": ("lanes_v1", 1),
    "totals": ("totals_v1", 0),
    "deliveries": ("deliveries_v1", 9),
    "unreported": ("unreported_v1", 3),
    "last_died": ("last_died_v1", 0),
}
_READS = {
    "now": "SELECT @schema@.now_v1()",
    "spent": """
        SELECT s.task, s.digest FROM unnest($1::text[], $2::text[]) AS n (task, digest)
        JOIN @schema@.spent AS s ON s.task = n.task AND s.digest = n.digest""",
    "dealt_until": "SELECT key, dealt_until FROM @schema@.schedules WHERE key = ANY ($1::text[])",
    "marks": """
        SELECT task, digest, spent_at, delivery_id FROM @schema@.spent ORDER BY spent_at DESC, task, digest""",
    "clock_seen": """
        SELECT greatest(
          (SELECT received_at FROM @schema@.events ORDER BY seq DESC LIMIT 1),
          (SELECT max(seen_at) FROM @schema@.clock))""",
    "delivery": """
        SELECT d.seq, d.id, e.id, e.kind, d.rule, d.task, l.webhook, coalesce(q.state, f.state),
          coalesce(q.attempt, f.attempt), coalesce(q.failures, f.failures), d.created_at, q.due_at, f.finished_at,
          coalesce(f.detail, ''), coalesce(q.last_status, f.last_status), coalesce(q.last_error, f.last_error), e.trace,
          d.body
        FROM @schema@.deliveries AS d
        JOIN @schema@.events AS e ON e.seq = d.event_seq
        JOIN @schema@.lanes AS l ON l.id = d.lane
        LEFT JOIN @schema@.queue AS q ON q.seq = d.seq
        LEFT JOIN @schema@.finished AS f ON f.seq = d.seq
        WHERE d.id = $1""",
    "attempts": """
        SELECT a.number, a.started_at, a.duration_s, a.status, a.reason, a.error, a.response, a.insecure, a.resent,
          g.number, g.hash, g.revision, g.dirty
        FROM @schema@.attempts AS a LEFT JOIN @schema@.generations AS g ON g.seq = a.generation
        WHERE a.delivery_seq = $1 ORDER BY a.number""",
    "key_of": "SELECT seq FROM @schema@.deliveries WHERE id = $1",
    "event": """
        SELECT seq, id, kind, type, event, object, time, data, digest, received_at, trace
        FROM @schema@.events WHERE id = $1""",
    "events": """
        SELECT seq, id, kind, type, event, object, time, NULL, digest, received_at, trace
        FROM @schema@.events WHERE seq < $1 ORDER BY seq DESC LIMIT $2""",
    "refs": """
        SELECT d.event_seq, d.id, d.task, l.webhook FROM @schema@.deliveries AS d
        JOIN @schema@.lanes AS l ON l.id = d.lane
        WHERE d.event_seq = ANY ($1::bigint[]) ORDER BY d.event_seq, d.seq""",
    "ids": """
        (SELECT id FROM @schema@.deliveries WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3)
        UNION ALL (SELECT id FROM @schema@.events WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3) LIMIT $3""",
    "size": """
        SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
        WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r'""",
}


class Statements:
    """The statements of one schema, by name."""

    def __init__(self, schema: str) -> None:
        name = quoted(schema)
        self._by_name = {
            key: f"SELECT * FROM {name}.{function}({', '.join(f'${n}' for n in range(1, count + 1))})"  # noqa: S608  names
            for key, (function, count) in _FUNCTIONS.items()
        }
        self._by_name.update((key, re.sub("@schema@", lambda _: name, sql)) for key, sql in _READS.items())

    def __getattr__(self, name: str) -> str:
        try:
            return self._by_name[name]
        except KeyError:
            raise AttributeError(name) from None
