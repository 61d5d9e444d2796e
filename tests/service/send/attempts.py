"""Attempts as the tests of this folder make them."""

from dataclasses import dataclass
from typing import Any

from hookd.delivery.http import Sender
from hookd.domain.definitions import Secret, WebhookDef
from hookd.domain.deliveries import Outcome
from tests.kit.sending import attempt

BODY = b'{"text": "Webhook"}'
NOW = 1_700_000_000.0
TIMEOUT_S = 5.0


def webhook(url: str | Secret, **fields: Any) -> WebhookDef:
    """A webhook with a time limit that no passing test reaches, unless it sets its own."""
    secret = Secret(url) if isinstance(url, str) else url
    return WebhookDef(**{"name": "w", "url": secret, "timeout_s": TIMEOUT_S, **fields})


@dataclass(frozen=True)
class Attempts:
    """Makes attempts with one open sender."""

    sender: Sender

    async def __call__(self, url: str | Secret, *, body: bytes = BODY, **fields: Any) -> Outcome:
        return await self.to(webhook(url, **fields), body=body)

    async def to(self, definition: WebhookDef, *, body: bytes = BODY) -> Outcome:
        return await attempt(self.sender, definition, delivery_id="dlv_1", body=body, now=NOW)
