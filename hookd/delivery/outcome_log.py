"""What is recorded, logged, counted and emitted of attempts that have ended, and of lanes that are parked or resumed.

Must never: decide anything.
"""

from hookd.delivery.parking import ParkingChange
from hookd.domain.deliveries import Attempt, GenerationRef, Lease, Outcome, Reason, Settlement, State
from hookd.domain.operator_events import DeliveryDead, Emit, WebhookParked, WebhookResumed
from hookd.observability import log
from hookd.observability.metrics import Metrics

_ABOUT = ("delivery_id", "webhook", "task", "attempt")


def attempt_record(lease: Lease, outcome: Outcome, generation: GenerationRef) -> Attempt:
    """The attempt's record."""
    return Attempt(
        number=lease.attempt,
        started_at=lease.started_at,
        duration_s=outcome.duration_s,
        status=outcome.status,
        reason=outcome.reason,
        error=outcome.error,
        response=outcome.response,
        insecure=outcome.insecure,
        generation=generation,
        resent=outcome.resent,
    )


class OutcomeLog:
    """Logs and counts, and emits operator events."""

    def __init__(self, metrics: Metrics, emit: Emit) -> None:
        self._metrics = metrics
        self._emit = emit

    def attempt_recorded(self, lease: Lease, outcome: Outcome, settlement: Settlement, *, now: float) -> None:
        """Log and count an attempt whose result is recorded; a dead delivery is an operator event, too."""
        lane = self._metrics.lane(lease.webhook)
        lane.attempt(outcome.reason, outcome.duration_s, resent=outcome.resent)
        facts = {
            "delivery_id": lease.delivery_id,
            "webhook": lease.webhook,
            "task": lease.task,
            "attempt": lease.attempt,
            "status": outcome.status,
            "duration_s": round(outcome.duration_s, 4),
        }
        if lease.trace is not None:
            facts["trace_id"] = lease.trace.trace_id
        if outcome.resent:
            facts["resent"] = True
        if settlement.state is State.DELIVERED:
            lane.delivery("delivered")
            if outcome.error:
                facts["error"] = outcome.error
            log.info("delivery.delivered", **facts)
            return
        log.warning(
            "attempt.failed", **facts, state=settlement.state, reason=outcome.reason, error=outcome.error
        )
        if settlement.state is State.DEAD:
            lane.delivery("dead")
            about = {key: facts[key] for key in _ABOUT}
            traced = {} if lease.trace is None else {"trace_id": lease.trace.trace_id}
            log.error("delivery.dead", **about, detail=settlement.detail, **traced)
            self._emit(_dead(lease, outcome, settlement, now))

    def attempt_broke(self, lease: Lease, exc: Exception) -> Outcome:
        """Log that hookd failed at an attempt; what is recorded of it. The exception's text may hold a secret."""
        kind = type(exc).__name__
        log.error(
            "attempt.broke",
            delivery_id=lease.delivery_id,
            webhook=lease.webhook,
            task=lease.task,
            attempt=lease.attempt,
            exception=kind,
            place=_place(exc),
        )
        return Outcome(
            Reason.LOCAL, error=f"hookd itself failed at this attempt ({kind}); its log says where"
        )

    def lease_lost(self) -> None:
        """Count an attempt whose result cannot be recorded."""
        self._metrics.leases_lost.inc()

    def hold_lifted(self, webhook: str) -> None:
        """Log that a webhook is held no more, since it was corrected."""
        log.info("webhook.hold_lifted", webhook=webhook)

    def parking_changed(self, change: ParkingChange) -> None:
        """Log the lanes that are parked and resumed; what is parked at a start is no operator event."""
        for name, why in change.parked.items():
            log.warning("webhook.parked", webhook=name, reason=why)
            if not change.is_first:
                self._emit(WebhookParked(name, why))
        for name, why in change.resumed.items():
            log.info("webhook.resumed", webhook=name)
            self._emit(WebhookResumed(name, why))


def _place(exc: Exception) -> str:
    """Where an exception was raised: module and line."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _dead(lease: Lease, outcome: Outcome, settlement: Settlement, now: float) -> DeliveryDead:
    return DeliveryDead(
        webhook=lease.webhook,
        task=lease.task,
        delivery_id=lease.delivery_id,
        event_id=lease.event_id,
        attempts=lease.attempt,
        reason=outcome.reason,
        status=outcome.status,
        detail=settlement.detail,
        died_at=now,
    )
