r"""The grammar of a variable, exact, so that whatever is not in it is an error at its column and never goes out.

    variable = "${" [prefix] ( name | data | secret ) "}"
    secret   = "secret." letters, digits, "_"
    prefix   = "string:" | "json:" | "raw:"
    data     = "data" { "." key | '["' any '"]' | "['" any "']" } [ ":-" default ]
    key      = letters, digits, "_", "-", "@", and one "/" between them
    default  = variable | text with balanced braces and no "${" ("$${" is a literal "${")

Must never: know JSON, or what a value is.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NoReturn

from hookd.domain.message_templates import Escaping, PathStep, Placeholder
from hookd.domain.text import is_utf8, near, quoted, shown
from hookd.domain.value_class import value_class
from hookd.rules.templates.pasted import way_out
from hookd.rules.templates.renderer import SECRET, TEXTS

MOST_DEFAULTS: Final = 3
"""Variables inside one another, each as the default of the one around it."""

MOST_STEPS: Final = 32
"""Steps of one path: what may stand at each grows with their number."""

DATA: Final = "data"

PREFIXES: Final = ("string", "json", "raw")
"""What may stand before a variable, with a colon, and says how its value is written."""

_PREFIX = re.compile(rf"({'|'.join(PREFIXES)}):")
_SOME_PREFIX = re.compile(r"([A-Za-z]+):(?!-)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(
    r"""\.(?P<key>[\w@-]+(?:/[\w@-]+)?) | \[(?:"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)')\]""", re.VERBOSE
)
_BREAK = re.compile(r"\n|\$\{")
"""What no name of a variable holds: its end is missing before it."""

_JSON = frozenset({Escaping.IN_STRING, Escaping.STRING, Escaping.VALUE})
_RAW_IN_JSON = (
    "raw: would let a value break the JSON; it is for forms, XML, HTML and text. A value keeps its JSON type where the "
    "variable stands alone, and json: gives its JSON as text"
)

Fail = Callable[[str, int], NoReturn]
"""Reports what is wrong at an offset of the text."""


@value_class
class VariableParser:
    """Reads the variables of one text.

    Attributes:
        text: without the escapes of what it stands in.
        fail: raises for an offset of `text`.
    """

    text: str
    fail: Fail

    def variable(self, at: int, fill: Escaping, depth: int = 0, prefix: str = "") -> tuple[Placeholder, int]:
        """Read the variable that begins at an offset, where `${` stands.

        Args:
            at: the offset.
            fill: how values are written where it stands.
            depth: how many variables it is the default of.
            prefix: of the variable that it is the default of; its own comes first.

        Returns:
            It, and the offset behind its closing brace.
        """
        if depth > MOST_DEFAULTS:
            self.fail(f"defaults are nested deeper than {MOST_DEFAULTS}", at)
        own = _PREFIX.match(self.text, at + 2)
        begin = own.end() if own else at + 2
        if self.text.startswith(f"{SECRET}.", begin):
            return self._secret(at, begin + len(SECRET) + 1, fill, own[1] if own else "", depth)
        prefix = own[1] if own else prefix
        found = _NAME.match(self.text, begin)
        name = found[0] if found else ""
        if found is None or (name != DATA and name not in TEXTS):
            self._unknown(at, begin)
        runs, end = self._path(at, found.end()) if name == DATA else ([], found.end())
        default: str | Placeholder | None = None
        if self.text.startswith(":-", end):
            if name != DATA:
                self._require_end(at)
                self.fail(f"the variable ${{{name}}} cannot have a default; only ${{data.…}} can", at)
            default, end = self._default(at, end + 2, fill, depth, prefix)
        if not self.text.startswith("}", end):
            self._wrong(name, at, end)
        slot = Placeholder(
            name,
            fill,
            tuple(step for run in runs for step in run),
            default,
            prefix,
            written=self.text[at + 2 : end],
            steps=tuple(step for run in runs for step in _steps(run)),
        )
        return self._prefixed(slot, at), end + 1

    def _secret(
        self, at: int, begin: int, fill: Escaping, prefix: str, depth: int
    ) -> tuple[Placeholder, int]:
        found = _NAME.match(self.text, begin)
        if found is None or not self.text.startswith("}", found.end()):
            self._require_end(at)
            self.fail("a secret is written ${secret.NAME}, and has neither default nor parts", at)
        if depth or prefix == "json":
            self.fail("a secret is no default, and has no json:", at)
        written = self.text[at + 2 : found.end()]
        slot = Placeholder(SECRET, fill, (found[0],), prefix=prefix, written=written)
        return self._prefixed(slot, at), found.end() + 1

    def _path(self, at: int, end: int) -> tuple[list[list[str]], int]:
        """The steps below `data`, dotted ones that follow one another together, and where they end."""
        runs: list[list[str]] = [[]]  # a key in brackets is a run of its own
        while step := _STEP.match(self.text, end):
            end = step.end()
            if step["key"] is not None:
                runs[-1].append(step["key"])
            else:
                runs += [[step["double"] if step["single"] is None else step["single"]], []]
        if self.text.startswith((".}", "..", ".:", ".["), end):
            self._require_end(at)
            variable = self.text[at + 2 : self.text.index("}", at)].partition(":-")[0]
            self.fail(f"the variable ${{{shown(variable)}}} has an empty step in its path", at)
        if sum(map(len, runs)) > MOST_STEPS:
            self.fail(f"the path has more than {MOST_STEPS} steps", at)
        return runs, end

    def _default(
        self, at: int, begin: int, fill: Escaping, depth: int, prefix: str
    ) -> tuple[str | Placeholder, int]:
        if self.text.startswith("${", begin):
            nested, end = self.variable(begin, fill, depth + 1, prefix)
            if not self.text.startswith("}", end):
                self._require_end(at)
                self.fail(
                    "a default is a text without variables, or exactly one variable: } is expected", end
                )
            return nested, end
        parts, opened, end = [], 0, begin
        while opened or not self.text.startswith("}", end):
            if end >= len(self.text):
                self._unbalanced(at, begin, opened)
            if self.text.startswith("$${", end):
                parts.append("${")
                opened, end = opened + 1, end + 3
                continue
            char = self.text[end]
            if self.text.startswith("${", end):
                self._require_end(at)
                self.fail("a default is a text without variables, or exactly one variable", end)
            opened += (char == "{") - (char == "}")
            parts.append(char)
            end += 1
        return self._sound("".join(parts), at, begin), end

    def _unbalanced(self, at: int, begin: int, opened: int) -> NoReturn:
        if opened:
            self.fail(f"the default's braces are not balanced: {opened} more {{ than }}", begin)
        self._endless(at)

    def _prefixed(self, slot: Placeholder, at: int) -> Placeholder:
        if slot.prefix == "raw":
            if slot.fill in _JSON:
                self.fail(_RAW_IN_JSON, at)
            return replace(slot, fill=Escaping.TEXT)
        if slot.prefix == "string" and slot.fill is Escaping.VALUE:
            return replace(slot, fill=Escaping.STRING)
        return slot

    def _sound(self, default: str, at: int, begin: int) -> str:
        if not is_utf8(default):
            self.fail(
                f"the default of ${{{shown(self.text[at + 2 : begin - 2])}}} holds a lone surrogate", at
            )
        return default

    def _unknown(self, at: int, begin: int) -> NoReturn:
        self._require_end(at)
        spec = self.text[begin : self.text.index("}", at)]
        self.fail(unknown(spec), at)

    def _wrong(self, name: str, at: int, end: int) -> NoReturn:
        """Report what stands where the variable should end."""
        self._require_end(at)
        written = self.text[at + 2 : end]
        rest = self.text[end : self.text.index("}", end)]
        if name != DATA:
            self.fail(
                f"${{{name}}} is the whole variable: only }} may follow its name, not {quoted(rest)}", end
            )
        self.fail(way_out(written, rest), end)

    def _require_end(self, at: int) -> None:
        """Report a variable whose closing brace is missing before the line ends or the next one begins."""
        closed = self.text.find("}", at)
        broken = _BREAK.search(self.text, at + 2)
        head = self.text.find(":-", at, closed)
        if closed < 0 or (broken and broken.start() < (closed if head < 0 else head)):
            self._endless(at)

    def _endless(self, at: int) -> NoReturn:
        begun = _BREAK.split(self.text[at + 2 : at + 200], maxsplit=1)[0].partition("}")[0]
        self.fail(
            f"the variable ${{{shown(begun)} does not end: }} is missing ($${{ is a literal ${{)",
            at,
        )


def unknown(spec: str) -> str:
    """What to say of what stands between the braces and begins with the name of no variable."""
    if wrong := _SOME_PREFIX.match(spec):
        meant = "".join(f"; did you mean {choice}:?" for choice in near(wrong[1], PREFIXES))
        return f"unknown prefix {shown(wrong[0])}{meant} (prefixes: {', '.join(f'{each}:' for each in PREFIXES)})"
    if spec.partition(":")[0].partition(".")[0] == SECRET:
        return "a secret is written ${secret.NAME}, and has neither default nor parts"
    name, dot, path = spec.partition(":-")[0].strip().partition(".")
    choices = near(name, [DATA] if dot else TEXTS)
    given = shown(spec.partition(":-")[0])
    if choices:
        meant = f"data.{shown(path)}" if dot else choices[0]
        return f"unknown variable ${{{given}}}; did you mean ${{{meant}}}?"
    return f"unknown variable ${{{given}}}; known are {', '.join(TEXTS)} and data.PATH"


def _steps(run: Sequence[str]) -> Iterator[PathStep]:
    """The steps of a dotted run."""
    for at, key in enumerate(run):
        yield key, tuple(".".join(run[at:end]) for end in range(len(run), at + 1, -1))
