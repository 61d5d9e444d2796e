"""Whether what a configuration would send is what a case expects, and in what the two differ (spec 8).

An expected request that names a task stands for the request of that task; of the others each stands, in order, for the
first request that is left, of its webhook if it names one. The two are compared as JSON documents of the fields that
are expected. What is left on either side is a difference.

Must never: decide what is sent, or put a secret into a difference.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hookd import intake
from hookd.config.generation import Generation
from hookd.domain.definitions import Config, kept_elsewhere
from hookd.domain.errors import EventRejected
from hookd.dryrun.case import RANDOM, Case, CaseResult, Expected, Mismatch
from hookd.dryrun.explain import Explained, ExplainedRequest, Shown, explain


def judge(case: Case, generation: Generation) -> CaseResult:
    """Compare what the configuration would send for the case's event with what the case expects.

    Args:
        case: as `read_cases` made it.
        generation: of a configuration that was loaded as portable, so that no secret is in it but a literal one.
    """
    explained = explain(case.event, generation, now=case.at, random=RANDOM)
    return CaseResult(case, tuple(_differences(case.expect, explained, generation.config)))


def document(value: Any) -> list[str]:
    """The lines of a JSON value; two are the same where the values are, types included, in any order of keys."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).split("\n")


def _differences(expect: Sequence[Expected], explained: Explained, config: Config) -> Iterator[Mismatch]:
    sent = [request for request in explained.requests if not request.withheld]
    pairs = _paired(expect, sent)
    for index, expected in enumerate(expect):
        where = f"expect[{index}]"
        if index not in pairs:
            reasons = _withheld(expected, explained) or _near(expected, explained, config)
            yield Mismatch(where, _wanted(expected), reasons=tuple(reasons))
        elif lines := _unlike(expected, pairs[index]):
            yield Mismatch(where, _about(pairs[index]), lines=lines)
    for request in sent:
        if request not in pairs.values():
            yield Mismatch("", _about(request), rule=request.rule)


def _paired(expect: Sequence[Expected], sent: Sequence[ExplainedRequest]) -> Mapping[int, ExplainedRequest]:
    """Which request each expected one stands for, by index; those that say most choose first."""
    pairs: dict[int, ExplainedRequest] = {}
    left = list(sent)
    for index in sorted(
        range(len(expect)), key=lambda at: (expect[at].task is None, expect[at].webhook is None)
    ):
        request = next((request for request in left if _meant(expect[index], request)), None)
        if request is not None:
            pairs[index] = request
            left.remove(request)
    return pairs


def _meant(expected: Expected, request: ExplainedRequest) -> bool:
    if expected.task is not None:
        return expected.task == request.task
    return expected.webhook in {None, request.webhook}


def _unlike(expected: Expected, request: ExplainedRequest) -> tuple[str, ...]:
    """A unified diff of the fields that are expected; nothing where they are as expected."""
    fields = {
        "webhook": (expected.webhook, request.webhook),
        "rule": (expected.rule, request.rule),
        "method": (expected.method, str(request.request.method)),
        "url": (expected.url, request.request.url),
        "headers": (
            {name: _several(values) for name, values in expected.headers} or None,
            {name: _header(name, values, request) for name, values in expected.headers},
        ),
        "body": (None, None) if expected.body is None else _bodies(expected.body, request.request.body),
    }
    named = {name: pair for name, pair in fields.items() if pair[0] is not None}
    wanted, got = (document({name: pair[side] for name, pair in named.items()}) for side in (0, 1))
    return tuple(difflib.unified_diff(wanted, got, "expected", "got", lineterm=""))


def _bodies(wanted: Any, body: bytes) -> tuple[Any, Any]:
    """The expected body and the one that is sent: both text, by lines where there are several, or both JSON."""
    text = body.decode()
    if isinstance(wanted, str):
        return (wanted.split("\n"), text.split("\n")) if "\n" in wanted + text else (wanted, text)
    try:
        return wanted, intake.parse_json(body)
    except EventRejected:
        return wanted, text


def _header(name: str, wanted: tuple[str, ...], request: ExplainedRequest) -> Any:
    """What is sent under a name; a literal credential that is not the expected one is not shown."""
    found = [
        (_value(shown, real), shown)
        for (key, shown), (_, real) in zip(request.headers, request.request.headers, strict=True)
        if key.lower() == name.lower()
    ]
    same = tuple(value for value, _ in found) == wanted
    return _several([value if same else _shown_value(value, shown) for value, shown in found])


def _several(values: Sequence[Any]) -> Any:
    """A header's one value, all of them, or null where it is not sent."""
    return (values[0] if values else None) if len(values) < 2 else list(values)


def _value(shown: Shown, real: str) -> str:
    """What a header is compared by: a signature is made for each attempt, so by what stands for it."""
    return shown.text if shown.reference == "signature" else real


def _shown_value(value: str, shown: Shown) -> Any:
    """A header's value as it may be shown: what stands in for a secret is, a literal credential is not.

    What is not shown is no text, so that it can never be what is expected.
    """
    return value if shown.text == value or kept_elsewhere(shown.reference) else {"not shown": shown.text}


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
