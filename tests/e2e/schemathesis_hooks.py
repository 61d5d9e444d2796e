"""What schemathesis cannot read from the description: formats of our own, lines of JSON, and the names in force.

Loaded by schemathesis itself (`SCHEMATHESIS_HOOKS`), in its own process.
"""

import json
from datetime import datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st

NAMES = {"tasks": ("0", "once"), "webhooks": ("0", "a%2Fb")}
"""Names in the configuration of `test_schemathesis`; "0" is what schemathesis itself tries first. As in a URL."""

EVENTS = ({"type": "vm", "event": "on"}, {"type": "vm", "event": "off", "data": {"x": [1, None]}})

printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
fields = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
lines = st.lists(st.sampled_from(EVENTS), min_size=1).map(
    lambda given: "\n".join(map(json.dumps, given)).encode()
)

schemathesis.openapi.format("printable", printable)
schemathesis.openapi.format("printable-field", fields)
schemathesis.openapi.format("cloudevent-type", st.tuples(printable, printable).map(".".join))
schemathesis.openapi.format("media-type", st.sampled_from(["application/json", "text/x; charset=utf-8"]))
schemathesis.openapi.format("tag-list", st.sets(st.from_regex("[a-z]{1,9}", fullmatch=True)).map(",".join))
schemathesis.openapi.media_type("application/x-ndjson", lines)


@schemathesis.hook
def filter_case(_context: schemathesis.HookContext, case: "schemathesis.Case[Any]") -> bool:
    """No `Idempotency-Key` beside a CloudEvent, which ignores it: a bad one is then no fault."""
    return not ("cloudevents" in (case.media_type or "") and "Idempotency-Key" in (case.headers or {}))


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: dict[str, Any] | None) -> Any:
    """Two times out of three, a name that is in force."""
    if path_parameters and "name" in path_parameters and context.operation is not None:
        names = NAMES[context.operation.path.split("/")[2]]
        chosen = sum(map(ord, str(path_parameters["name"]))) % (len(names) + 1)
        if chosen < len(names):
            return {**path_parameters, "name": names[chosen]}
    return path_parameters


@schemathesis.hook
def map_query(_context: schemathesis.HookContext, query: Any) -> Any:
    """See `in_order`."""
    return in_order(query)


@schemathesis.hook
def map_body(_context: schemathesis.HookContext, body: Any) -> Any:
    """See `in_order`."""
    return in_order(body)


def in_order(fields: Any) -> Any:
    """`since` not after `until`, which JSON Schema cannot say; what are no instants stay as they are."""
    try:
        since, until = (datetime.fromisoformat(fields[name].upper()) for name in ("since", "until"))
        return {**fields, "since": fields["until"], "until": fields["since"]} if since > until else fields
    except (TypeError, KeyError, ValueError, AttributeError):
        return fields
