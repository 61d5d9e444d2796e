"""Whether what a configuration would send is what a case expects, and in what the two differ (spec 8).

The order of requests does not count. An expected request stands for one that is sent: the one of its task, if it
names one, else one of its webhook, else any; of several the one that fits. What is left on either side is a
difference.

Must never: decide what is sent, or put a secret into a difference.
"""

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hookd import intake
from hookd.config.generation import Generation
from hookd.domain.definitions import Config, kept_elsewhere
from hookd.domain.errors import EventRejected
from hookd.dryrun.case import RANDOM, Case, CaseResult, Expected, Mismatch
from hookd.dryrun.explain import Explained, ExplainedRequest, Shown, explain

_LEAST_LINES = 2


def judge(case: Case, generation: Generation) -> CaseResult:
    """Compare what the configuration would send for the case's event with what the case expects.

    Args:
        case: as `read_cases` made it.
        generation: of a configuration that was loaded as portable, so that no secret is in it but a literal one.
    """
    explained = explain(case.event, generation, now=case.at, random=RANDOM)
    return CaseResult(case, tuple(_differences(case.expect, explained, generation.config)))


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: of the same types, in any order of keys."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def _differences(expect: Sequence[Expected], explained: Explained, config: Config) -> Iterator[Mismatch]:
    sent = [request for request in explained.requests if not request.withheld]
    pairs = _paired(expect, sent)
    for index, expected in enumerate(expect):
        where = f"expect[{index}]"
        if index in pairs:
            yield from _compared(where, expected, sent[pairs[index]])
        else:
            reasons = _withheld(expected, explained) or _near(expected, explained, config)
            yield Mismatch(where, _wanted(expected), reasons=tuple(reasons))
    for number, request in enumerate(sent):
        if number not in pairs.values():
            yield Mismatch("", _about(request), got=f"by the rule {request.rule}")


def _paired(expect: Sequence[Expected], sent: Sequence[ExplainedRequest]) -> dict[int, int]:
    """Which request each expected one stands for, by index: as many as can wholly, the others as well as they can."""
    fits = _candidates(expect, sent)
    whole = [
        [number for number in numbers if not any(_compared("", expected, sent[number]))]
        for expected, numbers in zip(expect, fits, strict=True)
    ]
    taken: dict[int, int] = {}
    for index in range(len(expect)):
        _settle(index, whole, taken, set())
    for index in sorted(
        set(range(len(expect))) - set(taken.values()), key=lambda i: expect[i].webhook is None
    ):
        unlike = {
            number: len(list(_compared("", expect[index], sent[number])))
            for number in fits[index]
            if number not in taken
        }
        if unlike:
            taken[min(unlike, key=unlike.__getitem__)] = index
    return {index: number for number, index in taken.items()}


def _candidates(expect: Sequence[Expected], sent: Sequence[ExplainedRequest]) -> list[list[int]]:
    """The requests each expected one may stand for; one whose task is named is for nobody else."""
    named = {expected.task for expected in expect}
    return [
        [
            number
            for number, request in enumerate(sent)
            if _meant(expected, request) and (expected.task is not None or request.task not in named)
        ]
        for expected in expect
    ]


def _settle(index: int, fits: Sequence[Sequence[int]], taken: dict[int, int], tried: set[int]) -> bool:
    """Give an expected request one that fits, moving others to where they fit as well (an augmenting path)."""
    for number in fits[index]:
        if number in tried:
            continue
        tried.add(number)
        if number not in taken or _settle(taken[number], fits, taken, tried):
            taken[number] = index
            return True
    return False


def _meant(expected: Expected, request: ExplainedRequest) -> bool:
    if expected.task is not None:
        return expected.task == request.task
    return expected.webhook in {None, request.webhook}


def _compared(where: str, expected: Expected, request: ExplainedRequest) -> Iterator[Mismatch]:
    about = _about(request)
    for name, wanted, got in (
        ("webhook", expected.webhook, request.webhook),
        ("rule", expected.rule, request.rule),
        ("method", expected.method, str(request.request.method)),
        ("url", expected.url, request.request.url),
    ):
        if wanted is not None and wanted != got:
            yield Mismatch(where, about, name, _quoted(wanted), _quoted(got))
    for name, values in expected.headers:
        yield from _header(where, about, name, values, request)
    if expected.body is not None:
        yield from _body(where, about, expected.body, request.request.body)


def _header(
    where: str, about: str, name: str, wanted: tuple[str, ...], request: ExplainedRequest
) -> Iterator[Mismatch]:
    found = [
        (_value(shown, real), shown)
        for (key, shown), (_, real) in zip(request.headers, request.request.headers, strict=True)
        if key.lower() == name.lower()
    ]
    if tuple(value for value, _ in found) != wanted:
        got = ", ".join(_told(value, shown) for value, shown in found) or "not sent"
        expected = ", ".join(map(_quoted, wanted)) or "not sent"
        yield Mismatch(where, about, f"headers.{name}", expected, got)


def _value(shown: Shown, real: str) -> str:
    """What a header is compared by: a signature is made for each attempt, so by what stands for it."""
    return shown.text if shown.reference == "signature" else real


def _told(value: str, shown: Shown) -> str:
    """A header's value as it may be shown: a literal credential is masked, what stands in for a secret is not."""
    if shown.text == value or kept_elsewhere(shown.reference):
        return _quoted(value)
    return f"{shown.text} (a literal credential, which is not shown)"


def _body(where: str, about: str, wanted: Any, body: bytes) -> Iterator[Mismatch]:
    text = body.decode()
    if isinstance(wanted, str):
        if wanted != text:
            yield _unlike(where, about, wanted, text)
        return
    try:
        value = intake.parse_json(body)
    except EventRejected:
        got = "no body" if not body else f"not JSON: {_quoted(text)}"
        yield Mismatch(where, about, "body", _compact(wanted), got)
        return
    if not same_json(wanted, value):
        yield Mismatch(where, about, "body", lines=_diff(_pretty(wanted), _pretty(value)))


def _unlike(where: str, about: str, wanted: str, text: str) -> Mismatch:
    """Two texts that are not the same: line by line where there are several."""
    lines = wanted.split("\n"), text.split("\n")
    if max(map(len, lines)) < _LEAST_LINES:
        return Mismatch(where, about, "body", _quoted(wanted), _quoted(text) if text else "no body")
    return Mismatch(where, about, "body", lines=_diff(*lines))


def _diff(wanted: list[str], got: list[str]) -> tuple[str, ...]:
    return tuple(difflib.unified_diff(wanted, got, "expected", "got", lineterm=""))


def _pretty(value: Any) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).split("\n")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _withheld(expected: Expected, explained: Explained) -> list[str]:
    """Why a request that is made would not be sent now."""
    return [
        request.withheld for request in explained.requests if request.withheld and _meant(expected, request)
    ]


def _near(expected: Expected, explained: Explained, config: Config) -> list[str]:
    """The rules that just miss, of those that could fire the expected task."""
    tasks = {
        name
        for name, task in config.tasks.items()
        if expected.task in {None, name} and expected.webhook in {None, task.webhook}
    }
    named = {rule.place: rule.tasks for rule in config.event_rules()}
    return [
        f"{miss.place}: {reason}"
        for miss in explained.misses
        for reason in miss.reasons
        if not tasks.isdisjoint(named[miss.place])
    ] or ["no rule that would fire it comes near this event"]


def _about(request: ExplainedRequest) -> str:
    return f"task {_quoted(request.task)}, webhook {_quoted(request.webhook)}"


def _wanted(expected: Expected) -> str:
    named = (("task", expected.task), ("webhook", expected.webhook))
    return ", ".join(f"{word} {_quoted(name)}" for word, name in named if name is not None)


def _quoted(text: str) -> str:
    return f'"{text}"'
