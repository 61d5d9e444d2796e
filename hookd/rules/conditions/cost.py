"""How much work evaluating an expression can be at most, from its tree and the sizes of what it combines.

The unit is about a nanosecond on the machine that the figures were measured on; only their proportion to `MOST` counts.
A loop's work is that of a round as often as it may go round; all loops together go round `ROUNDS` times at most, which
the library sees to. What is not known to be cheap is taken to be expensive.

Must never: be below the work; or cost more itself than the expression has parts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from hookd.rules.conditions import patterns
from hookd.rules.conditions.condition_errors import CONTAINER
from hookd.rules.conditions.sizes import SCALAR, Size, joined, larger, list_size, repeated, text_size
from hookd.rules.conditions.syntax_tree import (
    Call,
    Entries,
    ExpressionNode,
    Field,
    Literal,
    Loop,
    Name,
    children,
)

MOST = 40_000_000
"""Of one evaluation."""

ROUNDS = 10_000

_SEEN = 200
_NODE = 60
_ROUND = 100
_ADDED = 38
_ENTRY = 60
_COMPARED = 200
_FOUND = 60
_CONVERTED = 1000
_LONGEST_NUMBER = 400
"""Costs: of a value that the library takes over from the event, used or not; of a part of an expression; of a round; of
an entry of the list that `map` builds, copied for each one that is added; of an entry of another list copied; of two
values compared; of an entry that `in` looks at; of a number or a time made of a text. Bytes of a number or a time made
text."""

Path = tuple[str, ...]
"""A variable of the event and the names of the fields below it: `data.host.name` is `("data", "host", "name")`."""


def path_of(node: ExpressionNode) -> Path | None:
    """Which part of the event an expression names; None where it is another value."""
    match node:
        case Name() if node.name.startswith(f"{CONTAINER}."):
            return (node.name.removeprefix(f"{CONTAINER}."),)
        case (
            Field(operand=operand, name=name)
            | Call(function="_[_]", arguments=(operand, Literal(text=str(name))))
        ) if path := path_of(operand):
            return (*path, name)
        case _:
            return None


def paths_in(node: ExpressionNode) -> frozenset[Path]:
    """The parts of the event that an expression looks at."""
    if path := path_of(node):
        return frozenset({path})
    return frozenset().union(*map(paths_in, children(node)))


def roots_of(paths: Iterable[Path]) -> frozenset[Path]:
    """The variables, and of `data` the fields, that the library takes over whole for these parts."""
    return frozenset(path[:2] if path[0] == "data" else path[:1] for path in paths)


@dataclass(slots=True)
class Estimate:
    """The cost of an expression for one event.

    Attributes:
        size_of: the size of a part of the event.
        text_of: the text that a part of the event is, if it is one.
        cost: what was added up so far.
    """

    size_of: Callable[[Path], Size]
    text_of: Callable[[Path], str | None]
    cost: int = 0

    def add(self, node: ExpressionNode) -> int:
        """The cost of evaluating it once, and of what was added before."""
        self._size(node, {}, 1)
        return self.cost

    def add_roots(self, roots: Iterable[Path]) -> None:
        """The cost of letting the library have these parts of the event."""
        self.cost += sum(_SEEN * self.size_of(root).values for root in roots)

    def _size(self, node: ExpressionNode, variables: Mapping[str, Size], times: int) -> Size:
        """How large its value is; the cost of evaluating it so many times is added."""
        self.cost += times * _NODE
        if path := path_of(node):
            return self.size_of(path)
        match node:
            case Literal(text=text):
                size = text_size(len(text.encode())) if text is not None else SCALAR
            case Name(name=name):
                size = variables.get(name, SCALAR)
            case Field():
                size = self._size(node.operand, variables, times).inner()
            case Entries():
                self.cost += times * _COMPARED * len(node.nodes)
                size = list_size(self._size(entry, variables, times) for entry in node.nodes)
            case Call():
                size = self._call(node, variables, times)
            case Loop():
                size = self._loop(node, variables, times)
        return size

    def _loop(self, node: Loop, variables: Mapping[str, Size], times: int) -> Size:
        entries = self._size(node.entries, variables, times)
        initial = self._size(node.initial, variables, times)
        rounds = min(times * entries.count, ROUNDS)
        most = min(entries.count, ROUNDS)
        builds = node.initial == Entries(())
        result = Size(count=most) if builds else initial
        within = {**variables, node.variable: entries.inner(), node.accumulator: result}
        self.cost += rounds * _ROUND
        # One round more than there are steps: the condition is asked before each, and at the end.
        self._size(node.condition, within, rounds + times)
        step = self._size(node.step, within, rounds)
        if builds:
            result = repeated(most, step.inner())
        return self._size(node.result, {**variables, node.accumulator: result}, times)

    def _call(self, node: Call, variables: Mapping[str, Size], times: int) -> Size:
        sizes = [self._size(argument, variables, times) for argument in node.arguments]
        if node.function == "matches" and len(sizes) == 2:
            self.cost += times * self._pattern(node.arguments[1], sizes[1]).cost(sizes[0].text)
            return SCALAR
        if node.function == "_+_" and _builds(node.arguments[0]):
            self.cost += times * _ADDED * sizes[0].count
            return joined(*sizes)
        work, result = _FUNCTIONS.get(node.function, _any_function)(sizes)
        self.cost += times * work
        return result

    def _pattern(self, node: ExpressionNode, size: Size) -> patterns.Pattern:
        path = path_of(node)
        text = node.text if isinstance(node, Literal) else self.text_of(path) if path else None
        return patterns.weigh(text) if text is not None else patterns.unknown(size.text)


def _builds(node: ExpressionNode) -> bool:
    """Whether it is the list that `map` or `filter` builds; such names stand in no expression that is written."""
    return isinstance(node, Name) and node.name.startswith("@")


# What a function or operator costs for values of these sizes, and the size of its result.

_Sizes = list[Size]
_Cost = tuple[int, Size]


def _any_function(sizes: _Sizes) -> _Cost:
    together = reduce(joined, sizes, SCALAR)
    return _CONVERTED + _COMPARED * together.values + 30 * together.total, together


def _nothing(_sizes: _Sizes) -> _Cost:
    return 0, SCALAR


def _choice(sizes: _Sizes) -> _Cost:
    return 0, reduce(larger, sizes[1:], SCALAR)


def _joining(sizes: _Sizes) -> _Cost:
    both = reduce(joined, sizes)
    return 3 * both.text + _ENTRY * both.count, both


def _comparing(sizes: _Sizes) -> _Cost:
    first, second = sizes
    return _COMPARED * min(first.values, second.values) + min(first.total, second.total), SCALAR


def _ordering(sizes: _Sizes) -> _Cost:
    return min(size.text for size in sizes), SCALAR


def _within(sizes: _Sizes) -> _Cost:
    wanted, place = sizes
    compared = min(place.count * wanted.total, place.total)
    nested = min(place.count * (wanted.values - 1), place.values) * _COMPARED
    return _COMPARED + place.count * _FOUND + compared + nested + wanted.text, SCALAR


def _index(sizes: _Sizes) -> _Cost:
    return _COMPARED + 2 * sizes[1].text, sizes[0].inner()


def _size_of(sizes: _Sizes) -> _Cost:
    return 5 * sizes[0].text, SCALAR


def _containing(sizes: _Sizes) -> _Cost:
    text, wanted = sizes
    return text.text * (20 + wanted.text // 8), SCALAR


def _converting(sizes: _Sizes) -> _Cost:
    length = sizes[0].text
    return _CONVERTED + 10 * length, text_size(3 * length + _LONGEST_NUMBER)


def _same(sizes: _Sizes) -> _Cost:
    return 0, sizes[0]


_FUNCTIONS: Mapping[str, Callable[[_Sizes], _Cost]] = {
    **dict.fromkeys(
        ("_&&_", "_||_", "!_", "-_", "_-_", "_*_", "_/_", "_%_", "@not_strictly_false"), _nothing
    ),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_", "startsWith", "endsWith"), _ordering),
    **dict.fromkeys(("_==_", "_!=_"), _comparing),
    **dict.fromkeys(
        ("string", "bytes", "int", "uint", "double", "bool", "timestamp", "duration", "type"), _converting
    ),
    "_?_:_": _choice,
    "_+_": _joining,
    "@in": _within,
    "_[_]": _index,
    "size": _size_of,
    "contains": _containing,
    "dyn": _same,
}
