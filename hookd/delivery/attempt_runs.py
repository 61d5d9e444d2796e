"""The way of an attempt: from its claim to its recorded result.

Callbacks carry it: the answer has come, what follows is decided, that is stored, it is logged. So an attempt costs no
task. What goes another way may have one: a wall clock that was set is followed before anything is reckoned by it.

Must never: begin what is not durably claimed, or let an attempt that has begun end without a record, except where its
lease was lost or even recording that hookd failed at it fails.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from hookd.config.generation import CurrentConfig, Generation
from hookd.delivery import retry_policy
from hookd.delivery.clock_steps import ClockCompensator
from hookd.delivery.dispatch import NO_LACK, LocalLack
from hookd.delivery.http import Sender, WireAttempt
from hookd.delivery.lane import BegunAttempt, Lane, Lanes
from hookd.delivery.outcome_log import OutcomeLog, attempt_record
from hookd.delivery.recording import ResultRecorder
from hookd.delivery.under_way import AttemptsUnderWay
from hookd.domain.clock import Clock
from hookd.domain.definitions import WebhookDef
from hookd.domain.deliveries import Lease, Outcome, Reason, Settlement, State
from hookd.domain.errors import StoreUnavailable

RECORDS_S = 5.0
"""So long before the end of a lease that others may take an attempt must have timed out, to be recorded still."""


class _AttemptRun:
    """One attempt under way; `stopped` is called with what it comes to when it is stopped."""

    __slots__ = (
        "begun",
        "broke",
        "concluding",
        "generation",
        "is_lost",
        "lane",
        "lease",
        "on_wire",
        "stopped",
        "webhook",
    )

    def __init__(
        self,
        lease: Lease,
        lane: Lane,
        begun: BegunAttempt,
        generation: Generation,
        stopped: Callable[["_AttemptRun", Outcome], None],
    ) -> None:
        self.lease = lease
        self.lane = lane
        self.begun = begun
        self.webhook = generation.config.webhooks.get(lease.webhook)
        self.generation = generation.ref
        self.stopped = stopped
        self.on_wire: WireAttempt | None = None
        self.concluding: asyncio.Task[None] | None = None
        self.is_lost = False
        self.broke = False

    def stop(self, *, lost: bool) -> None:
        """Make the request no longer, if it is still being made."""
        self.is_lost |= lost
        if self.on_wire is not None:
            self.on_wire.cancel()
            self.stopped(self, Outcome(Reason.INTERRUPTED, error="hookd stopped before the answer came"))


class Attempts:
    """Makes attempts.

    Attributes:
        lack: hookd's own, as the latest attempt has shown.
    """

    def __init__(
        self,
        sender: Sender,
        current_config: CurrentConfig,
        clock: Clock,
        *,
        lanes: Lanes,
        under_way: AttemptsUnderWay,
        compensator: ClockCompensator,
        recorder: ResultRecorder,
        log: OutcomeLog,
        on_ended: Callable[[], None],
        may_lose_leases: bool = False,
    ) -> None:
        """Make attempts.

        `on_ended` is called when one has left its slot; `may_lose_leases`: others claim what a lease that ends holds.
        """
        self._sender = sender
        self._current_config = current_config
        self._clock = clock
        self._lanes = lanes
        self._under_way = under_way
        self._compensator = compensator
        self._recorder = recorder
        self._log = log
        self._on_ended = on_ended
        self._may_lose_leases = may_lose_leases
        self._loop = asyncio.get_running_loop()
        self.lack = NO_LACK

    def begin(self, lease: Lease, lane: Lane, begun: BegunAttempt) -> None:
        """Begin the attempt of a lease that is durable, in a slot that its lane has given."""
        attempt = _AttemptRun(lease, lane, begun, self._current_config.generation, self._ended)
        self._under_way.begin(lease, attempt)
        if attempt.webhook is None:
            came: Outcome | Exception = _not_made("the webhook left the configuration")
        elif lane.is_down() and not begun.is_probe:  # since it was planned
            came = _not_made("the webhook was parked")
        elif self._may_lose_leases and not self._lasts(lease, attempt.webhook):
            came = _not_made("its lease would have ended before the answer came")
        else:
            try:
                attempt.on_wire = self._sender.begin(
                    attempt.webhook,
                    delivery_id=lease.delivery_id,
                    body=lease.body,
                    now=self._clock.now(),
                    trace=lease.trace,
                    done=partial(self._ended, attempt),
                )
            except Exception as exc:  # noqa: BLE001  an attempt without a record would be made at each lease's end
                came = exc
            else:
                return
        self._loop.call_soon(self._ended, attempt, came)

    def _lasts(self, lease: Lease, webhook: WebhookDef) -> bool:
        """Whether an attempt that begins now can be recorded before anybody else may have the delivery."""
        return lease.expires_at - self._clock.now() >= webhook.timeout_s + RECORDS_S

    def _ended(self, attempt: _AttemptRun, came: Outcome | Exception) -> None:
        """Take what the attempt came to; its slot is free."""
        attempt.on_wire = None
        self._lanes.end(attempt.lane, attempt.begun)
        self._on_ended()
        try:
            if isinstance(came, Exception):
                self._broke(attempt, came)
            elif attempt.is_lost:
                self._lanes.probe_ended(attempt.lane, attempt.begun, mono=self._clock.monotonic())
                self._log.lease_lost()
                self._close(attempt)
            elif self._compensator.is_pending():
                attempt.concluding = self._loop.create_task(self._conclude_later(attempt, came))
            else:
                self._conclude(attempt, came)
        except Exception as exc:  # noqa: BLE001  an attempt without a record would be made at each lease's end
            self._broke(attempt, exc)

    async def _conclude_later(self, attempt: _AttemptRun, outcome: Outcome) -> None:
        """Follow the wall clock, which was set, before anything is reckoned by it."""
        with suppress(StoreUnavailable):
            await self._compensator.compensate()
        try:
            self._conclude(attempt, outcome)
        except Exception as exc:  # noqa: BLE001  as in `_ended`
            self._broke(attempt, exc)

    def _conclude(self, attempt: _AttemptRun, outcome: Outcome) -> None:
        now = self._clock.now()
        self._record(attempt, outcome, self._decide(attempt, outcome, now), now)

    def _record(self, attempt: _AttemptRun, outcome: Outcome, settlement: Settlement, now: float) -> None:
        self._recorder.record(
            attempt.lease,
            attempt_record(attempt.lease, outcome, attempt.generation),
            settlement,
            now=now,
            recorded=partial(self._recorded, attempt, outcome, settlement, now),
        )

    def _recorded(
        self,
        attempt: _AttemptRun,
        outcome: Outcome,
        settlement: Settlement,
        now: float,
        held: bool | Exception | None,
    ) -> None:
        try:
            if isinstance(held, Exception):
                self._broke(attempt, held)
                return
            if held:
                self._log.attempt_recorded(attempt.lease, outcome, settlement, now=now)
            elif held is False:
                self._log.lease_lost()
        except Exception as exc:  # noqa: BLE001  it is recorded, and the store calls here
            self._log.attempt_broke(attempt.lease, exc)
        self._close(attempt)

    def _broke(self, attempt: _AttemptRun, exc: Exception) -> None:
        """Record an attempt of which nothing is known but that hookd failed at it, with nothing of what it held."""
        outcome = self._log.attempt_broke(attempt.lease, exc)
        if not attempt.broke:
            attempt.broke = True
            self._lanes.probe_ended(attempt.lane, attempt.begun, mono=self._clock.monotonic())
            now = self._clock.now()
            due_at = now + retry_policy.UNFORESEEN_PAUSE_S
            try:
                self._record(attempt, outcome, Settlement(State.PENDING, counted=False, due_at=due_at), now)
            except Exception as again:  # noqa: BLE001  as below
                self._log.attempt_broke(attempt.lease, again)
            else:
                return
        self._close(attempt)  # its lease ends by itself; the log line is all that can be had

    def _close(self, attempt: _AttemptRun) -> None:
        attempt.lane.lacks_probe = False
        self._under_way.end(attempt.lease)

    def _decide(self, attempt: _AttemptRun, outcome: Outcome, now: float) -> Settlement:
        """What becomes of the delivery; what follows for its lane, and for all of them, is noted."""
        mono = self._clock.monotonic()
        lane, webhook = attempt.lane, attempt.webhook
        self.lack = LocalLack.shown_by(outcome, mono)
        rate_limited = self._lanes.record(lane, outcome, attempt.begun, now=now, mono=mono)
        if webhook is None:
            return Settlement(State.PENDING, counted=False, due_at=now)
        settlement = retry_policy.decide(
            outcome,
            webhook=webhook,
            failures=attempt.lease.failures,
            now=now,
            jitter=random.random(),  # noqa: S311 - spreads retries, guards nothing
            probe=attempt.begun.is_probe,
            rate_limited=rate_limited,
        )
        if settlement.hold_until is not None:
            self._lanes.hold(lane, settlement.hold_until)
        return settlement


def _not_made(why: str) -> Outcome:
    return Outcome(Reason.INTERRUPTED, error=f"{why} before the request was made")
