"""Makes one attempt: builds the request, sends it within its time, and says what came of it.

Must never: know that retries exist, raise for the remote's sake, or let a secret into an `Outcome`.
"""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import aiohttp
from yarl import URL

from hookd.delivery.http.deadline import Deadline
from hookd.delivery.http.failures import REMOTE, AttemptFailure, Phase, TlsUnusable, explain
from hookd.delivery.http.http_client import Destination, HttpClient, ReceiverResponse
from hookd.delivery.http.redaction import Redactor
from hookd.delivery.http.resolver import ThreadResolver
from hookd.delivery.http.tls import Contexts
from hookd.delivery.request import Draft, draft
from hookd.delivery.retry_policy import retry_after
from hookd.domain.clock import Clock
from hookd.domain.definitions import WebhookDef
from hookd.domain.deliveries import Outcome, Reason
from hookd.domain.tracing import Trace
from hookd.domain.value_class import value_class
from hookd.rules.templates import MessageTooLarge, UnknownSecret

_ASKING_FOR_TIME: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""RFC 9110, 15.4: those that name one other place for the request."""

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


@value_class
class _WebhookRoute:
    """What every attempt of a webhook shares, made once for a definition."""

    webhook: WebhookDef
    draft: Draft
    redactor: Redactor
    destination: Destination
    opening: str

    def message(self, delivery_id: str, body: bytes, now: float, trace: Trace | None) -> bytes:
        """Write a whole request; header values go out as UTF-8, bytes that were no text as they came."""
        span_id = _new_span_id() if trace else ""
        request = self.draft.fill(delivery_id=delivery_id, body=body, now=now, trace=trace, span_id=span_id)
        lines = "".join([f"{name}: {value}\r\n" for name, value in request.headers])
        length = f"Content-Length: {len(request.body)}\r\n" if self.draft.has_body else ""
        return f"{self.opening}{lines}{length}\r\n".encode(errors="surrogateescape") + request.body


class Sender:
    """Sends; holds connections, TLS contexts and what can be prepared for each webhook.

    Between `open` and `close` it belongs to one event loop. How many attempts run at once is the caller's
    affair.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._resolver = ThreadResolver()
        self._contexts = Contexts()
        self._routes: dict[str, _WebhookRoute] = {}
        self._client: HttpClient | None = None

    async def open(self) -> None:
        """Make ready for attempts."""
        self._loop = asyncio.get_running_loop()
        self._client = HttpClient(self._resolver)

    async def close(self) -> None:
        """Close every connection. No attempt may be under way."""
        if self._client is not None:
            await self._client.close()
        self._client = None
        self._routes = {}

    def prepare(self, webhooks: Iterable[WebhookDef]) -> None:
        """Build these webhooks' TLS contexts and forget what others needed. Blocks: call it in a thread."""
        kept = {webhook.name: webhook for webhook in webhooks}
        self._contexts.prepare(webhook.tls for webhook in kept.values() if _is_https(webhook))
        self._routes = {name: route for name, route in list(self._routes.items()) if name in kept}

    async def attempt(
        self, webhook: WebhookDef, *, delivery_id: str, body: bytes, now: float, trace: Trace | None = None
    ) -> Outcome:
        """Make one attempt (spec 5). Over at `webhook.timeout_s`, whatever the receiver does.

        Args:
            webhook: the definition in force now.
            delivery_id: becomes `webhook-id`.
            body: the rendered message.
            now: seconds since the epoch; becomes `webhook-timestamp`.
            trace: the trace of the event; the attempt is a new span of it.

        Returns: What the receiver said; a status that was read is an answer, also when the rest of the head is not
            valid, or head or body break or drip.

        Raises:
            asyncio.CancelledError: cancelled; the connection is closed.
        """
        client, begun_at = self._open_client, self._clock.monotonic()
        response = ReceiverResponse()
        failure: AttemptFailure | None = None
        route: _WebhookRoute | None = None
        try:
            with Deadline(self._loop, webhook.timeout_s):
                route = await self._route(webhook)
                message = route.message(delivery_id, body, now, trace)
                await client.exchange(route.destination, message, response, keep=route.redactor.window)
        except (TlsUnusable, MessageTooLarge, UnknownSecret, *REMOTE) as exc:
            failure = self._failure(webhook, route, exc, response)
        duration_s = self._clock.monotonic() - begun_at
        if route is None or response.status is None:
            assert failure is not None
            return Outcome(
                failure.reason,
                error=failure.message,
                duration_s=duration_s,
                insecure=_is_insecure(webhook),
                resent=response.resent,
            )
        note = failure.message if failure is not None and response.headers is None else ""
        return _answered(route, response, now, duration_s, note)

    @property
    def _open_client(self) -> HttpClient:
        if self._client is None:
            raise RuntimeError("the sender is not open")
        return self._client

    async def _route(self, webhook: WebhookDef) -> _WebhookRoute:
        route = self._routes.get(webhook.name)
        if route is None or route.webhook is not webhook:
            route = await self._new_route(webhook)
            self._routes[webhook.name] = route
        return route

    async def _new_route(self, webhook: WebhookDef) -> _WebhookRoute:
        origin, target = _split(webhook.url.value)
        context = await self._contexts.get(webhook.tls) if _is_https(webhook) else None
        opening = f"{webhook.method} {target} HTTP/1.1\r\nHost: {origin.host_port_subcomponent}\r\n"
        return _WebhookRoute(
            webhook,
            draft(webhook),
            Redactor(webhook),
            self._open_client.destination(origin, context),
            opening,
        )

    def _failure(
        self, webhook: WebhookDef, route: _WebhookRoute | None, exc: Exception, response: ReceiverResponse
    ) -> AttemptFailure:
        phase = response.phase
        if route is None:
            return explain(exc, host="", port=None, phase=phase, timeout_s=webhook.timeout_s)
        host = route.destination.host
        if phase is Phase.CONNECTING and self._resolver.looks_up(host):
            phase = Phase.RESOLVING
        failure = explain(
            exc,
            host=host,
            port=route.destination.port,
            phase=phase,
            timeout_s=webhook.timeout_s,
            began=response.head.began,
        )
        return replace(failure, message=route.redactor.redact(failure.message))


def _answered(
    route: _WebhookRoute, response: ReceiverResponse, now: float, duration_s: float, note: str
) -> Outcome:
    """What an answer comes to; `note` says why its head was not read to the end."""
    status = response.status
    assert status is not None
    delivered = 200 <= status <= 299
    asked_s = None
    if status in _ASKING_FOR_TIME:
        asked_s = retry_after(response.values("Retry-After"), now=now + duration_s)
    return Outcome(
        Reason.OK if delivered else Reason.STATUS,
        status,
        error="; ".join(filter(None, ("" if delivered else _status_text(status), note))),
        response=route.redactor.excerpt(bytes(response.body), whole=response.whole),
        duration_s=duration_s,
        retry_after_s=asked_s,
        insecure=_is_insecure(route.webhook),
        resent=response.resent,
    )


def _status_text(status: int) -> str:
    """The status in words of our own; the receiver's reason phrase may say anything."""
    note = "; redirects are not followed" if status in _REDIRECTS else ""
    return f"HTTP {status} {_PHRASES.get(status, '')}".rstrip() + note


def _split(url: str) -> tuple[URL, str]:
    """Part a URL into its origin and its request target, which stays as it is byte for byte.

    Raises:
        aiohttp.InvalidURL: the host or port is not one.
    """
    scheme, _, rest = url.partition("://")
    end = next((place for place, char in enumerate(rest) if char in "/?"), len(rest))
    authority, target = rest[:end], rest[end:]
    try:
        origin = URL(f"{scheme}://{authority}/")
    except ValueError:
        raise aiohttp.InvalidURL(authority) from None
    return origin, target if target.startswith("/") else f"/{target}"


def _new_span_id() -> str:
    """16 random hex digits, not all zero (W3C Trace Context, section 3.2.2.4)."""
    return f"{int.from_bytes(os.urandom(8)) or 1:016x}"


def _is_https(webhook: WebhookDef) -> bool:
    return webhook.url.value[:6].lower() == "https:"


def _is_insecure(webhook: WebhookDef) -> bool:
    return webhook.tls.insecure and _is_https(webhook)
