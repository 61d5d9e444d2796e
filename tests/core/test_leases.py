"""Which leases are renewed when."""

from dataclasses import replace

from hookd.delivery.leases import Leases
from hookd.domain.deliveries import Lease

LEASE = Lease(
    delivery_id="d", event_id="e", task="t", webhook="w", body=b"", token=1, attempt=1, failures=0,
    started_at=100.0, expires_at=130.0,
)  # fmt: skip
LATER = replace(LEASE, delivery_id="later", started_at=110.0, expires_at=140.0)
RENEW_AHEAD_S = 5.0
AT = LEASE.expires_at - RENEW_AHEAD_S


def held(*leases: Lease) -> Leases:
    all_held = Leases(RENEW_AHEAD_S)
    for lease in leases:
        all_held.add(lease)
    return all_held


def test_a_lease_is_renewed_before_it_ends_and_no_sooner() -> None:
    leases = held(LEASE, LATER)
    assert leases.late(AT - 0.01) == []
    assert leases.late(AT) == [replace(LEASE, started_at=AT, expires_at=AT + 30)]


def test_what_was_renewed_is_left_alone_until_it_ends_again() -> None:
    leases = held(LEASE)
    leases.renewed(leases.late(AT))
    assert leases.late(AT + 24.9) == []
    assert [lease.started_at for lease in leases.late(AT + 25)] == [AT + 25]


def test_an_attempt_that_ended_meanwhile_is_not_taken_up_again() -> None:
    leases = held(LEASE)
    late = leases.late(AT)
    leases.drop("d")
    leases.renewed(late)
    assert leases.late(AT + 1000) == []


def test_where_only_ended_attempts_were_late_the_next_one_counts() -> None:
    leases = held(LEASE, LATER)
    leases.drop("d")
    assert leases.late(AT) == []
    assert [lease.delivery_id for lease in leases.late(AT + 10)] == ["later"]


def test_a_clock_set_back_moves_the_ends() -> None:
    leases = held(LEASE)
    leases.compensate(60)
    assert leases.late(AT - 60.01) == []
    assert leases.late(AT - 60) != []
