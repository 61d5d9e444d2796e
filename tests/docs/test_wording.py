"""What a user reads is plain technical English: the odd turns that it once had do not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import pages

ODD = re.compile(
    r"\b(whoever|mend|mends|is told|are told|so many|by chance|once and for all|in earnest|for want of|let go)\b",
    re.IGNORECASE,
)
TEXTS = [
    *pages.PAGES,
    "CHANGELOG.md",
    "config.example.yaml",
    *(
        str(path.relative_to(pages.TOP))
        for folder in ("schema", "systemd", "hookd/cli/starter", "hookd/api")
        for path in sorted((pages.TOP / folder).iterdir())
        if path.is_file() and path.suffix != ".py"
    ),
]
MODULES = sorted((pages.TOP / "hookd").rglob("*.py"))


@pytest.mark.parametrize("page", TEXTS)
def test_a_text_has_no_odd_turn(page: str) -> None:
    assert [line for line in pages.text_of(page).splitlines() if ODD.search(line)] == []


def test_nothing_that_the_program_says_has_an_odd_turn() -> None:
    assert len(MODULES) > 100
    assert {f"{path.name}: {text}" for path in MODULES for text in _said(path) if ODD.search(text)} == set()


def _said(path: Path) -> Iterator[str]:
    """The texts in a module that are no docstrings; those may be printed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value
