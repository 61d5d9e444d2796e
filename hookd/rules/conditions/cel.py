"""Compiling and evaluating expressions, which is the library's work; each is refused where it would be too much of it.

Must never: let anything but `EvaluationError` out of an evaluation: an event is never refused for a rule.
"""

from collections.abc import Generator
from functools import cached_property
from typing import Any

from hookd.domain.events import Event
from hookd.domain.text import is_utf8
from hookd.rules.conditions.condition_errors import ConditionError, EvaluationError
from hookd.rules.conditions.cost import MOST, Estimate, Path, paths_in, roots_of
from hookd.rules.conditions.environment import environment
from hookd.rules.conditions.error_messages import evaluation_message, refuse, too_much
from hookd.rules.conditions.facts import Facts
from hookd.rules.conditions.fields import check_fields
from hookd.rules.conditions.sizes import SMALL
from hookd.rules.conditions.syntax_tree import ExpressionNode, syntax_tree
from hookd.rules.steps import at_once

LONGEST = 100_000
"""Characters of an expression; the library's own bound."""


class Condition:
    """A compiled expression."""

    def __init__(self, expression: Any) -> None:
        self._expression = expression

    def holds(self, event: Event, now: float) -> bool:
        """Whether it is exactly true for an event; raises EvaluationError.

        Args:
            event: its data nested as deep as an event's may be (spec 2).
            now: seconds since the epoch; stands for the time of an event that has none.
        """
        return self.holds_for(Facts(event, now))

    def holds_for(self, facts: Facts) -> bool:
        """As `holds`, for an event that several expressions are asked about."""
        return at_once(self.judge(facts))

    def judge(self, facts: Facts) -> Generator[None, None, bool]:
        """As `holds_for`, in steps; the last, evaluating, takes no longer than `cost.MOST` stands for.

        What is said to cost more is not begun: the library cannot be interrupted, and holds the interpreter's lock.
        """
        try:
            fields = None if facts.is_small else self._fields
            if facts.is_small and self._cost_if_small <= MOST:
                yield from facts.prepare((), None)
                facts.spend(self._cost_if_small)
            else:
                yield from facts.prepare((*self._paths, *self._roots), fields)
                facts.spend(self._bounded_cost(facts))
            value = self._expression.eval(facts.activation(fields))
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

    @cached_property
    def _tree(self) -> ExpressionNode:
        return syntax_tree(self._expression.serialize())

    @cached_property
    def _paths(self) -> tuple[Path, ...]:
        return tuple(sorted(paths_in(self._tree)))

    @cached_property
    def _roots(self) -> tuple[Path, ...]:
        return tuple(roots_of(self._paths))

    @cached_property
    def _fields(self) -> frozenset[str] | None:
        """The fields of `data` it looks at; None where it may be any."""
        of_data = [root for root in self._roots if root[0] == "data"]
        return None if ("data",) in of_data else frozenset(name for _, name in of_data)

    @cached_property
    def _cost_if_small(self) -> int:
        """The cost for any event that is small: most are, and need not be measured."""
        estimate = Estimate(lambda _: SMALL, lambda _: None)
        estimate.add_roots(self._roots)
        return estimate.add(self._tree)

    def _bounded_cost(self, facts: Facts) -> int:
        estimate = Estimate(facts.size_of, facts.text_of)
        estimate.add_roots(self._roots)
        if (cost := estimate.add(self._tree)) > MOST:
            sizes = [(".".join(path), facts.size_of(path)) for path in self._paths]
            raise EvaluationError(too_much(cost / MOST, sizes))
        return cost


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
        expression = environment().compile(text)
    except RuntimeError as error:
        refuse(text, str(error))
    check_fields(text)
    result = expression.return_type().name().partition("<")[0].lower()
    if result not in {"bool", "dyn"}:
        raise ConditionError(f"must be true or false, not {result}")
    return Condition(expression)
