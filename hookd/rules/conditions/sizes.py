"""How large values are, as far as the cost of an expression depends on it.

Walking over an event's values is work as well: it is done in steps, between which the caller may do something else.

Must never: be smaller than the values are.
"""

from collections.abc import Generator, Iterable
from functools import reduce
from typing import Any

from hookd.domain.value_class import value_class

AT_ONCE = 2000
"""Values that are looked at in one step."""


@value_class
class Size:
    """How large a value can be at most.

    Attributes:
        text: bytes, where it is a text.
        count: entries, where it is a list or map.
        values: how many values it holds in all, itself and keys too.
        total: bytes of all its texts, keys too.
        within: how large its entries, fields and keys can be.
    """

    text: int = 0
    count: int = 0
    values: int = 1
    total: int = 0
    within: "Size | None" = None

    def inner(self) -> "Size":
        """Of an entry, a field or a key."""
        return self.within or SCALAR


SCALAR = Size()

SMALL_VALUES, SMALL_BYTES = 200, 4096
"""What most events are below: values and bytes of all that a rule can look at."""


def _small(levels: int) -> Size:
    within = _small(levels - 1) if levels else None
    return Size(SMALL_BYTES, SMALL_VALUES, SMALL_VALUES, SMALL_BYTES, within)


SMALL = _small(SMALL_VALUES)
"""Anything within an event that `is_small`: it cannot be nested deeper than it has values."""


def is_small(value: Any) -> bool:
    """Whether JSON data are, looking at no more of them than that."""
    values, length, stack = 0, 0, [value]
    while stack:
        item = stack.pop()
        values += 1
        if isinstance(item, str):
            length += len(item) if item.isascii() else 4 * len(item)
        elif isinstance(item, dict | list):
            if len(item) > SMALL_VALUES:
                return False
            stack.extend(item)
            if isinstance(item, dict):
                stack.extend(item.values())
        if values + len(stack) > SMALL_VALUES or length > SMALL_BYTES:
            return False
    return True


def text_size(length: int) -> Size:
    """Of a text of so many bytes."""
    return Size(text=length, total=length)


def list_size(entries: Iterable[Size]) -> Size:
    """Of a list of these entries, or a map of these keys and values."""
    sizes = tuple(entries)
    return Size(
        count=len(sizes),
        values=1 + sum(size.values for size in sizes),
        total=sum(size.total for size in sizes),
        within=reduce(larger, sizes) if sizes else None,
    )


def repeated(count: int, entry: Size) -> Size:
    """Of a list of so many entries, each at most so large."""
    return Size(count=count, values=1 + count * entry.values, total=count * entry.total, within=entry)


def joined(first: Size, second: Size) -> Size:
    """Of two texts or lists, one behind the other."""
    return Size(
        first.text + second.text,
        first.count + second.count,
        first.values + second.values,
        first.total + second.total,
        _either(first.within, second.within),
    )


def larger(first: Size, second: Size) -> Size:
    """Of a value that is one of two."""
    return Size(
        max(first.text, second.text),
        max(first.count, second.count),
        max(first.values, second.values),
        max(first.total, second.total),
        _either(first.within, second.within),
    )


def _either(first: Size | None, second: Size | None) -> Size | None:
    return larger(first, second) if first is not None and second is not None else first or second


def measure(value: Any) -> Generator[None, None, Size]:
    """The size of JSON data, in steps: that of what is as deep in it as the largest at that depth."""
    levels: list[tuple[int, int, int, int]] = []
    level: list[Any] = [value]
    while level:
        text = count = total = 0
        below: list[Any] = []
        for start in range(0, len(level), AT_ONCE):
            for item in level[start : start + AT_ONCE]:
                if isinstance(item, str):
                    length = len(item) if item.isascii() else 4 * len(item)
                    text, total = max(text, length), total + length
                elif isinstance(item, dict | list):
                    count = max(count, len(item))
                    below.extend(item)
                    if isinstance(item, dict):
                        below.extend(item.values())
            yield
        levels.append((text, count, len(level), total))
        level = below
    return _from_below(levels)


def _from_below(levels: list[tuple[int, int, int, int]]) -> Size:
    size: Size | None = None
    values_below = total_below = 0
    for text, count, values, total in reversed(levels):
        values_below, total_below = values_below + values, total_below + total
        inner = size or SCALAR
        size = Size(
            text,
            count,
            # A map has two values for each entry.
            min(values_below, 1 + 2 * count * inner.values),
            min(total_below, text + 2 * count * inner.total),
            size,
        )
    return size or SCALAR
