"""A path into an event's data.

Must never: fail, whatever the data holds.
"""

from typing import Any, Final

from hookd.domain.message_templates import PathStep

MISSING: Final = object()
"""What a path leads to that leads nowhere."""


def look_up(data: Any, path: tuple[PathStep, ...]) -> Any:
    """Follow a path; `MISSING` where it leads nowhere.

    Of the keys that may stand at a step the longest that is there counts, unless only a shorter one leads on. Digits
    count into lists from 0.
    """
    value = data
    for key, longer in path:
        if isinstance(value, dict):
            for each in longer:
                if each in value:
                    return _search(data, path, 0)
            value = value.get(key, MISSING)
        elif isinstance(value, list):
            value = _item(value, key)
        else:
            return MISSING
    return value


def _search(value: Any, path: tuple[PathStep, ...], at: int) -> Any:
    """The same from a step on, for data with keys that hold dots."""
    if at == len(path):
        return value
    key, longer = path[at]
    if isinstance(value, list):
        return _search(_item(value, key), path, at + 1)
    if not isinstance(value, dict):
        return MISSING
    steps = range(len(longer) + 1, 0, -1)
    found = (
        _search(value[each], path, at + count)
        for each, count in zip((*longer, key), steps, strict=True)
        if each in value
    )
    return next((each for each in found if each is not MISSING), MISSING)


def _item(items: list[Any], step: str) -> Any:
    if not (step.isascii() and step.isdecimal()):
        return MISSING
    digits = step.lstrip("0") or "0"
    if len(digits) > len(str(len(items))):  # far past the end; `int` would refuse thousands of digits
        return MISSING
    index = int(digits)
    return items[index] if index < len(items) else MISSING
