"""The Prometheus metrics of spec section 10. Labels are names from the configuration and closed sets: bounded.

Must never: know anything of hookd's other modules. Called by: `daemon` (builds it), whoever counts, `api` (exposes it).
"""

import platform
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """All metrics of one daemon, in a registry of their own."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter("hookd_events", "Events posted, by result", ["result"], registry=registry)
        self.rule_errors = Counter(
            "hookd_rule_errors",
            "Evaluations of `where` that failed, by rule",
            ["rule"],
            registry=registry,
        )
        self._lanes: dict[str, LaneMetrics] = {}
        registry.register(self)
        self.pending = self._gauge("hookd_pending", "Deliveries not finished, by webhook", "webhook")
        self.oldest_pending_age = self._gauge(
            "hookd_oldest_pending_age_seconds",
            "Age of the oldest delivery not finished, by webhook",
            "webhook",
        )
        self.parked = self._gauge(
            "hookd_parked", "Deliveries that wait because their webhook is parked", "webhook"
        )
        self.breaker_open = self._gauge(
            "hookd_webhook_breaker_open",
            "Whether the webhook's breaker is open or half open (1) or closed (0)",
            "webhook",
        )
        self.in_flight = self._gauge("hookd_in_flight", "Attempts under way, by webhook", "webhook")
        self.lane_gauges = (
            self.pending,
            self.oldest_pending_age,
            self.parked,
            self.breaker_open,
            self.in_flight,
        )
        self.reloads = Counter(
            "hookd_config_reloads", "Reloads of the configuration, by result", ["result"], registry=registry
        )
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
        self.spool_files = Counter(
            "hookd_spool_files",
            "Files of the spool that were dealt with, by result",
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

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for at each exposition: the counts of every lane."""
        deliveries = CounterMetricFamily(
            "hookd_deliveries", "Deliveries ended, by webhook and outcome", labels=["webhook", "outcome"]
        )
        attempts = CounterMetricFamily(
            "hookd_attempts", "Attempts ended, by webhook and result", labels=["webhook", "result"]
        )
        duration = HistogramMetricFamily(
            "hookd_attempt_duration_seconds", "Duration of attempts, by webhook", labels=["webhook"]
        )
        for webhook, lane in self._lanes.items():
            for outcome, count in lane.deliveries.items():
                deliveries.add_metric([webhook, outcome], count)
            for result, count in lane.attempts.items():
                attempts.add_metric([webhook, result], count)
            duration.add_metric([webhook], lane.buckets(), lane.seconds)
        yield from (deliveries, attempts, duration)

    def config_applied(self, config_hash: str, at: float) -> None:
        """Note the configuration now in force."""
        self.config_info.clear()
        self.config_info.labels(config_hash).set(1)
        self.reload_success.set(1)
        self.reload_time.set(at)

    def config_rejected(self, at: float) -> None:
        """Note a refused reload."""
        self.reload_success.set(0)
        self.reload_time.set(at)

    def exposition(self) -> bytes:
        """The text that `GET /metrics` answers (Prometheus text format 0.0.4)."""
        return generate_latest(self.registry)


class LaneMetrics:
    """Counts for one webhook: plain numbers, because they change with every attempt and are read but now and then.

    Attributes:
        attempts: ended ones, by result.
        deliveries: ended ones, by outcome.
        seconds: sum of the attempts' durations.
    """

    __slots__ = ("_by_bucket", "attempts", "deliveries", "seconds")

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self.deliveries: dict[str, int] = {}
        self.seconds = 0.0
        self._by_bucket = [0] * (len(_SECONDS) + 1)

    def attempt(self, result: str, duration_s: float) -> None:
        """Count an attempt's end."""
        self.attempts[result] = self.attempts.get(result, 0) + 1
        self.seconds += duration_s
        self._by_bucket[bisect_left(_SECONDS, duration_s)] += 1

    def delivery(self, outcome: str) -> None:
        """Count a delivery's end."""
        self.deliveries[outcome] = self.deliveries.get(outcome, 0) + 1

    def buckets(self) -> list[tuple[str, float]]:
        """The cumulative buckets of the durations, as the exposition format wants them."""
        bounds = [*(str(float(bound)) for bound in _SECONDS), "+Inf"]
        return list(zip(bounds, accumulate(self._by_bucket), strict=True))
