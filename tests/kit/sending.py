"""One attempt, awaited."""

import asyncio

from hookd.delivery.http import Sender
from hookd.domain.definitions import WebhookDef
from hookd.domain.deliveries import Outcome


async def attempt(
    sender: Sender, webhook: WebhookDef, *, delivery_id: str, body: bytes, now: float
) -> Outcome:
    """Make one attempt and return what came of it; cancelled, it cancels the attempt."""
    ended: asyncio.Future[Outcome | Exception] = asyncio.get_running_loop().create_future()
    begun = sender.begin(webhook, delivery_id=delivery_id, body=body, now=now, done=ended.set_result)
    try:
        outcome = await ended
    except asyncio.CancelledError:
        begun.cancel()
        raise
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
