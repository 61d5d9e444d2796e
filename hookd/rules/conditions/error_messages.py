"""The library's errors in hookd's own words.

Must never: compile or evaluate.
"""

import re
from collections.abc import Callable, Iterable
from typing import NoReturn

from hookd.domain.text import did_you_mean, near, shown
from hookd.rules.conditions.condition_errors import CONTAINER, VARIABLES, ConditionError, spot
from hookd.rules.conditions.sizes import Size

# The library's errors in other words. Each pattern must match all of the library's sentence.

_Wording = tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]

_FIRST_FAULT = re.compile(
    rf"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<sentence>.*?)(?: \(in container '{CONTAINER}'\))?"
    r"(?: \[[A-Z_]+\])?(?=\n \| |\nERROR: |\Z)",
    re.DOTALL,
)
_UNDECLARED = re.compile(r"undeclared reference to '\.?(.*)'", re.DOTALL)
_CODE = re.compile(r"\A[A-Z_]+: | \[[A-Z_]+\]\Z")

_FUNCTIONS = (
    "all", "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "exists", "exists_one", "filter",
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
    "getMinutes", "getMonth", "getSeconds", "has", "int", "map", "matches", "size", "startsWith", "string",
    "timestamp", "uint",
)  # fmt: skip
_WORDS = ("true", "false", "null")
_NAMES = {"id": "object.id", "name": "object.name", "tags": "object.tags", "now": "time", "none": "null"}
_SIGNS = {"and": "&&", "or": "||", "not": "!", "=": "==", "=>": ">=", "&": "&&", "|": "||"}
_CALLED = {
    "len": "size",
    "length": "size",
    "count": "size",
    "regex": "matches",
    "defined": "has",
    "exists": "has",
}
_FOREIGN = {
    "$": "write data.x, without ${ }",
    "#": "a comment begins with //",
    "=~": 'write data.x.matches("…")',
    "is": "has(data.x) asks whether it is there",
    **{word: f'write data.x.{word}("…")' for word in ("contains", "endsWith", "matches", "startsWith")},
}
_CURLY = "\u2018\u2019\u201a\u201c\u201d\u201e"
_TYPES = {
    "int64": "int",
    "uint64": "uint",
    "null_type": "null",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}


def refuse(text: str, problem: str) -> NoReturn:
    """Raises what the library says of the first fault."""
    fault = _FIRST_FAULT.search(problem)
    if fault is None or int(fault["line"]) < 1:
        raise ConditionError(_worded(_CODE.sub("", fault["sentence"] if fault else problem), _COMPILING))
    lines = text.split("\n")
    index, column, sentence = int(fault["line"]) - 1, int(fault["column"]), fault["sentence"]
    if unknown := _UNDECLARED.fullmatch(sentence):
        column, sentence = _undeclared(unknown[1], lines[index], column)
    else:
        sentence = _worded(sentence, _COMPILING)
    raise ConditionError(f"{spot(text, index, column)}: {sentence}", index)


def _undeclared(reference: str, line: str, column: int) -> tuple[int, str]:
    """Column and sentence for a name that is not there; the library names the column of a dot or bracket after it."""
    name = reference.partition(".")[0]
    starts = [found.start() + 1 for found in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", line)]
    start = max((at for at in starts if at <= column), default=min(starts, default=column))
    called = name == reference and line[start - 1 + len(name) :].lstrip().startswith("(")
    return start, _unknown_function(name) if called else _unknown_name(name)


def _unknown_function(name: str) -> str:
    if name in _FUNCTIONS:
        return f"{name}() takes other arguments"
    meant = f'; did you mean "{_CALLED[name]}"?' if name in _CALLED else did_you_mean(name, _FUNCTIONS)
    return f'unknown function "{shown(name)}"{meant}'


def _unknown_name(name: str) -> str:
    known = _NAMES.get(name.lower())
    meant = [known] if known else near(name, (*VARIABLES, *_WORDS))
    advice = f'did you mean "{meant[0]}"?' if meant else "if it is text, put it in quotes"
    return f'unknown name "{shown(name)}"; {advice} (names: {", ".join(VARIABLES)})'


def _unexpected(piece: str) -> str:
    """A piece of the expression, `<EOF>` for its end, that cannot stand where it does."""
    if piece == "<EOF>":
        return "it ends where more is needed"
    word = piece.strip()
    if not word:
        return "unexpected character"
    if word.startswith(('"', "'")):
        return f"unexpected text {shown(word, 20)}"
    if word[0] in _CURLY:
        return f"unexpected quote {word[0]}; quotes are \" or '"
    foreign = word if word in _FOREIGN else word[0]
    if foreign in _FOREIGN:
        return f'unexpected "{foreign}"; {_FOREIGN[foreign]}'
    sign = "" if word in _SIGNS.values() else _SIGNS.get(word.lower()) or _SIGNS.get(word[0])
    return f'unexpected "{shown(word, 20)}"' + (f'; did you mean "{sign}"?' if sign else "")


def _unreadable(piece: str) -> str:
    if piece.startswith(('"', "'")):
        return "the text that begins here has no end, or a \\ that means nothing"
    return _unexpected(piece)


def _mismatch(function: str, types: str) -> str:
    """Values of types that a function or operator does not take."""
    named = _renamed(types)
    return f'"{_operator(function)}" does not take ({shown(named, 120)}){_remedy(set(named.split(", ")))}'


def _renamed(types: str) -> str:
    return re.sub(r"[\w.]+", lambda found: _TYPES.get(found[0], found[0]), types)


def _remedy(types: set[str]) -> str:
    if len(types & {"int", "uint", "double"}) > 1:
        return "; int(…) and double(…) make numbers one type"
    if "timestamp" in types and "string" in types:
        return '; timestamp("2026-01-02T03:04:05Z") makes a time of text'
    if "duration" in types:
        return '; duration("5m") is five minutes'
    return ""


def _operator(function: str) -> str:
    """As it is written: `_>_` is `>`, `@in` is `in`."""
    return re.sub(r"[_@]", "", function) if re.search(r"\W", function) else function


def _wording(*rules: tuple[str, Callable[[re.Match[str]], str]]) -> _Wording:
    return tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in rules)


_COMPILING = _wording(
    (r"Syntax error: (?:mismatched|extraneous) input '(.*?)' expecting .*", lambda found: _unexpected(found[1])),
    (r"Syntax error: no viable alternative at input '\.?(.*)'", lambda found: _unexpected(found[1] or "<EOF>")),
    (r"Syntax error: token recognition error at: '(.*?)'?", lambda found: _unreadable(found[1])),
    (r"Syntax error: missing '(.*?)' at .*", lambda found: f'"{found[1]}" is missing'),
    (r"found no matching overload for '(.*?)' applied to '\((.*)\)'", lambda found: _mismatch(found[1], found[2])),
    (r"expression of type '(.*?)' cannot be .*", lambda found: f"a value of type {_renamed(found[1])} has no fields"),
    (r"reserved identifier: (.*)", lambda found: f'"{found[1]}" is a reserved word'),
    (r"invalid (?:hex )?u?int literal", lambda _: "the number does not fit into 64 bits"),
    (r".*recursion (?:limit|depth).* (\d+).*", lambda found: f"is nested deeper than {found[1]} levels; use fewer "
        "brackets, or fewer operators in a row (&& and || apart)"),
)  # fmt: skip
_EVALUATING = _wording(
    (r'Key not found in map : "?(.*?)"?', lambda found: f'there is no "{shown(found[1])}"'),
    (r"Applying SELECT to .*", lambda _: "a field is asked of a value that has no fields"),
    (r"No matching overloads found : \((.*?)\)\.(\w+)\((.*)\)",
        lambda found: _mismatch(found[2], ", ".join(filter(None, (found[1], found[3]))))),
    (r"No matching overloads found : (.*?)\((.*)\)", lambda found: _mismatch(found[1], found[2])),
    (r"No matching overloads found : <jump_condition>", lambda _: "what stands before a ? is not true or false"),
    (r"No matching overloads found : <iter_range>", lambda _: "a list or a map is needed where there is neither"),
    (r"No matching overloads found : (.*)", lambda found: f'"{_operator(found[1])}" does not take such values'),
    (r"Iteration budget exceeded", lambda _: "it takes more steps than an evaluation may"),
)  # fmt: skip


def _worded(sentence: str, wording: _Wording) -> str:
    for pattern, words in wording:
        if found := pattern.fullmatch(sentence):
            return words(found)
    return shown(sentence, 200)


def evaluation_message(problem: str) -> str:
    """What an evaluation's failure says, in one line."""
    return _worded(_CODE.sub("", problem), _EVALUATING)


def too_much(times: float, parts: Iterable[tuple[str, Size]]) -> str:
    """The refusal of an evaluation that is too much work, with the parts of the event that make it so.

    Args:
        times: by what factor it is too much.
        parts: what the expression looks at, with their sizes.
    """
    named = sorted(((_largest(size), name) for name, size in parts), reverse=True)[:2]
    large = ", ".join(f"{shown(name)}: {number:,} {unit}" for (number, unit), name in named)
    factor = f"{times:,.0f} times" if times >= 2 else "more than"
    return (
        f"it could take {factor} the work that one evaluation may ({large}); post shorter lists or texts, "
        "or use fewer of all(), exists(), map(), filter() and matches() within one another"
    )


def _largest(size: Size) -> tuple[int, str]:
    """What is largest in a part of an event, in its unit."""
    counted: Size | None = size
    entries = length = 0
    while counted is not None:
        entries, length = max(entries, counted.count), max(length, counted.text)
        counted = counted.within
    return (length, "bytes of text") if length > 10 * entries else (entries, "entries")
