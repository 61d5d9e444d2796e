import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hookd.domain.ids import new_id

MOMENTS = st.integers(0, 2**48 - 1)
ENTROPY = st.binary(min_size=10, max_size=10)


def test_the_layout_is_that_of_uuid_version_7() -> None:
    # RFC 9562, appendix A.6: the example's rand_a and rand_b as entropy.
    entropy = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    made = new_id("evt_", now_ms=0x017F22E279B0, entropy=entropy)
    assert made == "evt_" + "017F22E2-79B0-7CC3-98C4-DC0C0C07398F".replace("-", "").lower()
    assert new_id("dlv_", now_ms=0, entropy=b"\xff" * 10) == "dlv_0000000000007fffbfffffffffffffff"


@given(MOMENTS, ENTROPY)
def test_every_id_is_a_version_7_uuid(now_ms: int, entropy: bytes) -> None:
    made = new_id("evt_", now_ms=now_ms, entropy=entropy)
    assert re.fullmatch(r"evt_[0-9a-f]{32}", made)
    uuid = UUID(made.removeprefix("evt_"))
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
    assert uuid.int >> 80 == now_ms


@given(MOMENTS, MOMENTS, ENTROPY, ENTROPY)
def test_a_later_id_sorts_later(one: int, other: int, entropy: bytes, more: bytes) -> None:
    first, second = new_id("", now_ms=one, entropy=entropy), new_id("", now_ms=other, entropy=more)
    if one != other:
        assert (first < second) == (one < other)


def test_74_bits_of_the_entropy_count() -> None:
    entropies = [bytes(10), *((1 << bit).to_bytes(10, "big") for bit in range(74))]
    assert len({new_id("", now_ms=1, entropy=entropy) for entropy in entropies}) == 75
