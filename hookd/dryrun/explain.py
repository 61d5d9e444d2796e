"""What an event leads to, and what it just misses: its requests with their secrets masked, its near misses (spec 8).

What matches, what is rendered and what goes out is asked of `rules` and `delivery.request`, as the daemon does, so
that what is explained and what is sent can never differ.

Must never: do I/O, read a clock, or put a secret into anything but a `OutgoingRequest`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from hookd.config.generation import Generation
from hookd.delivery.request import TRACE_HEADERS, OutgoingRequest, build
from hookd.domain.definitions import (
    Config,
    EventDef,
    Secret,
    Tls,
    WebhookDef,
    kept_elsewhere,
    names_credential,
)
from hookd.domain.events import Event, EventObject
from hookd.domain.text import listed, shown
from hookd.domain.value_class import value_class
from hookd.rules import templates
from hookd.rules.conditions import ConditionError, EvaluationError, compile_condition
from hookd.rules.matcher import firings

DELIVERY_ID = "dlv_example"
"""Stands where a delivery's id would be: nothing is stored, so there is none."""

EVENT_ID = "evt_example"
"""Stands for the id of an event that gives none."""

MASK = "***"
"""Stands for a secret."""

SIGNATURE = "(made for each attempt)"
"""Stands for a signature: over an example's id it would be of no use, and it is derived from a secret."""

SPAN_ID = SIGNATURE
"""Stands for the id of the span in a `traceparent`."""

MOST_MISSES = 20
"""The most near misses that are listed for one event; the rest are counted."""

_MOST_LISTED = 20
_MOST_FACTS = 5
_LEAST_TYPO = 3
_PLAIN = "plain"


_LITERAL = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_PATH = re.compile(r"\b(data|object)((?:\.[A-Za-z_]\w*)+)(\s*\()?", re.ASCII)


@value_class
class Shown:
    """A URL or a header's value as it may be shown.

    Attributes:
        text: the value, or what stands for it.
        reference: where the secret comes from (`env NAME`, …, `signature`); empty where `text` is the whole value.
    """

    text: str
    reference: str = ""


@value_class
class ExplainedRequest:
    """The first attempt of a delivery that the event would make.

    Attributes:
        rule: the place of the rule that fires the task.
        request: exactly what would go out, secrets and all, but for the id of the span and the secrets in the body,
            for which `env:NAME` or the mask stands; its headers and URL are never shown themselves.
        url: the request's URL as it may be shown.
        headers: the request's headers, in order, as they may be shown.
        timeout_s: seconds for the whole attempt.
        insecure: the receiver's certificate would not be checked.
        once: the task runs once only; the daemon alone knows whether it has.
        secrets: the names of those in the body.
        withheld: why the request would not be sent; empty where it would be.
        made: the delivery would be made, and wait where it is withheld; else there would be none.
    """

    task: str
    webhook: str
    rule: str
    request: OutgoingRequest
    url: Shown
    headers: tuple[tuple[str, Shown], ...]
    tls: Tls
    timeout_s: float
    insecure: bool = False
    once: bool = False
    secrets: tuple[str, ...] = ()
    withheld: str = ""
    made: bool = True


@value_class
class NearMiss:
    """A rule that would have fired, had the event or the rule been a little different; each reason shows both."""

    place: str
    reasons: tuple[str, ...]


@value_class
class Explained:
    """What an event leads to.

    Attributes:
        rules: the places of the rules that match, in declared order.
        requests: one for each task that fires, by the first rule that names it.
        misses: the nearest first, at most `MOST_MISSES`.
        more_misses: how many there are besides.
    """

    event: Event
    rules: tuple[str, ...]
    requests: tuple[ExplainedRequest, ...]
    misses: tuple[NearMiss, ...]
    more_misses: int = 0

    @property
    def sends(self) -> bool:
        """Whether at least one request would be sent."""
        return any(not request.withheld for request in self.requests)


def explain_each(
    events: Iterable[Event], generation: Generation, *, now: float, draw: Callable[[], int]
) -> list[Explained]:
    """Tell what each of several events leads to, taken in one after the other.

    Args:
        events: in order; a task that runs once only is fired by the first of them.
        generation: the configuration.
        now: as for `explain`.
        draw: makes `explain`'s `random`, for each event anew.
    """
    found: list[Explained] = []
    fired: dict[str, int] = {}
    for number, event in enumerate(events, start=1):
        found.append(explain(event, generation, now=now, random=draw(), fired=fired))
        for request in found[-1].requests:
            if request.once:
                fired.setdefault(request.task, number)
    return found


def explain(
    event: Event,
    generation: Generation,
    *,
    now: float,
    random: int,
    fired: Mapping[str, int] = MappingProxyType({}),
) -> Explained:
    """Tell what an event leads to.

    Args:
        event: as `intake` made it.
        generation: the configuration.
        now: seconds since the epoch; `${DATE}`, `${TIMESTAMP}` and `webhook-timestamp`.
        random: what `${RANDOM}` is in every message, 0 to 2147483647.
        fired: the tasks that run once only and were fired already, each with the number of the event that did.
    """
    rules = generation.matcher.match(event, now).rules
    tasks = generation.config.tasks
    due = [(name, place) for name, place in firings(rules) if tasks[name].enabled]
    places = tuple(rule.place for rule in rules)
    near = _near(event, generation.config, frozenset(places))
    return Explained(
        event=event,
        rules=places,
        requests=tuple(
            _after(fired.get(firing[0]), _request(event, firing, generation, now, random)) for firing in due
        ),
        misses=tuple(_miss(rule, event, generation.config, places, now) for rule in near[:MOST_MISSES]),
        more_misses=max(0, len(near) - MOST_MISSES),
    )


def named_by_rules(config: Config) -> Mapping[str, tuple[str, ...]]:
    """The types that event rules name, each with its events, in declared order."""
    found: dict[str, dict[str, None]] = {}
    for rule in config.event_rules():
        found.setdefault(rule.type, {})[rule.event] = None
    return {kind: tuple(events) for kind, events in found.items()}


def one_typo(one: str, other: str) -> bool:
    """Whether two different words differ in case only, or by one character too many, missing, wrong or swapped.

    In words shorter than 3 characters only the case counts: any two of them are nearly the same.
    """
    if one == other:
        return False
    if one.casefold() == other.casefold():
        return True
    if min(len(one), len(other)) < _LEAST_TYPO or abs(len(one) - len(other)) > 1:
        return False
    begun = _common(one, other)
    one, other = one[begun:], other[begun:]
    ended = _common(one[::-1], other[::-1])
    one, other = one[: len(one) - ended], other[: len(other) - ended]
    return max(len(one), len(other)) <= 1 or (len(one) == len(other) == 2 and one == other[::-1])


def _common(one: str, other: str) -> int:
    """How many characters two words share at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _request(
    event: Event, firing: tuple[str, str], generation: Generation, now: float, random: int
) -> ExplainedRequest:
    name, place = firing
    task = generation.config.tasks[name]
    webhook = generation.config.webhooks[task.webhook]
    values = templates.Values(event, name, webhook.name, now, generation.timezone, random)
    body = templates.fill(task.template, values, generation.config.daemon.message_size)
    withheld = "" if webhook.enabled else f"the webhook {_quoted(webhook.name)} is not enabled"
    if templates.is_missing(body):
        body, withheld = (
            b"",
            "its message is larger than daemon.limits.message_size, so the delivery is dead at once",
        )
    request = build(
        replace(webhook, secrets={name: _stand_in(secret) for name, secret in webhook.secrets.items()}),
        delivery_id=DELIVERY_ID,
        body=body,
        now=now,
        trace=event.trace,
        span_id=SPAN_ID,
    )
    return ExplainedRequest(
        task=name,
        webhook=webhook.name,
        rule=place,
        request=request,
        url=_shown_url(webhook.url),
        headers=tuple(_shown_headers(webhook, request, now)),
        tls=webhook.tls,
        timeout_s=webhook.timeout_s,
        insecure=webhook.tls.insecure and _split(webhook.url.value).scheme == "https",
        once=task.delete_after_running,
        secrets=task.template.secrets,
        withheld=withheld,
    )


def _stand_in(secret: Secret) -> Secret:
    """What is shown in a message for a secret: where it comes from (`env:NAME`), or the mask of a literal one."""
    kind, _, name = secret.reference.partition(" ")
    return Secret(f"{kind}:{name}" if kept_elsewhere(secret.reference) else MASK, secret.reference)


def _after(fired_by: int | None, request: ExplainedRequest) -> ExplainedRequest:
    """The request, of which nothing is made where an event before has fired its task, which runs once only."""
    if fired_by is None:
        return request
    why = f"the task runs once only, and event {fired_by} of this input has fired it already"
    return replace(request, withheld=why, made=False)


def _shown_url(url: Secret) -> Shown:
    """A plain URL as it stands in the configuration; of any other its host only (spec 8)."""
    if url.reference == _PLAIN:
        return Shown(url.value)
    parts = _split(url.value)
    return Shown(f"{parts.scheme}://{parts.netloc}/…", url.reference)


def _split(url: str) -> SplitResult:
    """The parts of a URL; none of a reference that stands in for one and cannot be taken apart."""
    with suppress(ValueError):
        return urlsplit(url)
    return urlsplit("")


def _shown_headers(webhook: WebhookDef, request: OutgoingRequest, now: float) -> Iterator[tuple[str, Shown]]:
    """The request's headers, in order; which of them are secret, a request with numbers for values tells."""
    numbers = tuple((name, Secret(f"\0{number}")) for number, (name, _) in enumerate(webhook.headers))
    numbered = replace(webhook, headers=numbers, signing=None)
    bare = build(numbered, delivery_id=DELIVERY_ID, body=request.body, now=now).headers
    for name, value in bare:
        secret = webhook.headers[int(value[1:])][1] if value.startswith("\0") else Secret(value)
        yield name, _shown_header(name, secret)
    for name, value in request.headers[len(bare) :]:
        yield name, Shown(value) if name in TRACE_HEADERS else Shown(SIGNATURE, "signature")


def _shown_header(name: str, value: Secret) -> Shown:
    plain = value.reference == _PLAIN and (not names_credential(name) or not value.value)
    return Shown(value.value) if plain else Shown(MASK, value.reference)


def _near(event: Event, config: Config, matching: frozenset[str]) -> list[EventDef]:
    """The rules that came near, the nearest first: only a task is off; the same type and event; a typo in one."""
    ranked: list[tuple[int, EventDef]] = []
    for rule in config.event_rules():
        same = rule.type == event.type, rule.event == event.event
        if rule.place in matching:
            if not all(config.tasks[name].enabled for name in rule.tasks):
                ranked.append((0, rule))
        elif all(same):
            ranked.append((1, rule))
        elif (same[0] and one_typo(rule.event, event.event)) or (same[1] and one_typo(rule.type, event.type)):
            ranked.append((2, rule))
    return [rule for _, rule in sorted(ranked, key=lambda entry: entry[0])]


def _miss(rule: EventDef, event: Event, config: Config, matching: Iterable[str], now: float) -> NearMiss:
    faults = [] if rule.place in matching else list(_faults(rule, event, now))
    off = (
        f"the task {_quoted(name)} is not enabled" for name in rule.tasks if not config.tasks[name].enabled
    )
    return NearMiss(rule.place, (*faults, *off))


def _faults(rule: EventDef, event: Event, now: float) -> Iterator[str]:
    """Everything in which a rule and an event differ; there is something."""
    for what, given, wanted in (("type", event.type, rule.type), ("event", event.event, rule.event)):
        if given != wanted:
            yield f"{what}: the event has {_quoted(given)}, the rule {_quoted(wanted)}"
    if not rule.enabled:
        yield "the rule is not enabled"
    obj = event.object or EventObject()
    if rule.object is not None and rule.object not in (obj.name, obj.id):
        yield f"asks for the object {_quoted(rule.object)}, the event has {_object_text(obj)}"
    if rule.tag is not None and rule.tag not in obj.tags:
        has = (
            f"the tags {listed([_quoted(tag) for tag in obj.tags], _MOST_LISTED)}" if obj.tags else "no tags"
        )
        yield f"asks for the tag {_quoted(rule.tag)}, the event has {has}"
    if rule.where is not None:
        yield from _where_fault(rule.where, replace(event, type=rule.type, event=rule.event), now)


def _where_fault(where: str, event: Event, now: float) -> Iterator[str]:
    """Why an expression is not true for an event, with what the event holds where the expression looks."""
    try:
        if compile_condition(where).holds(event, now):
            return
        verdict = _verdict(where, event, now)
    except EvaluationError as error:
        verdict = f"cannot be evaluated, {shown(str(error), 200)}"
    facts = ", ".join(_facts(where, event))
    yield f"its where {verdict}: {shown(where, 200)}" + (f" ({facts})" if facts else "")


def _verdict(where: str, event: Event, now: float) -> str:
    """What an expression is that has a value, but is not true."""
    with suppress(ConditionError, EvaluationError):
        # The line end closes a comment.
        if not compile_condition(f"({where}\n) == false").holds(event, now):
            return "is not a boolean"
    return "is false"


def _facts(where: str, event: Event) -> list[str]:
    """`data.size is 3` for what an expression asks of the event; only what can be read without evaluating it."""
    obj = event.object or EventObject()
    fields = {"id": obj.id, "name": obj.name, "tags": list(obj.tags)}
    top = {
        "data": event.data,
        "object": {name: value for name, value in fields.items() if value is not None},
    }
    found: dict[str, None] = {}
    for root, path, call in _PATH.findall(_LITERAL.sub('""', where)):
        steps = path.split(".")[1:]
        if steps := steps[:-1] if call else steps:
            found[_fact(root, steps, top[root])] = None
    return list(found)[:_MOST_FACTS]


def _fact(root: str, steps: list[str], value: Any) -> str:
    path = root
    for step in steps:
        if not isinstance(value, Mapping):
            break
        path += f".{step}"
        if step not in value:
            return f"{path} is not there"
        value = value[step]
    return f"{path} is {shown(json.dumps(value, ensure_ascii=False))}"


def _object_text(obj: EventObject) -> str:
    if obj.name is None:
        return "none" if obj.id is None else f"the id {_quoted(obj.id)}"
    return _quoted(obj.name) + (f" (id {_quoted(obj.id)})" if obj.id is not None else "")


def _quoted(text: str) -> str:
    return f'"{shown(text, 256)}"'
