"""What every attempt of a webhook shares, made once for a definition: its head as bytes, its receiver, its secrets.

What a receiver sees is decided by `request`; here it is only written as bytes.

Must never: do I/O, or show a secret.
"""

import os
from collections.abc import Iterable

import aiohttp
from yarl import URL

from hookd.delivery.http.destination import Destination
from hookd.delivery.http.redaction import Redactor
from hookd.delivery.request import Draft, draft
from hookd.domain.definitions import WebhookDef
from hookd.domain.tracing import Trace


class WebhookRoute:
    """The way of a webhook's messages.

    Attributes:
        webhook: the definition it was made for.
        redactor: masks the webhook's secrets.
        destination: the receiver.
        is_insecure: its certificate is not checked.
    """

    __slots__ = ("_draft", "_opening", "destination", "is_insecure", "redactor", "webhook")

    def __init__(self, webhook: WebhookDef, destination: Destination) -> None:
        """Prepare what can be; raises `aiohttp.InvalidURL` where host or port is not one."""
        origin, target = parts_of(webhook.url.value)
        self.webhook = webhook
        self.destination = destination
        self.redactor = Redactor(webhook)
        self.is_insecure = is_insecure(webhook)
        self._draft: Draft = draft(webhook)
        first = f"{webhook.method} {target} HTTP/1.1\r\nHost: {origin.host_port_subcomponent}\r\n"
        self._opening = first.encode(errors="surrogateescape") + _lines(self._draft.headers)

    def __repr__(self) -> str:
        return f"WebhookRoute({self.webhook.name!r})"

    def message(self, delivery_id: str, body: bytes, now: float, trace: Trace | None) -> bytes:
        """Write a whole request; for what it raises see `Draft.fill`."""
        span_id = _new_span_id() if trace else ""
        sent = self._draft.sent_body(body)
        own = self._draft.own_headers(
            delivery_id=delivery_id, sent=sent, now=now, trace=trace, span_id=span_id
        )
        if self._draft.has_body:
            own.append(("Content-Length", str(len(sent))))
        return self._opening + _lines(own) + b"\r\n" + sent


def parts_of(url: str) -> tuple[URL, str]:
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


def is_https(webhook: WebhookDef) -> bool:
    """Whether it is called with TLS."""
    return webhook.url.value[:6].lower() == "https:"


def is_insecure(webhook: WebhookDef) -> bool:
    """Whether it is called with TLS, and the certificate not checked."""
    return webhook.tls.insecure and is_https(webhook)


def _lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header lines; values go out as UTF-8, bytes that were no text as they came."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode(errors="surrogateescape")
