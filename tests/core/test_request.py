"""The request as it goes out: headers in order and case, the URL untouched, nothing shown."""

from dataclasses import replace

import pytest

from hookd import __version__
from hookd.delivery.request import build, draft
from hookd.domain.definitions import Method, Secret, Signing, SigningStyle, WebhookDef
from hookd.domain.tracing import Trace

JSON = ("Content-Type", Secret("application/json"))
AGENT = ("user-agent", f"hookd/{__version__}")
OWN = [("webhook-id", "dlv_1"), ("webhook-timestamp", "1700000000")]
URL = "https://hooks.example/a%20b/%2f/c?x=a+b&y=%C3%bc"


def webhook(
    *headers: tuple[str, Secret], method: Method = Method.POST, signing: Signing | None = None
) -> WebhookDef:
    return WebhookDef("w", Secret(URL, "env URL"), method=method, headers=headers, signing=signing)


def headers_of(definition: WebhookDef) -> list[tuple[str, str]]:
    request = build(definition, delivery_id="dlv_1", body=b"{}", now=1_700_000_000.9)
    return list(request.headers)


def test_a_plain_request() -> None:
    request = build(webhook(JSON), delivery_id="dlv_1", body=b"{}", now=1_700_000_000.9)
    assert (request.method, request.url, request.body) == (Method.POST, URL, b"{}")
    assert list(request.headers) == [AGENT, ("Content-Type", "application/json"), *OWN]


def test_headers_keep_order_case_and_repetition() -> None:
    definition = webhook(
        ("X-Route", Secret("a")), ("x-route", Secret("b")), JSON, ("AUTHORIZATION", Secret("Bearer t"))
    )
    assert headers_of(definition) == [
        AGENT,
        ("X-Route", "a"),
        ("x-route", "b"),
        ("Content-Type", "application/json"),
        ("AUTHORIZATION", "Bearer t"),
        *OWN,
    ]


def test_a_users_user_agent_stands_where_it_was_written() -> None:
    definition = webhook(JSON, ("User-Agent", Secret("mine/1")))
    assert headers_of(definition) == [
        ("Content-Type", "application/json"),
        ("User-Agent", "mine/1"),
        *OWN,
    ]


def test_without_content_type_none_is_sent() -> None:
    assert headers_of(webhook()) == [AGENT, *OWN]


def test_get_sends_neither_body_nor_content_type() -> None:
    definition = webhook(JSON, ("X-A", Secret("1")), method=Method.GET)
    request = build(definition, delivery_id="dlv_1", body=b"{}", now=1_700_000_000)
    assert request.body == b""
    assert list(request.headers) == [AGENT, ("X-A", "1"), *OWN]
    assert not draft(definition).has_body


def test_delete_sends_the_body() -> None:
    definition = webhook(JSON, method=Method.DELETE)
    assert build(definition, delivery_id="d", body=b"{}", now=0).body == b"{}"


def test_the_signature_comes_last_and_covers_what_is_sent() -> None:
    signing = Signing((Secret("s"),), SigningStyle.GITHUB)
    posted = headers_of(webhook(JSON, signing=signing))[-1]
    fetched = headers_of(webhook(JSON, signing=signing, method=Method.GET))[-1]
    assert posted[0] == fetched[0] == "X-Hub-Signature-256"
    assert posted[1] != fetched[1]


def test_repr_shows_no_secret() -> None:
    definition = webhook(("Authorization", Secret("Bearer t0k3n")), signing=Signing((Secret("s1gn"),)))
    shown = repr(draft(definition)) + repr(build(definition, delivery_id="d", body=b"b0dy", now=0))
    for hidden in ("t0k3n", "s1gn", "b0dy", "hooks.example"):
        assert hidden not in shown


TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "01", "rojo=1")
SPAN = "00f067aa0ba902b7"
TRACED = [("traceparent", f"00-{TRACE.trace_id}-{SPAN}-01"), ("tracestate", "rojo=1")]


@pytest.mark.parametrize(
    ("own", "added"),
    [
        ((), TRACED),
        ((("TraceState", Secret("own=1")),), TRACED[:1]),
        ((("Traceparent", Secret("own")),), []),
        ((("traceparent", Secret("own")), ("tracestate", Secret("own=1"))), []),
    ],
)
def test_a_trace_comes_last_unless_the_webhook_has_its_own(
    own: tuple[tuple[str, Secret], ...], added: list[tuple[str, str]]
) -> None:
    signing = Signing((Secret("s"),), SigningStyle.GITHUB)
    made = draft(webhook(JSON, *own, signing=signing))
    plain = made.fill(delivery_id="dlv_1", body=b"{}", now=0)
    traced = made.fill(delivery_id="dlv_1", body=b"{}", now=0, trace=TRACE, span_id=SPAN)
    assert list(traced.headers) == [*plain.headers, *added]


def test_a_trace_without_a_state() -> None:
    trace = replace(TRACE, state="")
    traced = draft(webhook()).fill(delivery_id="dlv_1", body=b"", now=0, trace=trace, span_id=SPAN)
    assert list(traced.headers) == [
        AGENT,
        *[(name, v.replace("1700000000", "0")) for name, v in OWN],
        TRACED[0],
    ]
