r"""Words and commands for people to paste into a shell, which mean the same in each: dash, bash, zsh, busybox and fish.

These shells agree on little. Within single quotes fish takes a backslash for an escape and the others do not, and
`$'…'` is unknown to dash and fish, which then run what stands in it. They agree on text in single quotes that holds
neither quote nor backslash, on a backslash before either outside of quotes, and on what `printf` makes of `\ooo`.
Whatever is not printable goes by `printf`, so that a line can be copied from a terminal and cannot drive one.

Must never: write anything by which a shell could take a part of a text for more than text.
"""

import re

from hookd.domain.text import printable

_PLAIN = re.compile(r"[A-Za-z0-9_./:+-]+", re.ASCII)
_RUNS = re.compile(r"[^'\\!]+|['\\!]")
"""`!` is set apart for interactive shells, in which it may stand for a command of before."""

_SPECIAL_IN_FORMAT = re.compile(r"\A-|['\\%!]")
_SHORT_ESCAPES = {"\n": "\\n", "\t": "\\t"}


def shell_word(text: str) -> str:
    """A text as one word; where something in it is not printable, what `printf` writes (no line end at its end)."""
    if not text.isprintable():
        return f'"$({printf_command(text)})"'
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_quoted(run) for run in _RUNS.findall(text)) or "''"


def printf_command(text: str) -> str:
    """A command that writes the text, in UTF-8."""
    marked = _SPECIAL_IN_FORMAT.sub(lambda found: _octal(found[0]), text)
    return f"printf '{printable(marked, lambda char: _SHORT_ESCAPES.get(char) or _octal(char))}'"


def _octal(char: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in char.encode())


def _quoted(run: str) -> str:
    return f"\\{run}" if run in "'\\!" else f"'{run}'"
