"""What several routes look up for their answers: a delivery, the webhooks' lanes; and the 404s for what is not there.

Must never: change anything.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from hookd.api import views
from hookd.api.services import Services
from hookd.delivery.lane import LaneState
from hookd.domain.history import LaneStats
from hookd.domain.text import near
from hookd.server.long_json import LongList
from hookd.server.problems import Problem

_MOST_NEAR = 4
_BEGINNING = re.compile("[0-9a-f]{8,31}")
"""The first digits of an id as hookd makes them, as many as tell ids of one minute apart."""


async def no_delivery(services: Services, delivery_id: str) -> Problem:
    """A 404 for a delivery, which names those whose ids begin so."""
    detail = f"there is no delivery {delivery_id!r}; GET /v1/deliveries lists those that are kept"
    return Problem(404, detail, near=await _begin_so(services, "dlv_", delivery_id))


async def no_event(services: Services, event_id: str) -> Problem:
    """A 404 for an event, which names those whose ids begin so."""
    detail = f"there is no event {event_id!r}; GET /v1/events lists those that are kept"
    return Problem(404, detail, near=await _begin_so(services, "evt_", event_id))


async def _begin_so(services: Services, kind: str, word: str) -> Sequence[str]:
    """The first few ids of a kind that begin so, `dlv_` or `evt_` said or not."""
    digits = word.removeprefix(kind)
    if not _BEGINNING.fullmatch(digits):
        return ()
    return await services.store.ids(kind + digits, limit=_MOST_NEAR)


def unknown(what: str, name: str, known: Mapping[str, object]) -> Problem:
    """A 404 that names the near ones."""
    choices = near(name, known, most=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(choices)}?" if choices else ""
    return Problem(404, f"there is no {what} named {name!r}{hint}", near=choices)


async def delivery(services: Services, delivery_id: str) -> views.JsonObject:
    """One delivery with its body and attempts. Raises Problem (404)."""
    record = await services.store.delivery(delivery_id)
    if record is None:
        raise await no_delivery(services, delivery_id)
    lanes = await lane_states(services, (record.webhook,))
    return views.whole_delivery(record, services.current_config.generation.config, lanes[record.webhook])


async def lane_states(services: Services, names: Iterable[str]) -> Mapping[str, LaneState]:
    """The lanes of these webhooks, which need not be configured."""
    paused = (await services.store.backlog()).paused
    return {name: services.lanes.lane_state(name, paused=name in paused) for name in set(names)}


async def known_webhook(services: Services, name: str) -> None:
    """Refuse a name that is neither in force nor paused, and for which nothing waits. Raises Problem (404)."""
    webhooks, store = services.current_config.generation.config.webhooks, services.store
    if name in webhooks or name in (paused := (await store.backlog()).paused) or await store.lanes((name,)):
        return
    raise unknown("webhook", name, {**webhooks, **paused, **await store.lanes()})


class LaneReport(NamedTuple):
    """A webhook's lane, what waits for it, and since when it is paused by hand."""

    state: LaneState
    stats: LaneStats | None
    paused_at: float | None


async def lane_reports(services: Services) -> Iterator[LaneReport]:
    """Every webhook, each looked at when it is asked for: as there may be many, let others have a turn between."""
    stats, paused = await services.store.lanes(), (await services.store.backlog()).paused
    names = tuple(dict.fromkeys(chain(services.lanes.lane_names(), paused, stats)))
    return (_lane_report(services, name, stats, paused) for name in names)


def _lane_report(
    services: Services, name: str, stats: Mapping[str, LaneStats], paused: Mapping[str, float]
) -> LaneReport:
    state = services.lanes.lane_state(name, paused=name in paused)
    return LaneReport(state, stats.get(name), paused.get(name))


async def lanes(services: Services) -> LongList:
    """Every webhook with the state of its lane."""
    now, config = services.clock.now(), services.current_config.generation.config
    return LongList(views.lane(*report, config, now) for report in await lane_reports(services))


async def lane(services: Services, name: str) -> views.JsonObject:
    """One webhook with the state of its lane, though it may be gone from the configuration."""
    stats, paused = await services.store.lanes((name,)), (await services.store.backlog()).paused
    now, config = services.clock.now(), services.current_config.generation.config
    return views.lane(*_lane_report(services, name, stats, paused), config, now)
