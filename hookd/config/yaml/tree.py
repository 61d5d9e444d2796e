"""YAML text to a tree of values that know their places, built from parser events one by one.

PyYAML's own composer recurses (deep nesting ends the process) and expands nothing but forgets places; here
depth, aliases and tags are bounded, and duplicate keys, keys that are not text and second documents are
refused (spec 1). Merge keys (`<<`) are supported.

Must never: recurse over the input, expand an alias bomb, build an object of any other kind, or raise for bad
input.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from hookd.config.yaml.diagnostics import Steps
from hookd.config.yaml.scalars import BadScalar, make, resolve
from hookd.config.yaml.syntax_errors import syntax_fault
from hookd.domain.text import quoted

MAX_DEPTH = 100
"""Mappings and lists within each other."""
MAX_ALIASED = 250_000
"""Values that aliases may add to one file; long text counts for more."""

MAX_VALUES = 500_000
"""Values in one file, keys among them: as many as are read within a few seconds."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset({"str", "int", "float", "bool", "null"})
_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TEXT_PER_COST = 64


class YamlError(NamedTuple):
    """Something wrong with the YAML itself; line and column from 1."""

    line: int
    column: int
    steps: Steps
    message: str


class Node:
    """A value of the tree.

    Attributes:
        value: text, number, truth value, None, `dict[str, Node]` or `list[Node]`.
        line: where the value begins, from 1.
        column: likewise.
        text: how a scalar that is not text was written.
        style: `|`, `>`, `"`, `'`, or empty.
        keys: of a mapping: line and column of each key.
        broken: a diagnostic was already made here; nothing more is to be said about it.
        cost: how many values it holds, itself included.
        height: how many levels are below it; -1 while it is still being read.
    """

    __slots__ = ("broken", "column", "cost", "height", "keys", "line", "style", "text", "value")

    def __init__(self, value: Any, line: int, column: int, *, text: str = "", style: str = "") -> None:
        self.value = value
        self.line = line
        self.column = column
        self.text = text
        self.style = style
        self.keys: dict[str, tuple[int, int]] = {} if isinstance(value, dict) else _NO_KEYS
        self.broken = False
        self.cost = 1
        self.height = 0

    def plain(self) -> Any:
        """The value without places; what is broken is left out."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items() if not child.broken}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value if not child.broken]
        return self.value


_NO_KEYS: dict[str, tuple[int, int]] = {}
"""Shared by all that is not a mapping: a large file has hundreds of thousands of scalars."""


class Tree(NamedTuple):
    """A file's content.

    Attributes:
        root: the top value, or None where there is none or it could not be read to its end.
        problems: what is wrong with the YAML.
        complete: whether the file was read to its end, so that every name in it is known.
        text: the file's text.
    """

    root: Node | None
    problems: tuple[YamlError, ...]
    complete: bool
    text: str = ""


def parse(data: bytes) -> Tree:
    """Reads one YAML file; never raises for what is in it (memory apart)."""
    builder = _Builder()
    text = ""
    try:
        text = _decode(data)
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except _ParsingStopped as refused:
        return Tree(None, (*builder.problems, refused.problem), complete=False, text=text)
    except yaml.YAMLError as error:
        line, column, message = syntax_fault(error, lines_of(text))
        fault = YamlError(line, column, (), message)
        return Tree(None, (*builder.problems, fault), complete=False, text=text)
    return Tree(builder.root, tuple(builder.problems), complete=True, text=text)


def lines_of(text: str) -> list[str]:
    """The text's lines as YAML counts them."""
    return _BREAKS.split(text)


class _ParsingStopped(Exception):
    """The file is not read any further."""

    def __init__(self, problem: YamlError) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class _MappingKey:
    text: str
    line: int
    column: int
    merge: bool = False
    bad: bool = False
    again: bool = False


@dataclass(slots=True)
class _OpenCollection:
    """A mapping or list that is still being read."""

    node: Node
    key: _MappingKey | None = None
    merged: list[Node] = field(default_factory=list)

    def steps(self) -> Iterator[str | int]:
        if isinstance(self.node.value, list):
            yield len(self.node.value)
        elif self.key is not None:
            yield self.key.text


class _Builder:
    """Takes events in order; `root` is the tree once all are taken."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[YamlError] = []
        self._frames: list[_OpenCollection] = []
        self._anchors: dict[str, Node] = {}
        self._aliased = 0
        self._documents = 0
        self._values = 0
        self._take = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def take(self, event: Any) -> None:
        method = self._take.get(type(event))
        if method is not None:
            method(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._refusal(event, "a second document begins here; a file holds one")

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        node = Node(event.value, mark.line + 1, mark.column + 1, style=event.style or "")
        node.cost += len(event.value) // _TEXT_PER_COST
        self._anchor(event, node)
        kind = self._scalar_kind(event, node)
        if kind != "str":
            self._convert(node, kind)
        self._attach(node)

    def _scalar_kind(self, event: Any, node: Node) -> str:
        if event.tag is None:
            return resolve(event.value) if event.implicit[0] else "str"
        if event.tag == "!":
            return "str"
        kind = event.tag.removeprefix(_TAG)
        if kind in _SCALAR_TAGS:
            return str(kind)
        self._refuse_tag(node)
        return "str"

    def _convert(self, node: Node, kind: str) -> None:
        node.text = node.value
        try:
            node.value = make(kind, node.text)
        except BadScalar as error:
            node.broken = True
            self._problem(node.line, node.column, f"this {error}")

    def _start(self, event: Any) -> None:
        mark = event.start_mark
        is_map = isinstance(event, yaml.MappingStartEvent)
        node = Node({} if is_map else [], mark.line + 1, mark.column + 1)
        node.height = -1
        if len(self._frames) >= MAX_DEPTH:
            raise self._refusal(event, f"nested deeper than {MAX_DEPTH} levels")
        if event.tag not in {None, "!", _TAG + ("map" if is_map else "seq")}:
            self._refuse_tag(node)
        self._anchor(event, node)
        self._frames.append(_OpenCollection(node))

    def _end(self, _event: Any) -> None:
        frame = self._frames.pop()
        children = frame.node.value
        if frame.merged:
            children = frame.node.value = self._with_merged(frame)
        if isinstance(children, dict):
            children = children.values()
        height = 0
        for child in children:
            height = max(height, child.height + 1)
            frame.node.cost += child.cost
        frame.node.height = height
        self._attach(frame.node)

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None or node.height < 0:
            self._bad_alias(event, node)
            return
        self._aliased += node.cost
        if self._aliased > MAX_ALIASED:
            raise self._refusal(event, f"aliases expand to more than {MAX_ALIASED} values")
        if len(self._frames) + node.height >= MAX_DEPTH:
            raise self._refusal(event, f"nested deeper than {MAX_DEPTH} levels by this alias")
        self._attach(node, at=event)

    def _bad_alias(self, event: Any, node: Node | None) -> None:
        # The alias is not repeated: it may be the beginning of a password.
        said = (
            "has no anchor before it; quote text that begins with *"
            if node is None
            else "stands inside its own anchor"
        )
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        self._problem(line, column, f"this alias {said}")
        stand_in = Node(None, line, column)
        stand_in.broken = True
        self._attach(stand_in)

    def _anchor(self, event: Any, node: Node) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = node

    def _attach(self, node: Node, *, at: Any = None) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            place = YamlError(
                node.line, node.column, ("file",), f"holds more than {MAX_VALUES:,} values; split it"
            )
            raise _ParsingStopped(place)
        if not self._frames:
            self.root = node
            return
        frame = self._frames[-1]
        if isinstance(frame.node.value, list):
            frame.node.value.append(node)
            frame.node.broken |= node.broken
        elif frame.key is None:
            frame.key = self._key(frame, node, at)
        else:
            self._set(frame, frame.key, node)
            frame.key = None

    def _key(self, frame: _OpenCollection, node: Node, at: Any) -> _MappingKey:
        line, column = (
            (node.line, node.column) if at is None else (at.start_mark.line + 1, at.start_mark.column + 1)
        )
        if not isinstance(node.value, str):
            key = _MappingKey(node.text, line, column, bad=True)
            self._problem(line, column, _key_fault(node), key.text)
            return key
        key = _MappingKey(node.value, line, column, merge=node.value == "<<" and not node.style)
        if not key.merge and key.text in frame.node.keys:
            key.again = True
            first = frame.node.keys[key.text][0]
            self._problem(line, column, f"stands here a second time; the first is in line {first}", key.text)
        return key

    def _set(self, frame: _OpenCollection, key: _MappingKey, node: Node) -> None:
        if key.merge:
            self._merge(frame, key, node)
            return
        if key.again:
            return
        if key.bad:
            node = Node(None, node.line, node.column)
            node.broken = True
        frame.node.value[key.text] = node
        frame.node.keys[key.text] = (key.line, key.column)

    def _merge(self, frame: _OpenCollection, key: _MappingKey, node: Node) -> None:
        sources = node.value if isinstance(node.value, list) else [node]
        if all(isinstance(source.value, dict) for source in sources):
            frame.merged.extend(sources)
            return
        frame.node.broken = True
        self._problem(key.line, key.column, "<< merges a mapping or a list of mappings, nothing else")

    def _with_merged(self, frame: _OpenCollection) -> dict[str, Node]:
        """The mapping with what `<<` brings in; its own keys win, and earlier sources win over later ones."""
        own: dict[str, Node] = frame.node.value
        whole: dict[str, Node] = {}
        for source in frame.merged:
            for name, child in source.value.items():
                if name not in own and name not in whole:
                    whole[name] = child
                    frame.node.keys[name] = source.keys[name]
        whole.update(own)
        return whole

    def _refuse_tag(self, node: Node) -> None:
        node.broken = True
        # The tag is not repeated: it may be the beginning of a password.
        self._problem(
            node.line,
            node.column,
            "a tag (!…) is not allowed; quote text that begins with !; a secret is written {env: NAME} or {file: PATH}",
        )

    def _problem(self, line: int, column: int, message: str, *more: str) -> None:
        self.problems.append(YamlError(line, column, (*self._steps(), *more), message))

    def _refusal(self, event: Any, message: str) -> _ParsingStopped:
        mark = event.start_mark
        return _ParsingStopped(YamlError(mark.line + 1, mark.column + 1, self._steps(), message))

    def _steps(self) -> Steps:
        return tuple(step for frame in self._frames for step in frame.steps())


def read_as(node: Node) -> str:
    """What YAML makes of a scalar that was perhaps meant as text: `YAML reads on as true`."""
    if node.value is None:
        return f"YAML reads {_source(node.text)} as null"
    if isinstance(node.value, bool):
        return f"YAML reads {_source(node.text)} as {str(node.value).lower()}"
    return f"YAML reads {_source(node.text)} as the number {node.value}"


def _source(text: str) -> str:
    return quoted(text)[1:-1]


def _key_fault(node: Node) -> str:
    if not node.text:
        return "a key is text, not " + ("a mapping or a list" if node.value is not None else "empty")
    return f"a key is text; {read_as(node)}, so quote it: {quoted(node.text)}"


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise _ParsingStopped(
            YamlError(before.count(b"\n") + 1, column, (), "this is not UTF-8 text")
        ) from None
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad is not None:
        raise _ParsingStopped(_control_problem(text, bad.start()))
    return text


def _control_problem(text: str, position: int) -> YamlError:
    code = ord(text[position])
    said = "a NUL byte: this is not a text file" if code == 0 else f"the control character U+{code:04X}"
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return YamlError(text.count("\n", 0, position) + 1, column, (), f"holds {said}")
