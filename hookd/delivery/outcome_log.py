"""What is recorded, logged and counted of an attempt that has ended.

Must never: decide anything.
"""

from hookd.domain.deliveries import Attempt, GenerationRef, Lease, Outcome, Settlement, State
from hookd.domain.operator_events import DeliveryDead, Emit
from hookd.observability import log
from hookd.observability.metrics import Metrics


def attempt_row(lease: Lease, outcome: Outcome, generation: GenerationRef) -> Attempt:
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
    )


def ended(lease: Lease, outcome: Outcome, settlement: Settlement, metrics: Metrics, emit: Emit) -> None:
    """Log and count what is recorded; a death is told as hookd's own fact, too."""
    lane = metrics.lane(lease.webhook)
    lane.attempt(outcome.reason, outcome.duration_s)
    about = {
        "delivery_id": lease.delivery_id,
        "webhook": lease.webhook,
        "task": lease.task,
        "attempt": lease.attempt,
    }
    traced = {} if lease.trace is None else {"trace_id": lease.trace.trace_id}
    facts = {**about, "status": outcome.status, "duration_s": round(outcome.duration_s, 4), **traced}
    if settlement.state is State.DELIVERED:
        lane.delivery("delivered")
        log.info("delivery.delivered", **facts)
        return
    log.warning("attempt.failed", **facts, state=settlement.state, reason=outcome.reason, error=outcome.error)
    if settlement.state is State.DEAD:
        lane.delivery("dead")
        log.error("delivery.dead", **about, detail=settlement.detail, **traced)
        emit(_death(lease, outcome, settlement))


def _death(lease: Lease, outcome: Outcome, settlement: Settlement) -> DeliveryDead:
    return DeliveryDead(
        webhook=lease.webhook,
        task=lease.task,
        delivery_id=lease.delivery_id,
        event_id=lease.event_id,
        attempts=lease.attempt,
        reason=outcome.reason,
        status=outcome.status,
        detail=settlement.detail,
    )
