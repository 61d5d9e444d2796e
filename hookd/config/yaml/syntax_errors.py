"""What the YAML library says of a file that is not YAML, with the way out.

Must never: parse.
"""

import re
from collections.abc import Sequence

import yaml

_HINTS = {
    "found a tab": "indent with spaces",
    "found character that cannot start": "indent with spaces, not tabs; quote text that begins with @ ` %",
    "expected alphabetic or numeric": "quote text that begins with * or &",
    "mapping values are not allowed": "quote text that holds a colon and a space, and check the indentation",
    "expected node content": "close each bracket; quote text that begins with : or #",
}
_SURROGATES = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def syntax_fault(error: yaml.YAMLError, lines: Sequence[str]) -> tuple[int, int, str]:
    """Line and column, from 1, and what is wrong there.

    Args:
        error: the library's.
        lines: the file's, as YAML counts them.
    """
    mark = getattr(error, "problem_mark", None)
    context_mark = getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be read"
    at = mark or context_mark
    line, column = (at.line + 1, at.column + 1) if at is not None else (1, 1)
    said = f"not valid YAML: {problem}"
    said += next((f"; {hint}" for sign, hint in _HINTS.items() if sign in said), "")
    if "Unicode character escape" in problem:
        said += _surrogate_hint(lines[line - 1 : line], column)
    context = getattr(error, "context", None)
    if context and context_mark is not None:
        said += f" ({context} that begins in line {context_mark.line + 1})"
    return line, column, said


def _surrogate_hint(lines: Sequence[str], column: int) -> str:
    """What to write for a character that stands there in two halves, as JSON's escapes have it."""
    pairs = [pair for line in lines for pair in _SURROGATES.finditer(line)]
    pair = next((pair for pair in pairs if pair.end() >= column), None)
    if pair is None:
        return ""
    high, low = (int(half, 16) for half in pair.groups())
    code = 0x10000 + ((high - 0xD800) << 10) + low - 0xDC00
    return f"; JSON's {pair[0]} is \\U{code:08X} in YAML, or write the JSON as a text block (message: |)"
