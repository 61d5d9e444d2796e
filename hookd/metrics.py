"""The Prometheus metrics of spec section 10. Labels are names from the configuration and closed sets: bounded.

Must never: know anything of hookd's other modules. Called by: `daemon` (builds it), whoever counts, `api` (exposes it).
"""

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """All metrics of one daemon, in a registry of their own."""

    def __init__(self, version: str) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter("hookd_events", "Events posted, by result", ["result"], registry=registry)
        self.deliveries = Counter(
            "hookd_deliveries",
            "Deliveries ended, by webhook and outcome",
            ["webhook", "outcome"],
            registry=registry,
        )
        self.attempts = Counter(
            "hookd_attempts",
            "Attempts ended, by webhook and result",
            ["webhook", "result"],
            registry=registry,
        )
        self.attempt_duration = Histogram(
            "hookd_attempt_duration_seconds",
            "Duration of attempts, by webhook",
            ["webhook"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.pending = Gauge(
            "hookd_pending", "Deliveries not finished, by webhook", ["webhook"], registry=registry
        )
        self.oldest_pending_age = Gauge(
            "hookd_oldest_pending_age_seconds",
            "Age of the oldest delivery not finished, by webhook",
            ["webhook"],
            registry=registry,
        )
        self.parked = Gauge(
            "hookd_parked",
            "Deliveries that wait because their webhook is parked",
            ["webhook"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "hookd_in_flight", "Attempts under way, by webhook", ["webhook"], registry=registry
        )
        self.reloads = Counter(
            "hookd_config_reloads", "Reloads of the configuration, by result", ["result"], registry=registry
        )
        self.reload_success = Gauge(
            "hookd_config_last_reload_success",
            "Whether the last reload was applied (1) or refused (0)",
            registry=registry,
        )
        self.reload_time = Gauge(
            "hookd_config_last_reload_timestamp_seconds", "When the last reload ended", registry=registry
        )
        self.config_info = Gauge(
            "hookd_config_info", "The configuration in force, by content hash", ["hash"], registry=registry
        )
        self.commit_duration = Histogram(
            "hookd_store_commit_duration_seconds",
            "Duration of the store's commits",
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        self.store_writable = Gauge(
            "hookd_store_writable", "Whether the store can record (1) or not (0)", registry=registry
        )
        self.store_writable.set(1)
        build = Gauge("hookd_build_info", "The running program", ["version", "python"], registry=registry)
        build.labels(version, platform.python_version()).set(1)

        self._lanes: dict[str, LaneMetrics] = {}

    def lane(self, webhook: str) -> "LaneMetrics":
        """The metrics of one webhook's attempts and deliveries."""
        lane = self._lanes.get(webhook)
        if lane is None:
            lane = self._lanes[webhook] = LaneMetrics(self, webhook)
        return lane

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
    """Counts for one webhook, with the labels looked up once."""

    def __init__(self, metrics: Metrics, webhook: str) -> None:
        self._metrics = metrics
        self._webhook = webhook
        self._duration = metrics.attempt_duration.labels(webhook)
        self._attempts: dict[str, Counter] = {}
        self._deliveries: dict[str, Counter] = {}

    def attempt(self, result: str, duration_s: float) -> None:
        """Count an attempt's end."""
        counter = self._attempts.get(result)
        if counter is None:
            counter = self._attempts[result] = self._metrics.attempts.labels(self._webhook, result)
        counter.inc()
        self._duration.observe(duration_s)

    def delivery(self, outcome: str) -> None:
        """Count a delivery's end."""
        counter = self._deliveries.get(outcome)
        if counter is None:
            counter = self._deliveries[outcome] = self._metrics.deliveries.labels(self._webhook, outcome)
        counter.inc()
