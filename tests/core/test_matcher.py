from collections.abc import Generator, Iterable, Iterator

import pytest

from hookd.domain.definitions import EventDef
from hookd.domain.events import Event, EventObject
from hookd.rules import matcher
from hookd.rules.conditions import ConditionError
from hookd.rules.matcher import Matcher, Matches, firings


def rule(
    name: str,
    *,
    kind: tuple[str, str] = ("vm", "on"),
    obj: str | None = None,
    tag: str | None = None,
    where: str | None = None,
    enabled: bool = True,
) -> EventDef:
    return EventDef(
        place=f"events.{name}",
        type=kind[0],
        event=kind[1],
        tasks=("t",),
        object=obj,
        tag=tag,
        where=where,
        enabled=enabled,
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


NOW = 1760629087.9


def names(event: Event, rules: Iterable[EventDef] = RULES) -> list[str]:
    matcher = Matcher(rules)
    found = matcher.match(event, NOW)
    assert found.failures == ()
    assert matcher.matching_plainly(event) in (None, found.rules)
    return [rule.place.removeprefix("events.") for rule in found.rules]


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
    assert [found.place for found in matcher.match(event, NOW).rules] == [f"events.o{wanted}"]
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


ON_WEB = Event("e", type="vm", event="on", object=EventObject(name="web-01", tags=("edge",)), data={"x": 5})
CONDITIONAL = (
    rule("tagged", tag="edge", where="data.x > 4.5"),
    rule("low", where="data.x < 5"),
    rule("plain"),
    rule("named", obj="web-01", where='"edge" in object.tags && type == "vm" && event == "on"'),
    rule("number", where="data.x"),
    rule("last", where="time == timestamp('2025-10-16T15:38:07.9Z')"),
)


def test_where_must_be_true_as_well() -> None:
    assert names(ON_WEB, CONDITIONAL) == ["tagged", "plain", "named", "last"]


def test_a_where_without_a_value_is_a_failure_of_its_rule_alone() -> None:
    rules = (
        rule("first"),
        rule("missing", where="data.y > 1"),
        rule("other-object", obj="db-01", where="data.y > 1"),
        rule("second", where="data.x == 5"),
        rule("wrong", tag="edge", where='data.x.startsWith("a")'),
        rule("off", where="data.y > 1", enabled=False),
    )
    assert Matcher(rules).match(ON_WEB, NOW) == Matches(
        rules=(rules[0], rules[3]),
        failures=(
            ("events.missing", 'there is no "y"'),
            ("events.wrong", '"startsWith" does not take (int, string)'),
        ),
    )


def test_where_is_not_asked_of_rules_that_do_not_match_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Watched:
        def __init__(self, text: str) -> None:
            self.text = text

        def judge(self, _facts: object) -> Generator[None, None, bool]:
            asked.append(self.text)
            yield
            return True

    monkeypatch.setattr(matcher, "compile_condition", Watched)
    rules = (
        rule("a", where="any"),
        rule("b", obj="web-01", where="object"),
        rule("c", tag="edge", where="tag"),
        rule("d", obj="db-01", where="other object"),
        rule("e", tag="core", where="other tag"),
        rule("f", kind=("vm", "off"), where="other event"),
        rule("g", kind=("disk", "on"), where="other type"),
        rule("h", where="off", enabled=False),
    )
    compiled = Matcher(rules)
    assert asked == []
    assert compiled.match(ON_WEB, NOW) == Matches(rules[:3])
    assert asked == ["any", "object", "tag"]


def test_a_where_is_compiled_once_for_enabled_rules() -> None:
    with pytest.raises(ConditionError, match='column 1: unknown name "dta"'):
        Matcher([rule("bad", where="dta.x")])
    assert Matcher([rule("bad", where="dta.x", enabled=False)]).match(ON_WEB, NOW) == Matches(())


def test_a_type_and_event_are_known_where_an_enabled_rule_is_about_them() -> None:
    matcher = Matcher(RULES)
    assert matcher.knows("vm", "on")
    assert matcher.knows("vm", "off")
    assert not matcher.knows("volume", "off")
    assert not Matcher([rule("off", enabled=False)]).knows("vm", "on")


def test_what_takes_steps_is_not_matched_plainly() -> None:
    event = Event("e", type="vm", event="on", object=EventObject(name="web-01"))
    assert Matcher(RULES).matching_plainly(event) is not None
    assert Matcher([*RULES, rule("asks", where="true")]).matching_plainly(event) is None
    assert Matcher([*RULES, rule("asks", tag="x", where="true")]).matching_plainly(event) is not None
    many = [rule(f"r{number}") for number in range(matcher.MOST_AT_ONCE + 1)]
    assert Matcher(many).matching_plainly(event) is None
