"""What differs between two configs, field by field as they are written; a value that may be secret is never told."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from hookd import config as configuration
from hookd.config.diff import DefinitionChange, FieldChange, compare, differences
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    HttpListen,
    ScheduleDef,
    Secret,
    SqliteDef,
    TaskDef,
    Tls,
    TypeDef,
    WebhookDef,
)
from hookd.domain.durations import format_duration

BASE = """
daemon:
  listen: [{unix: h.sock}, {http: "127.0.0.1:8420", tokens: [{env: ONE}]}]
  store: h.db
  timezone: UTC
types:
  vm: {events: ["on", "off"], description: machines}
webhooks:
  ops:
    url: {env: ONE}
    auth: {type: bearer, token: {env: ONE}}
    headers: {Accept: a, Accept-Language: b, X-Key: k}
    signing: {secret: {env: ONE}}
    rate_limit: 20/s
tasks:
  t:
    webhook: ops
    message: {"n": "${TIMESTAMP}", "t": "$${x} ${data.a.b:-q}"}
    triggers: [{type: vm, event: "on"}, {cron: "0 3 * * *"}]
events:
  e: {type: vm, event: "on", task: t, where: "true"}
schedules:
  s: {cron: "0 3 * * *", task: t}
"""
SETTINGS = """timezone: UTC
  limits: {event_size: 1500, pending: 5, in_flight: 3}
  retention: {delivered: 36h, dead: 1}
  shutdown_grace: 0
  log: {level: debug, format: json}"""
ENV = {"ONE": "http://sekret-one/", "TWO": "http://sekret-two/", "TZ": "UTC"}


def loaded(place: Path, text: str, **env: str) -> Config:
    (place / "h.yaml").write_text(text)
    found = configuration.load(place / "h.yaml", env={**ENV, **env})
    assert found.config is not None, found.diagnostics
    return found.config


def secret(reference: str) -> dict[str, str]:
    return {"secret": reference}


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("url: {env: ONE}", "url: {env: TWO}", [("url", secret("env ONE"), secret("env TWO"))]),
        ("url: {env: ONE}", "url: http://x/sekret", [("url", secret("env ONE"), secret("plain"))]),
        ("token: {env: ONE}", "token: sekret",
         [("auth.token", secret("env ONE"), secret("auth"))]),
        ("auth: {type: bearer, token: {env: ONE}}", "auth: {type: basic, username: sekret, password: {env: ONE}}",
         [("auth.type", "bearer", "basic"), ("auth.token", secret("env ONE"), None),
          ("auth.username", None, secret("auth")), ("auth.password", None, secret("env ONE"))]),
        ("auth: {type: bearer, token: {env: ONE}}",
         "auth: {type: apikey, header: X-A, prefix: sekret, key: {env: ONE}}",
         [("auth.type", "bearer", "apikey"), ("auth.token", secret("env ONE"), None), ("auth.header", None, "X-A"),
          ("auth.prefix", None, secret("auth")), ("auth.key", None, secret("env ONE"))]),
        ("auth: {type: bearer, token: {env: ONE}}", "auth: {type: none}",
         [("auth", {"type": "bearer", "token": secret("env ONE")}, None)]),
        ("auth: {type: bearer, token: {env: ONE}}\n    headers: {", "headers: {authorization: sekret, ",
         [("auth", {"type": "bearer", "token": secret("env ONE")}, None),
          ("headers.authorization", None, secret("plain"))]),
        ("Accept: a", "Accept: c", [("headers.Accept", "a", "c")]),
        ("Accept: a", "Accept: [a, c]", [("headers.Accept", "a", ["a", "c"])]),
        ("Accept: a", "Accept: {env: ONE}", [("headers.Accept", "a", secret("env ONE"))]),
        ("X-Key: k", "X-Pass: sekret",
         [("headers.X-Key", secret("plain"), None), ("headers.X-Pass", None, secret("plain"))]),
        ("X-Key: k", "X-Key: sekret", [("headers.X-Key", secret("plain"), secret("plain"))]),
        ("X-Key: k", "User-Agent: c", [("headers.X-Key", secret("plain"), None), ("headers.User-Agent", None, "c")]),
        ("{Accept: a, Accept-Language: b, X-Key: k}", "{Accept-Language: b, Accept: a, X-Key: k}",
         [("headers", ["Content-Type", "Accept", "Accept-Language", "X-Key"],
           ["Content-Type", "Accept-Language", "Accept", "X-Key"])]),
        ("rate_limit: 20/s", "rate_limit: 5/m", [("rate_limit", "20/s", "5/m")]),
        ("rate_limit: 20/s", "timeout: 20", [("timeout", "15s", "20s"), ("rate_limit", "20/s", None)]),
        ("rate_limit: 20/s", "rate_limit: 20/s\n    backoff: [250ms, 90, 2h, 1d]",
         [("backoff", "5s 30s 2m 10m 30m 2h 5h 10h 14h 20h 1d", "250ms 90s 2h 1d")]),
        ("signing: {secret: {env: ONE}}", "signing: {secrets: [{env: TWO}, {env: ONE}]}",
         [("signing.secrets", [secret("env ONE")], [secret("env TWO"), secret("env ONE")])]),
        ("signing: {secret: {env: ONE}}", "signing: {secrets: [{env: TWO}], style: github}",
         [("signing.style", "standard", "github"),
          ("signing.secrets[0]", secret("env ONE"), secret("env TWO"))]),
        ("signing: {secret: {env: ONE}}", "allow_insecure_certificates: true",
         [("allow_insecure_certificates", False, True),
          ("signing", {"style": "standard", "secret_format": "auto", "secrets": [secret("env ONE")]}, None)]),
        ("signing: {secret: {env: ONE}}", "signing: {secret: {env: ONE}, secret_format: text}",
         [("signing.secret_format", "auto", "text")]),
    ],
)  # fmt: skip
def test_a_webhooks_fields(tmp_path: Path, old: str, new: str, changes: list[tuple[str, Any, Any]]) -> None:
    before, after = loaded(tmp_path, BASE), loaded(tmp_path, BASE.replace(old, new))
    (difference,) = differences(before, after)
    assert difference == DefinitionChange(
        "webhooks", "ops", "changed", tuple(FieldChange(*change) for change in changes)
    )
    assert "sekret" not in repr(difference)


@pytest.mark.parametrize(
    ("old", "new", "where", "changes"),
    [
        ("-q}", "-r}", "tasks.t",
         [("message", '{"n": "${TIMESTAMP}", "t": "$${x} ${data.a.b:-q}"}',
           '{"n": "${TIMESTAMP}", "t": "$${x} ${data.a.b:-r}"}')]),
        ('[{type: vm, event: "on"},', '[{type: vm, event: "off", object: o},', "tasks.t",
         [("triggers[0].event", "on", "off"), ("triggers[0].object", None, "o")]),
        (', {cron: "0 3 * * *"}]', ", {every: 5m, from: 2026-01-01}]", "tasks.t",
         [("triggers[1].cron", "0 3 * * *", None), ("triggers[1].every", None, "5m"),
          ("triggers[1].from", None, "2026-01-01T00:00:00Z")]),
        ('where: "true"', "enabled: false", "events.e",
         [("where", "true", None), ("enabled", True, False)]),
        ("s: {cron:", "s: {timezone: Europe/Berlin, missed: skip, cron:", "schedules.s",
         [("timezone", "UTC", "Europe/Berlin"), ("missed", "once", "skip")]),
        ('"off"]', '"off", sold]', "types.vm",
         [("events", ["on", "off"], ["on", "off", "sold"])]),
        ("unix: h.sock", 'unix: h.sock, mode: "0600"', "daemon.daemon",
         [("listen[0].mode", "0660", "0600")]),
        ("tokens: [{env: ONE}]", "allowed_hosts: [h]", "daemon.daemon",
         [("listen[1].tokens", [secret("env ONE")], []), ("listen[1].allowed_hosts", [], ["h"])]),
        ("tokens: [{env: ONE}]", "tokens: [{env: TWO}]", "daemon.daemon",
         [("listen[1].tokens[0]", secret("env ONE"), secret("env TWO"))]),
        ("timezone: UTC", SETTINGS,
         "daemon.daemon",
         [("limits.event_size", "1MiB", 1500), ("limits.pending", 1000000, 5), ("limits.in_flight", 200, 3),
          ("retention.delivered", "7d", "36h"), ("retention.dead", "30d", "1s"),
          ("shutdown_grace", "20s", "0s"), ("log.level", "info", "debug"), ("log.format", "auto", "json")]),
    ],
)  # fmt: skip
def test_the_fields_of_everything_else(
    tmp_path: Path, old: str, new: str, where: str, changes: list[tuple[str, Any, Any]]
) -> None:
    before, after = loaded(tmp_path, BASE), loaded(tmp_path, BASE.replace(old, new, 1))
    section, name = where.split(".")
    (difference,) = differences(before, after)
    assert difference == DefinitionChange(
        section, name, "changed", tuple(FieldChange(*change) for change in changes)
    )
    assert "sekret" not in repr(difference)


def test_only_the_value_of_a_secret(tmp_path: Path) -> None:
    before = loaded(tmp_path, BASE)
    (ops, daemon) = differences(before, loaded(tmp_path, BASE, ONE="http://sekret-other/"))
    assert [change.field for change in ops.fields] == ["url", "auth.token", "signing.secrets[0]"]
    assert [change.field for change in daemon.fields] == ["listen[1].tokens[0]"]
    assert {(str(change.old), str(change.new)) for change in (*ops.fields, *daemon.fields)} == {
        ("{'secret': 'env ONE'}", "{'secret': 'env ONE'}")
    }
    assert "sekret" not in repr((ops, daemon))


def test_a_certificate_renewed_under_its_name(tmp_path: Path) -> None:
    before = loaded(tmp_path, BASE)
    webhook = replace(before.webhooks["ops"], tls=Tls(ca="/ca.pem", digest="a"))
    old, new = (
        replace(before, webhooks={"ops": replace(webhook, tls=Tls(ca="/ca.pem", digest=digest))})
        for digest in "ab"
    )
    (difference,) = differences(old, new)
    assert difference.fields == (FieldChange("tls.content", secret("plain"), secret("plain")),)


def test_added_and_removed_in_the_order_of_sections(tmp_path: Path) -> None:
    old = loaded(tmp_path, "webhooks: {a: {url: http://x}, b: {url: http://x}}\n")
    new = loaded(
        tmp_path,
        "types: {vm: {events: [x]}}\nwebhooks: {c: {url: http://x}, b: {url: http://x}}\ntasks: {t: {webhook: c}}\n",
    )
    assert differences(old, new) == (
        DefinitionChange("webhooks", "c", "added"),
        DefinitionChange("webhooks", "a", "removed"),
        DefinitionChange("tasks", "t", "added"),
        DefinitionChange("types", "vm", "added"),
    )
    assert differences(new, new) == ()


def test_where_it_stands_is_no_difference(tmp_path: Path) -> None:
    old, new = loaded(tmp_path, BASE), loaded(tmp_path, f"# moved\n{BASE}")
    assert old.hash != new.hash
    assert differences(old, new) == ()
    assert not any(compare(old, new).values())


DERIVED: dict[str, tuple[Any, set[str]]] = {
    "webhooks": (WebhookDef, {"name", "body_format"}),
    "tasks": (TaskDef, {"name", "digest"}),
    "events": (EventDef, {"place"}),
    "schedules": (ScheduleDef, {"place", "timing", "every_s", "at"}),
    "types": (TypeDef, {"name"}),
    "daemon": (DaemonDef, set()),
}
"""The fields that follow from others or name the definition; every other is told."""


@pytest.mark.parametrize("section", DERIVED)
def test_no_field_is_forgotten(tmp_path: Path, section: str) -> None:
    """Whatever is changed of a definition is told as at least one field."""
    config = loaded(tmp_path, BASE)
    kind, derived = DERIVED[section]
    given = config.daemon if section == "daemon" else next(iter(getattr(config, section).values()))
    assert isinstance(given, kind)
    for field in fields(given):
        if field.name in derived:
            continue
        changed = replace(given, **{field.name: other(field.name, getattr(given, field.name))})
        new = {"daemon": changed} if section == "daemon" else {section: {"x": changed}}
        old = {"daemon": given} if section == "daemon" else {section: {"x": given}}
        (difference,) = differences(replace(config, **old), replace(config, **new))
        assert difference.fields, field.name


def other(name: str, value: Any) -> Any:  # noqa: C901, PLR0911 - one for each kind
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case None:
            return {"starts_at": 1.0, "ends_at": 1.0}.get(name, "x")
        case tuple():
            return value[1:] if len(value) > 1 else (*value, *value) or ("x",)
        case _ if name == "template":
            return replace(value, parts=("x",))
        case _ if name in ("auth", "signing", "rate_limit"):
            return None
        case dict():
            return {"KEY": Secret("x")}
        case _ if name == "tls":
            return Tls(insecure=True)
        case SqliteDef():
            return SqliteDef("x")
        case _:
            return replace(value, value="x")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (1.5, "1500ms"), (59, "59s"), (60, "1m"), (90, "90s"), (86400, "1d")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_an_ipv6_address_is_in_brackets(tmp_path: Path) -> None:
    config = loaded(tmp_path, BASE)
    old, new = (
        replace(config, daemon=replace(config.daemon, listen=(HttpListen(host, 1),)))
        for host in ("::1", "127.0.0.1")
    )
    assert differences(old, new)[0].fields == (FieldChange("listen[0].http", "[::1]:1", "127.0.0.1:1"),)
