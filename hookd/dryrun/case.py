"""A case of `hookd test`, and what came of it, as frozen values (spec 8).

Must never: read files or a clock.
"""

from typing import Any

from hookd.domain.events import Event
from hookd.domain.value_class import value_class

DEFAULT_AT = 1_767_225_600.0
"""2026-01-01T00:00:00Z, seconds since the epoch: the clock of a case that gives none."""

RANDOM = 4
"""What `${RANDOM}` is in every case."""


@value_class
class Expected:
    """One request that is expected; what is None is not compared.

    Attributes:
        headers: each name with its values in order; no values: the header must not be sent.
        body: a mapping or list: the JSON value; text: the body as it is.
    """

    task: str | None = None
    webhook: str | None = None
    rule: str | None = None
    method: str | None = None
    url: str | None = None
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    body: Any = None


@value_class
class Case:
    """An event, and the requests that it must lead to.

    Attributes:
        path: the file, as shown to people.
        line: where the case begins, from 1.
        at: the clock, seconds since the epoch.
    """

    path: str
    line: int
    name: str
    event: Event
    expect: tuple[Expected, ...]
    at: float = DEFAULT_AT


@value_class
class Mismatch:
    """One request in which a case and the configuration differ.

    Attributes:
        where: `expect[0]`, or empty for a request that nothing expects.
        about: the task and webhook it is about, in words; may be empty.
        lines: of a request that is sent otherwise than expected: a unified diff of the two as JSON documents.
        reasons: of a missing request: what may have kept it from being sent.
        rule: of a request that nothing expects: the place of the rule that fires it.
    """

    where: str
    about: str
    lines: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    rule: str = ""


@value_class
class CaseResult:
    """What came of a case; it passed where there is no difference."""

    case: Case
    differences: tuple[Mismatch, ...]

    @property
    def passed(self) -> bool:
        """Whether the configuration does as the case says."""
        return not self.differences
