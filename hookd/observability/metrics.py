"""The Prometheus metrics of spec section 10. Labels are names from the configuration and closed sets: bounded.

What has left the configuration is forgotten with the next one that comes into force; until then it may still be
counted, because attempts under way end and waiting deliveries are cancelled. Counts are plain numbers, and their text
is written here: the client library takes 30 times as long for a line, and a scrape of many webhooks would stop the
loop. All of it is counted in the event loop.

Must never: know anything of hookd's other modules.
"""

import asyncio
import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice
from typing import TypeVar

from hookd.domain.value_class import value_class

T = TypeVar("T")

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_EVENT_RESULTS = ("accepted", "duplicate", "conflict", "rejected", "unavailable")
_OUTCOMES = ("delivered", "dead", "cancelled")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

_FAMILIES = {
    "hookd_events_total": (
        "counter",
        "Events by result: posted ones, and those made by triggers, sends and schedules",
    ),
    "hookd_config_reloads_total": ("counter", "Reloads of the configuration, by result"),
    "hookd_config_last_reload_success": ("gauge", "Whether the last reload was applied (1) or refused (0)"),
    "hookd_config_last_reload_timestamp_seconds": ("gauge", "When the last reload ended"),
    "hookd_config_info": ("gauge", "The configuration in force, by content hash"),
    "hookd_store_commit_duration_seconds": ("histogram", "Duration of the store's commits"),
    "hookd_leases_lost_total": (
        "counter",
        "Attempts whose lease was lost before their result was recorded, so that another may have been made",
    ),
    "hookd_spool_files_total": ("counter", "Files of the spool that were processed, by result"),
    "hookd_spool_waiting": ("gauge", "Files in the spool that are to be taken in"),
    "hookd_spool_rejected": ("gauge", "Files in the spool's rejected/"),
    "hookd_store_writable": ("gauge", "Whether the store can record (1) or not (0)"),
    "hookd_build_info": ("gauge", "The running program"),
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
"""Type and help by name."""

_AT_ONCE = 100
"""Webhooks written in one turn of the loop: about a millisecond."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
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


class Count:
    """A number that is counted up, or set."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, by: int = 1) -> None:
        """Count."""
        self.value += by

    def set(self, value: float) -> None:
        """Set."""
        self.value = value


class Durations:
    """A histogram of seconds."""

    __slots__ = ("_bounds", "_by_bucket", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._by_bucket = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one."""
        self.seconds += duration_s
        self._by_bucket[bisect_left(self._bounds, duration_s)] += 1

    def lines(self, name: str, label: str = "") -> list[str]:
        """Its cumulative buckets, count and sum, as the exposition format wants them."""
        before, only = (f"{label},", f"{{{label}}}") if label else ("", "")
        counts = list(accumulate(self._by_bucket))
        bounds = (*map(str, map(float, self._bounds)), "+Inf")
        return [
            *(
                f'{name}_bucket{{{before}le="{bound}"}} {count}\n'
                for bound, count in zip(bounds, counts, strict=True)
            ),
            f"{name}_count{only} {counts[-1]}\n",
            f"{name}_sum{only} {self.seconds}\n",
        ]


class Metrics:
    """All metrics of one daemon.

    Attributes:
        events: by result: posted ones, and those made by triggers, sends and schedules.
        reloads: of the configuration, by result.
        spool_files: that were processed, by result.
        spool_waiting: files in the spool that are to be taken in.
        spool_rejected: files in the spool's `rejected/`.
        leases_lost: attempts whose lease was lost before their result was recorded.
        store_writable: whether the store can record (1) or not (0).
        commit_duration: of the store's commits.
    """

    def __init__(self, version: str) -> None:
        self.events = {result: Count() for result in _EVENT_RESULTS}
        self.reloads = {result: Count() for result in ("applied", "rejected")}
        self.spool_files = {result: Count() for result in ("taken", "rejected")}
        self.spool_waiting, self.spool_rejected = Count(), Count()
        self.leases_lost = Count()
        self.store_writable = Count()
        self.store_writable.set(1)
        self.commit_duration = Durations(_COMMIT_SECONDS)
        self._reload_success, self._reload_time = Count(), Count()
        self._build = f'version="{_escaped(version)}",python="{platform.python_version()}"'
        self._config_hash: str | None = None
        self._rule_errors: dict[str, int] = {}
        self._lanes: dict[str, LaneMetrics] = {}

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
        self._config_hash = config_hash
        self._reload_success.set(1)
        self._reload_time.set(at)

    def config_rejected(self, at: float) -> None:
        """Note a refused reload."""
        self._reload_success.set(0)
        self._reload_time.set(at)

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
        for name, lines in self._own_lines():
            families[name].append("".join(lines).encode())
        await _write_each(families, _write_rule_errors, tuple(self._rule_errors.items()))
        await _write_each(families, _write_counts, tuple(self._lanes.items()))
        await _write_each(families, _write_gauges, gauges)
        await _write_each(families, _write_listener, listeners.items())
        return b"".join(chain.from_iterable(families.values()))

    def _own_lines(self) -> Iterator[tuple[str, list[str]]]:
        """The lines of what has no label from the configuration, by the metric's name."""
        for name, counts in (
            ("hookd_events_total", self.events),
            ("hookd_config_reloads_total", self.reloads),
            ("hookd_spool_files_total", self.spool_files),
        ):
            yield name, [f'{name}{{result="{result}"}} {count.value}\n' for result, count in counts.items()]
        for name, count in (
            ("hookd_config_last_reload_success", self._reload_success),
            ("hookd_config_last_reload_timestamp_seconds", self._reload_time),
            ("hookd_leases_lost_total", self.leases_lost),
            ("hookd_spool_waiting", self.spool_waiting),
            ("hookd_spool_rejected", self.spool_rejected),
            ("hookd_store_writable", self.store_writable),
        ):
            yield name, [f"{name} {count.value}\n"]
        name = "hookd_store_commit_duration_seconds"
        yield name, self.commit_duration.lines(name)
        yield "hookd_build_info", [f"hookd_build_info{{{self._build}}} 1\n"]
        if self._config_hash is not None:
            yield "hookd_config_info", [f'hookd_config_info{{hash="{self._config_hash}"}} 1\n']


class LaneMetrics:
    """Counts for one webhook: plain numbers, because they change with every attempt and are read but now and then.

    Attributes:
        attempts: ended ones, by result.
        deliveries: ended ones, by outcome.
        resent: attempts whose request was written twice.
        durations: of the attempts.
    """

    __slots__ = ("attempts", "deliveries", "durations", "resent")

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self.deliveries: dict[str, int] = dict.fromkeys(_OUTCOMES, 0)
        self.resent = 0
        self.durations = Durations(_SECONDS)

    def attempt(self, result: str, duration_s: float, *, resent: bool = False) -> None:
        """Count an attempt's end."""
        self.resent += resent
        self.attempts[result] = self.attempts.get(result, 0) + 1
        self.durations.observe(duration_s)

    def delivery(self, outcome: str) -> None:
        """Count a delivery's end."""
        self.deliveries[outcome] = self.deliveries.get(outcome, 0) + 1


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
    if lane.attempts:
        name = "hookd_attempt_duration_seconds"
        lines[name] += lane.durations.lines(name, label)


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
