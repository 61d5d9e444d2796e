"""Who may what: the right that each route of the API asks for, in one place (spec 12).

Must never: leave a route out; one that does not stand here cannot be registered.
"""

from collections.abc import Mapping

from hookd.domain.principals import Right

_ANYBODY: frozenset[Right] = frozenset()
_EMIT = frozenset({Right.EMIT})
_READ = frozenset({Right.READ})
_OPERATE = frozenset({Right.OPERATE})

RIGHTS: Mapping[tuple[str, str], frozenset[Right]] = {
    ("GET", "/healthz"): _ANYBODY,
    ("GET", "/readyz"): _ANYBODY,
    ("GET", "/metrics"): frozenset({Right.METRICS, Right.READ}),
    ("POST", "/v1/events"): _EMIT,
    ("GET", "/openapi.json"): _READ,
    ("GET", "/v1/config"): _READ,
    ("GET", "/v1/deliveries"): _READ,
    ("GET", "/v1/deliveries/{id}"): _READ,
    ("GET", "/v1/events"): _READ,
    ("GET", "/v1/events/{id}"): _READ,
    ("GET", "/v1/names"): _READ,
    ("GET", "/v1/status"): _READ,
    ("GET", "/v1/tail"): _READ,
    ("GET", "/v1/webhooks"): _READ,
    ("POST", "/v1/config/diff"): _OPERATE,  # it makes hookd read files
    ("POST", "/v1/deliveries/retry"): _OPERATE,
    ("POST", "/v1/deliveries/{id}/cancel"): _OPERATE,
    ("POST", "/v1/deliveries/{id}/retry"): _OPERATE,
    ("POST", "/v1/reload"): _OPERATE,
    ("POST", "/v1/tasks/{name}/rearm"): _OPERATE,
    ("POST", "/v1/tasks/{name}/trigger"): _OPERATE,
    ("POST", "/v1/webhooks/{name}/pause"): _OPERATE,
    ("POST", "/v1/webhooks/{name}/resume"): _OPERATE,
    ("POST", "/v1/webhooks/{name}/send"): _OPERATE,
}
"""The rights of which one is enough, by method and pattern; none: everybody may whom the listener lets in."""
