"""What the operator declared: webhooks, tasks, event rules and the daemon's settings, as frozen values.

Every value here is already validated and normalised by `config`. Instances are picklable (the configuration is loaded
in a child process) and never show a secret in `repr()`.

Must never: read files, the environment or a clock.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, TypeAlias

from hookd.domain import spool_layout
from hookd.domain.database_url import shown_database
from hookd.domain.message_templates import BodyFormat, Template
from hookd.domain.principals import EVERY_RIGHT, Right
from hookd.domain.text import host_and_port
from hookd.domain.value_class import value_class


@value_class
class Secret:
    """A value that must never be logged, stored, listed or printed (spec 1, Secrets); `masked` shows it.

    Attributes:
        value: the secret itself; only `delivery.request`, `signatures` and the listener's token check read it.
        reference: what may be shown instead: `env NAME`, `file PATH`, `credential NAME`, `auth` for a literal
            credential of `auth:`, or `plain` for any other literal.
    """

    value: str = field(repr=False)
    reference: str = "plain"

    def __str__(self) -> str:
        return f"<secret: {self.reference}>"


def masked(value: Any) -> Any:
    """A definition, or a part of one, as JSON values; secrets by their reference only."""
    if isinstance(value, Secret):
        return {"secret": value.reference}
    if hasattr(value, "__dataclass_fields__"):
        shown = (name for name, field in value.__dataclass_fields__.items() if field.repr)
        return {name: masked(getattr(value, name)) for name in shown}
    if isinstance(value, Mapping):
        return {str(key): masked(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    if isinstance(value, frozenset):
        return sorted(masked(each) for each in value)
    return value


_CREDENTIAL = re.compile("auth|key|token|secret|password|cookie|credential|signature", re.IGNORECASE)


def names_credential(header: str) -> bool:
    """Whether a header of this name carries a secret even where its value is written as plain text."""
    return _CREDENTIAL.search(header) is not None


def kept_elsewhere(reference: str) -> bool:
    """Whether a `Secret.reference` names where the value is kept, so that the configuration does not hold it."""
    return reference.partition(" ")[0] in {"env", "file", "credential"}


class Method(StrEnum):
    """HTTP methods a webhook may use (spec 1)."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    GET = "GET"
    DELETE = "DELETE"


class SigningStyle(StrEnum):
    """How a delivery is signed (spec 5)."""

    STANDARD = "standard"
    GITHUB = "github"


class SecretFormat(StrEnum):
    """How the key of a `standard` signature is read out of the secret's text."""

    AUTO = "auto"  # base64 behind `whsec_`, any other text as it stands
    BASE64 = "base64"  # base64, with or without `whsec_`
    TEXT = "text"  # as it stands, whatever it looks like


@value_class
class Signing:
    """`signing:` of a webhook. `secrets` are tried by the receiver in any order; new ones come first.

    Attributes:
        secrets: each `value` is the operator's text.
        style: how a delivery is signed.
        secret_format: how the key of a `standard` secret is read; the style `github` takes every text as it stands.
    """

    secrets: tuple[Secret, ...]
    style: SigningStyle = SigningStyle.STANDARD
    secret_format: SecretFormat = SecretFormat.AUTO


@value_class
class Tls:
    """TLS settings of a webhook; equal values may share connections, different ones never do (spec 1, 5).

    Attributes:
        insecure: true: the receiver's certificate is not checked.
        ca: absolute path of a PEM bundle to trust instead of the system's, or None.
        cert: absolute path of the client certificate (PEM), or None.
        key: absolute path of the client certificate's key (PEM), or None when `cert` holds it too.
        digest: SHA-256 (hex) over the contents of those files, so that a renewed file makes a different value.
    """

    insecure: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    digest: str = ""


@value_class
class RateLimit:
    """`rate_limit: COUNT/PERIOD`: at most `count` attempts begun per `period_s` seconds (1, 60 or 3600)."""

    count: int
    period_s: float


@value_class
class WebhookDef:
    """A destination (spec 1, `webhooks`).

    Attributes:
        url: called byte for byte; http or https.
        headers: what is sent besides hookd's own three `webhook-*` headers, in the order and case written: the user's
            headers, the default `Content-Type: application/json` (first, unless removed or replaced in place), the
            authorization header (last). `user-agent` only where the user set one. Values may be secret.
        auth: what the authorization header was made of, as it is written; None where there is none.
        body_format: what the Content-Type makes of messages (spec 4).
        timeout_s: seconds for one whole attempt, 3 to 120.
        retries: reattempts after the first attempt, 0 to 100.
        backoff_s: seconds before the n-th retry; the last repeats. Never empty.
        secrets: what messages may name as `${secret.NAME}`.
        concurrency: attempts in flight to this webhook, 1 to 1000.
    """

    name: str
    url: Secret
    description: str = ""
    method: Method = Method.POST
    headers: tuple[tuple[str, Secret], ...] = (("Content-Type", Secret("application/json")),)
    auth: Mapping[str, Secret | str] | None = None
    body_format: BodyFormat = BodyFormat.JSON
    tls: Tls = Tls()
    timeout_s: float = 15.0
    retries: int = 11
    backoff_s: tuple[float, ...] = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    concurrency: int = 10
    rate_limit: RateLimit | None = None
    signing: Signing | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    enabled: bool = True


@value_class
class EventDef:
    """A rule: an occurrence of this type and event, on this object or tag, activates these tasks (spec 1, 3).

    `object` and `tag` exclude each other; neither means any object of the type.

    Attributes:
        place: `events.NAME`, or `tasks.NAME.triggers[N]` for a rule written on its task. Unique; what history shows.
        where: a CEL expression that must be true as well, or None. Known to compile.
    """

    place: str
    type: str
    event: str
    tasks: tuple[str, ...]
    description: str = ""
    object: str | None = None
    tag: str | None = None
    where: str | None = None
    enabled: bool = True


class Timing(StrEnum):
    """How a schedule gives its moments (spec 1, `schedules`)."""

    CRON = "cron"
    EVERY = "every"
    AT = "at"


class Missed(StrEnum):
    """What becomes of moments that passed while hookd was down (spec 1, `missed`)."""

    ONCE = "once"  # one run for all of them
    SKIP = "skip"  # none


@value_class
class ScheduleDef:
    """A rule: these moments activate these tasks (spec 1, `schedules`). Instants in seconds since the epoch.

    Attributes:
        place: `schedules.NAME`, or `tasks.NAME.triggers[N]` for one written on its task. Unique; what history shows.
        expression: as it is written: the five fields, the duration, or the local date-time.
        timezone: IANA name, in which `cron` and local date-times are read.
        every_s: seconds between two moments; 0 for other timings.
        at: the one moment, for `at`; None for other timings.
        starts_at: no moment is before this instant; None: since ever. `every` counts from it, else from the epoch.
        days_from: the local date-time (ISO 8601, without an offset) from which `every` counts whole days by the
            calendar of `timezone`, so that the time of day stays; None: it counts elapsed time.
        ends_at: no moment is after this instant; None: for ever.
    """

    place: str
    tasks: tuple[str, ...]
    timing: Timing
    expression: str
    timezone: str
    description: str = ""
    every_s: float = 0.0
    at: float | None = None
    starts_at: float | None = None
    ends_at: float | None = None
    days_from: str | None = None
    missed: Missed = Missed.ONCE
    enabled: bool = True


@value_class
class TaskDef:
    """What to send (spec 1, `tasks`).

    Attributes:
        triggers: rules written on the task itself, in order; each names this task alone.
        digest: SHA-256 (hex) over what the task does: webhook, message and triggers, without descriptions and
            `enabled`. A one-shot is spent by name and digest (spec 13).
    """

    name: str
    webhook: str
    template: Template
    description: str = ""
    enabled: bool = True
    delete_after_running: bool = False
    triggers: tuple[EventDef | ScheduleDef, ...] = ()
    digest: str = ""


@value_class
class TypeDef:
    """An entry of the catalogue (spec 1, `types`). `objects` false: generic, without object or tag."""

    name: str
    events: tuple[str, ...]
    description: str = ""
    objects: bool = True


@value_class
class TokenDef:
    """A bearer token and what it may do.

    Attributes:
        name: for logs and refusals; `1` for a first token without a name.
    """

    name: str
    secret: Secret
    may: frozenset[Right] = EVERY_RIGHT


@value_class
class PeerDef:
    """Local users and what they may do: one user, or the members of one group.

    Attributes:
        user: a name or a number in digits, or None.
        group: likewise; exactly one of both is set.
    """

    user: str | None
    group: str | None
    may: frozenset[Right]


@value_class
class UnixListen:
    """A Unix socket to listen on.

    Attributes:
        mode: the socket's permission bits.
        group: its owning group, or None.
        peers: who may do what; None: what `server.access` says.
    """

    path: str
    mode: int = 0o660
    group: str | None = None
    peers: tuple[PeerDef, ...] | None = None

    @property
    def shown(self) -> str:
        """The address for messages."""
        return f"unix:{self.path}"


@value_class
class HttpListen:
    """A TCP address to listen on.

    Attributes:
        host: an IP address without brackets, or `localhost`.
        tokens: bearer tokens, one of which a request must carry; empty only on a loopback address.
        peers: local users who need no token; None: nobody is looked up.
        allowed_hosts: Host header values accepted besides the address itself.
        cert: absolute path of the TLS certificate chain, or None for plain HTTP.
        key: absolute path of its key, or None.
    """

    host: str
    port: int
    tokens: tuple[TokenDef, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    cert: str | None = None
    key: str | None = None
    peers: tuple[PeerDef, ...] | None = None

    @property
    def shown(self) -> str:
        """The address for messages, as it stands in the configuration."""
        return host_and_port(self.host, self.port)


@value_class
class SqliteDef:
    """A store in one SQLite file, for one hookd.

    Attributes:
        path: absolute.
    """

    path: str

    @property
    def target(self) -> str:
        """The store as logs and answers name it; holds no secret."""
        return self.path

    @property
    def files(self) -> frozenset[str]:
        """The database and what lies beside it."""
        return frozenset(self.path + ending for ending in ("", "-wal", "-shm", "-journal", ".lock"))


@value_class
class PostgresDef:
    """A store in one schema of a PostgreSQL database, for any number of hookd processes.

    Attributes:
        url: `postgresql://…`, as libpq takes it; may hold a password.
        schema: where its tables are.
        migrate: whether a start may make the schema or bring it forward.
        allow_unsafe: whether it may be used where the server does not wait for its disk.
    """

    url: Secret
    schema: str = "hookd"
    migrate: bool = True
    allow_unsafe: bool = False

    @property
    def target(self) -> str:
        """The store as logs and answers name it; holds no secret."""
        return f"{shown_database(self.url.value)} (schema {self.schema})"

    @property
    def files(self) -> frozenset[str]:
        """None: it is kept elsewhere."""
        return frozenset()


StoreDef: TypeAlias = SqliteDef | PostgresDef
"""What `daemon.store` can name: one kind for each engine."""


@value_class
class DaemonDef:
    """`daemon:` (spec 1). Sizes in bytes, durations in seconds.

    Attributes:
        listen: where to take events in.
        store: where events and deliveries are kept.
        store_process: whether that has a process of its own; `auto` where two cores or more may be used.
        timezone: IANA name.
        spool: absolute path of the directory in which events wait that were posted while hookd did not answer.
        event_size: largest request body.
        message_size: largest rendered message.
        pending: most deliveries that may wait at once.
        in_flight: attempts under way over all webhooks (spec 14, Seats).
        log_format: `auto`, `console` or `json`.
    """

    listen: tuple[UnixListen | HttpListen, ...]
    store: StoreDef
    timezone: str = "UTC"
    event_size: int = 1 << 20
    message_size: int = 1 << 20
    pending: int = 1_000_000
    in_flight: int = 200
    keep_delivered_s: float = 7 * 86400.0
    keep_dead_s: float = 30 * 86400.0
    shutdown_grace_s: float = 20.0
    log_level: str = "info"
    log_format: str = "auto"
    spool: str = spool_layout.DEFAULT
    store_process: bool | str = "auto"


@value_class
class SourcePosition:
    """Where something stands: file, line and column, both from 1."""

    path: str
    line: int
    column: int


@value_class
class Revision:
    """The commit that a configuration's files come from (spec 10).

    Attributes:
        commit: git's name of what is checked out, in full.
        dirty: whether the files are anything but what that commit holds.
    """

    commit: str
    dirty: bool


@value_class
class Config:
    """One generation of the configuration: frozen, whole, already compiled. Swapped by reference on reload.

    Attributes:
        path: what was loaded, absolute.
        hash: 12 hex digits over the content of the YAML files, and over identity and times of `sources`.
        places: `webhooks.NAME`, `tasks.NAME`, `tasks.NAME.triggers[N]`, … to where each stands.
        warnings: diagnostics that did not stop the load, as they are shown.
        sources: absolute paths of the files read besides the YAML: secrets, certificates.
    """

    path: str
    hash: str
    daemon: DaemonDef
    types: Mapping[str, TypeDef] | None = None
    webhooks: Mapping[str, WebhookDef] = field(default_factory=dict)
    tasks: Mapping[str, TaskDef] = field(default_factory=dict)
    events: Mapping[str, EventDef] = field(default_factory=dict)
    schedules: Mapping[str, ScheduleDef] = field(default_factory=dict)
    places: Mapping[str, SourcePosition] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def event_rules(self) -> Iterator[EventDef]:
        """Every event rule: those of `events` in order, then those written on tasks."""
        yield from self.events.values()
        yield from (rule for rule in self._triggers() if isinstance(rule, EventDef))

    def schedule_rules(self) -> Iterator[ScheduleDef]:
        """Every schedule: those of `schedules` in order, then those written on tasks."""
        yield from self.schedules.values()
        yield from (rule for rule in self._triggers() if isinstance(rule, ScheduleDef))

    def _triggers(self) -> Iterator[EventDef | ScheduleDef]:
        for task in self.tasks.values():
            yield from task.triggers
