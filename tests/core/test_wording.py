import pytest

from hookd.domain.text import guess, shown


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


def test_the_near_choice_is_guessed_and_nothing_else() -> None:
    assert guess("tpye", ("type", "event")) == "type"
    assert guess("zzz", ("type", "event")) == ""
    assert guess("x" * 257, ("x" * 256,)) == ""
