"""A large request does not hold up the others: the loop has other turns while it is read, matched, stored, answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hookd import __version__
from hookd.api.routes import routes
from hookd.api.services import Services
from hookd.config.generation import CurrentConfig, Generation
from hookd.domain.clock import Clock
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    Secret,
    SqliteDef,
    TaskDef,
    TypeDef,
    UnixListen,
    WebhookDef,
)
from hookd.domain.message_templates import BodyFormat
from hookd.intake.pipeline import Intake
from hookd.observability.metrics import Metrics
from hookd.rules.templates import compile_message
from hookd.server.activation import ListenTarget
from hookd.server.sockets import Listeners
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import T0
from tests.kit.loop_lag import Lag
from tests.service.api.served import Client, get, post

LONGEST_S = 0.05
JSON = "Content-Type: application/json"
ONE = {"type": "vm", "event": "on"}


def config() -> Config:
    """A catalogue of 20,000 types; one rule without, one with a condition."""
    types = {f"type-{number}": TypeDef(f"type-{number}", ("on", "off")) for number in range(20_000)}
    return Config(
        "c",
        "h",
        DaemonDef((), SqliteDef("s")),
        types={"vm": TypeDef("vm", ("on", "off")), **types},
        webhooks={"w": WebhookDef("w", Secret("http://127.0.0.1:9/"))},
        tasks={"t": TaskDef("t", "w", compile_message("x", body_format=BodyFormat.UNTYPED))},
        events={
            "e": EventDef("events.e", "vm", "on", ("t",)),
            "f": EventDef("events.f", "vm", "off", ("t",), where="data.l.size() > 3 && data.x == 1"),
        },
    )


@pytest.fixture(scope="module")
def generation() -> Generation:
    return Generation.of(config(), number=1, now=T0)


@pytest.fixture
async def client(tmp_path: Path, generation: Generation) -> AsyncIterator[Client]:
    store, clock, metrics = await SqliteStore.open(tmp_path / "h.db"), Clock(), Metrics(__version__)
    parts: dict[str, Any] = {
        **dict.fromkeys(Services.__dataclass_fields__),
        "stopping": False,
        "store": store,
        "intake": Intake(store, clock, metrics),
        "clock": clock,
        "metrics": metrics,
        "current_config": CurrentConfig(generation),
    }
    listeners = Listeners(routes(Services(**parts)), clock, "hookd/test")
    await listeners.open(ListenTarget(UnixListen(str(tmp_path / "h.sock"))))
    made = Client(*await asyncio.open_unix_connection(str(tmp_path / "h.sock"), limit=1 << 24))
    yield made
    await made.close()
    await listeners.close()
    await store.close()


BODIES: dict[str, tuple[int, Callable[[], Any]]] = {
    "many events": (202, lambda: [{**ONE, "id": f"e{n}"} for n in range(20_000)]),
    "many numbers": (202, lambda: {**ONE, "data": {"l": [1] * 300_000}}),
    "many maps": (202, lambda: {**ONE, "event": "off", "data": {"l": [{"a": 1, "b": "x"}] * 40_000, "x": 1}}),
    "many tags": (202, lambda: {**ONE, "object": {"name": "x", "tags": [f"t{n}" for n in range(90_000)]}}),
    "many faults": (422, lambda: [{"type": f"tpye-{n}", "event": "on"} for n in range(20_000)]),
    "many unknown fields": (422, lambda: {**ONE, **{f"k{n}": n for n in range(60_000)}}),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_large_body_holds_the_loop_for_no_longer_than_it_may_be(client: Client, kind: str) -> None:
    status, body = BODIES[kind]
    content = json.dumps(body(), separators=(",", ":")).encode()
    assert 300_000 < len(content) < 1 << 20
    async with Lag() as lag:
        answer = await client.ask(post(content, "/v1/events", JSON))
    assert answer.status == status, answer.body[:300]
    assert lag.longest_s < LONGEST_S


MESSAGES: dict[str, tuple[int, Callable[[], Any]]] = {
    "a mapping": (202, lambda: {"l": [{"a": 1, "b": "x"}] * 40_000}),
    "many variables": (202, lambda: {"l": [{"a": "${TIME}", "b": "x"}] * 30_000}),
    "JSON as text": (202, lambda: json.dumps({"l": [{"a": 1, "b": "x"}] * 30_000})),
    "text that is no JSON": (422, lambda: "line ${TIME}\n" * 50_000),
}


@pytest.mark.parametrize("kind", MESSAGES)
async def test_a_large_message_that_is_sent_by_hand_holds_it_no_longer_either(
    client: Client, kind: str
) -> None:
    status, message = MESSAGES[kind]
    content = json.dumps({"message": message()}, separators=(",", ":")).encode()
    async with Lag() as lag:
        answer = await client.ask(post(content, "/v1/webhooks/w/send", JSON))
    assert answer.status == status, answer.body[:300]
    assert lag.longest_s < LONGEST_S


async def test_a_large_event_that_is_looked_at_and_fired_by_hand(client: Client) -> None:
    data = {"l": [{"a": 1, "b": "x"}] * 20_000}
    content = json.dumps({"data": data}, separators=(",", ":")).encode()
    async with Lag() as lag:
        answer = await client.ask(post(content, "/v1/tasks/t/trigger", JSON))
        shown = await client.ask(get(f"/v1/events/{json.loads(answer.body)['id']}"))
    assert (answer.status, shown.status) == (202, 200)
    assert json.loads(shown.body)["data"] == data
    assert lag.longest_s < LONGEST_S
