"""The HTTP request of one attempt, exactly as it goes out: method, URL, headers in order, body (spec 5).

Here and nowhere else it is decided what a receiver sees, so that `http` and `explain` can never differ.
`Host` and `Content-Length` belong to the connection and are added by `http`.

Must never: show a secret in `repr()`, or change a byte of the URL, or of the body but for its secrets.

- GET sends no body, hence no `Content-Type`, and its signature is over nothing; every other method sends the
  body.
- `user-agent: hookd/VERSION` comes first, unless the webhook has its own, which then stands where it was
  written.
- Then the webhook's headers, then `webhook-id`, `webhook-timestamp` and the signature.
- Last, where the event came with a trace, `traceparent` with a new span and `tracestate` (spec 10). A `traceparent` of
  the webhook's own is a trace of its own: then neither is added; its own `tracestate` replaces that of the event.
- The secrets that a message names are filled into the body here, from the webhook in force; the signature is over the
  filled body.
- Header values are text; `http` writes them as UTF-8.
"""

from collections.abc import Mapping
from dataclasses import field

from hookd import __version__
from hookd.domain.definitions import Method, Signing, WebhookDef
from hookd.domain.signatures import signature_headers
from hookd.domain.tracing import Trace
from hookd.domain.value_class import value_class
from hookd.rules.templates import fill_secrets

USER_AGENT = f"hookd/{__version__}"

TRACE_HEADERS = frozenset({"traceparent", "tracestate"})


@value_class
class OutgoingRequest:
    """One request; `headers` are (name, value) pairs as on the wire. `repr()` shows the method alone."""

    method: Method
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


@value_class
class Draft:
    """What is the same in every request to a webhook; made once for a definition, filled for each attempt.

    Attributes:
        traced: which of a trace's headers are added, where there is a trace.
    """

    method: Method
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    signing: Signing | None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    traced: frozenset[str] = TRACE_HEADERS

    @property
    def has_body(self) -> bool:
        """Whether the method sends one."""
        return self.method is not Method.GET

    def fill(
        self, *, delivery_id: str, body: bytes, now: float, trace: Trace | None = None, span_id: str = ""
    ) -> OutgoingRequest:
        """Make the request of one attempt.

        Args:
            delivery_id: becomes `webhook-id`.
            body: the rendered message.
            now: seconds since the epoch; becomes `webhook-timestamp`, rounded down.
            trace: the trace of the event, or None.
            span_id: this attempt's own in that trace: 16 lower-case hex digits, not all zero.

        Raises:
            UnknownSecret: the message needs a secret that the webhook does not have.
            MessageTooLarge: it was never made.
        """
        sent = self.sent_body(body)
        own = self.own_headers(delivery_id=delivery_id, sent=sent, now=now, trace=trace, span_id=span_id)
        return OutgoingRequest(self.method, self.url, (*self.headers, *own), sent)

    def sent_body(self, body: bytes) -> bytes:
        """The body of one attempt, as it goes out; raises as `fill` does."""
        return fill_secrets(body, self.secrets) if self.has_body else b""

    def own_headers(
        self, *, delivery_id: str, sent: bytes, now: float, trace: Trace | None, span_id: str
    ) -> list[tuple[str, str]]:
        """What follows the headers that are the same in every request; `sent` is the body as it goes out."""
        timestamp = int(now)
        own = [("webhook-id", delivery_id), ("webhook-timestamp", str(timestamp))]
        if self.signing is not None:
            own += signature_headers(self.signing, delivery_id=delivery_id, timestamp=timestamp, body=sent)
        if trace is not None:
            own += self._trace_headers(trace, span_id)
        return own

    def _trace_headers(self, trace: Trace, span_id: str) -> tuple[tuple[str, str], ...]:
        both = (("traceparent", trace.parent(span_id)), ("tracestate", trace.state))
        return tuple((name, value) for name, value in both if value and name in self.traced)


def draft(webhook: WebhookDef) -> Draft:
    """Make what every request to a webhook shares."""
    headers = [(name, secret.value) for name, secret in webhook.headers]
    if webhook.method is Method.GET:
        headers = [(name, value) for name, value in headers if name.lower() != "content-type"]
    if not any(name.lower() == "user-agent" for name, _ in headers):
        headers.insert(0, ("user-agent", USER_AGENT))
    own = frozenset(name.lower() for name, _ in headers)
    traced = frozenset() if "traceparent" in own else TRACE_HEADERS - own
    secrets = {name: secret.value for name, secret in webhook.secrets.items()}
    return Draft(webhook.method, webhook.url.value, tuple(headers), webhook.signing, secrets, traced)


def build(
    webhook: WebhookDef,
    *,
    delivery_id: str,
    body: bytes,
    now: float,
    trace: Trace | None = None,
    span_id: str = "",
) -> OutgoingRequest:
    """Make the request of one attempt; see `Draft.fill`."""
    return draft(webhook).fill(delivery_id=delivery_id, body=body, now=now, trace=trace, span_id=span_id)
