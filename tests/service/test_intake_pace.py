"""Taking events in lets others have the loop, and keeps a batch whole and in order."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hookd import __version__
from hookd.config.generation import Generation
from hookd.domain.clock import Clock
from hookd.domain.definitions import Config, DaemonDef, EventDef, Secret, SqliteDef, TaskDef, WebhookDef
from hookd.domain.events import Event, Receipt, Submission
from hookd.domain.message_templates import BodyFormat
from hookd.intake.pipeline import Intake
from hookd.observability.metrics import Metrics
from hookd.rules.templates import compile_message
from tests.kit.loop_lag import Lag
from tests.kit.procfs import memory_mib

LONGEST_S = 0.05
RULES = 1000
MOST_MIB = 64


class NotedStore:
    """Stores nothing, and notes what it was asked to."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Submission]] = []

    async def enqueue(self, batch: Sequence[Submission], **_: Any) -> tuple[Receipt, ...]:
        self.batches.append(batch)
        return tuple(Receipt(each.event.id, False, ()) for each in batch)


def generation(*wheres: str | None, tasks: int = 1) -> Generation:
    message = compile_message("n=${data.n:-}", body_format=BodyFormat.UNTYPED)
    names = tuple(f"t{number}" for number in range(tasks))
    config = Config(
        "c",
        "h",
        DaemonDef((), SqliteDef("s")),
        webhooks={"w": WebhookDef("w", Secret("http://127.0.0.1:9/"))},
        tasks={name: TaskDef(name, "w", message) for name in names},
        events={
            f"e{n}": EventDef(f"events.e{n}", "t", "e", names, where=where) for n, where in enumerate(wheres)
        },
    )
    return Generation.of(config, number=1, now=0.0)


def event(name: str, data: Mapping[str, Any]) -> Event:
    return Event(name, type="t", event="e", data=data)


LARGE = {"l": [f"a{n}" for n in range(40_000)], "m": list(range(300)), "t": "x" * 300_000}


@pytest.mark.parametrize(
    ("where", "failures"),
    [
        ("data.l.exists(a, data.t.contains(a))", RULES),
        ("data.l.exists(a, a == 'none')", RULES),  # more rounds than there may be
        ("data.m.map(a, a).size() == 0", 0),
        ('data.t.contains("none")', 0),
        ("size(data) == 0", 0),
    ],
)
async def test_a_thousand_rules_hold_the_loop_for_no_longer_than_it_may_be(
    where: str, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, metrics, found = NotedStore(), Metrics(__version__), generation(*[where] * RULES)
    refused: list[str] = []
    monkeypatch.setattr(metrics, "rule_error", refused.append)
    intake = Intake(store, Clock(), metrics)  # type: ignore[arg-type]  # only what is asked here
    before = memory_mib(os.getpid())
    async with Lag() as lag:
        await intake.accept([event("e1", LARGE)], found)
    assert lag.longest_s < LONGEST_S
    assert lag.turns > 3
    assert memory_mib(os.getpid()) < before + MOST_MIB
    assert len(refused) == failures
    assert store.batches[0][0].deliveries == ()


async def test_a_batch_makes_way_between_its_events_and_their_messages_and_stays_in_order() -> None:
    store, found = NotedStore(), generation(None, tasks=100)
    intake = Intake(store, Clock(), Metrics(__version__))  # type: ignore[arg-type]  # only what is asked here
    events = [event(f"e{n}", {"n": n}) for n in range(300)]
    async with Lag() as lag:
        receipts = await intake.accept(events, found)
    assert lag.longest_s < LONGEST_S
    assert lag.turns > 10
    (batch,) = store.batches
    assert [each.event.id for each in batch] == [receipt.event_id for receipt in receipts]
    assert [each.event.id for each in batch] == [each.id for each in events]
    assert [[made.body for made in each.deliveries] for each in batch[:2]] == [
        [b"n=0"] * 100,
        [b"n=1"] * 100,
    ]


async def test_a_small_event_does_not_wait_for_a_large_one() -> None:
    store, found = NotedStore(), generation(*['data.t.contains("none")'] * RULES)
    intake = Intake(store, Clock(), Metrics(__version__))  # type: ignore[arg-type]  # only what is asked here
    large = asyncio.create_task(intake.accept([event("large", LARGE)], found))
    await asyncio.sleep(0)
    await intake.accept([event("small", {"t": "x"})], generation(None))
    assert [batch[0].event.id for batch in store.batches] == ["small"]
    await large
    assert [batch[0].event.id for batch in store.batches] == ["small", "large"]
