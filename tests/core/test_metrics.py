"""The metrics' text, as the Prometheus project's own parser reads it."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.parser import text_string_to_metric_families

from hookd.observability.metrics import CONTENT_TYPE, Durations, LaneGauges, ListenerFigures, Metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def exposed(metrics: Metrics) -> str:
    gauges = [("w", LaneGauges(1, 2.5, 3, 4, True, 0.5))]
    listeners = {"http://h:1": ListenerFigures(2, {"full": 7}, 9.5)}
    return asyncio.run(metrics.exposition(gauges, listeners)).decode()


def test_what_was_counted_is_exposed() -> None:
    metrics = Metrics('1"\\0')
    metrics.config_applied("abc", 1764568000.25, webhooks=["w", 'q"'], rules=["r"])
    metrics.events["accepted"].inc()
    metrics.events["conflict"].inc(3)
    metrics.spool_waiting.set(5)
    metrics.lane("w").attempt("ok", 0.3, resent=True)
    metrics.lane("w").delivery("delivered")
    metrics.rule_error("r")
    found = samples(exposed(metrics))

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    assert value("hookd_events_total", result="accepted") == 1
    assert value("hookd_events_total", result="conflict") == 3
    assert value("hookd_events_total", result="unavailable") == 0
    assert value("hookd_spool_waiting") == 5
    assert value("hookd_store_writable") == 1
    assert value("hookd_config_info", hash="abc") == 1
    assert value("hookd_config_last_reload_timestamp_seconds") == 1764568000.25
    assert value("hookd_attempts_resent_total", webhook="w") == 1
    assert value("hookd_deliveries_total", outcome="dead", webhook='q"') == 0
    assert value("hookd_rule_errors_total", rule="r") == 1
    assert value("hookd_connections_unserved_total", listen="http://h:1", reason="full") == 7
    assert [labels for name, labels in found if name == "hookd_build_info"]


def test_each_family_has_its_help_and_type_once_and_its_samples_together() -> None:
    metrics = Metrics("1")
    metrics.config_applied("abc", 1.0, webhooks=["w"], rules=["r"])
    metrics.lane("w").attempt("ok", 0.3)
    families = list(text_string_to_metric_families(exposed(metrics)))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.type != "untyped" for family in families)


def test_the_content_type_is_the_client_librarys() -> None:
    assert CONTENT_TYPE == CONTENT_TYPE_PLAIN_0_0_4


@given(st.lists(st.floats(0, 10), max_size=20))
def test_durations_fall_into_the_buckets_that_the_client_library_has(seconds: list[float]) -> None:
    bounds = (0.005, 0.5, 1, 5)
    ours, theirs = Durations(bounds), Histogram("d", "d", ["w"], buckets=bounds, registry=CollectorRegistry())
    for each in seconds:
        ours.observe(each)
        theirs.labels("x").observe(each)
    theirs.labels("x")
    expected = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in theirs.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert samples("# TYPE d histogram\n" + "".join(ours.lines("d", 'w="x"'))) == expected
