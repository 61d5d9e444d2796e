"""`where`: CEL expressions over an event (spec 3; the language: https://github.com/google/cel-spec).

Must never: do I/O or read a clock.
"""

from hookd.rules.conditions.cel import LONGEST, Condition, compile_condition
from hookd.rules.conditions.condition_errors import VARIABLES, ConditionError, EvaluationError
from hookd.rules.conditions.facts import Facts

__all__ = [
    "LONGEST",
    "VARIABLES",
    "Condition",
    "ConditionError",
    "EvaluationError",
    "Facts",
    "compile_condition",
]
