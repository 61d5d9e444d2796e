"""The decorator of hookd's values: what is made once and not changed.

The type checker refuses an assignment to a field. While hookd runs nothing looks: `frozen=True` would
set each field by a call of `object.__setattr__`, which cost a tenth of all the work that an event makes.

A value has slots, compares by its fields and hashes as a tuple of them. It must never have a method that
assigns to a field of its own: where one changes, `dataclasses.replace` makes another.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(cls: type[T]) -> type[T]:
    """Make a value of a class whose annotations are its fields."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
