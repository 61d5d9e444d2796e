"""Values: frozen for the type checker, plain at run time, and otherwise what a frozen dataclass is."""

import copy
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hookd.domain.value_class import value_class

SNIPPET = """
from dataclasses import replace
from hookd.domain.value_class import value_class

@value_class
class Point:
    x: int
    y: int = 0

@value_class
class Named(Point):
    name: str = ""

point = Point(1)
named = Named(1, 2, "a")
assert hash(replace(point, x=3)) == hash((3, 0))
point.x = 2  #: Property "x" defined in "Point" is read-only
named.x = 2  #: Property "x" defined in "Named" is read-only
named.name += "b"  #: Property "name" defined in "Named" is read-only
point.z = 2  #: "Point" has no attribute "z"
Point("1")  #: incompatible type "str"; expected "int"
replace(point, x="1")  #: incompatible type "str"; expected "int"
"""


@value_class
class Pair:
    one: int
    other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrozenPair:
    one: int
    other: tuple[str, ...] = ()


@value_class
class Secret(Pair):
    url: str = field(default="", repr=False)
    count: int = field(default=0, compare=False)


@value_class
class Holder:
    names: list[str] = field(default_factory=list)


def test_the_type_checker_refuses_what_a_frozen_dataclass_refuses(tmp_path: Path) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is part of the lint extra")
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET)
    out, _, _ = mypy.run(
        ["--config-file=", "--strict", "--no-error-summary", f"--cache-dir={tmp_path}", str(snippet)]
    )
    refused = {int(line.split(":")[1]): line for line in out.splitlines()}
    expected = {
        number: text.partition("#: ")[2]
        for number, text in enumerate(SNIPPET.splitlines(), 1)
        if "#: " in text
    }
    assert refused.keys() == expected.keys()
    for number, text in expected.items():
        assert text in refused[number]


def test_a_value_hashes_compares_and_prints_as_a_frozen_dataclass_does() -> None:
    value, frozen = Pair(1, ("a", "b")), FrozenPair(1, ("a", "b"))
    assert hash(value) == hash(frozen) == hash((1, ("a", "b")))
    assert value == Pair(1, ("a", "b"))
    assert value != Pair(1, ("a",))
    assert {value: "found"}[Pair(1, ("a", "b"))] == "found"
    assert f"Frozen{value!r}" == repr(frozen)


def test_fields_left_out_of_comparison_and_text_stay_out() -> None:
    assert Secret(1, url="https://a/", count=1) == Secret(1, url="https://a/", count=2)
    assert hash(Secret(1, count=1)) == hash(Secret(1, count=2))
    assert "https" not in repr(Secret(1, url="https://a/"))


@value_class
class Base:
    x: int


@value_class
class Derived(Base):
    y: int = 0


class Plain(Base):
    pass


@value_class
class Empty:
    pass


def test_a_class_and_those_derived_from_it_each_compare_their_own_fields() -> None:
    for _ in range(2):  # the first use compiles
        assert Derived(1, 2) != Derived(1, 3)
        assert Base(1) == Base(1)
        assert Base(1) != Derived(1)
        assert Plain(1) == Plain(1)
        assert hash(Plain(1)) == hash(Base(1)) == hash((1,))
        assert hash(Derived(1, 2)) == hash((1, 2))
        assert Empty() == Empty()
        assert hash(Empty()) == hash(())
    assert (repr(Plain(1)), repr(Empty())) == ("Plain(x=1)", "Empty()")


def test_a_value_that_contains_itself_can_be_printed() -> None:
    names: list[Any] = []
    holder = Holder(names)
    names.append(holder)
    assert repr(holder) == "Holder(names=[...])"


def test_a_value_that_holds_a_list_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Holder())


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_value_can_be_pickled_copied_and_replaced(protocol: int) -> None:
    value = Secret(1, ("a",), url="https://a/", count=3)
    for copied in (pickle.loads(pickle.dumps(value, protocol)), copy.copy(value), copy.deepcopy(value)):
        assert (copied, copied.count) == (value, 3)
    assert replace(value, one=2) == Secret(2, ("a",), url="https://a/")


def test_a_value_has_no_room_for_other_attributes() -> None:
    assert not hasattr(Pair(1), "__dict__")


def test_hookd_has_one_way_to_make_a_value() -> None:
    source = Path(__file__).parents[2] / "hookd"
    slow = [
        path.name
        for path in source.rglob("*.py")
        if "@dataclass(frozen=True, slots" in path.read_text("utf-8")
    ]
    assert slow == []
