"""Which rules an event matches (spec 3). The cost depends on the rules that match, not on how many there are.

Must never: do I/O, or look at anything but the event and the rules it was built from.
Called by: `generation` (builds), `intake`, `explain`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hookd.defs import EventDef
from hookd.model import Event, EventObject

_Rules = list[tuple[int, EventDef]]
"""Rules with their position in the declaration."""


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

    def naming(self, obj: EventObject) -> Iterable[tuple[int, EventDef]]:
        """The rules that name this object or one of its tags; a rule may come twice."""
        for name in (obj.name, obj.id):
            if name is not None:
                yield from self.objects.get(name, ())
        for tag in obj.tags:
            yield from self.tags.get(tag, ())


class Matcher:
    """An index over the enabled rules of a configuration; whether a task is enabled, the caller asks."""

    def __init__(self, rules: Iterable[EventDef]) -> None:
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        for position, rule in enumerate(rules):
            if rule.enabled:
                self._buckets.setdefault((rule.type, rule.event), _Bucket()).add(position, rule)

    def match(self, event: Event) -> tuple[EventDef, ...]:
        """The rules that match, in the order they were declared, each once."""
        bucket = self._buckets.get((event.type, event.event))
        if bucket is None:
            return ()
        if event.object is None:
            return tuple(rule for _, rule in bucket.any)
        found = dict(bucket.naming(event.object))
        found.update(bucket.any)
        return tuple(found[position] for position in sorted(found))


def firings(rules: Iterable[EventDef]) -> tuple[tuple[str, str], ...]:
    """The tasks to fire as `(task, rule name)`, in order: each task once, by the first rule that names it."""
    fired: dict[str, str] = {}
    for rule in rules:
        for task in rule.tasks:
            fired.setdefault(task, rule.name)
    return tuple(fired.items())
