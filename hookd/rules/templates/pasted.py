"""What to write in place of variables pasted from a shell, Jinja, Liquid, jq, a compose file or a workflow.

Must never: decide whether a variable is right; that is `grammar`'s.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from hookd.domain.text import shown

_ALLOWED: Final = 'only }, .key, ["key"] or :- and a default may follow'

_INDEX = re.compile(r"\[(\d+)\]")
_ODD_KEY = re.compile(r"\.([^.:\[\]{}|()\"']+)")
_BARE_KEY = re.compile(r"\[([^\W\d][^\"'\]\[:]*)\]")

_AS_POSTED = "the event's data must hold the text as it is to be sent"

_FORMS: Final = (
    (re.compile(r"\s*(?:\|\s*default\b|//\s)"), "a default is written ${%s:-text}"),
    (re.compile(r"\s*\|"), f"a variable has no filters: {_AS_POSTED}"),
    (re.compile(r"\[[-\d]*:"), f"a variable has no slices: {_AS_POSTED}"),
    (
        re.compile(r"\[\s*[\"'\u2018-\u201f]"),
        'a key in brackets ends with the straight quote that it begins with, and ]: ${%s["key"]}',
    ),
    (re.compile(r"\[-"), "items count from the beginning, from 0: ${%s.0}"),
    (
        re.compile(r"\[(?:\*?\]|$)"),
        "one variable is one value: ${%s} is the whole list, ${%s.0} its first item",
    ),
    (re.compile(r":[=?+]"), "a default is written ${%s:-text}; there is no other form of it"),
    (re.compile(r":\s*-?\d"), f"a variable has no substrings: {_AS_POSTED}"),
    (
        re.compile(r":"),
        "a default is written ${%s:-text}; a prefix (string:, json:, raw:) stands before the name",
    ),
    (re.compile(r"\?"), "what is missing is empty or null; a default is written ${%s:-text}"),
    (re.compile(r"[=+]"), "a default is written ${%s:-text}"),
    (re.compile(r"[%#^,@/!]"), f"a variable has no expansions as in a shell: {_AS_POSTED}"),
    (re.compile(r"\s+$"), "a variable has no spaces: ${%s}"),
)
"""What other tools allow behind a name, and what hookd has instead; `%s` is what stands before it."""


_FOREIGN = re.compile(
    r"\{\{-?\s*\$?\.?([A-Za-z_][\w.]*)\s*(?:\|[^{}]*)?-?\}\}|(?<![$\w\\])\$([A-Z_]+\b|data(?:\.\w+)+)"
)


_GO_TEMPLATE = re.compile(r"\{\{-?\s*[.$]([A-Za-z_][\w.]*)\s*(?:\|[^{}]*)?-?\}\}")


def foreign(text: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """What looks like a variable of another tool and is sent as it stands, and what is meant.

    Only what names one of `names`, begins with `data.` or is written as in Go's templates, which Prometheus, Grafana
    and Docker fill: receivers may have templates of their own.
    """
    for found in _FOREIGN.finditer(text):
        name = found[1] or found[2]
        if name in names or name.startswith("data."):
            yield found[0], f"${{{name}}}"
    for found in _GO_TEMPLATE.finditer(text):
        if found[1] not in names and not found[1].startswith("data."):
            yield found[0], f"${{data.{found[1]}}}"


def way_out(written: str, rest: str) -> str:
    """What to say where a variable of the event's data should end.

    Args:
        written: what stands before, from the opening brace.
        rest: what stands there, up to the first closing brace.
    """
    return f"{_advice(written, rest)}; {_ALLOWED}"


def _advice(written: str, rest: str) -> str:
    if index := _INDEX.match(rest):
        return f"an item of a list is written ${{{shown(written)}.{index[1]}}}"
    if key := _BARE_KEY.match(rest):
        return f'a key in brackets stands in quotes: ${{{shown(written)}["{shown(key[1])}"]}}'
    if key := _ODD_KEY.match(rest):
        return f'a key with other characters stands in quotes: ${{{shown(written)}["{shown(key[1])}"]}}'
    for form, advice in _FORMS:
        if form.match(rest):
            return advice.replace("%s", shown(written))
    before, _, last = written.rpartition(".")
    if not before:
        return f"a key of the data follows a dot: ${{{shown(written)}.key}}"
    odd = f'{shown(before)}["{shown(last + rest.partition(":-")[0])}"]'
    return f"a key with other characters stands in quotes: ${{{odd}}}"
