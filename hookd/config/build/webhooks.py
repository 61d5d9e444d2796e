"""`webhooks:` to `WebhookDef`s (spec 1).

Must never: put a URL or a secret into a diagnostic.
"""

import re

from hookd.config.build.auth import read_auth
from hookd.config.build.certificates import read_tls
from hookd.config.build.headers import body_format, read_headers
from hookd.config.build.secrets import read_secret, stands_in
from hookd.config.build.signed_bodies import must_be_json, warn_of_webhook
from hookd.config.build.signing import read_signing
from hookd.config.build.unfilled import warn_of_foreign
from hookd.config.build.units import Range, parse_rate, read_duration
from hookd.config.build.url import names_forbidden_address, url_fault, url_oddity
from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import Method, RateLimit, Secret, WebhookDef
from hookd.domain.message_templates import BodyFormat
from hookd.domain.signatures import signature_header
from hookd.domain.value_class import value_class

_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TIMEOUT = Range(3, 120, "a duration from 3 to 120 seconds")
_PAUSE = Range(0.001, 366 * 86400, "a duration from 1ms to 366d")


@value_class
class Built:
    """A webhook as far as it could be built.

    Attributes:
        webhook: None where it has no usable URL.
        secrets: the names that it declares, likewise.
        body_format: known even then, since the messages depend on it.
        must_be_json: whether those who verify its signatures parse the body.
    """

    webhook: WebhookDef | None
    body_format: BodyFormat
    secrets: frozenset[str]
    must_be_json: bool


def build_webhook(name: str, cursor: Cursor) -> Built:
    """One entry of `webhooks:`; what is wrong is reported, and then the result is not to be used."""
    auth = read_auth(cursor.get("auth"))
    signing = read_signing(cursor.get("signing"))
    taken = {} if signing is None else {signature_header(signing.style).lower(): "signing"}
    if auth is not None:
        taken[auth.header[0].lower()] = "auth"
    headers = read_headers(cursor.get("headers"), taken=taken).with_defaults(auth.header if auth else None)
    sent_as = body_format(headers)
    url = _read_url(cursor.get("url"))
    insecure = cursor.plain("allow_insecure_certificates", default=False)
    tls = read_tls(cursor.get("tls"), insecure=insecure)
    if insecure:
        _warn_of_insecurity(cursor)
    defaults = WebhookDef(name, url or Secret(""))
    method = Method(cursor.plain("method", defaults.method))
    if must_be_json(signing):
        warn_of_webhook(cursor.below(("signing",)), method, sent_as)
    webhook = WebhookDef(
        name,
        defaults.url,
        description=cursor.plain("description", ""),
        method=method,
        headers=headers,
        auth=auth.written if auth else None,
        body_format=sent_as,
        tls=tls,
        timeout_s=_read_timeout(cursor.get("timeout"), defaults.timeout_s),
        retries=int(cursor.plain("retries", defaults.retries)),
        backoff_s=_read_backoff(cursor.get("backoff"), defaults.backoff_s),
        concurrency=int(cursor.plain("concurrency", defaults.concurrency)),
        rate_limit=_read_rate(cursor.get("rate_limit")),
        signing=signing,
        secrets=_read_secrets(cursor.get("secrets")),
        enabled=cursor.plain("enabled", default=True),
    )
    return Built(
        None if url is None else webhook,
        sent_as,
        _names(cursor.get("secrets")),
        must_be_json(signing),
    )


def _read_url(cursor: Cursor | None) -> Secret | None:
    if cursor is None:
        return None
    before = len(cursor.scope.diagnostics)
    url = read_secret(cursor, sensitive=False, refuse=warn_of_foreign)
    if url is None:
        return None
    if stands_in(cursor, url):
        return url
    if fault := url_fault(url.value):
        cursor.error(f"the URL {fault}")
        return None
    if len(cursor.scope.diagnostics) == before and (odd := url_oddity(url.value)):
        cursor.warn(f"the URL {odd}")
    if names_forbidden_address(url.value):
        cursor.warn("the URL's host is a link-local or cloud metadata address, which hookd never calls")
    return url


def _warn_of_insecurity(cursor: Cursor) -> None:
    flag = cursor.below(("allow_insecure_certificates",))
    flag.warn(
        "the receiver's certificate is not checked; anybody on the way can read and change what is sent"
    )
    tls = cursor.get("tls")
    if tls is not None and tls.get("ca") is not None:
        tls.below(("ca",)).warn("has no effect while allow_insecure_certificates is true")


def _read_timeout(cursor: Cursor | None, default_s: float) -> float:
    return read_duration(cursor, default_s, _TIMEOUT)


def _read_backoff(cursor: Cursor | None, default_s: tuple[float, ...]) -> tuple[float, ...]:
    if cursor is None:
        return default_s
    return tuple(read_duration(pause, 1.0, _PAUSE) for pause in cursor.items())


def _read_rate(cursor: Cursor | None) -> RateLimit | None:
    return None if cursor is None else parse_rate(cursor.value.strip())


def _names(cursor: Cursor | None) -> frozenset[str]:
    """The keys of a mapping, those with a diagnostic as well."""
    return frozenset() if cursor is None else frozenset(cursor.node.value)


def _read_secrets(cursor: Cursor | None) -> dict[str, Secret]:
    if cursor is None:
        return {}
    found = {}
    for name, entry in cursor.entries():
        secret = read_secret(entry)
        if _SECRET_NAME.fullmatch(name) is None:
            entry.error_at_key("a secret's name has letters, digits and _, and does not begin with a digit")
        elif secret is not None:
            found[name] = secret
    return found
