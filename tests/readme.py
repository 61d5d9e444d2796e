"""The files that stand in the README: fenced blocks that name one, so that tests run what readers copy."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"

_BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """Their contents by name; each name stands once."""
    found = _BLOCK.findall(README.read_text(encoding="utf-8"))
    assert len(dict(found)) == len(found) > 0
    return dict(found)
