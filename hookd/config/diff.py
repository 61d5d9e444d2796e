"""What differs between two configurations: by name, and by field, each called as it is written in the YAML (spec 8).

A value that may be a secret is never told, only that it changed, and by which reference.

Must never: load anything, or decide what is done about a difference.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, assert_never

from hookd.config.yaml.diagnostics import Diagnostic
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    HttpListen,
    PeerDef,
    RateLimit,
    ScheduleDef,
    Secret,
    Signing,
    TaskDef,
    Timing,
    Tls,
    TokenDef,
    TypeDef,
    UnixListen,
    WebhookDef,
    masked,
)
from hookd.domain.deliveries import GenerationRef
from hookd.domain.durations import format_duration, in_largest_unit
from hookd.domain.message_templates import Placeholder, Template
from hookd.domain.principals import EVERY_RIGHT, Right
from hookd.domain.reload_result import Changes
from hookd.domain.times import date_time
from hookd.domain.value_class import value_class

Definition = WebhookDef | TaskDef | EventDef | ScheduleDef | TypeDef | DaemonDef

DAEMON = "daemon"

_PLAIN = "plain"
_SIZES = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_PERIODS = {1: "s", 60: "m", 3600: "h"}


@value_class
class FieldChange:
    """One field of a definition that differs.

    Attributes:
        field: its place in the definition, as it is written: `timeout`, `headers.X-Route`, `triggers[0].where`.
        old: its value as JSON, None where it is not there; secrets are `{"secret": REFERENCE}`.
        new: likewise; a secret that differs in its value alone looks the same.
    """

    field: str
    old: Any
    new: Any


@value_class
class DefinitionChange:
    """One definition that differs.

    Attributes:
        section: `webhooks`, `tasks`, … or `daemon`, whose one definition is called `daemon`.
        change: `added`, `changed` or `removed`.
        fields: what changed, in the order of the definition; empty where it was added or removed.
    """

    section: str
    name: str
    change: str
    fields: tuple[FieldChange, ...] = ()


@value_class
class Comparison:
    """The configuration on disk beside the one in force.

    Attributes:
        in_force: the generation.
        hash: of what is on disk.
        commit: that what is on disk comes from, or None.
        dirty: whether it is anything but what that commit holds; None without one.
        diagnostics: what a load has to say; the configuration on disk is invalid where there is an error among them.
        valid: whether it could be put into force.
        differences: none where it is invalid.
        restart_needed: keys of `daemon:` that only a restart puts into force.
    """

    in_force: GenerationRef
    hash: str
    commit: str | None
    dirty: bool | None
    diagnostics: tuple[Diagnostic, ...]
    valid: bool = False
    differences: tuple[DefinitionChange, ...] = ()
    restart_needed: tuple[str, ...] = ()


def compare(old: Config, new: Config) -> Mapping[str, Changes]:
    """What differs between two configurations, by section and name; `daemon` by key."""
    return {
        **{section: _compare(was, now) for section, was, now in _sections(old, new)},
        DAEMON: _compare(_by_key(old.daemon), _by_key(new.daemon)),
    }


def differences(old: Config, new: Config) -> tuple[DefinitionChange, ...]:
    """What differs between two configurations, by section, name and field."""
    found = [difference for section in _sections(old, new) for difference in _in_section(*section)]
    if old.daemon != new.daemon:
        found.append(
            DefinitionChange(DAEMON, DAEMON, "changed", tuple(changed_fields(old.daemon, new.daemon)))
        )
    return tuple(found)


def changed_fields(old: Definition, new: Definition) -> Iterator[FieldChange]:
    """The fields in which two definitions of one kind differ."""
    yield from _changed(_written(old), _written(new), "")


def _sections(old: Config, new: Config) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    for section in ("webhooks", "tasks", "events", "schedules", "types"):
        yield section, getattr(old, section) or {}, getattr(new, section) or {}


def _in_section(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[DefinitionChange]:
    changes = _compare(old, new)
    yield from (DefinitionChange(section, name, "added") for name in changes.added)
    for name in changes.changed:
        yield DefinitionChange(section, name, "changed", tuple(changed_fields(old[name], new[name])))
    yield from (DefinitionChange(section, name, "removed") for name in changes.removed)


def _compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    return Changes(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
        removed=tuple(name for name in old if name not in new),
    )


def _by_key(daemon: DaemonDef) -> Mapping[str, Any]:
    return {field.name: getattr(daemon, field.name) for field in fields(daemon)}


def _changed(old: Any, new: Any, place: str) -> Iterator[FieldChange]:
    """The places below which two values differ, as deep as their shapes agree."""
    if isinstance(old, dict) and isinstance(new, dict):
        if old == new and list(old) != list(new):
            yield FieldChange(place, list(old), list(new))  # of headers, the order counts too
        for key in {**old, **new}:
            yield from _changed(old.get(key), new.get(key), f"{place}.{key}" if place else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from _changed(was, now, f"{place}[{index}]")
    elif old != new:
        yield FieldChange(place, masked(old), masked(new))


def _written(given: Definition) -> dict[str, Any]:
    """A definition by the keys it is written with; secrets still as they are."""
    match given:
        case WebhookDef():
            return _webhook(given)
        case TaskDef():
            return {
                **_kept(given, ("description", "webhook")),
                "message": _message(given.template),
                **_kept(given, ("enabled", "delete_after_running")),
                "triggers": [_written(trigger) for trigger in given.triggers],
            }
        case EventDef():
            rule = _kept(given, ("description", "type", "event", "object", "tag", "where", "enabled"))
            return {**rule, "task": list(given.tasks)}
        case ScheduleDef():
            return _schedule(given)
        case TypeDef():
            return {**_kept(given, ("description", "objects")), "events": list(given.events)}
        case DaemonDef():
            return _daemon(given)
        case _:
            assert_never(given)


def _kept(given: Definition | Tls | Signing, names: Iterable[str]) -> dict[str, Any]:
    """The fields that are called alike in both."""
    return {name: getattr(given, name) for name in names}


def _webhook(given: WebhookDef) -> dict[str, Any]:
    signing, limit = given.signing, given.rate_limit
    return {
        **_kept(given, ("description", "url", "method")),
        "auth": given.auth,
        "headers": _headers(given.headers[:-1] if given.auth else given.headers),
        "allow_insecure_certificates": given.tls.insecure,
        # The files' digest may differ though their paths do not; it is shown as a secret is.
        "tls": {**_kept(given.tls, ("ca", "cert", "key")), "content": Secret(given.tls.digest)},
        "timeout": format_duration(given.timeout_s),
        "retries": given.retries,
        "backoff": " ".join(map(format_duration, given.backoff_s)),
        "concurrency": given.concurrency,
        "rate_limit": _rate(limit) if limit else None,
        "signing": {**_kept(signing, ("style", "secret_format")), "secrets": list(signing.secrets)}
        if signing
        else None,
        "secrets": dict(given.secrets),
        "enabled": given.enabled,
    }


_TOLD = frozenset(
    {"accept", "accept-charset", "accept-language", "content-language", "content-type", "user-agent"}
)
"""Headers that hold no secret, however they are used."""


def _headers(given: Iterable[tuple[str, Secret]]) -> dict[str, Any]:
    """The headers by name; only what cannot be a secret is shown as it is, since any other header may hold one."""
    named: dict[str, list[Secret | str]] = {}
    for name, value in given:
        told = value.reference == _PLAIN and name.lower() in _TOLD
        named.setdefault(name, []).append(value.value if told else value)
    return {name: values[0] if len(values) == 1 else values for name, values in named.items()}


def _rate(limit: RateLimit) -> str:
    return f"{limit.count}/{_PERIODS[int(limit.period_s)]}"


def _message(template: Template) -> str:
    """The message's text with its variables."""
    return "".join(
        f"${{{part.written}}}" if isinstance(part, Placeholder) else part.replace("${", "$${")
        for part in template.parts
    )


def _schedule(given: ScheduleDef) -> dict[str, Any]:
    return {
        "description": given.description,
        **{timing.value: given.expression if timing is given.timing else None for timing in Timing},
        "timezone": given.timezone,
        "from": given.days_from or _instant(given.starts_at),
        "until": _instant(given.ends_at),
        "missed": given.missed,
        "enabled": given.enabled,
        "task": list(given.tasks),
    }


def _daemon(given: DaemonDef) -> dict[str, Any]:
    return {
        "listen": [_listen(listen) for listen in given.listen],
        "store": given.store.target,
        **_kept(given, ("store_process", "spool", "timezone")),
        "limits": {
            "event_size": _size(given.event_size),
            "message_size": _size(given.message_size),
            "pending": given.pending,
            "in_flight": given.in_flight,
        },
        "retention": {
            "delivered": format_duration(given.keep_delivered_s),
            "dead": format_duration(given.keep_dead_s),
        },
        "shutdown_grace": format_duration(given.shutdown_grace_s),
        "log": {"level": given.log_level, "format": given.log_format},
    }


def _listen(given: UnixListen | HttpListen) -> dict[str, Any]:
    if isinstance(given, UnixListen):
        return {
            "unix": given.path,
            "mode": f"{given.mode:04o}",
            "group": given.group,
            "peers": _peers(given.peers),
        }
    return {
        "http": given.shown,
        "tokens": [_token(number, token) for number, token in enumerate(given.tokens, 1)],
        "peers": _peers(given.peers),
        "allowed_hosts": list(given.allowed_hosts),
        "tls": {"cert": given.cert, "key": given.key},
    }


def _token(number: int, given: TokenDef) -> Secret | dict[str, Any]:
    if (given.name, given.may) == (str(number), EVERY_RIGHT):
        return given.secret
    return {"name": given.name, "token": given.secret, "may": _may(given.may)}


def _peers(given: tuple[PeerDef, ...] | None) -> list[dict[str, Any]] | None:
    if given is None:
        return None
    return [
        {("user" if peer.group is None else "group"): peer.user or peer.group, "may": _may(peer.may)}
        for peer in given
    ]


def _may(rights: frozenset[Right]) -> list[str]:
    return ["all"] if rights == EVERY_RIGHT else sorted(rights)


def _size(count: int) -> int | str:
    return in_largest_unit(count, _SIZES) or count


def _instant(at: float | None) -> str | None:
    return None if at is None else date_time(at, "auto")
