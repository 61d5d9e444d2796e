"""Words for error messages: foreign text made fit to be quoted, and what its author may have meant.

What users put into a name, key or variable ends up in logs and on terminals through these sentences, and must
not forge a line or drive a terminal there (spec 12).

Must never: import anything of hookd.
"""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_GUESS = 256
"""Characters; a longer word is no misspelling, and comparing it takes time in proportion to its square."""


def shown(text: str, limit: int = 60) -> str:
    r"""One line of about `limit` characters at most, the unprintable escaped as in Python (`\n`, `\x1b`)."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)


def guess(word: str, choices: Iterable[str]) -> str:
    """The choice that was probably meant; empty where none is near."""
    if len(word) > _LONGEST_GUESS:
        return ""
    return next(iter(get_close_matches(word, list(choices), n=1)), "")
