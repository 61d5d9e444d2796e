"""The bytes of a request are those of `Draft.fill`, which `explain` shows, with what the connection adds."""

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from hookd.delivery.http.destination import Destination
from hookd.delivery.http.route import WebhookRoute
from hookd.delivery.request import build
from hookd.domain.definitions import Method, Secret, Signing, SigningStyle, WebhookDef
from hookd.domain.tracing import Trace

URL = "http://Hooks.example:81/a%20b?c"

names = st.sampled_from(
    ["Content-Type", "X-A", "x-a", "User-Agent", "traceparent", "tracestate", "Authorization"]
)
headers = st.lists(st.tuples(names, st.sampled_from(["", "a", "Grüße", "\udcff"]).map(Secret)), max_size=4)
signings = st.none() | st.sampled_from(SigningStyle).map(
    lambda style: Signing((Secret("s"), Secret("t")), style)
)
traces = st.none() | st.sampled_from([Trace("a" * 32, "01"), Trace("b" * 32, "00", "k=v")])
webhooks = st.builds(
    lambda method, own, signing: WebhookDef(
        "w", Secret(URL), method=method, headers=tuple(own), signing=signing
    ),
    st.sampled_from(Method),
    headers,
    signings,
)


@given(webhooks, traces, st.binary(max_size=40), st.floats(0, 2e9))
def test_what_goes_out_is_what_is_shown(
    webhook: WebhookDef, trace: Trace | None, body: bytes, now: float
) -> None:
    sent = WebhookRoute(webhook, cast("Destination", None)).message("dlv_1", body, now, trace)
    span_id = ""
    if trace is not None and (at := sent.find(trace.trace_id.encode())) >= 0:
        span_id = sent[at + 33 : at + 49].decode()
    shown = build(webhook, delivery_id="dlv_1", body=body, now=now, trace=trace, span_id=span_id)
    lines = [f"{webhook.method} /a%20b?c HTTP/1.1", "Host: hooks.example:81"]
    lines += [f"{name}: {value}" for name, value in shown.headers]
    if webhook.method is not Method.GET:
        lines.append(f"Content-Length: {len(shown.body)}")
    assert sent == "\r\n".join([*lines, "", ""]).encode(errors="surrogateescape") + shown.body
