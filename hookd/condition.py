"""`where`: CEL expressions over an event (spec 3; the language: https://github.com/google/cel-spec).

Compiling and evaluating is the library's work; here stands what an expression may use, how an event looks to it, and
the library's errors in hookd's own words.

Must never: do I/O, read a clock, or let anything but `EvaluationError` out of an evaluation: an event is never refused
for a rule. Called by: `config` (checks), `match`, `explain`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from itertools import permutations
from typing import Any, NoReturn

from hookd.model import Event
from hookd.wording import guess, shown

VARIABLES = ("type", "event", "object", "data", "time")
"""The names an expression may use."""

LONGEST = 100_000
"""Characters of an expression; the library's own bound."""

MOST_BUILT = 1000
"""Entries of a list or map that `map` and `filter` are let loose on: the library builds their result in time
proportional to the square of its length, 10,000 entries take seconds. `all` and `exists` build nothing."""

_BUILDS = re.compile(r"\b(?:map|filter)\s*\(")

_CONTAINER = "hookd"
"""`type` is a function of CEL; as `hookd.type`, looked up from inside `hookd`, it may be a variable as well."""


class ConditionError(ValueError):
    """An expression that cannot be used.

    Attributes:
        message: the end of a sentence that names the place within the expression.
        line: the line of the expression it is about, from 0.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class EvaluationError(ValueError):
    """An expression that has no value for this event, such as one that asks for a field that is not there."""


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
        seen = {f"{_CONTAINER}.{name}": _storable(value) for name, value in values.items()}
        seen[f"{_CONTAINER}.time"] = _time(event.time, self._now)
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
            raise EvaluationError(_evaluation_message(str(error))) from None
        if kind == "ERROR":
            raise EvaluationError(_evaluation_message(result))
        return result is True


def compile_condition(text: str) -> Condition:
    """Compile and check an expression; raises ConditionError."""
    text = text.rstrip()  # a block of YAML ends with a line break, which is no second line
    if not text:
        raise ConditionError("is empty; write an expression that is true or false, such as data.level > 3")
    if len(text) > LONGEST:
        raise ConditionError(f"has {len(text):,} characters; {LONGEST:,} are allowed")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ConditionError("holds a lone surrogate, which UTF-8 cannot express")
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        _refuse(text, str(error))
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
        config=cel.NewEnvConfigFromYaml(f"name: {_CONTAINER}\nstdlib:\n  exclude_functions:{excluded}"),
        container=_CONTAINER,
        functions=[cel.FunctionDecl(function, overloads) for function, overloads in declared.items()],
        variables={f"{_CONTAINER}.{name}": kind for name, kind in variables},
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
    """The moment of an RFC 3339 text, else `now`. A leap second is the second before it, which has the same date."""
    if text is None:
        return datetime.fromtimestamp(now, UTC)
    before, second, after = text[:17], text[17:19], text[19:]
    moment = datetime.fromisoformat(f"{before}{'59' if second == '60' else second}{after}".upper())
    return min(max(moment, _EARLIEST), _LATEST)


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


# The library's errors in other words. Each pattern must match all of the library's sentence.

_Wording = tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]

_FIRST_FAULT = re.compile(
    rf"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<sentence>.*?)(?: \(in container '{_CONTAINER}'\))?"
    r"(?: \[[A-Z_]+\])?(?=\n \| |\nERROR: |\Z)",
    re.DOTALL,
)
_UNDECLARED = re.compile(r"undeclared reference to '\.?(.*)'", re.DOTALL)
_CODE = re.compile(r"\A[A-Z_]+: | \[[A-Z_]+\]\Z")

_FUNCTIONS = (
    "all", "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "exists", "exists_one", "filter",
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
    "getMinutes", "getMonth", "getSeconds", "has", "int", "map", "matches", "size", "startsWith", "string",
    "timestamp", "uint",
)  # fmt: skip
_WORDS = ("true", "false", "null")
_NAMES = {"id": "object.id", "name": "object.name", "tags": "object.tags", "now": "time", "none": "null"}
_SIGNS = {"and": "&&", "or": "||", "=": "==", "=>": ">=", "&": "&&", "|": "||"}
_CURLY = "\u2018\u2019\u201a\u201c\u201d\u201e"
_TYPES = {
    "int64": "int",
    "uint64": "uint",
    "null_type": "null",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}


def _refuse(text: str, problem: str) -> NoReturn:
    """Raises what the library says of the first fault."""
    fault = _FIRST_FAULT.search(problem)
    if fault is None or int(fault["line"]) < 1:
        raise ConditionError(_worded(_CODE.sub("", fault["sentence"] if fault else problem), _COMPILING))
    lines = text.split("\n")
    index, column, sentence = int(fault["line"]) - 1, int(fault["column"]), fault["sentence"]
    if unknown := _UNDECLARED.fullmatch(sentence):
        column, sentence = _undeclared(unknown[1], lines[index], column)
    else:
        sentence = _worded(sentence, _COMPILING)
    place = f"line {index + 1}, column {column}" if len(lines) > 1 else f"column {column}"
    raise ConditionError(f"{place}: {sentence}", index)


def _undeclared(reference: str, line: str, column: int) -> tuple[int, str]:
    """Column and sentence for a name that is not there; the library names the column of a dot or bracket after it."""
    name = reference.partition(".")[0]
    starts = [found.start() + 1 for found in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", line)]
    start = max((at for at in starts if at <= column), default=min(starts, default=column))
    called = name == reference and line[start - 1 + len(name) :].lstrip().startswith("(")
    return start, _unknown_function(name) if called else _unknown_name(name)


def _unknown_function(name: str) -> str:
    if name in _FUNCTIONS:
        return f"{name}() takes other arguments"
    near = guess(name, _FUNCTIONS)
    return f'unknown function "{shown(name)}"' + (f'; did you mean "{near}"?' if near else "")


def _unknown_name(name: str) -> str:
    near = _NAMES.get(name.lower()) or guess(name.lower(), (*VARIABLES, *_WORDS))
    advice = f'did you mean "{near}"?' if near else "if it is text, put it in quotes"
    return f'unknown name "{shown(name)}"; {advice} (names: {", ".join(VARIABLES)})'


def _unexpected(piece: str) -> str:
    """A piece of the expression, `<EOF>` for its end, that cannot stand where it does."""
    if piece == "<EOF>":
        return "it ends where more is needed"
    word = piece.strip()
    if not word:
        return "unexpected character"
    if word.startswith(('"', "'")):
        return f"unexpected text {shown(word, 20)}"
    if word[0] in _CURLY:
        return f"unexpected quote {word[0]}; quotes are \" or '"
    sign = "" if word in _SIGNS.values() else _SIGNS.get(word.lower()) or _SIGNS.get(word[0])
    return f'unexpected "{shown(word, 20)}"' + (f'; did you mean "{sign}"?' if sign else "")


def _unreadable(piece: str) -> str:
    if piece.startswith(('"', "'")):
        return "the text that begins here has no end, or a \\ that means nothing"
    return _unexpected(piece)


def _mismatch(function: str, types: str) -> str:
    """Values of types that a function or operator does not take."""
    named = _renamed(types)
    return f'"{_operator(function)}" does not take ({shown(named, 120)}){_remedy(set(named.split(", ")))}'


def _renamed(types: str) -> str:
    return re.sub(r"[\w.]+", lambda found: _TYPES.get(found[0], found[0]), types)


def _remedy(types: set[str]) -> str:
    if len(types & {"int", "uint", "double"}) > 1:
        return "; int(…) and double(…) make numbers one type"
    if "timestamp" in types and "string" in types:
        return '; timestamp("2026-01-02T03:04:05Z") makes a time of text'
    if "duration" in types:
        return '; duration("5m") is five minutes'
    return ""


def _operator(function: str) -> str:
    """As it is written: `_>_` is `>`, `@in` is `in`."""
    return re.sub(r"[_@]", "", function) if re.search(r"\W", function) else function


def _wording(*rules: tuple[str, Callable[[re.Match[str]], str]]) -> _Wording:
    return tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in rules)


_COMPILING = _wording(
    (r"Syntax error: (?:mismatched|extraneous) input '(.*?)' expecting .*", lambda found: _unexpected(found[1])),
    (r"Syntax error: no viable alternative at input '\.?(.*)'", lambda found: _unexpected(found[1] or "<EOF>")),
    (r"Syntax error: token recognition error at: '(.*?)'?", lambda found: _unreadable(found[1])),
    (r"Syntax error: missing '(.*?)' at .*", lambda found: f'"{found[1]}" is missing'),
    (r"found no matching overload for '(.*?)' applied to '\((.*)\)'", lambda found: _mismatch(found[1], found[2])),
    (r"expression of type '(.*?)' cannot be .*", lambda found: f"a value of type {_renamed(found[1])} has no fields"),
    (r"reserved identifier: (.*)", lambda found: f'"{found[1]}" is a reserved word'),
    (r"invalid (?:hex )?u?int literal", lambda _: "the number does not fit into 64 bits"),
    (r".*recursion (?:limit|depth).* (\d+).*", lambda found: f"is nested deeper than {found[1]} levels; use fewer "
        "brackets, or fewer operators in a row (&& and || apart)"),
)  # fmt: skip
_EVALUATING = _wording(
    (r'Key not found in map : "?(.*?)"?', lambda found: f'there is no "{shown(found[1])}"'),
    (r"Applying SELECT to .*", lambda _: "a field is asked of a value that has no fields"),
    (r"No matching overloads found : \((.*?)\)\.(\w+)\((.*)\)",
        lambda found: _mismatch(found[2], ", ".join(filter(None, (found[1], found[3]))))),
    (r"No matching overloads found : (.*?)\((.*)\)", lambda found: _mismatch(found[1], found[2])),
    (r"No matching overloads found : <jump_condition>", lambda _: "what stands before a ? is not true or false"),
    (r"No matching overloads found : <iter_range>", lambda _: "a list or a map is needed where there is neither"),
    (r"No matching overloads found : (.*)", lambda found: f'"{_operator(found[1])}" does not take such values'),
    (r"Iteration budget exceeded", lambda _: "it takes more steps than an evaluation may"),
)  # fmt: skip


def _worded(sentence: str, wording: _Wording) -> str:
    for pattern, words in wording:
        if found := pattern.fullmatch(sentence):
            return words(found)
    return shown(sentence, 200)


def _evaluation_message(problem: str) -> str:
    return _worded(_CODE.sub("", problem), _EVALUATING)
