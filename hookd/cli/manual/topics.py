"""The pages of the documentation, from the installed package or from a checkout.

Must never: need a network, or know what a page says.
"""

import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

_INFO = re.compile(r"^( *```\w+)[^\n`]*$", re.MULTILINE)
_COMMENT = re.compile(r"^<!--.*-->\n+", re.MULTILINE)


def topics() -> dict[str, str]:
    """Every topic and what its page is about, by name."""
    return {name: _about(name) for name in sorted(_pages())}


def page(topic: str) -> str:
    """The text of a topic's page, without what is there for machines only."""
    return _COMMENT.sub("", _INFO.sub(r"\1", _text(topic)))


def _about(topic: str) -> str:
    """The first sentence below the title."""
    sentence, _, _ = _text(topic).split("\n\n")[1].partition(". ")
    return sentence.removesuffix(".")


def _text(topic: str) -> str:
    return _pages()[topic].read_text(encoding="utf-8")


@cache
def _pages() -> dict[str, Traversable]:
    installed = resources.files("hookd") / "docs"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "docs"
    return {file.name.removesuffix(".md"): file for file in folder.iterdir() if file.name.endswith(".md")}
