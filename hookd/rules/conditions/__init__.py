"""`where`: CEL expressions over an event (spec 3; the language: https://github.com/google/cel-spec).

Must never: do I/O or read a clock.
"""

from hookd.rules.conditions.cel import LONGEST, MOST_BUILT, Condition, Facts, compile_condition
from hookd.rules.conditions.condition_errors import VARIABLES, ConditionError, EvaluationError

__all__ = [
    "LONGEST",
    "MOST_BUILT",
    "VARIABLES",
    "Condition",
    "ConditionError",
    "EvaluationError",
    "Facts",
    "compile_condition",
]
