"""Ids of events and deliveries: a prefix and an RFC 9562 UUID version 7, which sorts by the time it was made.

Must never: read a clock or draw entropy; both are passed in.
"""

_VERSION = 7 << 76
_VARIANT = 2 << 62
_RAND_A = 0xFFF
_RAND_B = (1 << 62) - 1


def new_id(prefix: str, *, now_ms: int, entropy: bytes) -> str:
    """A new id: the prefix and 32 lower-case hex digits, without dashes (RFC 9562, section 5.7).

    Args:
        prefix: `evt_` or `dlv_`.
        now_ms: milliseconds since the epoch, 0 to 2**48 - 1.
        entropy: 10 random bytes, of which 74 bits are used.
    """
    bits = int.from_bytes(entropy, "big")
    uuid = now_ms << 80 | _VERSION | (bits >> 62 & _RAND_A) << 64 | _VARIANT | bits & _RAND_B
    return f"{prefix}{uuid:032x}"
