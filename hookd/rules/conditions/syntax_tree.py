"""The tree of a compiled expression, read from the form in which the library hands it out.

That form is `cel.expr.CheckedExpr` in protobuf's wire format
(https://github.com/google/cel-spec/blob/master/proto/cel/expr/checked.proto); its macros are expanded.

Must never: evaluate, or know what anything costs.
"""

from collections.abc import Iterator
from typing import Any

from hookd.domain.value_class import value_class


@value_class
class Literal:
    """A text or bytes, else None: a number, a truth value or null."""

    text: str | None


@value_class
class Name:
    """A variable: the event's begin with the container's name, those of loops do not."""

    name: str


@value_class
class Field:
    """A field of a value, or the question whether it is there."""

    operand: "ExpressionNode"
    name: str


@value_class
class Call:
    """A function or operator; the value before its dot, if any, is the first argument."""

    function: str
    arguments: "tuple[ExpressionNode, ...]"


@value_class
class Entries:
    """A list, or a map as its keys and values in turn."""

    nodes: "tuple[ExpressionNode, ...]"


@value_class
class Loop:
    """What `all`, `exists`, `exists_one`, `map` and `filter` are: a step for each entry, that builds a result."""

    variable: str
    entries: "ExpressionNode"
    accumulator: str
    initial: "ExpressionNode"
    condition: "ExpressionNode"
    step: "ExpressionNode"
    result: "ExpressionNode"


ExpressionNode = Literal | Name | Field | Call | Entries | Loop


def syntax_tree(serialized: bytes) -> ExpressionNode:
    """The tree of an expression that the library has compiled and serialized."""
    envelope = _message(serialized)
    return _node(_message(_only(envelope, 2))[4][0])


def children(node: ExpressionNode) -> "tuple[ExpressionNode, ...]":
    """The parts of a node."""
    match node:
        case Field():
            return (node.operand,)
        case Call():
            return node.arguments
        case Entries():
            return node.nodes
        case Loop():
            return (node.entries, node.initial, node.condition, node.step, node.result)
        case Literal() | Name():
            return ()


def _node(raw: bytes) -> ExpressionNode:
    fields = _message(raw)
    kind = next((number for number in range(3, 10) if number in fields), 3)
    body = _message(fields[kind][0]) if kind in fields else {}
    return _READERS[kind](body)


def _literal(body: "_Message") -> ExpressionNode:
    raw = body.get(6) or body.get(7)
    return Literal(raw[0].decode("utf-8", "replace") if raw else None)


def _call(body: "_Message") -> ExpressionNode:
    arguments = [*body.get(1, ()), *body.get(3, ())]
    return Call(_text(body, 2), tuple(map(_node, arguments)))


def _map(body: "_Message") -> ExpressionNode:
    parts = [
        part for raw in body.get(2, ()) for entry in (_message(raw),) for part in (entry.get(3), entry.get(4))
    ]
    return Entries(tuple(_node(part[0]) for part in parts if part))


def _loop(body: "_Message") -> ExpressionNode:
    entries, initial, condition, step, result = (_node(_only(body, number)) for number in (2, 4, 5, 6, 7))
    return Loop(_text(body, 1), entries, _text(body, 3), initial, condition, step, result)


_READERS = {
    3: _literal,
    4: lambda body: Name(_text(body, 1)),
    5: lambda body: Field(_node(_only(body, 1)), _text(body, 2)),
    6: _call,
    7: lambda body: Entries(tuple(map(_node, body.get(1, ())))),
    8: _map,
    9: _loop,
}
"""The kinds of `cel.expr.Expr` by the numbers of their fields."""


# Protobuf's wire format (https://protobuf.dev/programming-guides/encoding/).

_Message = dict[int, list[Any]]
_WIDTHS = {1: 8, 5: 4}


def _only(message: _Message, number: int) -> bytes:
    """The last value of a field, which counts; an empty one where there is none."""
    value: bytes = message.get(number, [b""])[-1]
    return value


def _text(message: _Message, number: int) -> str:
    return _only(message, number).decode()


def _message(raw: bytes) -> _Message:
    found: _Message = {}
    for number, value in _fields(raw):
        found.setdefault(number, []).append(value)
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        value: Any
        if (wire := tag & 7) == 0:
            value, at = _varint(raw, at)
        else:
            width, at = _varint(raw, at) if wire == 2 else (_WIDTHS[wire], at)
            value, at = raw[at : at + width], at + width
        yield tag >> 3, value


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
