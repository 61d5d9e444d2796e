"""What may be wrong with an expression, and the names that one may use.

Must never: import anything of hookd.
"""

VARIABLES = ("type", "event", "object", "data", "time")
"""The names an expression may use."""

FIELDS = ("id", "name", "tags")
"""The fields of `object`."""

CONTAINER = "hookd"
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


def spot(text: str, index: int, column: int) -> str:
    """Where a fault is, by its line from 0 and its column from 1."""
    return f"line {index + 1}, column {column}" if "\n" in text else f"column {column}"
