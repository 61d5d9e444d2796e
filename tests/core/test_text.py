import pytest

from hookd.domain.text import did_you_mean, json_escape, near, printable, quoted, shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("web-01 é 漢 😀", "web-01 é 漢 😀"),
        ("a\nb\r\x1b[31m", r"a\nb\r\x1b[31m"),
        ("\u202etxt", r"\u202etxt"),
        ("\ud800", r"\ud800"),
        ("x" * 61, "x" * 60 + "…"),
    ],
)
def test_foreign_text_is_shown_on_one_short_line(text: str, line: str) -> None:
    assert shown(text) == line


def test_a_limit_may_be_given() -> None:
    assert shown("abcdef", 3) == "abc…"


def test_an_escape_may_be_given() -> None:
    assert printable("a\nb\x1b[31m\u202e\U000e0001", json_escape) == "a\\u000ab\\u001b[31m\\u202e\\U000e0001"
    assert printable("a\tb", lambda _: "?") == "a?b"


def test_quoted_text_is_a_short_json_string() -> None:
    assert quoted('a "b"\n\x7f') == '"a \\"b\\"\\n\\u007f"'
    assert quoted("x" * 61) == '"' + "x" * 60 + '…"'


def test_the_near_choice_is_guessed_and_nothing_else() -> None:
    assert near("tpye", ("type", "event")) == ["type"]
    assert near("zzz", ("type", "event")) == []
    assert near("x" * 129, ("x" * 128,)) == []


def test_case_does_not_count_and_both_spellings_are_near() -> None:
    assert near("OPS", ("ops", "Ops", "other"), most=2) == ["ops", "Ops"]
    assert near("OPS", ("ops", "Ops", "other")) == ["ops"]


def test_as_many_choices_as_asked_for_are_given_the_nearest_first() -> None:
    names = ("ops-slack", "ops-mail", "billing")
    assert near("ops-slck", names, most=3, cutoff=0.5) == ["ops-slack", "ops-mail"]
    assert near("ops-slck", names, most=3, cutoff=0.9) == ["ops-slack"]


def test_a_guess_is_a_clause_or_nothing() -> None:
    assert did_you_mean("tpye", ("type", "event")) == '; did you mean "type"?'
    assert did_you_mean("zzz", ("type", "event")) == ""
