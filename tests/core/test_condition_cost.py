"""What an evaluation may cost: bounded before it is begun, from the sizes of what the expression combines."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.domain.events import Event, EventObject
from hookd.rules.conditions import EvaluationError, Facts, compile_condition
from hookd.rules.conditions.cost import MOST, Estimate, path_of, paths_in
from hookd.rules.conditions.environment import environment
from hookd.rules.conditions.patterns import LARGEST, weigh
from hookd.rules.conditions.sizes import SMALL, Size, is_small, measure
from hookd.rules.conditions.syntax_tree import (
    Call,
    Entries,
    ExpressionNode,
    Field,
    Literal,
    Loop,
    Name,
    children,
    syntax_tree,
)
from hookd.rules.steps import at_once

LONGEST_STEP_S = 0.05
"""No event may hold the loop for longer."""


def tree(text: str) -> ExpressionNode:
    return syntax_tree(environment().compile(text).serialize())


def estimated(text: str, data: Mapping[str, Any]) -> int:
    node = tree(text)
    facts = Facts(Event("e", type="t", event="e", data=data), 0.0)
    at_once(facts.prepare(paths_in(node), None))
    return Estimate(facts.size_of, facts.text_of).add(node)


def failure(text: str, data: Mapping[str, Any]) -> str:
    with pytest.raises(EvaluationError) as failed:
        compile_condition(text).holds(Event("e", type="t", event="e", data=data), 0.0)
    return str(failed.value)


# The tree.


def test_the_tree_has_the_macros_expanded() -> None:
    x, result = Name("x"), Name("@result")
    assert tree('data.l.all(x, x != "a")') == Loop(
        "x",
        Field(Name("hookd.data"), "l"),
        "@result",
        Literal(None),
        Call("@not_strictly_false", (result,)),
        Call("_&&_", (result, Call("_!=_", (x, Literal("a"))))),
        result,
    )


def test_the_tree_has_every_kind_of_node() -> None:
    data = Name("hookd.data")
    assert (
        tree('{"a": 1.5, data.x: -3}[data["b c"]] == b"\\xff" || has(data.x.y) || data.t.contains("")')
        == Call(
            "_||_",
            (
                Call(
                    "_==_",
                    (
                        Call(
                            "_[_]",
                            (
                                Entries((Literal("a"), Literal(None), Field(data, "x"), Literal(None))),
                                Call("_[_]", (data, Literal("b c"))),
                            ),
                        ),
                        Literal("\ufffd"),
                    ),
                ),
                Call(
                    "_||_",
                    (Field(Field(data, "x"), "y"), Call("contains", (Field(data, "t"), Literal("")))),
                ),
            ),
        )
        or children(tree("true")) == ()
    )


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("true", set()),
        ('data.a.b > 1 && data["c d"].e == type', {("data", "a", "b"), ("data", "c d", "e"), ("type",)}),
        ("data[data.k] == 1", {("data",), ("data", "k")}),
        ("data.list.exists(data, data.free < 1)", {("data", "list")}),
        ("object.tags == [] && time > time", {("object", "tags"), ("time",)}),
    ],
)
def test_the_parts_of_the_event_that_an_expression_looks_at_are_known(
    text: str, paths: set[tuple[str, ...]]
) -> None:
    assert paths_in(tree(text)) == paths


# Sizes.


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)


def values_in(value: Any) -> list[Any]:
    within = (
        [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return [value, *(deep for item in within for deep in values_in(item))]


def length(value: Any) -> int:
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else 0


def assert_fits(value: Any, size: Size) -> None:
    deep = values_in(value)
    assert size.text >= length(value)
    assert size.count >= (len(value) if isinstance(value, list | dict) else 0)
    assert size.values >= len(deep)
    assert size.total >= sum(map(length, deep))
    for item in (
        [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        assert_fits(item, size.inner())


@given(JSON)
def test_a_measured_size_is_never_below_what_is_there(value: Any) -> None:
    assert_fits(value, at_once(measure(value)))


@given(JSON)
def test_what_is_small_fits_into_the_size_of_all_that_is(value: Any) -> None:
    if is_small(value):
        assert_fits(value, SMALL)
    assert is_small(value) or len(values_in(value)) > 100


@pytest.mark.parametrize(
    "value",
    [[0] * 201, {"a": ["x" * 1100, "é" * 800]}, [[[0] * 70] * 3], dict.fromkeys(map(str, range(101)))],
)
def test_what_is_not_small_is_not(value: Any) -> None:
    assert not is_small(value)


# The law: what an evaluation does is never more than was estimated.


class Ended(Exception):
    """The expression has no value."""


@dataclass
class Counting:
    """Evaluates plainly, and counts: parts, rounds, entries and bytes that are copied, compared or looked through."""

    data: Mapping[str, Any]
    work: int = 0
    rounds: int = 0

    def value(self, node: ExpressionNode, names: Mapping[str, Any]) -> Any:
        self.work += 1
        match node:
            case Literal() | Name():
                return self.leaf(node, names)
            case Field(operand=operand, name=name):
                whole = self.value(operand, names)
                if not isinstance(whole, dict) or name not in whole:
                    raise Ended
                return whole[name]
            case Entries(nodes=nodes):
                return [self.value(entry, names) for entry in nodes]
            case Call(function="_&&_" | "_||_" | "_?_:_", arguments=arguments):
                return [self.value(argument, names) for argument in arguments][-1]
            case Call(function=function, arguments=arguments):
                return self.call(function, [self.value(argument, names) for argument in arguments])
            case Loop():
                return self.loop(node, names)

    def leaf(self, node: Literal | Name, names: Mapping[str, Any]) -> Any:
        if isinstance(node, Literal):
            return 0 if node.text is None else node.text
        return self.data if node.name == "hookd.data" else names.get(node.name, "t")

    def loop(self, node: Loop, names: Mapping[str, Any]) -> Any:
        entries = self.value(node.entries, names)
        if not isinstance(entries, list | dict):
            raise Ended
        result = self.value(node.initial, names)
        for entry in entries:
            self.rounds += 1
            self.work += 1
            if self.rounds > 10_000:
                raise Ended
            within = {**names, node.variable: entry, node.accumulator: result}
            self.value(node.condition, within)
            result = self.step(node.step, within)
        return self.value(node.result, {**names, node.accumulator: result})

    def step(self, node: ExpressionNode, names: Mapping[str, Any]) -> Any:
        """The result of a round; where it adds an entry under a condition, as if it held: that is the most."""
        if isinstance(node, Call) and node.function == "_?_:_" and node.arguments[2] == Name("@result"):
            self.value(node.arguments[0], names)
            return self.value(node.arguments[1], names)
        return self.value(node, names)

    def call(self, function: str, values: list[Any]) -> Any:
        first, second = (*values, None, None)[:2]
        match function:
            case "_+_" if isinstance(first, str) and isinstance(second, str):
                self.work += length(first) + length(second)
                return first + second
            case "_+_" if isinstance(first, list) and isinstance(second, list):
                self.work += len(first) + len(second)
                return first + second
            case "_==_" | "_!=_":
                self.work += compared(first, second)
            case "@in" if isinstance(second, list):
                self.work += sum(compared(first, entry) for entry in second)
            case "contains" if isinstance(first, str) and isinstance(second, str):
                self.work += length(first) * (1 + length(second) // 16)
            case "size" | "matches" | "string" | "_[_]":
                self.work += length(first)
        if function == "_[_]" and isinstance(first, list | dict):
            return next(iter(first.values() if isinstance(first, dict) else first), 0)
        return first if function in {"string", "dyn"} else 0


def compared(first: Any, second: Any) -> int:
    """The steps of comparing two values: never more than the smaller one has."""
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return 1 + sum(map(compared, first, second))
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return 1 + sum(length(name) + compared(first[name], second[name]) for name in first)
    if isinstance(first, str) and isinstance(second, str):
        return 1 + min(length(first), length(second))
    return 1


VALUES = st.sampled_from(
    ["data.a", "data.b", "data.a.x", "data.b[0]", '"abc"', "5", "[data.a, data.b]", '{"k": data.a}', "type"]
)


def expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = st.builds("({} {} {})".format, inner, st.sampled_from(["==", "!=", "in"]), inner)
    joined = st.builds("(dyn({}) + dyn({}))".format, inner, inner)
    called = st.builds(
        "dyn({}).{}(dyn({}))".format, inner, st.sampled_from(["contains", "startsWith"]), inner
    )
    sized = st.builds("size(dyn({}))".format, inner)
    macro = st.sampled_from(["all", "exists", "exists_one", "filter"])
    loop = st.builds("dyn({}).{}(v, dyn({}) == v)".format, inner, macro, inner)
    mapped = st.builds("dyn({}).map(w, [w, {}])".format, inner, inner)
    nested = st.builds(
        "dyn({}).all(v, dyn({}).exists(w, dyn(v) == w && {} == w))".format, inner, inner, inner
    )
    return infix | joined | called | sized | loop | mapped | nested


TEXTS = st.recursive(VALUES, expressions, max_leaves=6)


@given(TEXTS, st.fixed_dictionaries({"a": JSON, "b": JSON}))
def test_the_estimate_is_never_below_the_work(text: str, data: dict[str, Any]) -> None:
    try:
        node = tree(f"dyn({text}) == true")
    except RuntimeError:
        return  # types that cannot fit
    counting = Counting(data)
    with suppress(Ended):
        counting.value(node, {})
    assert estimated(f"dyn({text}) == true", data) >= counting.work
    if is_small([data]):
        assert Estimate(lambda _: SMALL, lambda _: None).add(node) >= counting.work


@pytest.mark.parametrize(
    ("pattern", "instructions"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 2),
        ("[a-z]{20}", 20),
        ("(a(b|c){3}){5}", 5 * (1 + 3 * 3)),
        ("x{1000}", 1000),
        ("(x{10}){100}", 1000),
        ("\\Q((((\\E" + "x{100}", 100),
        ("\\pL{10}", 10 * 1000),
        ("[\\pL\\pN]{5}", 5 * 1000),
        ("(?i)k", 2),
        ("(((", 3),
        ("a)b)c{10}", 10),
        ("a\\{5}", 3),
    ],
)
def test_a_pattern_weighs_no_less_than_its_copies(pattern: str, instructions: int) -> None:
    assert weigh(pattern).instructions >= instructions


def test_a_pattern_of_many_copies_is_not_worked_out() -> None:
    assert weigh("\\pL{30}" * 100).instructions == LARGEST
    assert weigh("(x{1000}){1000}").instructions < 100, "RE2 refuses it"


# What is refused, and what is not.

TEXT, WORDS, NUMBERS = "x" * 400_000, [f"w{number}" for number in range(40_000)], list(range(40_000))
TEXT_AND_WORDS = "data.t: 400,000 bytes of text, data.l: 40,000 entries"
TWO_LISTS = "data.m: 40,000 entries, data.l: 40,000 entries"
TWO_TEXTS = "data.t: 400,000 bytes of text, data.u: 300,001 bytes of text"
DEEP = {"a": [{"x": ["y" * 50] * 30}] * 300}
REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("data.l.exists(w, data.t.contains(w))", {"l": WORDS, "t": TEXT}, TEXT_AND_WORDS),
    ("data.l.all(w, data.t.size() > 0)", {"l": WORDS, "t": TEXT}, TEXT_AND_WORDS),
    ("data.l.all(w, data.t != data.t + w)", {"l": WORDS, "t": TEXT}, TEXT_AND_WORDS),
    ("data.l.all(a, a in data.m)", {"l": NUMBERS, "m": NUMBERS}, TWO_LISTS),
    ("data.l.all(a, data.l == data.m)", {"l": NUMBERS, "m": NUMBERS}, TWO_LISTS),
    ("data.l.all(a, [data.l] == [data.m])", {"l": NUMBERS, "m": NUMBERS}, TWO_LISTS),
    ("data.l.map(a, a + 1) == []", {"l": NUMBERS}, "data.l: 40,000 entries"),
    ("data.l.exists(a, data.l.filter(b, b == a) == [])", {"l": NUMBERS[:500]}, "data.l: 500 entries"),
    ("data.l.all(a, (data.l + data.l).size() > 0)", {"l": NUMBERS}, "data.l: 40,000 entries"),
    ("data.t.contains(data.u)", {"t": TEXT, "u": "x" * 300_000 + "y"}, TWO_TEXTS),
    ('data.t.matches("(a|b)*a(a|b){200}c")', {"t": TEXT}, "data.t: 400,000 bytes of text"),
    ("data.l.all(w, data.t.matches(w))", {"l": WORDS, "t": "x"}, "data.l: 40,000 entries, data.t: 1 bytes of text"),
    ("data.deep.a.all(a, data.deep.a.all(b, a == b))", {"deep": DEEP}, "data.deep.a: 300 entries"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "data", "sizes"), REFUSED)
def test_what_combines_large_values_is_refused_before_it_is_begun(
    text: str, data: Mapping[str, Any], sizes: str
) -> None:
    before = time.thread_time()
    message = failure(text, data)
    assert time.thread_time() - before < 0.5
    assert message.startswith("it could take ")
    assert (
        f"the work that one evaluation may ({sizes}); post shorter lists or texts, or use fewer of "
        in message
    )
    small = {name: value[:3] if isinstance(value, list | str) else value for name, value in data.items()}
    if "deep" not in data and "matches(w)" not in text:
        compile_condition(text).holds(Event("e", data=small), 0.0)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('data.t.contains("ERROR")', {"t": "x" * 1_000_000}),
        ('data.t.matches("^prod-[a-z]+-[0-9]+$")', {"t": "x" * 1_000_000}),
        (
            "data.l.exists(a, a.name == 'n5' && a.v > 3)",
            {"l": [{"name": f"n{n}", "v": n} for n in range(9_999)]},
        ),
        ("data.l.exists(a, data.m.exists(b, b == a))", {"l": NUMBERS, "m": NUMBERS}),
        ("data.l.exists(a, data.m.exists(b, b.n == a.n))", {"l": [{"n": 1}] * 500, "m": [{"n": 1}] * 500}),
        ("39999 in data.l && data.l != data.m", {"l": NUMBERS, "m": WORDS}),
        ("data.l.filter(a, a > 5).size() > 3", {"l": NUMBERS[:1000], "other": NUMBERS}),
        ("data.l.all(a, a.matches('^w[0-9]+$'))", {"l": WORDS[:1000], "other": TEXT}),
        ('data.t + "x" != data.t', {"t": "x" * 1_000_000}),
    ],
)
def test_plain_questions_are_asked_of_the_largest_events(text: str, data: Mapping[str, Any]) -> None:
    assert compile_condition(text).holds(Event("e", data=data), 0.0) in {True, False}


# How long a step takes.

MOST_GROWN = 100_000
GROWING: dict[str, Callable[[int], Mapping[str, Any]]] = {
    "data.t.size() > 0": lambda n: {"t": "x" * n},
    "data.t.contains(data.u)": lambda n: {"t": "x" * n, "u": "x" * (n // 2) + "y"},
    'data.t.matches("c[ac]{14}d")': lambda n: {"t": "ac" * (n // 7) + "aac" * (n // 7) + "caa" * (n // 7)},
    "data.l == data.m": lambda n: {"l": list(range(n)), "m": list(range(n))},
    "data.d == data.e": lambda n: {"d": {f"k{k}": k for k in range(n)}, "e": {f"k{k}": k for k in range(n)}},
    "data.l.map(a, a).size() > 0": lambda n: {"l": list(range(n))},
    "data.l.all(a, !(a in data.m))": lambda n: {"l": list(range(n)), "m": [-1] * n},
    "data.l.all(a, data.t.size() > 0)": lambda n: {"l": list(range(n)), "t": "x" * n},
    'data.s.all(a, !a.matches("b+"))': lambda n: {"s": [f"a{k}" for k in range(n)]},
    "data.l.map(a, data.l.map(b, b)).size() > 0": lambda n: {"l": list(range(n))},
    "data.l.all(a, (data.l + data.l).size() > 0)": lambda n: {"l": list(range(n))},
    "data.l.all(a, data.l == data.m)": lambda n: {"l": list(range(n)), "m": list(range(n))},
    "data.l.all(a, {'a': a, 'b': [a, a]}.size() > 0)": lambda n: {"l": list(range(n))},
    "data.l.all(a, timestamp('2020-01-01T00:00:00Z').getHours('Europe/Berlin') < 30)": lambda n: {
        "l": [0] * n
    },
}


@pytest.mark.parametrize("text", GROWING)
def test_the_most_that_is_let_through_takes_no_longer_than_the_loop_may_be_held(text: str) -> None:
    size = 20
    for factor in (4.0, 1.2):
        while (larger := int(size * factor)) <= MOST_GROWN and estimated(text, GROWING[text](larger)) <= MOST:
            size = larger
    facts, condition = Facts(Event("e", data=GROWING[text](size)), 0.0), compile_condition(text)
    assert fastest_longest_step(condition.judge, facts) < LONGEST_STEP_S, size


def fastest_longest_step(judge: Callable[[Facts], Any], facts: Facts) -> float:
    """The processor time of the longest step, in the best of three."""
    return min(longest_step(judge(facts)) for _ in range(3))


def longest_step(steps: Any) -> float:
    longest = 0.0
    while True:
        before = time.thread_time()
        try:
            next(steps)
        except StopIteration:
            return max(longest, time.thread_time() - before)
        except EvaluationError:
            return max(longest, time.thread_time() - before)
        longest = max(longest, time.thread_time() - before)


MANY: dict[str, Mapping[str, Any]] = {
    "numbers": {"l": [1] * 170_000},
    "maps": {"l": [{"a": 1, "b": "x"}] * 50_000},
    "texts": {"l": ["abcdefgh"] * 90_000},
    "lists": {"l": [[1] * 1000 for _ in range(170)]},
    "too many": {"l": [1] * 300_000},
    "keys": {"l": {f"k{number}": number for number in range(80_000)}},
    "names": {f"k{number}": number for number in range(80_000)},
}


@pytest.mark.parametrize("kind", MANY)
def test_looking_at_a_large_event_is_done_in_short_steps(kind: str) -> None:
    event = Event(
        "e", type="t", event="e", object=EventObject(name="x", tags=("tag",) * 20_000), data=MANY[kind]
    )
    condition = compile_condition("size(data) > 0 && 'l' in object.tags && data.l.size() > 3")
    best = min(longest_step(condition.judge(Facts(event, 0.0))) for _ in range(3))
    assert best < LONGEST_STEP_S


def test_only_the_fields_that_an_expression_names_are_looked_at() -> None:
    event = Event("e", data={"x": 1, "large": [1] * 300_000})
    assert sum(1 for _ in compile_condition("data.x == 1 && !has(data.y)").judge(Facts(event, 0.0))) < 10


def test_a_path_is_the_events_only() -> None:
    assert path_of(tree("data.a.b == 1").arguments[0]) == ("data", "a", "b")  # type: ignore[union-attr]
    assert path_of(Name("data")) is None
