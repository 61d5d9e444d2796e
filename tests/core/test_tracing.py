"""Traces by W3C Trace Context, level 1: what is taken over, and what is ignored."""

import pytest

from hookd.domain.tracing import Trace, read_trace

ID = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{ID}-{SPAN}-01"


@pytest.mark.parametrize(("given", "flags"), [("ff", "03"), ("fe", "02"), ("08", "00"), ("81", "01")])
def test_flags_that_are_not_defined_are_zero(given: str, flags: str) -> None:
    assert read_trace([f"00-{ID}-{SPAN}-{given}"], []) == Trace(ID, flags)


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_a_trace_is_taken_over_with_its_flags(flags: str) -> None:
    trace = read_trace([f"00-{ID}-{SPAN}-{flags}"], [])
    assert trace == Trace(ID, flags)
    assert trace.parent("00f067aa0ba902b7") == f"00-{ID}-00f067aa0ba902b7-{flags}"


@pytest.mark.parametrize(
    ("given", "flags"),
    [
        (f"01-{ID}-{SPAN}-01", "01"),
        (f"cc-{ID}-{SPAN}-01-what-the-future-brings", "01"),
        (f"fe-{ID}-{SPAN}-ff-", "01"),
        (f"cc-{ID}-{SPAN}-02-x", "00"),
    ],
)
def test_a_later_version_is_read_as_far_as_it_is_known(given: str, flags: str) -> None:
    trace = read_trace([given], [])
    assert trace == Trace(ID, flags)
    assert trace.parent(SPAN).startswith("00-")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"ff-{ID}-{SPAN}-01",
        f"00-{ID.upper()}-{SPAN}-01",
        f"00-{ID}-{SPAN.upper()}-01",
        f"0A-{ID}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01",
        f"00-{ID}-{SPAN}-0x",
        f"00-{ID}-{SPAN}-1",
        f"00-{ID}-{SPAN}",
        f"00-{ID[1:]}-{SPAN}-01",
        f"00-{ID}-{SPAN}-01-more",
        f"00-{ID}-{SPAN}-01-",
        f"cc-{ID}-{SPAN}-01.more",
        f"cc-{ID}-{SPAN}-011",
        f"00 {ID} {SPAN} 01",
        f"{PARENT}\n",
        f"{PARENT}, {PARENT}",
        "0-" + PARENT,
        f"\u0660\u0660{PARENT[2:]}",
    ],
)
def test_an_invalid_one_is_none(given: str) -> None:
    assert read_trace([given], ["a=1"]) is None


def test_there_must_be_one() -> None:
    assert read_trace([], ["a=1"]) is None
    assert read_trace([PARENT, PARENT], []) is None
    assert read_trace([f" {PARENT}\t"], []) == Trace(ID, "01")


@pytest.mark.parametrize(
    ("states", "carried"),
    [
        ([], ""),
        ([""], ""),
        ([" , ,"], ""),
        (["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (["rojo=1 ,\t congo=2,,"], "rojo=1 ,\t congo=2,,"),
        (["rojo=1", "congo=2"], "rojo=1,congo=2"),
        (["fw529a3039@dt=FfAAaa~!, 0tenant@v=x y"], "fw529a3039@dt=FfAAaa~!, 0tenant@v=x y"),
        ([f"k={'v' * 256}"], f"k={'v' * 256}"),
        ([f"{'k' * 256}=v"], f"{'k' * 256}=v"),
        ([f"k={'v' * 257}"], ""),
        ([f"{'k' * 257}=v"], ""),
        ([",".join(f"k{n}=v" for n in range(32))], ",".join(f"k{n}=v" for n in range(32))),
        ([",".join(f"k{n}=v" for n in range(33))], ""),
        ([f"a={'v' * 252},b={'v' * 255}"], f"a={'v' * 252},b={'v' * 255}"),  # 512 characters
        ([f"a={'v' * 253},b={'v' * 255}"], ""),
        (["a=1,a=2"], ""),
        (["Rojo=1"], ""),
        (["0key=1"], ""),
        (["a@0v=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["a=b=c"], ""),
        (["a=é"], ""),
        (["a=\x01"], ""),
        (["a=1\r\nX: y"], ""),
        (["a=1", "B=2"], ""),
    ],
)
def test_the_state_goes_along_unchanged_or_not_at_all(states: list[str], carried: str) -> None:
    assert read_trace([PARENT], states) == Trace(ID, "01", carried)


@pytest.mark.parametrize("state", ["", "rojo=1, congo=a b"])
def test_text_and_back(state: str) -> None:
    trace = Trace(ID, "01", state)
    assert Trace.from_text(trace.as_text()) == trace
