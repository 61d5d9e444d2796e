"""What `Keep-Alive` headers say of further use of a connection."""

import pytest

from hookd.delivery.http.keep_alive import KeepAlive

LONGEST_S = 4.0


@pytest.mark.parametrize(
    ("values", "idle_s"),
    [
        ((), LONGEST_S),
        (("timeout=5",), LONGEST_S),
        (("timeout=60, max=100",), LONGEST_S),
        (("Timeout = 3",), 2.0),
        (("max=5;timeout=3",), 2.0),
        (("max=5", "timeout=2"), 1.0),
        (("timeout=1",), 0.0),
        (("timeout=0",), 0.0),
        (("max=0",), 0.0),
        (("timeout=soon",), LONGEST_S),
        (("timeout=-1",), LONGEST_S),
        (("timeout=1.5",), LONGEST_S),
        (("xtimeout=1",), LONGEST_S),
    ],
)
def test_the_time_to_lie_idle(values: tuple[str, ...], idle_s: float) -> None:
    assert KeepAlive(longest_s=LONGEST_S).idle_s(values) == idle_s


def test_what_was_said_once_holds_and_uses_are_counted_down() -> None:
    kept = KeepAlive(longest_s=LONGEST_S)
    assert [kept.idle_s(values) for values in (("timeout=3, max=2",), (), ())] == [2.0, 2.0, 0.0]
