"""The Prometheus metrics of spec section 10. Labels are names from the configuration and closed sets: bounded.

What has left the configuration is forgotten with the next one that comes into force; until then it may still be
counted, because attempts under way end and waiting deliveries are cancelled. What there is for each webhook is written
as text here: the client library takes 30 times as long for a line, and a scrape of many webhooks would stop the loop.

Must never: know anything of hookd's other modules.
"""

import asyncio
import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, chain, islice
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from hookd.domain.value_class import value_class

T = TypeVar("T")

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BOUNDS = (*(str(float(bound)) for bound in _SECONDS), "+Inf")
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_OUTCOMES = ("delivered", "dead", "cancelled")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

_FAMILIES = {
    "hookd_rule_errors_total": ("counter", "Evaluations of `where` that failed, by rule"),
    "hookd_deliveries_total": ("counter", "Deliveries ended, by webhook and outcome"),
    "hookd_attempts_total": ("counter", "Attempts ended, by webhook and result"),
    "hookd_attempts_resent_total": (
        "counter",
        "Attempts whose request was written a second time because a kept-alive connection was being closed, by webhook",
    ),
    "hookd_attempt_duration_seconds": ("histogram", "Duration of attempts, by webhook"),
    "hookd_pending": ("gauge", "Deliveries not finished, by webhook"),
    "hookd_oldest_pending_age_seconds": ("gauge", "Age of the oldest delivery not finished, by webhook"),
    "hookd_parked": ("gauge", "Deliveries that wait because their webhook is parked"),
    "hookd_in_flight": ("gauge", "Attempts under way, by webhook"),
    "hookd_webhook_breaker_open": (
        "gauge",
        "Whether the webhook's breaker is open or half open (1) or closed (0)",
    ),
    "hookd_webhook_slowed_to_per_second": (
        "gauge",
        "Attempts a second that the receiver's limit lets the webhook begin; 0 where there is none",
    ),
    "hookd_connections": ("gauge", "Open connections, by listener"),
    "hookd_connections_unserved_total": (
        "counter",
        "Connections that ended without being served, by listener and reason",
    ),
    "hookd_certificate_end_timestamp_seconds": ("gauge", "When the certificate that a listener serves ends"),
}
"""What is written as text: type and help by name."""

_AT_ONCE = 100
"""Webhooks written in one turn of the loop: about a millisecond."""

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""What every Prometheus since 2014 reads; names outside ASCII, which the newer ones allow, are not made here."""


@value_class
class LaneGauges:
    """What a webhook's lane looks like at the moment of a scrape."""

    pending: int
    oldest_age_s: float
    parked: int
    in_flight: int
    breaker_open: bool
    slowed_to_per_s: float


@value_class
class ListenerFigures:
    """A listener's connections at the moment of a scrape.

    Attributes:
        open: how many are open.
        unserved: how many ended without being served since the start, by reason.
        certificate_ends_at: seconds since the epoch; None without a certificate.
    """

    open: int
    unserved: Mapping[str, int]
    certificate_ends_at: float | None


class Metrics:
    """All metrics of one daemon, those without a label from the configuration in a registry of their own."""

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double every counter
        self.registry = registry = CollectorRegistry()
        self.events = Counter(
            "hookd_events",
            "Events by result: posted ones, and those made by triggers, sends and schedules",
            ["result"],
            registry=registry,
        )
        self._rule_errors: dict[str, int] = {}
        self._lanes: dict[str, LaneMetrics] = {}
        self.reloads = Counter(
            "hookd_config_reloads", "Reloads of the configuration, by result", ["result"], registry=registry
        )
        for result in ("applied", "rejected"):
            self.reloads.labels(result)
        self.reload_success = self._gauge(
            "hookd_config_last_reload_success", "Whether the last reload was applied (1) or refused (0)"
        )
        self.reload_time = self._gauge(
            "hookd_config_last_reload_timestamp_seconds", "When the last reload ended"
        )
        self.config_info = self._gauge(
            "hookd_config_info", "The configuration in force, by content hash", "hash"
        )
        self.commit_duration = Histogram(
            "hookd_store_commit_duration_seconds",
            "Duration of the store's commits",
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        self.leases_lost = Counter(
            "hookd_leases_lost",
            "Attempts whose lease was lost before their result was recorded, so that another may have been made",
            registry=registry,
        )
        self.spool_files = Counter(
            "hookd_spool_files",
            "Files of the spool that were processed, by result",
            ["result"],
            registry=registry,
        )
        for result in ("taken", "rejected"):
            self.spool_files.labels(result)
        self.spool_waiting = self._gauge("hookd_spool_waiting", "Files in the spool that are to be taken in")
        self.spool_rejected = self._gauge("hookd_spool_rejected", "Files in the spool's rejected/")
        self.store_writable = self._gauge(
            "hookd_store_writable", "Whether the store can record (1) or not (0)"
        )
        self.store_writable.set(1)
        build = self._gauge("hookd_build_info", "The running program", "version", "python")
        build.labels(version, platform.python_version()).set(1)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def lane(self, webhook: str) -> "LaneMetrics":
        """The metrics of one webhook's attempts and deliveries."""
        lane = self._lanes.get(webhook)
        if lane is None:
            lane = self._lanes[webhook] = LaneMetrics()
        return lane

    def rule_error(self, rule: str) -> None:
        """Count an evaluation of a rule's `where` that failed."""
        self._rule_errors[rule] = self._rule_errors.get(rule, 0) + 1

    def config_applied(
        self, config_hash: str, at: float, *, webhooks: Iterable[str], rules: Iterable[str]
    ) -> None:
        """Note the configuration now in force.

        Its webhooks and rules begin at zero: a counter that appears with its first count shows no increase.

        Args:
            config_hash: its content hash.
            at: seconds since the epoch.
            webhooks: the names of its webhooks; others are forgotten.
            rules: the places of its rules that have a `where`; others are forgotten.
        """
        self._lanes = {name: self._lanes.get(name) or LaneMetrics() for name in webhooks}
        self._rule_errors = {rule: self._rule_errors.get(rule, 0) for rule in rules}
        self.config_info.clear()
        self.config_info.labels(config_hash).set(1)
        self.reload_success.set(1)
        self.reload_time.set(at)

    def config_rejected(self, at: float) -> None:
        """Note a refused reload."""
        self.reload_success.set(0)
        self.reload_time.set(at)

    async def exposition(
        self, gauges: Iterable[tuple[str, LaneGauges]], listeners: Mapping[str, ListenerFigures]
    ) -> bytes:
        """The text that `GET /metrics` answers, of the type `CONTENT_TYPE`.

        Args:
            gauges: each webhook, with its lane as it is now.
            listeners: each listener's address, with its connections.
        """
        families = {
            name: [f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()]
            for name, (kind, text) in _FAMILIES.items()
        }
        await _write_each(families, _write_rule_errors, tuple(self._rule_errors.items()))
        await _write_each(families, _write_counts, tuple(self._lanes.items()))
        await _write_each(families, _write_gauges, gauges)
        await _write_each(families, _write_listener, listeners.items())
        return b"".join([generate_latest(self.registry), *chain.from_iterable(families.values())])


class LaneMetrics:
    """Counts for one webhook: plain numbers, because they change with every attempt and are read but now and then.

    Attributes:
        attempts: ended ones, by result.
        deliveries: ended ones, by outcome.
        resent: attempts whose request was written twice.
        seconds: sum of the attempts' durations.
    """

    __slots__ = ("_by_bucket", "attempts", "deliveries", "resent", "seconds")

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self.deliveries: dict[str, int] = dict.fromkeys(_OUTCOMES, 0)
        self.resent = 0
        self.seconds = 0.0
        self._by_bucket = [0] * len(_BOUNDS)

    def attempt(self, result: str, duration_s: float, *, resent: bool = False) -> None:
        """Count an attempt's end."""
        self.resent += resent
        self.attempts[result] = self.attempts.get(result, 0) + 1
        self.seconds += duration_s
        self._by_bucket[bisect_left(_SECONDS, duration_s)] += 1

    def delivery(self, outcome: str) -> None:
        """Count a delivery's end."""
        self.deliveries[outcome] = self.deliveries.get(outcome, 0) + 1

    def buckets(self) -> list[int]:
        """The cumulative buckets of the durations, as the exposition format wants them."""
        return list(accumulate(self._by_bucket))


_LinesByFamily = Mapping[str, list[str]]
"""What is written, by the metric's name."""


async def _write_each(
    families: Mapping[str, list[bytes]],
    write: Callable[[_LinesByFamily, str, T], None],
    each: Iterable[tuple[str, T]],
) -> None:
    """Write the lines of each webhook or rule, a few in one turn of the loop."""
    left = iter(each)
    while some := tuple(islice(left, _AT_ONCE)):
        lines: _LinesByFamily = {name: [] for name in families}
        for name, what in some:
            write(lines, _escaped(name), what)
        for family, written in lines.items():
            families[family].append("".join(written).encode())
        await asyncio.sleep(0)


def _write_rule_errors(lines: _LinesByFamily, rule: str, count: int) -> None:
    lines["hookd_rule_errors_total"].append(f'hookd_rule_errors_total{{rule="{rule}"}} {count}\n')


def _write_counts(lines: _LinesByFamily, webhook: str, lane: LaneMetrics) -> None:
    label = f'webhook="{webhook}"'
    lines["hookd_deliveries_total"] += [
        f'hookd_deliveries_total{{outcome="{outcome}",{label}}} {count}\n'
        for outcome, count in lane.deliveries.items()
    ]
    lines["hookd_attempts_total"] += [
        f'hookd_attempts_total{{result="{result}",{label}}} {count}\n'
        for result, count in lane.attempts.items()
    ]
    lines["hookd_attempts_resent_total"].append(f"hookd_attempts_resent_total{{{label}}} {lane.resent}\n")
    if not lane.attempts:
        return
    buckets, name = lane.buckets(), "hookd_attempt_duration_seconds"
    lines[name] += [
        f'{name}_bucket{{le="{bound}",{label}}} {count}\n'
        for bound, count in zip(_BOUNDS, buckets, strict=True)
    ]
    lines[name] += [
        f"{name}_count{{{label}}} {buckets[-1]}\n",
        f"{name}_sum{{{label}}} {lane.seconds}\n",
    ]


def _write_gauges(lines: _LinesByFamily, webhook: str, now: LaneGauges) -> None:
    for name, value in (
        ("hookd_pending", now.pending),
        ("hookd_oldest_pending_age_seconds", now.oldest_age_s),
        ("hookd_parked", now.parked),
        ("hookd_in_flight", now.in_flight),
        ("hookd_webhook_breaker_open", int(now.breaker_open)),
        ("hookd_webhook_slowed_to_per_second", now.slowed_to_per_s),
    ):
        lines[name].append(f'{name}{{webhook="{webhook}"}} {value}\n')


def _write_listener(lines: _LinesByFamily, address: str, now: ListenerFigures) -> None:
    lines["hookd_connections"].append(f'hookd_connections{{listen="{address}"}} {now.open}\n')
    name = "hookd_connections_unserved_total"
    lines[name] += [
        f'{name}{{listen="{address}",reason="{reason}"}} {count}\n' for reason, count in now.unserved.items()
    ]
    name = "hookd_certificate_end_timestamp_seconds"
    if now.certificate_ends_at is not None:
        lines[name].append(f'{name}{{listen="{address}"}} {now.certificate_ends_at}\n')


def _escaped(value: str) -> str:
    """A label's value as the text format writes it between quotes."""
    return value.translate(_ESCAPES)
