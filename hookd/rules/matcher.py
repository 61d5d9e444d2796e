"""Which rules an event matches (spec 3). The cost depends on the rules that match, not on how many there are.

Must never: do I/O, or look at anything but the event and the rules it was built from.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from hookd.domain.definitions import EventDef
from hookd.domain.events import Event, EventObject
from hookd.rules.conditions import Condition, EvaluationError, Facts, compile_condition
from hookd.rules.steps import at_once

_Rules = list[tuple[int, EventDef]]
"""Rules with their position in the declaration."""

_NONE: _Rules = []

MOST_AT_ONCE = 32
"""Rules of one event above which firing them is no quick matter."""


@dataclass(slots=True)
class _Bucket:
    """The rules of one type and event, by what they ask of the object."""

    any: _Rules = field(default_factory=list)
    objects: dict[str, _Rules] = field(default_factory=dict)
    tags: dict[str, _Rules] = field(default_factory=dict)

    def add(self, position: int, rule: EventDef) -> None:
        if rule.object is not None:
            self.objects.setdefault(rule.object, []).append((position, rule))
        elif rule.tag is not None:
            self.tags.setdefault(rule.tag, []).append((position, rule))
        else:
            self.any.append((position, rule))

    def naming(self, obj: EventObject) -> list[_Rules]:
        """The rules that name this object or one of its tags; a rule may come twice."""
        objects, tags = self.objects, self.tags
        named = (
            [objects.get(name, _NONE) for name in (obj.name, obj.id) if name is not None] if objects else []
        )
        return named + [tags.get(tag, _NONE) for tag in obj.tags] if tags else named


class Matches(NamedTuple):
    """What an event matches.

    Attributes:
        rules: those that match, in the order they were declared, each once.
        failures: those whose `where` has no value for the event, as `(place of the rule, error)`.
    """

    rules: tuple[EventDef, ...]
    failures: tuple[tuple[str, str], ...] = ()


class Matcher:
    """An index over the enabled rules of a configuration; whether a task is enabled, the caller asks."""

    def __init__(self, rules: Iterable[EventDef]) -> None:
        """Index the rules and compile their `where`; raises ConditionError for one that is not known to compile."""
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._conditions: dict[int, Condition] = {}
        for position, rule in enumerate(rules):
            if rule.enabled:
                self._buckets.setdefault((rule.type, rule.event), _Bucket()).add(position, rule)
                if rule.where is not None:
                    self._conditions[position] = compile_condition(rule.where)

    def knows(self, type_name: str, event_name: str) -> bool:
        """Whether any rule is about this type and event."""
        return (type_name, event_name) in self._buckets

    def match(self, event: Event, now: float) -> Matches:
        """The rules that match; `now` (seconds since the epoch) is the time of an event that has none."""
        return at_once(self.matching(event, now))

    def matching(self, event: Event, now: float) -> Generator[None, None, Matches]:
        """As `match`, in steps of bounded work, between which the caller may do something else."""
        facts = Facts(event, now)
        rules: list[EventDef] = []
        failures: list[tuple[str, str]] = []
        for position, rule in self._indexed(event):
            condition = self._conditions.get(position)
            try:
                if condition is None or (yield from condition.judge(facts)):
                    rules.append(rule)
            except EvaluationError as error:
                failures.append((rule.place, str(error)))
            yield
        return Matches(tuple(rules), tuple(failures))

    def matching_plainly(self, event: Event) -> tuple[EventDef, ...] | None:
        """The rules that match, in order, where that is quick to tell; None where it takes steps (`matching`)."""
        rules = self._indexed(event)
        if len(rules) > MOST_AT_ONCE:
            return None
        conditions = self._conditions
        if conditions and any(position in conditions for position, _ in rules):
            return None
        return tuple([rule for _, rule in rules])

    def _indexed(self, event: Event) -> _Rules:
        """The rules of the event's type, event and object, in order; `where` apart."""
        bucket = self._buckets.get((event.type, event.event))
        if bucket is None:
            return []
        obj = event.object
        if obj is None or not (bucket.objects or bucket.tags):
            return bucket.any
        lists = [rules for rules in bucket.naming(obj) if rules]
        if bucket.any:
            lists.append(bucket.any)
        if len(lists) < 2:
            return lists[0] if lists else []
        return sorted({position: rule for rules in lists for position, rule in rules}.items())


def firings(rules: Iterable[EventDef]) -> tuple[tuple[str, str], ...]:
    """The tasks to fire as `(task, place of its rule)`, in order: each task once, by the first rule that names it."""
    fired: dict[str, str] = {}
    for rule in rules:
        for task in rule.tasks:
            fired.setdefault(task, rule.place)
    return tuple(fired.items())
