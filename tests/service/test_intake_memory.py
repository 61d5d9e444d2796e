"""What messages take is held in the budget of all requests while they are stored."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hookd import __version__
from hookd.config.generation import Generation
from hookd.domain.clock import Clock
from hookd.domain.definitions import Config, DaemonDef, EventDef, Secret, SqliteDef, TaskDef, WebhookDef
from hookd.domain.events import Event, Receipt, Submission
from hookd.domain.message_templates import BodyFormat
from hookd.intake.pipeline import Intake
from hookd.observability.metrics import Metrics
from hookd.rules.templates import compile_message
from hookd.server.memory_budget import BudgetExceeded, MemoryBudget, Reservation

TASKS = tuple(f"t{number}" for number in range(10))


class SlowStore:
    """Stores nothing, and ends only when it is told to."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.asked = 0

    async def enqueue(self, batch: Sequence[Submission], **_: Any) -> tuple[Receipt, ...]:
        self.asked += 1
        await self.goes_on.wait()
        return tuple(Receipt(each.event.id, False, ()) for each in batch)


def generation() -> Generation:
    message = compile_message("${data.text}", body_format=BodyFormat.UNTYPED)
    config = Config(
        "c",
        "h",
        DaemonDef((), SqliteDef("s")),
        webhooks={"w": WebhookDef("w", Secret("http://127.0.0.1:9/"))},
        tasks={name: TaskDef(name, "w", message) for name in TASKS},
        events={"e": EventDef("events.e", "t", "e", TASKS)},
    )
    return Generation.of(config, number=1, now=0.0)


async def test_rendered_messages_count_until_they_are_stored() -> None:
    store, budget, found = SlowStore(), MemoryBudget(), generation()
    intake = Intake(store, Clock(), Metrics(__version__))  # type: ignore[arg-type]  # only what is asked here
    event = Event("e1", type="t", event="e", data={"text": "x" * 1_000_000})
    reservations = [budget.reserve() for _ in range(3)]

    async def accept(reservation: Reservation) -> None:
        try:
            await intake.accept([event], found, hold=reservation.hold)
        except BudgetExceeded:
            reservation.release()  # as the server does where a request is refused
            raise

    storing = [asyncio.create_task(accept(each)) for each in reservations]
    done, waiting = await asyncio.wait(storing, timeout=0.5)
    assert [type(task.exception()) for task in done] == [BudgetExceeded]
    assert len(waiting) == store.asked == 2
    assert budget.complete_bytes <= budget.max_complete
    store.goes_on.set()
    await asyncio.wait(waiting)
    for each in reservations:
        each.release()
    assert budget.complete_bytes == 0
