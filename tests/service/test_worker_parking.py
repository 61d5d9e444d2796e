"""What the worker tells of webhooks that are parked while deliveries wait for a later instant."""

import asyncio
from pathlib import Path

from hookd.delivery.dispatch import LONGEST_SLEEP_S
from hookd.delivery.parking import Parked
from hookd.domain.operator_events import WebhookParked, WebhookResumed
from tests.kit.receiver import Receiver, always
from tests.kit.worker import at_work


async def test_a_pause_is_told_at_once_where_something_waits_for_its_next_attempt(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        receiver.reply = always(500)
        async with at_work(tmp_path, f"{receiver.url}/w", backoff_s=(3600.0,)) as stage:
            await stage.take_in(1)
            await stage.until(lambda: stage.attempts("w") == 1)
            async with asyncio.timeout(LONGEST_SLEEP_S / 2):
                await stage.store.pause("w", now=stage.clock.now())
                await stage.until(lambda: stage.said == [WebhookParked("w", Parked.PAUSED)])
                await stage.store.resume("w")
                await stage.until(lambda: stage.said[1:] == [WebhookResumed("w", Parked.PAUSED)])
