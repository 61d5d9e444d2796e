"""Compiling and evaluating expressions, which is the library's work: what they may use, and how an event looks to them.

Must never: let anything but `EvaluationError` out of an evaluation: an event is never refused for a rule.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from itertools import permutations
from typing import Any

from hookd.domain.events import Event
from hookd.domain.text import is_utf8
from hookd.domain.times import read_date_time
from hookd.rules.conditions.condition_errors import CONTAINER, VARIABLES, ConditionError, EvaluationError
from hookd.rules.conditions.error_messages import evaluation_message, refuse
from hookd.rules.conditions.fields import check_fields

LONGEST = 100_000
"""Characters of an expression; the library's own bound."""

MOST_BUILT = 1000
"""Entries of a list or map that `map` and `filter` are let loose on: the library builds their result in time
proportional to the square of its length, 10,000 entries take seconds. `all` and `exists` build nothing."""

_BUILDS = re.compile(r"\b(?:map|filter)\s*\(")


class Facts:
    """What expressions see of one event. Made once for all the rules the event may match; costs nothing until asked.

    A NUL in a text is the replacement character (U+FFFD) here, since the library would end the text at it, and so find
    equal what is not. An integer beyond 64 bits is a float, since the library would refuse all of the data for it.
    """

    def __init__(self, event: Event, now: float) -> None:
        self._event = event
        self._now = now

    @cached_property
    def activation(self) -> Any:
        """The variables and their values; raises whatever a value that is not JSON leads to."""
        event = self._event
        values = {
            "type": event.type,
            "event": event.event,
            "object": dict(_object(event)),
            "data": dict(event.data),
        }
        seen = {f"{CONTAINER}.{name}": _storable(value) for name, value in values.items()}
        seen[f"{CONTAINER}.time"] = _time(event.time, self._now)
        return _environment().Activation(seen)

    @cached_property
    def longest(self) -> int:
        """The entries of the longest list or map that expressions see."""
        tags = self._event.object.tags if self._event.object is not None else ()
        return max(len(tags), _longest(self._event.data))


class Condition:
    """A compiled expression; `builds` tells whether it may build lists, with `map` or `filter`."""

    def __init__(self, expression: Any, *, builds: bool) -> None:
        self._expression = expression
        self._builds = builds

    def holds(self, event: Event, now: float) -> bool:
        """Whether it is exactly true for an event; raises EvaluationError.

        Args:
            event: its data nested as deep as an event's may be (spec 2).
            now: seconds since the epoch; stands for the time of an event that has none.
        """
        return self.holds_for(Facts(event, now))

    def holds_for(self, facts: Facts) -> bool:
        """As `holds`, for an event that several expressions are asked about.

        The library bounds an evaluation to some 10,000 rounds of `all`, `exists`, `map` and `filter` together, and its
        patterns (RE2) take time in proportion to the text.
        """
        try:
            if self._builds:
                _require_short(facts.longest)
            value = self._expression.eval(facts.activation)
            kind = value.type().name()
            # Only these two: `value()` of a null takes a reference to None away, and thousands of them end the process.
            result: Any = value.value() if kind in {"BOOL", "ERROR"} else None
        except EvaluationError:
            raise
        except Exception as error:  # noqa: BLE001 - a binding to C++: which exceptions it raises, it does not say
            raise EvaluationError(evaluation_message(str(error))) from None
        if kind == "ERROR":
            raise EvaluationError(evaluation_message(result))
        return result is True


def compile_condition(text: str) -> Condition:
    """Compile and check an expression; raises ConditionError."""
    text = text.rstrip()  # a block of YAML ends with a line break, which is no second line
    if not text:
        raise ConditionError("is empty; write an expression that is true or false, such as data.level > 3")
    if len(text) > LONGEST:
        raise ConditionError(f"has {len(text):,} characters; {LONGEST:,} are allowed")
    if not is_utf8(text):
        raise ConditionError("holds a lone surrogate, which UTF-8 cannot express")
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        refuse(text, str(error))
    check_fields(text)
    result = expression.return_type().name().partition("<")[0].lower()
    if result not in {"bool", "dyn"}:
        raise ConditionError(f"must be true or false, not {result}")
    return Condition(expression, builds=_BUILDS.search(text) is not None)


def _require_short(longest: int) -> None:
    if longest > MOST_BUILT:
        raise EvaluationError(
            f"the event holds {longest:,} entries in one list; map() and filter() work on up to {MOST_BUILT:,}, "
            "all() and exists() on more"
        )


# What expressions may use.

_ORDERINGS = (("_<_", "less"), ("_<=_", "less_equals"), ("_>_", "greater"), ("_>=_", "greater_equals"))
_NUMBERS = {"int64": "int", "uint64": "uint", "double": "double"}
_ORDERED = {**_NUMBERS, **{name: name for name in ("bool", "string", "bytes", "timestamp", "duration")}}


@cache
def _environment() -> Any:
    # It takes 6 MiB of memory: only those who use `where` import it. Its types are not marked as such (PEP 561).
    from cel_expr_python import cel  # type: ignore[import-untyped] # noqa: PLC0415 - see above

    kinds = cel.Type
    declared: dict[str, list[Any]] = {}
    for function, overload, first, second in _comparisons():
        sides = {"list": kinds.List(kinds.DYN), "map": kinds.Map(kinds.DYN, kinds.DYN)}
        parameters = [kinds(first), sides.get(second) or kinds(second)]
        declared.setdefault(function, []).append(cel.Overload(overload, kinds.BOOL, parameters))
    excluded = "".join(f'\n    - name: "{function}"' for function in declared)
    text, mapping = kinds.STRING, kinds.Map(kinds.STRING, kinds.DYN)
    variables = zip(VARIABLES, (text, text, mapping, mapping, kinds.TIMESTAMP), strict=True)
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(f"name: {CONTAINER}\nstdlib:\n  exclude_functions:{excluded}"),
        container=CONTAINER,
        functions=[cel.FunctionDecl(function, overloads) for function, overloads in declared.items()],
        variables={f"{CONTAINER}.{name}": kind for name, kind in variables},
    )


def _comparisons() -> Iterator[tuple[str, str, str, str]]:
    """The comparisons as `(function, id, first type, second type)`.

    They stand in for those of the standard library, whose checker refuses `1 < 1.5` and `2.0 in [1, 2]`. Evaluating
    compares by value anyway: whole numbers exactly, a whole number with a fraction as floats.
    """
    for function, name in _ORDERINGS:
        for kind, declared in _ORDERED.items():
            yield function, f"{name}_{kind}", declared, declared
        for (left, first), (right, second) in permutations(_NUMBERS.items(), 2):
            yield function, f"{name}_{left}_{right}", first, second
    yield "_==_", "equals", "dyn", "dyn"
    yield "_!=_", "not_equals", "dyn", "dyn"
    yield "@in", "in_list", "dyn", "list"
    yield "@in", "in_map", "dyn", "map"


# How an event looks to them.

_EARLIEST = datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The library takes the moments before and after for the beginning and the end of all time."""


def _object(event: Event) -> Iterator[tuple[str, Any]]:
    """The keys of `object`: `id` and `name` only where the event has them, so that `has(object.name)` tells."""
    if event.object is not None:
        for name, value in (("id", event.object.id), ("name", event.object.name)):
            if value is not None:
                yield name, value
    yield "tags", list(event.object.tags) if event.object is not None else []


def _time(text: str | None, now: float) -> datetime:
    """The moment of an RFC 3339 text, else `now`."""
    if text is None:
        return datetime.fromtimestamp(now, UTC)
    return min(max(read_date_time(text), _EARLIEST), _LATEST)


def _storable(value: Any) -> Any:
    """A copy of JSON data in what the library can hold; see `Facts`."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else _as_float(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _longest(value: Any) -> int:
    if not isinstance(value, Mapping | list):
        return 0
    items = value.values() if isinstance(value, Mapping) else value
    return max(len(value), max(map(_longest, items), default=0))


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
