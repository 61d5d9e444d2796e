"""What runs each fenced block of the documentation, by its language and its words.

| block | what runs it |
|---|---|
| `yaml file=NAME` | the loader, and the sessions where commands of the page read it; `NAME.test.yaml`: `hookd test` |
| `yaml file=NAME broken` | the same, and it must be refused |
| `yaml part` | the loader, with stubs for the webhooks and tasks that it names and does not define |
| `sh`, `python` | the page's session: it must succeed |
| `sh terminal` | the same; its last line runs on until the page is over |
| `console` | the same; `$ COMMAND`, then its output (`…` cuts) and `[EXIT CODE]` |
| `json output` | the same: the output of the block before |
| `sh example`, `text usage` | the tests of the generated pages |
| any other `file=NAME`, `name=NAME` | a test that asks for it by this name |
"""

import re
from functools import cache

from tests.docs.pages import TOP, Block

_SESSION = {"sh": {"terminal"}, "python": set(), "console": set(), "json": {"output"}}


def in_session(block: Block) -> bool:
    """Whether the page's session plays it."""
    if "file" in block.words:
        return block.language == "yaml" and not block.page.endswith("recipes.md")
    return block.words.keys() <= _SESSION.get(block.language, {""}) and (
        block.language != "json" or "output" in block.words
    )


def runner(block: Block) -> str:
    """What runs it. Raises ValueError where nothing does."""
    words = block.words
    if block.language == "yaml" and ("part" in words or words.get("file", "").endswith(".yaml")):
        return "loader"
    if {block.language, *words} in ({"sh", "example"}, {"text", "usage"}):
        return "generated"
    if in_session(block):
        return "session"
    for key in ("file", "name"):
        if key in words and _asked_for(words[key]):
            return "its own test"
    raise ValueError(f"{block}: nothing runs this block; tests/docs/blocks.py lists what can")


def _asked_for(name: str) -> bool:
    quoted = rf"""["']{re.escape(name)}["']"""
    return re.search(rf"(?:named|recipe|written)\({quoted}|\[{quoted}\]", _tests()) is not None


@cache
def _tests() -> str:
    """The text of every test."""
    files = [*(TOP / "tests").rglob("test_*.py"), *(TOP / "tests").rglob("conftest.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)
