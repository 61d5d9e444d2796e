"""What a request asks of the lanes and the store does not grow with the webhooks that it is not about."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hookd import __version__
from hookd.api.routes import routes
from hookd.api.services import Services
from hookd.config.generation import CurrentConfig, Generation
from hookd.delivery.lane import Lanes, LaneState
from hookd.domain.clock import Clock
from hookd.domain.definitions import Config, DaemonDef, Secret, SqliteDef, UnixListen, WebhookDef
from hookd.domain.history import LaneStats
from hookd.observability.metrics import Metrics
from hookd.server.activation import ListenTarget
from hookd.server.long_json import AT_ONCE, LongList, LongObject, long_json_response
from hookd.server.sockets import Listeners
from hookd.store.sqlite.store import SqliteStore
from tests.kit.builders import T0, enqueue, to
from tests.service.api.served import Answered, Client, get

WEBHOOKS = {f"w{number}": WebhookDef(f"w{number}", Secret("http://127.0.0.1/")) for number in range(1000)}


class CountedLanes:
    """The worker's lanes, and how many of them were looked at."""

    def __init__(self) -> None:
        self._lanes = Lanes()
        self.looked_at: list[str] = []

    def lane_names(self) -> Iterable[str]:
        return WEBHOOKS

    def lane_state(self, name: str, *, paused: bool) -> LaneState:
        self.looked_at.append(name)
        return self._lanes.state(name, WEBHOOKS.get(name), paused=paused, now=T0, mono=0.0)

    def try_again(self, name: str, *, probe: bool) -> None:
        """Nothing is held or down here."""


class CountedStore(SqliteStore):
    """A store, and of how many webhooks it was asked what waits; -1 stands for all of them."""

    asked: list[int]

    async def lanes(self, of: Collection[str] | None = None) -> Mapping[str, LaneStats]:
        self.asked.append(-1 if of is None else len(of))
        return await super().lanes(of)


@dataclass(frozen=True)
class Api:
    """The routes on a socket, over a real store with something waiting for each webhook."""

    store: CountedStore
    lanes: CountedLanes
    client: Client

    async def ask(self, method: str, path: str) -> Answered:
        return await self.client.ask(get(path, "Content-Length: 0", method=method))

    async def shown(self, method: str, path: str) -> Any:
        answer = await self.ask(method, path)
        assert answer.status == 200, answer
        return json.loads(answer.body)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    CountedStore.asked = []
    store, lanes, clock = await CountedStore.open(tmp_path / "h.db"), CountedLanes(), Clock()
    await enqueue(store, *(to(name) for name in WEBHOOKS))
    config = Config("c", "h", DaemonDef((), SqliteDef("s")), webhooks=WEBHOOKS)
    parts: dict[str, Any] = dict.fromkeys(Services.__slots__)
    parts |= {
        "store": store,
        "lanes": lanes,
        "listeners": tuple,
        "clock": clock,
        "metrics": Metrics(__version__),
        "current_config": CurrentConfig(Generation.of(config, number=1, now=T0)),
    }
    listeners = Listeners(routes(Services(**parts)), clock, "hookd/test")
    await listeners.open(ListenTarget(UnixListen(str(tmp_path / "h.sock"))))
    client = Client(*await asyncio.open_unix_connection(str(tmp_path / "h.sock"), limit=1 << 24))
    yield Api(store, lanes, client)
    await client.close()
    await listeners.close()
    await store.close()


async def one_id(api: Api) -> str:
    listed = await api.shown("GET", "/v1/deliveries?limit=1")
    api.lanes.looked_at.clear()
    return str(listed["deliveries"][0]["id"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/deliveries/{id}"),
        ("POST", "/v1/deliveries/{id}/retry"),
        ("POST", "/v1/deliveries/{id}/cancel"),
        ("POST", "/v1/webhooks/w7/pause"),
        ("POST", "/v1/webhooks/w7/resume"),
    ],
)
async def test_a_request_about_one_webhook_looks_at_one_lane(api: Api, method: str, path: str) -> None:
    await api.shown(method, path.format(id=await one_id(api)))
    assert len(api.lanes.looked_at) == 1
    assert set(api.store.asked) <= {1}


async def test_a_page_of_deliveries_looks_at_its_own_lanes(api: Api) -> None:
    await api.shown("GET", "/v1/deliveries?limit=20")
    assert (len(api.lanes.looked_at), api.store.asked) == (20, [])


async def test_a_webhook_that_left_the_configuration_is_gone_and_can_be_resumed(api: Api) -> None:
    await enqueue(api.store, to("left"))
    await api.store.pause("left", now=T0)
    shown = await api.shown("POST", "/v1/webhooks/left/resume")
    assert (shown["parked"], shown["pending"], shown["paused_at"]) == ("gone", 1, None)
    assert set(api.store.asked) <= {1}


async def test_an_unknown_webhook_is_refused_with_the_near_ones(api: Api) -> None:
    answer = await api.ask("POST", "/v1/webhooks/w-71/pause")
    assert answer.status == 404
    assert "w71" in json.loads(answer.body)["near"]


@pytest.mark.parametrize(("path", "lanes"), [("/v1/webhooks", 1000), ("/v1/config", 0), ("/metrics", 1000)])
async def test_an_answer_about_all_webhooks_lets_others_have_their_turn(
    api: Api, path: str, lanes: int
) -> None:
    turns = await turns_beside(api.ask("GET", path))
    assert turns >= len(WEBHOOKS) / 100  # a hundred items at most in one turn
    assert len(api.lanes.looked_at) == lanes


async def turns_beside(asked: Awaitable[object]) -> int:
    """How many turns something else got."""
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(beside())
    await asked
    task.cancel()
    return turns


async def test_a_long_answer_is_the_same_json() -> None:
    many = range(2 * AT_ONCE + 1)
    answer = await long_json_response(
        {
            "a\n": 1,
            "list": LongList(iter(many)),
            "object": LongObject((f"n{n}", {"n": n}) for n in many),
            "empty": LongList(()),
            "none": LongObject(()),
            "plain": {"x": [None]},
        }
    )
    assert json.loads(answer.body) == {
        "a\n": 1,
        "list": list(many),
        "object": {f"n{n}": {"n": n} for n in many},
        "empty": [],
        "none": {},
        "plain": {"x": [None]},
    }
