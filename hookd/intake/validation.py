"""Collects what is wrong with a request, each fault at its JSON pointer, and checks values by their kind.

Must never: stop at the first fault.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hookd.domain.errors import EventRejected, Fault
from hookd.domain.text import listed, near, shown

MOST_FAULTS = 1000
"""The most that are listed in one refusal: an answer is never much larger than its request."""

LONGEST_TAG = 128
"""Characters of a tag."""

_MOST_HINTS = 5
"""Faults that say what was meant; finding it costs time in proportion to the choices."""

_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class Faults:
    """The faults of one request. Checks return a stand-in for what is wrong, so that checking goes on."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._found: list[Fault] = []
        self._more = False

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._found)

    @property
    def full(self) -> bool:
        """Whether the list is full: further faults are not listed."""
        return len(self._found) >= MOST_FAULTS

    def add(self, pointer: str, message: str) -> None:
        """Note a fault at an RFC 6901 JSON pointer."""
        if self.full:
            self._more = True
        else:
            self._found.append(Fault(pointer, message))

    def raise_any(self) -> None:
        """Raise `EventRejected` (422) if there is any fault."""
        if not self._found:
            return
        first, others = self._found[0], len(self._found) - 1
        detail = f"{shown(first.pointer, 100)}: {first.message}" if first.pointer else first.message
        if others:
            detail += f" (and {'at least ' if self._more else ''}{others} more)"
        raise EventRejected(422, self._title, detail, tuple(self._found))

    def text(self, pointer: str, value: Any, longest: int, *, trimmed: bool = False) -> str:
        """A string of 1 to `longest` printable characters; with `trimmed`, no space at either end."""
        if isinstance(value, str) and fits(value, longest) and not (trimmed and value != value.strip()):
            return value
        if not isinstance(value, str):
            self.add(pointer, f"must be a string, not {kind(value)}")
        elif not 1 <= len(value) <= longest:
            self.add(pointer, f"must have 1 to {longest} characters, not {len(value)}")
        elif not value.isprintable():
            self.add(pointer, f'must be printable characters only: "{shown(value)}"')
        else:
            self.add(pointer, "must not begin or end with a space")
        return ""

    def tags(self, given: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
        """Tags, each with its pointer: short texts, none of them twice."""
        seen: dict[str, None] = {}
        for pointer, item in given:
            tag = self.text(pointer, item, LONGEST_TAG)
            if tag and tag in seen:
                self.add(pointer, f'the tag "{tag}" is there twice')
            seen[tag] = None
        return tuple(seen)

    def mapping(self, pointer: str, value: Any) -> dict[str, Any]:
        """An object."""
        if isinstance(value, dict):
            return value
        self.add(pointer, f"{'must' if pointer else 'the body must'} be an object, not {kind(value)}")
        return {}

    def fields(self, pointer: str, value: dict[str, Any], known: Collection[str]) -> None:
        """No field but the known ones."""
        for key in value:
            if key not in known:
                self.add(f"{pointer}/{escaped(key)}", self.unknown("field", key, known))

    def unknown(self, what: str, word: str, choices: Collection[str]) -> str:
        """A sentence about a word that is not among the choices, naming the near one and the valid ones."""
        said = f'unknown {what} "{shown(word)}"'
        if len(self._found) >= _MOST_HINTS:
            return said
        meant = "".join(f'did you mean "{choice}"? ' for choice in near(word, choices))
        return f"{said}; {meant}valid: {listed(sorted(choices))}"


def fits(text: str, longest: int) -> bool:
    """Whether a text has 1 to `longest` characters, all of them printable."""
    return 1 <= len(text) <= longest and text.isprintable()


def kind(value: Any) -> str:
    """What a JSON value is, with its article."""
    return _KINDS[type(value)]


def escaped(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
