from collections.abc import Iterator

import pytest

from hookd.defs import EventDef
from hookd.match import Matcher, firings
from hookd.model import Event, EventObject


def rule(
    name: str,
    *,
    kind: tuple[str, str] = ("vm", "on"),
    obj: str | None = None,
    tag: str | None = None,
    enabled: bool = True,
) -> EventDef:
    return EventDef(
        name=name, type=kind[0], event=kind[1], tasks=("t",), object=obj, tag=tag, enabled=enabled
    )


RULES = (
    rule("tagged", tag="production"),
    rule("any"),
    rule("named", obj="web-01"),
    rule("by-id", obj="17"),
    rule("off", enabled=False),
    rule("other-event", kind=("vm", "off")),
    rule("other-type", kind=("volume", "on")),
    rule("tagged-too", tag="edge"),
    rule("any-too"),
)


def names(event: Event) -> list[str]:
    return [found.name for found in Matcher(RULES).match(event)]


@pytest.mark.parametrize(
    ("obj", "matching"),
    [
        (None, ["any", "any-too"]),
        (EventObject(name="db-01"), ["any", "any-too"]),
        (EventObject(name="web-01"), ["any", "named", "any-too"]),
        (EventObject(name="Web-01"), ["any", "any-too"]),
        (EventObject(id="17"), ["any", "by-id", "any-too"]),
        (EventObject(name="17"), ["any", "by-id", "any-too"]),
        (EventObject(id="17", name="web-01"), ["any", "named", "by-id", "any-too"]),
        (EventObject(id="web-01", name="web-01"), ["any", "named", "any-too"]),
        (EventObject(name="x", tags=("edge", "production")), ["tagged", "any", "tagged-too", "any-too"]),
        (EventObject(name="x", tags=("web-01",)), ["any", "any-too"]),
        (EventObject(name="production"), ["any", "any-too"]),
    ],
)
def test_rules_match_by_name_id_tag_or_any_object_in_declared_order(
    obj: EventObject | None, matching: list[str]
) -> None:
    assert names(Event("e", type="vm", event="on", object=obj)) == matching


@pytest.mark.parametrize(
    ("kind", "matching"),
    [
        (("vm", "off"), ["other-event"]),
        (("volume", "on"), ["other-type"]),
        (("volume", "off"), []),
        (("VM", "on"), []),
        (("vm.on", ""), []),
        (("", ""), []),
    ],
)
def test_type_and_event_are_compared_exactly(kind: tuple[str, str], matching: list[str]) -> None:
    assert names(Event("e", type=kind[0], event=kind[1])) == matching


class CountingText(str):
    """Counts how often any such text is compared or hashed."""

    __slots__ = ()
    work = 0

    def __hash__(self) -> int:
        CountingText.work += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        CountingText.work += 1
        return super().__eq__(other)


def many_rules(count: int) -> Iterator[EventDef]:
    """Rules that differ in one thing each: on another object, of another type, or on another tag."""
    for number in range(count // 3 + 1):
        yield rule(f"o{number}", obj=CountingText(f"object-{number}"))
        yield rule(f"k{number}", kind=(CountingText(f"type-{number}"), "on"))
        yield rule(f"t{number}", tag=CountingText(f"tag-{number}"))


def work_of_one_match(count: int) -> int:
    matcher = Matcher(many_rules(count))
    wanted = count // 4
    event = Event("e", type="vm", event="on", object=EventObject(name=CountingText(f"object-{wanted}")))
    CountingText.work = 0
    assert [found.name for found in matcher.match(event)] == [f"o{wanted}"]
    return CountingText.work


def test_the_cost_depends_on_the_rules_that_match_not_on_how_many_there_are() -> None:
    assert work_of_one_match(100_000) == work_of_one_match(9) <= 5


def test_each_task_fires_once_for_the_first_rule_that_names_it() -> None:
    rules = (
        EventDef("r1", "vm", "on", tasks=("b", "a")),
        EventDef("r2", "vm", "on", tasks=("a", "c", "c")),
        EventDef("r3", "vm", "on", tasks=("b",)),
    )
    assert firings(rules) == (("b", "r1"), ("a", "r1"), ("c", "r2"))
    assert firings(()) == ()
