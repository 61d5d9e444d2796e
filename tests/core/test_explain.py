"""What an event leads to: requests with their secrets masked, and near misses that show both sides."""

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from hookd.config.generation import Generation
from hookd.delivery.request import build
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    Method,
    Secret,
    Signing,
    SigningStyle,
    SqliteDef,
    TaskDef,
    Tls,
    TypeDef,
    WebhookDef,
)
from hookd.domain.events import Event, EventObject
from hookd.domain.message_templates import BodyFormat
from hookd.domain.tracing import Trace
from hookd.dryrun.explain import (
    DELIVERY_ID,
    MOST_MISSES,
    SIGNATURE,
    SPAN_ID,
    Explained,
    NearMiss,
    Shown,
    explain,
    explain_each,
    named_by_rules,
    one_typo,
)
from hookd.rules.templates import compile_message

NOW = 1_700_000_000.9
RANDOM = 4
URL = "https://hooks.example:8443/services/T000/B000/s3cr3t?k=t0k3n"


def rule(place: str = "events.r", **fields: Any) -> EventDef:
    return EventDef(**{"place": place, "type": "vm", "event": "on", "tasks": ("t",), **fields})


def task(name: str = "t", message: Any = None, **fields: Any) -> TaskDef:
    template = compile_message(
        {"text": "${NAME}"} if message is None else message, body_format=BodyFormat.JSON
    )
    return TaskDef(**{"name": name, "webhook": "w", "template": template, **fields})


def configured(
    rules: Iterable[EventDef] = (),
    tasks: Iterable[TaskDef] = (task(),),
    webhook: WebhookDef | None = None,
    types: dict[str, TypeDef] | None = None,
) -> Config:
    return Config(
        path="/c",
        hash="0" * 12,
        daemon=DaemonDef(listen=(), store=SqliteDef("/s")),
        types=types,
        webhooks={"w": webhook or WebhookDef("w", Secret("http://127.0.0.1/hook"))},
        tasks={one.name: one for one in tasks},
        events={one.place.removeprefix("events."): one for one in rules},
    )


def explained(config: Config, event: Event) -> Explained:
    generation = Generation.of(config, number=1, now=NOW)
    return explain(event, generation, now=NOW, random=RANDOM)


def happened(kind: str = "vm", event: str = "on", obj: EventObject | None = None, **data: Any) -> Event:
    return Event("e1", type=kind, event=event, object=obj, data=data)


def misses(*rules: EventDef, event: Event, tasks: Iterable[TaskDef] = (task(),)) -> list[NearMiss]:
    return list(explained(configured(rules, tasks), event).misses)


def reasons(only: EventDef, event: Event) -> tuple[str, ...]:
    (miss,) = misses(only, event=event)
    assert miss.place == only.place
    return miss.reasons


# Requests.


def test_each_task_that_fires_makes_one_request_exactly_as_it_would_go_out() -> None:
    config = configured(
        (rule("events.a", tasks=("t", "u")), rule("events.b", tasks=("u",)), rule("events.c", event="off")),
        (task("t", {"r": "${RANDOM}"}), task("u", {"n": "${NAME}", "i": "${ID}"})),
    )
    found = explained(config, happened(obj=EventObject(name="wéb\n")))
    assert found.rules == ("events.a", "events.b")
    assert [(one.task, one.webhook, one.rule) for one in found.requests] == [
        ("t", "w", "events.a"),
        ("u", "w", "events.a"),
    ]
    bodies = [b'{"r": "4"}', '{"n": "wéb\\n", "i": "e1"}'.encode()]
    webhook = config.webhooks["w"]
    assert [one.request for one in found.requests] == [
        build(webhook, delivery_id=DELIVERY_ID, body=body, now=NOW) for body in bodies
    ]
    assert found.sends
    assert found.misses == ()


def test_rules_written_on_tasks_count() -> None:
    written = rule("tasks.t.triggers[0]", object="web-01")
    config = configured((), (task(triggers=(written,)),))
    assert explained(config, happened(obj=EventObject(id="web-01"))).rules == ("tasks.t.triggers[0]",)
    assert [miss.place for miss in explained(config, happened()).misses] == ["tasks.t.triggers[0]"]


def test_a_disabled_webhooks_request_is_not_sent() -> None:
    found = explained(
        configured((rule(),), webhook=WebhookDef("w", Secret("http://h/"), enabled=False)), happened()
    )
    assert [one.withheld for one in found.requests] == ['the webhook "w" is not enabled']
    assert not found.sends


def test_a_one_shot_and_an_unchecked_certificate_are_told() -> None:
    def told(url: str) -> tuple[bool, bool]:
        webhook = WebhookDef("w", Secret(url), tls=Tls(insecure=True))
        (found,) = explained(
            configured((rule(),), (task(delete_after_running=True),), webhook), happened()
        ).requests
        return found.once, found.insecure

    assert told("https://h/") == (True, True)
    assert told("http://h/") == (True, False)


def headers_shown(*headers: tuple[str, Secret], **fields: Any) -> list[tuple[str, Shown]]:
    webhook = WebhookDef("w", Secret(URL), headers=headers, **fields)
    (found,) = explained(configured((rule(),), webhook=webhook), happened()).requests
    assert [name for name, _ in found.headers] == [name for name, _ in found.request.headers]
    return list(found.headers)[1:-2] if webhook.signing is None else list(found.headers)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("X-Route", Secret("a"), Shown("a")),
        ("X-Route", Secret(""), Shown("")),
        ("X-Route", Secret("a", "env ROUTE"), Shown("***", "env ROUTE")),
        ("X-Route", Secret("a", "file /f"), Shown("***", "file /f")),
        ("X-Route", Secret("a", "credential c"), Shown("***", "credential c")),
        ("Authorization", Secret("Bearer t"), Shown("***", "plain")),
        ("authorization", Secret("Basic dTpw"), Shown("***", "plain")),
        ("X-API-Key", Secret("k"), Shown("***", "plain")),
        ("X-Zapier", Secret("k", "auth"), Shown("***", "auth")),
        ("Cookie", Secret("s=1"), Shown("***", "plain")),
        ("Content-Type", Secret("text/plain"), Shown("text/plain")),
    ],
)
def test_header_values_that_are_secret_are_masked(name: str, value: Secret, shown: Shown) -> None:
    assert headers_shown((name, value)) == [(name, shown)]


def test_masks_stay_with_their_headers_where_a_header_is_left_out() -> None:
    found = headers_shown(
        ("Content-Type", Secret("text/plain")),
        ("A", Secret("1")),
        ("A", Secret("2", "env B")),
        ("User-Agent", Secret("mine")),
        ("C", Secret("3")),
        method=Method.GET,
    )
    # No user-agent of hookd's own stands before these.
    assert found == [("A", Shown("***", "env B")), ("User-Agent", Shown("mine")), ("C", Shown("3"))]


@pytest.mark.parametrize("style", SigningStyle)
def test_a_signature_is_never_shown(style: SigningStyle) -> None:
    signing = Signing((Secret("one"), Secret("two", "env TWO")), style)
    found = headers_shown(("X-Route", Secret("a")), signing=signing)
    assert found[-1][1] == Shown(SIGNATURE, "signature")
    assert [value.text for name, value in found if name == "webhook-id"] == [DELIVERY_ID]
    assert [value.text for name, value in found if name == "webhook-timestamp"] == ["1700000000"]


def test_the_trace_is_shown_without_the_id_of_a_span() -> None:
    def shown(*headers: tuple[str, Secret]) -> list[tuple[str, Shown]]:
        webhook = WebhookDef("w", Secret(URL), headers=headers, signing=Signing((Secret("one"),)))
        event = replace(happened(), trace=Trace("0af7651916cd43dd8448eb211c80319c", "01", "rojo=1"))
        return list(explained(configured((rule(),), webhook=webhook), event).requests[0].headers)

    parent = f"00-0af7651916cd43dd8448eb211c80319c-{SPAN_ID}-01"
    assert shown()[-3:] == [
        ("webhook-signature", Shown(SIGNATURE, "signature")),
        ("traceparent", Shown(parent)),
        ("tracestate", Shown("rojo=1")),
    ]
    assert shown(("TraceState", Secret("own=1")))[-1] == ("traceparent", Shown(parent))
    assert shown(("traceparent", Secret("own")))[-1] == ("webhook-signature", Shown(SIGNATURE, "signature"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (Secret(URL), Shown(URL)),
        (Secret(URL, "env URL"), Shown("https://hooks.example:8443/…", "env URL")),
        (Secret("http://[::1]?k=s3cr3t", "file /f"), Shown("http://[::1]/…", "file /f")),
    ],
)
def test_a_url_from_a_reference_is_shown_by_its_host_only(url: Secret, shown: Shown) -> None:
    (found,) = explained(configured((rule(),), webhook=WebhookDef("w", url)), happened()).requests
    assert found.url == shown
    assert found.request.url == url.value


def test_repr_shows_no_secret() -> None:
    webhook = WebhookDef(
        "w",
        Secret(URL, "env URL"),
        headers=(("Authorization", Secret("Bearer t0k3n")),),
        signing=Signing((Secret("s1gn"),)),
    )
    told = repr(explained(configured((rule(),), webhook=webhook), happened()))
    assert all(hidden not in told for hidden in ("t0k3n", "s3cr3t", "s1gn", "v1,"))


# Several events.


def test_a_task_that_runs_once_only_is_fired_by_the_first_event() -> None:
    config = configured(
        (
            rule("events.a", tasks=("once", "t")),
            rule("events.b", tasks=("once",)),
            rule("events.c", event="off"),
        ),
        (task("t"), task("once", delete_after_running=True)),
    )
    generation = Generation.of(config, number=1, now=NOW)
    numbers = iter((1, 2, 3))
    events = [happened(event="off"), happened(), happened()]
    _, first, second = explain_each(events, generation, now=NOW, draw=lambda: next(numbers))
    assert [(one.task, one.withheld, one.made) for one in first.requests] == [
        ("once", "", True),
        ("t", "", True),
    ]
    withheld = "the task runs once only, and event 2 of this input has fired it already"
    assert [(one.task, one.withheld, one.made) for one in second.requests] == [
        ("once", withheld, False),
        ("t", "", True),
    ]
    assert list(numbers) == []


def test_one_that_waits_for_its_webhook_has_been_fired() -> None:
    off = WebhookDef("w", Secret("http://h/"), enabled=False)
    config = configured((rule(),), (task(delete_after_running=True),), off)
    generation = Generation.of(config, number=1, now=NOW)
    found = explain_each([happened()] * 2, generation, now=NOW, draw=lambda: 0)
    assert [request.made for one in found for request in one.requests] == [True, False]


# Near misses.

WEB = EventObject(name="web-02", id="17", tags=("edge", "prod"))


@pytest.mark.parametrize(
    ("fields", "obj", "reason"),
    [
        ({"object": "web-01"}, WEB, 'asks for the object "web-01", the event has "web-02" (id "17")'),
        ({"object": "web-01"}, EventObject(name="x"), 'asks for the object "web-01", the event has "x"'),
        ({"object": "web-01"}, EventObject(id="9"), 'asks for the object "web-01", the event has the id "9"'),
        ({"object": "web-01"}, None, 'asks for the object "web-01", the event has none'),
        ({"tag": "production"}, WEB, 'asks for the tag "production", the event has the tags "edge", "prod"'),
        ({"tag": "production"}, None, 'asks for the tag "production", the event has no tags'),
        ({"enabled": False}, None, "the rule is not enabled"),
        ({"type": "VM"}, None, 'type: the event has "vm", the rule "VM"'),
        ({"event": "On"}, None, 'event: the event has "on", the rule "On"'),
    ],
)
def test_a_near_miss_says_why_and_shows_both_sides(
    fields: dict[str, Any], obj: EventObject | None, reason: str
) -> None:
    assert reasons(rule(**fields), happened(obj=obj)) == (reason,)


@pytest.mark.parametrize(
    ("where", "data", "reason"),
    [
        ("data.pct >= 80", {"pct": 70}, "its where is false: data.pct >= 80 (data.pct is 70)"),
        (
            "data.a.b == 'data.no'",
            {"a": {"b": [1]}},
            "its where is false: data.a.b == 'data.no' (data.a.b is [1])",
        ),
        ("data.ok", {"ok": "yes"}, 'its where is not a boolean: data.ok (data.ok is "yes")'),
        ("data.ok // if it is", {"ok": 1}, "its where is not a boolean: data.ok // if it is (data.ok is 1)"),
        (
            "has(data.x) && data.y",
            {"y": True},
            "its where is false: has(data.x) && data.y (data.x is not there, data.y is true)",
        ),
        (
            'object.name.startsWith("prod-")',
            {},
            'its where is false: object.name.startsWith("prod-") (object.name is "web-02")',
        ),
        ("false", {}, "its where is false: false"),
    ],
)
def test_a_where_that_is_not_true_shows_what_it_looked_at(
    where: str, data: dict[str, Any], reason: str
) -> None:
    assert reasons(rule(where=where), happened(obj=WEB, **data)) == (reason,)


def test_a_where_that_cannot_be_evaluated_tells_the_error() -> None:
    (told,) = reasons(rule(where="data.pct >= 80"), happened())
    assert told.startswith("its where cannot be evaluated, ")
    assert told.endswith(": data.pct >= 80 (data.pct is not there)")


def test_what_the_event_says_cannot_forge_a_line() -> None:
    (told,) = reasons(rule(where="data.x == 1"), happened(x="a\n\x1b[2J" + "y" * 500))
    assert told.isprintable()
    assert len(told) < 200


def test_every_reason_is_told_and_where_is_judged_as_if_there_were_no_typo() -> None:
    off = rule(type="disks", enabled=False, tag="a", where='type == "disk"')
    assert reasons(off, happened("disk")) == (
        'type: the event has "disk", the rule "disks"',
        "the rule is not enabled",
        'asks for the tag "a", the event has no tags',
        'its where is false: type == "disk"',
    )
    assert reasons(rule(type="disks", where='type == "disks"'), happened("disk")) == (
        'type: the event has "disk", the rule "disks"',
    )
    assert reasons(rule(event="boot"), happened(event="boto")) == (
        'event: the event has "boto", the rule "boot"',
    )


@pytest.mark.parametrize(
    ("kind", "event"), [("disks", "boots"), ("Disk", "Boot"), ("Disk", "boto"), ("other", "boot")]
)
def test_two_typos_are_no_near_miss(kind: str, event: str) -> None:
    assert misses(rule(type="disk", event="boot"), event=happened(kind, event)) == []


def test_a_matching_rule_whose_task_is_not_enabled_is_a_near_miss() -> None:
    off = (task("t"), task("u", enabled=False))
    found = explained(configured((rule(tasks=("t", "u")),), off), happened())
    assert [one.task for one in found.requests] == ["t"]
    assert found.misses == (NearMiss("events.r", ('the task "u" is not enabled',)),)


@pytest.mark.parametrize(
    "fields",
    [{"type": "vmxx"}, {"event": "off"}, {"type": "volume"}, {"type": "vms", "event": "off"}, {"type": ""}],
)
def test_what_is_further_away_is_no_near_miss(fields: dict[str, Any]) -> None:
    assert misses(rule(**fields), event=happened("vmvm" if fields == {"type": ""} else "vm")) == []


def test_the_nearest_come_first_and_the_rest_are_counted() -> None:
    rules = [rule(f"events.typo-{number}", type="VM") for number in range(MOST_MISSES)]
    rules += [rule("events.tag", tag="a"), rule("events.off", tasks=("u",)), rule("events.hit")]
    found = explained(configured(rules, (task(), task("u", enabled=False))), happened())
    assert [miss.place for miss in found.misses][:3] == ["events.off", "events.tag", "events.typo-0"]
    assert (len(found.misses), found.more_misses) == (MOST_MISSES, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("virtual_machine", "virtual_machin"),
        ("virtual_machine", "irtual_machine"),
        ("virtual_machine", "virtual_mahine"),
        ("virtual_machine", "virtual-machine"),
        ("virtual_machine", "virtual_machien"),
        ("virtual_machine", "ivrtual_machine"),
        ("virtual_machine", "Virtual_Machine"),
        ("aaab", "aab"),
        ("abab", "aab"),
        ("on", "ON"),
        ("a", "A"),
        ("STRASSE", "straße"),
    ],
)
def test_one_typo(one: str, other: str) -> None:
    assert one_typo(one, other)
    assert one_typo(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("same", "same"),
        ("", ""),
        ("virtual_machine", "virtual_machi"),
        ("virtual_machine", "virtual_nachime"),
        ("Virtual_machine", "virtual_machin"),
        ("abc", "cba"),
        ("abcd", "badc"),
        ("abc", "bca"),
        ("ab", ""),
        ("on", "no"),
        ("on", "off"),
        ("on", "one"),
        ("a", "b"),
        ("a", ""),
    ],
)
def test_more_or_less_than_one_typo(one: str, other: str) -> None:
    assert not one_typo(one, other)
    assert not one_typo(other, one)


def test_a_typo_is_what_one_edit_makes() -> None:
    """Against every edit there is, over words of a small alphabet."""
    dice = random.Random(7)
    for _ in range(400):
        word = "".join(dice.choices("ab", k=dice.randrange(6)))
        near = edits(word)
        for other in {"".join(dice.choices("ab", k=dice.randrange(7))) for _ in range(10)}:
            long = min(len(word), len(other)) >= 3
            assert one_typo(word, other) == (long and other != word and other in near), (word, other)


def edits(word: str) -> set[str]:
    """The words that are one edit away, and the word itself."""
    spots = range(len(word) + 1)
    added = {word[:spot] + char + word[spot:] for spot in spots for char in "ab"}
    replaced = {word[:spot] + char + word[spot + 1 :] for spot in spots[:-1] for char in ("a", "b", "")}
    swapped = {word[:spot] + word[spot + 1] + word[spot] + word[spot + 2 :] for spot in spots[:-2]}
    return added | replaced | swapped


def test_the_types_and_events_that_rules_name() -> None:
    rules = (rule("events.a"), rule("events.b", event="off"), rule("events.c"), rule("events.d", type="disk"))
    assert named_by_rules(configured(rules)) == {"vm": ("on", "off"), "disk": ("on",)}
    assert named_by_rules(configured()) == {}
