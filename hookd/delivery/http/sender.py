"""Makes one attempt: builds the request, sends it within its time, and says what came of it.

On a kept connection to a known webhook nothing but callbacks carries it; what takes longer to prepare, and each new
connection, has a task.

Must never: know that retries exist, raise for the remote's sake, or let a secret into an `Outcome`.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from hookd.delivery.http.deadlines import Deadlines
from hookd.delivery.http.failures import REMOTE, AttemptFailure, Phase, TlsUnusable, explain
from hookd.delivery.http.http_client import Exchange, HttpClient
from hookd.delivery.http.receiver_response import ReceiverResponse
from hookd.delivery.http.resolver import ThreadResolver
from hookd.delivery.http.route import WebhookRoute, is_https, is_insecure, parts_of
from hookd.delivery.http.tls import Contexts
from hookd.delivery.retry_policy import retry_after
from hookd.domain.clock import Clock
from hookd.domain.definitions import WebhookDef
from hookd.domain.deliveries import Outcome, Reason
from hookd.domain.tracing import Trace
from hookd.rules.templates import MessageTooLarge, UnknownSecret

Done = Callable[[Outcome | Exception], None]
"""Takes what came of an attempt; an exception where hookd itself failed at it. Must not raise."""

_FORESEEN = (TlsUnusable, MessageTooLarge, UnknownSecret, *REMOTE)

_ASKING_FOR_TIME: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""RFC 9110, 15.4: those that name one other place for the request."""

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class Sender:
    """Sends; holds connections, TLS contexts and what can be prepared for each webhook.

    Between `open` and `close` it belongs to one event loop. How many attempts run at once is the caller's
    affair.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._resolver = ThreadResolver()
        self._contexts = Contexts()
        self._routes: dict[str, WebhookRoute] = {}
        self._means: _Means | None = None

    async def open(self) -> None:
        """Make ready for attempts."""
        self._means = _Means(HttpClient(self._resolver), self._clock, self._resolver)

    async def close(self) -> None:
        """Close every connection. No attempt may be under way."""
        if self._means is not None:
            self._means.deadlines.close()
            await self._means.client.close()
        self._means = None
        self._routes = {}

    def prepare(self, webhooks: Iterable[WebhookDef]) -> None:
        """Build these webhooks' TLS contexts and forget what others needed. Blocks: call it in a thread."""
        kept = {webhook.name: webhook for webhook in webhooks}
        self._contexts.prepare(webhook.tls for webhook in kept.values() if is_https(webhook))
        self._routes = {name: route for name, route in list(self._routes.items()) if name in kept}

    def begin(
        self,
        webhook: WebhookDef,
        *,
        delivery_id: str,
        body: bytes,
        now: float,
        trace: Trace | None = None,
        done: Done,
    ) -> "WireAttempt":
        """Begin one attempt (spec 5). Over at `webhook.timeout_s`, whatever the receiver does.

        Args:
            webhook: the definition in force now.
            delivery_id: becomes `webhook-id`.
            body: the rendered message.
            now: seconds since the epoch; becomes `webhook-timestamp`.
            trace: the trace of the event; the attempt is a new span of it.
            done: called once, never at once, and not after `cancel`, with what the receiver said; a status that was
                read is an answer, also when the rest of the head is not valid, or head or body break or drip.
        """
        if self._means is None:
            raise RuntimeError("the sender is not open")
        attempt = WireAttempt(self._means, webhook, now, done)
        route = self._routes.get(webhook.name)
        if route is not None and route.webhook is webhook:
            attempt.send(route, delivery_id, body, trace)
        else:
            attempt.preparing = asyncio.create_task(self._prepare(attempt, delivery_id, body, trace))
        return attempt

    async def _prepare(
        self, attempt: "WireAttempt", delivery_id: str, body: bytes, trace: Trace | None
    ) -> None:
        try:
            route = await self._new_route(attempt.webhook)
        except Exception as exc:  # noqa: BLE001  who waits for the outcome must learn of it
            attempt.end(exc)
        else:
            attempt.send(route, delivery_id, body, trace)

    async def _new_route(self, webhook: WebhookDef) -> WebhookRoute:
        origin, _ = parts_of(webhook.url.value)
        context = await self._contexts.get(webhook.tls) if is_https(webhook) else None
        assert self._means is not None
        route = WebhookRoute(webhook, self._means.client.destination(origin, context))
        self._routes[webhook.name] = route
        return route


class _Means:
    """What attempts are made with."""

    __slots__ = ("client", "clock", "deadlines", "resolver")

    def __init__(self, client: HttpClient, clock: Clock, resolver: ThreadResolver) -> None:
        self.client = client
        self.clock = clock
        self.resolver = resolver
        self.deadlines = Deadlines(client.loop)


class WireAttempt:
    """An attempt that is under way.

    Attributes:
        webhook: the definition it is made by.
        preparing: the task that makes a route for it, where there was none.
    """

    __slots__ = (
        "_begun_at",
        "_done",
        "_exchange",
        "_means",
        "_now",
        "_response",
        "_route",
        "preparing",
        "webhook",
    )

    def __init__(self, means: _Means, webhook: WebhookDef, now: float, done: Done) -> None:
        """Let its time begin."""
        self._means = means
        self._now = now
        self._done: Done | None = done
        self._begun_at = means.clock.monotonic()
        self._response = ReceiverResponse()
        self._route: WebhookRoute | None = None
        self._exchange: Exchange | None = None
        self.webhook = webhook
        self.preparing: asyncio.Task[None] | None = None
        means.deadlines.begin(self, webhook.timeout_s)

    def send(self, route: WebhookRoute, delivery_id: str, body: bytes, trace: Trace | None) -> None:
        """Send the message."""
        self._route, client = route, self._means.client
        try:
            self._exchange = Exchange(
                client,
                route.destination,
                route.message(delivery_id, body, self._now, trace),
                self._response,
                keep=route.redactor.window,
                ended=self.end,
            )
        except Exception as exc:  # noqa: BLE001  who waits for the outcome must learn of it
            client.loop.call_soon(self.end, exc)

    def cancel(self) -> None:
        """Give it up; its connection is closed."""
        self._done = None
        self._means.deadlines.end(self, self.webhook.timeout_s)
        self._stop()

    def expire(self) -> None:
        """End it: its time is up."""
        self.end(TimeoutError())

    def end(self, failure: Exception | None) -> None:
        """Say what came of it; `failure`: what it ended by, if by anything but an answer."""
        done, self._done = self._done, None
        if done is None:
            return
        self._means.deadlines.end(self, self.webhook.timeout_s)
        try:
            outcome: Outcome | Exception = self._outcome(failure)
        except Exception as exc:  # noqa: BLE001  who waits for the outcome must learn of it
            outcome = exc
        self._stop()
        done(outcome)

    def _stop(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()
        elif self.preparing is not None:
            self.preparing.cancel()

    def _outcome(self, failure: Exception | None) -> Outcome:
        duration_s = self._means.clock.monotonic() - self._begun_at
        response, route = self._response, self._route
        explained = None if failure is None else self._explained(failure)
        if route is None or response.status is None:
            assert explained is not None
            return Outcome(
                explained.reason,
                error=explained.message,
                duration_s=duration_s,
                insecure=is_insecure(self.webhook),
                resent=response.resent,
            )
        note = explained.message if explained is not None and response.fields is None else ""
        return _answered(route, response, self._now, duration_s, note)

    def _explained(self, failure: Exception) -> AttemptFailure:
        """Why the attempt failed, in words; raises what nobody foresaw."""
        if not isinstance(failure, _FORESEEN):
            raise failure
        response, route = self._response, self._route
        phase, timeout_s = response.phase, self.webhook.timeout_s
        if route is None:
            return explain(failure, host="", port=None, phase=phase, timeout_s=timeout_s)
        host, port = route.destination.host, route.destination.port
        if phase is Phase.CONNECTING and self._means.resolver.looks_up(host):
            phase = Phase.RESOLVING
        failed = explain(
            failure, host=host, port=port, phase=phase, timeout_s=timeout_s, began=response.began
        )
        return replace(failed, message=route.redactor.redact(failed.message))


def _answered(
    route: WebhookRoute, response: ReceiverResponse, now: float, duration_s: float, note: str
) -> Outcome:
    """What an answer comes to; `note` says why its head was not read to the end."""
    status = response.status
    assert status is not None
    delivered = 200 <= status <= 299
    error, asked_s = note, None
    if not delivered:
        error = f"{_status_text(status)}; {note}" if note else _status_text(status)
    if status in _ASKING_FOR_TIME:
        asked_s = retry_after(response.values("Retry-After"), now=now + duration_s)
    return Outcome(
        Reason.OK if delivered else Reason.STATUS,
        status,
        error=error,
        response=route.redactor.excerpt(response.body, whole=response.whole),
        duration_s=duration_s,
        retry_after_s=asked_s,
        insecure=route.is_insecure,
        resent=response.resent,
    )


def _status_text(status: int) -> str:
    """The status in words of our own; the receiver's reason phrase may say anything."""
    note = "; redirects are not followed" if status in _REDIRECTS else ""
    return f"HTTP {status} {_PHRASES.get(status, '')}".rstrip() + note
