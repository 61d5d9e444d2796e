"""The decorator of hookd's values: what is made once and not changed.

The type checker refuses an assignment to a field. While hookd runs nothing looks: `frozen=True` would
set each field by a call of `object.__setattr__`, which cost a tenth of all the work that an event makes.

A value has slots, compares by its fields and hashes as a tuple of them. It must never have a method that
assigns to a field of its own: where one changes, `dataclasses.replace` makes another.
"""

from dataclasses import dataclass, field, fields
from reprlib import recursive_repr
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

_COMPARISONS = """
def __eq__(self, other):
    return {own} == {others} if other.__class__ is self.__class__ else NotImplemented
def __hash__(self):
    return hash({own})
"""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(cls: type[T]) -> type[T]:
    """Make a value of a class whose annotations are its fields.

    It compares, hashes and prints itself as a frozen dataclass does. What does so is compiled when it is first used:
    for all classes at once that would be a tenth of hookd's start.
    """
    made: Any = dataclass(slots=True, eq=False, repr=False)(cls)

    def __eq__(self: T, other: object) -> Any:  # noqa: N807
        _compile_comparisons(made)
        return made.__eq__(self, other)

    def __hash__(self: T) -> int:  # noqa: N807
        _compile_comparisons(made)
        return int(made.__hash__(self))

    made.__eq__, made.__hash__, made.__repr__ = __eq__, __hash__, _repr
    return made  # type: ignore[no-any-return]


def _compile_comparisons(made: Any) -> None:
    """Give a class the methods that take the place of those which called this."""
    names = [each.name for each in fields(made) if each.compare]
    own, others = (f"({''.join(f'{whose}.{name}, ' for name in names)})" for whose in ("self", "other"))
    methods: dict[str, Any] = {}
    exec(_COMPARISONS.format(own=own, others=others), methods)  # noqa: S102 - names of fields, as `dataclass` does
    made.__eq__, made.__hash__ = methods["__eq__"], methods["__hash__"]


@recursive_repr()
def _repr(self: Any) -> str:
    texts = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({texts})"
