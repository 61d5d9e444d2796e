"""JSON answers that grow with the configuration, made and written a few items at a time, so that others get their turn.

Must never: hold the event loop for longer than `AT_ONCE` items take.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import islice
from typing import Any

from hookd.domain.json_text import compact_json
from hookd.domain.value_class import value_class
from hookd.server.messages import Response

AT_ONCE = 50
"""Items made in one turn of the loop: one to three milliseconds."""


@value_class
class LongList:
    """A list of any length; the items are best made as they are asked for."""

    items: Iterable[Any]


@value_class
class LongObject:
    """An object with any number of fields; the values are best made as they are asked for."""

    fields: Iterable[tuple[str, Any]]


async def long_json_response(fields: Mapping[str, Any], status: int = 200) -> Response:
    """An object as JSON. Values of it may be a `LongList` or `LongObject`; others are written at once."""
    return Response(status, b"".join([piece async for piece in _pieces(fields)]))


async def _pieces(fields: Mapping[str, Any]) -> AsyncIterator[bytes]:
    before = "{"
    for name, value in fields.items():
        yield f"{before}{compact_json(name)}:".encode()
        async for piece in _of(value):
            yield piece
        before = ","
    yield b"}" if fields else b"{}"


async def _of(value: Any) -> AsyncIterator[bytes]:
    match value:
        case LongList():
            yield b"["
            async for piece in _joined(map(compact_json, value.items)):
                yield piece
            yield b"]"
        case LongObject():
            yield b"{"
            pairs = (f"{compact_json(name)}:{compact_json(each)}" for name, each in value.fields)
            async for piece in _joined(pairs):
                yield piece
            yield b"}"
        case _:
            yield compact_json(value).encode()


async def _joined(texts: Iterable[str]) -> AsyncIterator[bytes]:
    left, before = iter(texts), ""
    while some := ",".join(islice(left, AT_ONCE)):
        yield f"{before}{some}".encode()
        before = ","
        await asyncio.sleep(0)
