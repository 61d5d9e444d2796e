import pytest

from hookd.config.generation import CurrentConfig, Generation
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    ScheduleDef,
    SqliteDef,
    TaskDef,
    Timing,
)
from hookd.domain.events import Event
from hookd.domain.message_templates import Template
from hookd.rules.conditions import ConditionError

TOP = EventDef("events.top", "vm", "on", ("a",), where="data.x > 1")
INLINE = EventDef("tasks.a.triggers[1]", "vm", "on", ("a",))
MOMENTS = ScheduleDef("tasks.a.triggers[0]", ("a",), Timing.EVERY, "1h", "UTC", every_s=3600)


def config(*rules: EventDef) -> Config:
    return Config(
        path="/etc/hookd/hookd.yaml",
        hash="0" * 12,
        daemon=DaemonDef(listen=(), store=SqliteDef("hookd.db"), timezone="Europe/Berlin"),
        tasks={"a": TaskDef("a", "w", Template(()), triggers=(MOMENTS, INLINE))},
        events={rule.place.removeprefix("events."): rule for rule in rules},
    )


def test_rules_on_top_and_on_tasks_are_matched_in_this_order() -> None:
    generation = Generation.of(config(TOP), number=3, now=17.0)
    event = Event("e", type="vm", event="on", data={"x": 2})
    assert generation.matcher.match(event, 17.0).rules == (TOP, INLINE)
    assert (generation.number, generation.loaded_at, generation.timezone.key) == (3, 17.0, "Europe/Berlin")


def test_a_condition_that_does_not_compile_makes_no_generation() -> None:
    with pytest.raises(ConditionError):
        Generation.of(config(EventDef("events.bad", "vm", "on", ("a",), where="1 +")), number=1, now=0.0)


def test_a_swap_is_told_to_listeners_after_it() -> None:
    first, second = (Generation.of(config(), number=number, now=0.0) for number in (1, 2))
    current_config = CurrentConfig(first)
    seen: list[int] = []
    current_config.on_swap(lambda: seen.append(current_config.generation.number))
    current_config.swap(second)
    assert current_config.generation is second
    assert seen == [2]
