"""What several routes look up for their answers: a delivery, the webhooks' lanes; and the 404s for what is not there.

Must never: change anything.
"""

from collections.abc import Iterable, Mapping

from hookd.api import views
from hookd.api.services import Services
from hookd.delivery.lane import LaneState
from hookd.delivery.parking import Parked
from hookd.domain.text import near
from hookd.server.problems import Problem


def no_delivery(delivery_id: str) -> Problem:
    """A 404 for a delivery."""
    return Problem(404, f"there is no delivery {delivery_id!r}; GET /v1/deliveries lists those that are kept")


def unknown(what: str, name: str, known: Mapping[str, object]) -> Problem:
    """A 404 that names the near ones."""
    choices = near(name, known, most=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(choices)}?" if choices else ""
    return Problem(404, f"there is no {what} named {name!r}{hint}", near=choices)


async def delivery(services: Services, delivery_id: str) -> views.JsonObject:
    """One delivery with its body and attempts. Raises Problem (404)."""
    record = await services.store.delivery(delivery_id)
    if record is None:
        raise no_delivery(delivery_id)
    return views.whole_delivery(
        record, services.current_config.generation.config, await worker_lanes(services)
    )


async def worker_lanes(services: Services) -> Mapping[str, LaneState]:
    """Every lane that is configured, paused, or has been used."""
    return services.lane_states((await services.store.backlog()).paused)


async def lane_states(services: Services, waiting: Iterable[str]) -> Mapping[str, LaneState]:
    """The same, and every webhook for which something waits: that has left the configuration."""
    return {**{name: _gone(name) for name in waiting}, **await worker_lanes(services)}


def _gone(name: str) -> LaneState:
    return LaneState(name, Parked.GONE, in_flight=0, hold_until=None, last_result=None)


async def lanes(services: Services) -> list[views.JsonObject]:
    """Every webhook with the state of its lane."""
    stats, paused = await services.store.lanes(), (await services.store.backlog()).paused
    states = await lane_states(services, stats)
    now, config = services.clock.now(), services.current_config.generation.config
    return [
        views.lane(state, stats.get(name), config, now, paused.get(name)) for name, state in states.items()
    ]


async def lane(services: Services, name: str) -> views.JsonObject:
    """One webhook with the state of its lane, though it may be gone from the configuration."""
    stats, paused = await services.store.lanes(), (await services.store.backlog()).paused
    now, config = services.clock.now(), services.current_config.generation.config
    state = services.lane_states(paused).get(name) or _gone(name)
    return views.lane(state, stats.get(name), config, now, paused.get(name))
