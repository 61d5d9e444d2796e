"""The fields that an expression asks of `object`: there are three, and CEL's checker does not know them.

Must never: judge what is within texts or comments.
"""

import re
from itertools import pairwise

from hookd.domain.text import did_you_mean, shown
from hookd.rules.conditions.condition_errors import FIELDS, ConditionError, spot

_BETWEEN = re.compile(r"\s|//")
_PLAIN_TEXT = re.compile(r"""(["'])[^"'\\]*\1""")
_TOKEN = re.compile(
    r"""//[^\n]*|\s+
    |(?:[bB]?[rR][bB]?)(?:"{3}.*?"{3}|\'{3}.*?\'{3}|"[^"\n]*"|'[^'\n]*')
    |[bB]?(?:"{3}(?:\\.|[^\\])*?"{3}|\'{3}(?:\\.|[^\\])*?\'{3}|"(?:\\.|[^\\"\n])*"|'(?:\\.|[^\\'\n])*')
    |`[^`\n]*`|\w+|.""",
    re.DOTALL | re.VERBOSE,
)
"""A token of an expression that compiles, or what stands between tokens."""


def check_fields(text: str) -> None:
    """Raises ConditionError for a field that no `object` has: as it is written, since `object` is a map to the library.

    Where `object` may be the variable of a macro (`all(object, …)`), nothing is said of it.
    """
    found = [piece for piece in _TOKEN.finditer(text) if not _BETWEEN.match(piece[0])]
    tokens = [piece[0] for piece in found]
    if ("object", ",") in pairwise(tokens):
        return
    for at, (before, name) in enumerate(pairwise(["", *tokens])):
        if name != "object" or before == ".":
            continue
        step = tokens[at + 1 : at + 4]
        if step[:1] == ["."] and step[2:] != ["("]:
            _require_field(text, found[at + 2].start(), step[1].strip("`"))
        elif step[:1] == ["["] and step[2:] == ["]"] and _PLAIN_TEXT.fullmatch(step[1]):
            _require_field(text, found[at + 2].start(), step[1][1:-1])


def _require_field(text: str, start: int, name: str) -> None:
    if name in FIELDS:
        return
    index, column = text.count("\n", 0, start), start - text.rfind("\n", 0, start)
    sentence = f'object has no "{shown(name)}"{did_you_mean(name, FIELDS)} (fields: {", ".join(FIELDS)})'
    raise ConditionError(f"{spot(text, index, column)}: {sentence}", index)
