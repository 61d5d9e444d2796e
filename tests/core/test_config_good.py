"""Configurations that load, and the definitions they become."""

import base64
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hookd import config
from hookd.config import Loaded
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    HttpListen,
    Method,
    Missed,
    PeerDef,
    RateLimit,
    ScheduleDef,
    SigningStyle,
    SqliteDef,
    Timing,
    TypeDef,
    UnixListen,
    WebhookDef,
    masked,
)
from hookd.domain.message_templates import BodyFormat
from hookd.domain.principals import EVERY_RIGHT, Right
from tests.kit.tls import Authority

TOP = Path(__file__).parents[2]
GOOD = TOP / "tests" / "configs" / "good"
WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdefghijklmn").decode()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A copy of the good configurations, with the certificates and secrets that they refer to."""
    folder = shutil.copytree(GOOD, tmp_path / "good")
    (folder / "pem").mkdir()
    authority = Authority(folder / "pem")
    pair = authority.issue("cert", "127.0.0.1")
    pair.key.rename(folder / "pem" / "key.pem")
    (folder / "pem" / "both.pem").write_bytes(
        (folder / "pem" / "cert.pem").read_bytes() + (folder / "pem" / "key.pem").read_bytes()
    )
    (folder / "pem" / "token").write_text("t0ken\n")
    (folder / "credentials").mkdir()
    (folder / "credentials" / "listener").write_text("l1stener-0123456\r\n")
    (folder / "credentials" / "slack").write_text("bEaReR sl4ck")
    return folder


def load(path: Path) -> Loaded:
    env = {
        "TOKEN": "fr0m-env",
        "URL": "https://hooks.example.com/from-env",
        "WHSEC": WHSEC,
        "CREDENTIALS_DIRECTORY": str(path.parent / "credentials"),
        "TZ": "UTC",
    }
    return config.load(path, env=env)


def loaded(path: Path) -> Config:
    result = load(path)
    assert result.config is not None, [str(diagnostic) for diagnostic in result.diagnostics]
    return result.config


def at(text: str) -> float:
    """The instant of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def body_of(found: Config, task: str) -> str:
    """The message of a task without variables."""
    return "".join(str(part) for part in found.tasks[task].template.parts)


def every_key(good: Path) -> Config:
    return loaded(good / "every-key.yaml")


@pytest.mark.parametrize("name", sorted(path.name for path in GOOD.iterdir()))
def test_loads_without_a_finding(name: str, good: Path) -> None:
    diagnostics = [str(diagnostic) for diagnostic in load(good / name).diagnostics]
    if name == "every-key.yaml":
        assert len(diagnostics) == 1
        assert 'bearer.auth.token: begins with "Bearer ", which hookd adds itself' in diagnostics[0]
    else:
        assert not diagnostics


def test_defaults(good: Path) -> None:
    found = loaded(good / "minimal.yaml")
    hook = found.webhooks["hook"]
    assert hook == WebhookDef("hook", hook.url)
    assert hook.url.value == "http://127.0.0.1:9099/"
    assert hook.headers[0][0] == "Content-Type"
    assert hook.headers[0][1].value == "application/json"
    assert json.loads(body_of(found, "note")) == {"text": "Webhook"}
    assert found.events["started"] == EventDef("events.started", "vm", "started", ("note",))
    assert found.types is None
    assert found.path == str(good / "minimal.yaml")
    assert config.summary(found) == "1 webhook, 1 task, 1 event, 0 schedules"


def test_the_daemons_defaults_come_from_the_environment(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(good)
    plain = config.load(Path("empty.yaml"), env={"TZ": "UTC"}).config
    assert plain is not None
    both = (UnixListen("/run/hookd/hookd.sock"), HttpListen("127.0.0.1", 8420))
    assert plain.daemon == DaemonDef(listen=both, store=SqliteDef(str(good / "hookd.db")), timezone="UTC")
    assert config.summary(plain) == "0 webhooks, 0 tasks, 0 events, 0 schedules"
    env = {"RUNTIME_DIRECTORY": "/run/a:/run/b", "STATE_DIRECTORY": "/var/lib/hookd", "TZ": ":Europe/Berlin"}
    under_systemd = config.load(Path("empty.yaml"), env=env).config
    assert under_systemd is not None
    assert under_systemd.daemon.listen[0] == UnixListen("/run/a/hookd.sock")
    assert under_systemd.daemon.store == SqliteDef("/var/lib/hookd/hookd.db")
    assert under_systemd.daemon.timezone == "Europe/Berlin"


def test_an_unusable_tz_is_not_taken(good: Path) -> None:
    found = config.load(good / "empty.yaml", env={"TZ": "CET-1CEST"}).config
    assert found is not None
    assert found.daemon.timezone != "CET-1CEST"


def test_every_key_of_daemon(good: Path) -> None:
    daemon = every_key(good).daemon
    unix, tls, outside, local = daemon.listen
    peers = (
        PeerDef("root", None, frozenset({Right.EMIT, Right.READ})),
        PeerDef(None, "4000", EVERY_RIGHT),
    )
    assert unix == UnixListen(str(good / "run/hookd.sock"), 0o600, "root", peers)
    assert isinstance(tls, HttpListen)
    assert (tls.host, tls.port) == ("::1", 0)
    assert [(token.name, token.secret.value, token.may) for token in tls.tokens] == [
        ("1", "fr0m-env", EVERY_RIGHT),
        ("2", "t0ken", EVERY_RIGHT),
        ("probe", "fr0m-env", {Right.METRICS}),
    ]
    assert tls.peers == (PeerDef("1000", None, frozenset({Right.OPERATE})),)
    assert tls.allowed_hosts == ("hookd.example", "hookd.example:8420")
    assert (tls.cert, tls.key) == (str(good / "pem/cert.pem"), str(good / "pem/key.pem"))
    assert isinstance(outside, HttpListen)
    assert [(token.secret.value, token.secret.reference) for token in outside.tokens] == [
        ("l1stener-0123456", "credential listener")
    ]
    assert local == HttpListen("localhost", 8422, cert=str(good / "pem/both.pem"), peers=())
    assert daemon == DaemonDef(
        listen=daemon.listen,
        store=SqliteDef(str(good / "state/hookd.db")),
        store_process=False,
        timezone="Europe/Berlin",
        event_size=65536,
        message_size=131072,
        pending=5000,
        in_flight=20,
        keep_delivered_s=7200,
        keep_dead_s=129600,
        shutdown_grace_s=0.25,
        log_level="debug",
        log_format="json",
        spool=str(good / "run/spool"),
    )


def test_every_key_of_a_webhook(good: Path) -> None:
    webhook = every_key(good).webhooks["every key"]
    assert webhook.url.value == "https://hooks.example.com/from-env"
    assert webhook.url.reference == "env URL"
    assert webhook.method is Method.PATCH
    assert [(name, secret.value) for name, secret in webhook.headers] == [
        ("X-Route", "a"),
        ("X-Route", "fr0m-env"),
        ("Content-Type", "Application/Vnd.Example+JSON; charset=utf-8"),
        ("X-Empty", ""),
        ("X-Auth", "Key t0ken"),
    ]
    assert webhook.body_format is BodyFormat.JSON
    assert not webhook.tls.insecure
    assert (webhook.tls.ca, webhook.tls.cert) == (str(good / "pem/ca.pem"), str(good / "pem/cert.pem"))
    assert len(webhook.tls.digest) == 64
    assert (webhook.timeout_s, webhook.retries, webhook.backoff_s) == (120, 0, (1, 0.25, 3600))
    assert (webhook.concurrency, webhook.rate_limit) == (1000, RateLimit(100, 60))
    assert webhook.signing is not None
    assert [secret.value for secret in webhook.signing.secrets] == [WHSEC, "any text"]
    assert not webhook.enabled
    assert webhook.description == "All of them"


def test_authorization_becomes_a_header(good: Path) -> None:
    webhooks = every_key(good).webhooks
    pair = base64.b64encode("jürgen:pass:wörd".encode()).decode()
    assert [(n, s.value) for n, s in webhooks["basic"].headers][-1] == ("Authorization", f"Basic {pair}")
    name, bearer = webhooks["bearer"].headers[-1]
    assert (name, bearer.value, bearer.reference) == ("Authorization", "Bearer sl4ck", "credential slack")
    assert webhooks["bearer"].url.value == "https://größe.example:8443/a%20b?c=d"
    assert webhooks["basic"].rate_limit == RateLimit(10, 3600)
    assert webhooks["basic"].signing is not None
    assert webhooks["basic"].signing.style is SigningStyle.GITHUB


def test_tasks_events_and_types(good: Path) -> None:
    found = every_key(good)
    assert found.tasks["text"].delete_after_running
    assert not found.tasks["text"].enabled
    assert found.events["one"] == EventDef(
        "events.one",
        "virtual_machine",
        "powered_on",
        ("text",),
        description="On an object",
        object="web-01",
        enabled=False,
    )
    assert found.events["two"].tasks == ("text", "list")
    assert found.events["two"].tag == "production"
    assert found.types is not None
    assert found.types["alarm"] == TypeDef("alarm", ("raised", "lowered"), objects=False)
    where = 'data.used_pct >= 80 &&\ntime > timestamp("2026-01-01T00:00:00Z")\n'
    assert found.events["three"] == EventDef("events.three", "alarm", "raised", ("default",), where=where)


def test_schedules(good: Path) -> None:
    found = every_key(good).schedules
    assert found["by day"] == ScheduleDef(
        "schedules.by day",
        ("list", "default"),
        Timing.CRON,
        "0 3 * * *",
        "Asia/Tokyo",
        description="All of them",
        starts_at=at("2025-12-31T15:00:00"),
        ends_at=at("2099-12-31T14:59:59.999999"),
        enabled=False,
    )
    assert found["every"] == ScheduleDef(
        "schedules.every",
        ("list",),
        Timing.EVERY,
        "900",
        "Europe/Berlin",
        every_s=900,
        starts_at=at("2026-01-01T07:00:00"),
    )
    assert found["once"] == ScheduleDef(
        "schedules.once",
        ("list",),
        Timing.AT,
        "2099-12-24T18:00:00Z",
        "Europe/Berlin",
        at=at("2099-12-24T18:00:00"),
        missed=Missed.SKIP,
    )


def test_rules_on_a_task(good: Path) -> None:
    found = every_key(good)
    machine = ("virtual_machine", "powered_on", ("text",))
    first, second, cron, every, once = found.tasks["text"].triggers
    assert first == EventDef(
        "tasks.text.triggers[0]",
        *machine,
        description="On a tag",
        tag="production",
        where='object.name.startsWith("prod-")',
        enabled=False,
    )
    assert second == EventDef(
        "tasks.text.triggers[1]", "virtual_machine", "powered_off", ("text",), object="web-01"
    )
    assert cron == ScheduleDef(
        "tasks.text.triggers[2]",
        ("text",),
        Timing.CRON,
        "*/5 8-17 * * MON-FRI",
        "America/New_York",
        description="In office hours",
        starts_at=at("2026-01-01T05:00:00"),
        ends_at=at("2099-12-31T22:00:00"),
        missed=Missed.SKIP,
        enabled=False,
    )
    assert every == ScheduleDef(
        "tasks.text.triggers[3]", ("text",), Timing.EVERY, "1.5h", "Europe/Berlin", every_s=5400
    )
    assert once == ScheduleDef(
        "tasks.text.triggers[4]",
        ("text",),
        Timing.AT,
        "2099-12-24 18:00",
        "Europe/Berlin",
        at=at("2099-12-24T17:00:00"),
    )
    assert found.tasks["default"].triggers == ()
    assert [rule.place for rule in found.event_rules()][-2:] == [first.place, second.place]
    assert [rule.place for rule in found.schedule_rules()][-3:] == [cron.place, every.place, once.place]


def test_the_summary_counts_what_has_a_name(good: Path) -> None:
    assert config.summary(every_key(good)) == "3 webhooks, 3 tasks, 3 events, 3 schedules"
    only = "webhooks: {a: {url: http://h/}}\ntasks: {a: {webhook: a, triggers: [{every: 1h}]}}\n"
    (good / "one.yaml").write_text(only + "schedules: {a: {every: 1h, task: a}}\n")
    assert config.summary(loaded(good / "one.yaml")) == "1 webhook, 1 task, 0 events, 1 schedule"


def test_places_are_where_the_names_stand(good: Path) -> None:
    found = every_key(good)
    lines = (good / "every-key.yaml").read_text(encoding="utf-8").splitlines()
    for key, place in found.places.items():
        assert place.path == str(good / "every-key.yaml")
        text = lines[place.line - 1][place.column - 1 :]
        if "triggers" in key:
            assert lines[place.line - 1][: place.column - 1] == "      - "
        else:
            assert text.replace('"', "").startswith(key.partition(".")[2])
    assert {"webhooks.every key", "tasks.list", "events.three", "schedules.by day"} <= found.places.keys()
    rules = [rule.place for rule in found.event_rules()] + [rule.place for rule in found.schedule_rules()]
    assert len(rules) == 11
    assert set(rules) <= found.places.keys()


def test_nothing_loaded_shows_a_secret(good: Path) -> None:
    secrets = ("fr0m-env", "t0ken", "l1stener-0123456", "sl4ck", "pass:wörd", "from-env", WHSEC, "any text")
    assert not any(secret in repr(load(good / "every-key.yaml")) for secret in secrets)


def test_every_key_can_be_shown_as_json(good: Path) -> None:
    found = every_key(good)
    shown = json.loads(json.dumps([masked(part) for part in (found.daemon, found.webhooks, found.tasks)]))
    rights = [peer["may"] for listen in shown[0]["listen"] for peer in listen.get("peers") or ()]
    assert rights
    assert all(may == sorted(may) for may in rights)


def test_merge_keys(good: Path) -> None:
    webhooks = loaded(good / "merge-keys.yaml").webhooks
    second, third = webhooks["second"], webhooks["third"]
    assert second.url.value == "http://127.0.0.1:9099/second"
    assert (second.timeout_s, second.backoff_s) == (30, (60, 3600))
    assert (third.retries, third.timeout_s, third.url.value) == (3, 5, "http://127.0.0.1:9099/first")
    assert [name for name, _ in third.headers] == ["Content-Type", "X-Site"]


def test_what_is_quoted_stays_text(good: Path) -> None:
    found = loaded(good / "yaml-surprises.yaml")
    assert set(found.webhooks) == {"on", "404", "größe"}
    assert (found.events["e"].event, found.events["e"].object) == ("off", "007")
    assert json.loads(body_of(found, "dates")) == {
        "day": "2026-01-02",
        "time": "12:30",
        "yes": "yes",
        "text": "5",
        "hex": 16,
        "big": 123456789012345678901234567890,
    }


def test_null_is_as_good_as_nothing(tmp_path: Path) -> None:
    for text in ("", "null", "~", "webhooks: ~\ndaemon: null\ntypes:\n"):
        (tmp_path / "x.yaml").write_text(text)
        assert config.summary(loaded(tmp_path / "x.yaml")) == "0 webhooks, 0 tasks, 0 events, 0 schedules"


def test_a_directory_is_read_as_a_whole(good: Path) -> None:
    found = loaded(good / "split")
    assert (set(found.webhooks), set(found.tasks)) == ({"later"}, {"note"})
    assert found.path == str(good / "split")


def test_the_example_runs_as_it_is(tmp_path: Path) -> None:
    example = shutil.copy(TOP / "config.example.yaml", tmp_path)
    result = config.load(Path(example), env={})
    assert not result.diagnostics
    assert not config.load(Path(example), env={}, now=at("2099-01-01T00:00:00")).diagnostics
    assert result.config is not None
    assert config.summary(result.config) == "3 webhooks, 6 tasks, 3 events, 3 schedules"
    assert {type(rule) for task in result.config.tasks.values() for rule in task.triggers} == {
        EventDef,
        ScheduleDef,
    }
    assert any(rule.where for rule in result.config.event_rules())
    assert any(task.delete_after_running for task in result.config.tasks.values())
    unix, http = result.config.daemon.listen
    assert unix == UnixListen(
        str(tmp_path / "hookd.sock"), 0o660, peers=(PeerDef("root", None, EVERY_RIGHT),)
    )
    assert isinstance(http, HttpListen)
    assert (http.host, http.port) == ("127.0.0.1", 8420)
    assert result.config.daemon.store == SqliteDef(str(tmp_path / "hookd.db"))
    for webhook in result.config.webhooks.values():
        assert webhook.url.value.startswith("http://127.0.0.1:9099/")
        assert webhook.body_format is BodyFormat.JSON, "also what is signed: its verifiers parse it"


def test_the_example_begins_with_the_schemas_line() -> None:
    first = (TOP / "config.example.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./schema/hookd.schema.json"
    assert (TOP / "schema" / "hookd.schema.json").exists()
