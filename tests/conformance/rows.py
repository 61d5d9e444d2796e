"""Rows of the tests of messages: a task, what its author wrote, and the bytes that must arrive.

Used by the tests of R35 to R45. Must never: import anything of `hookd`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import indent
from typing import Any

import pytest

from tests.kit.receiver import Received
from tests.kit.stage import Stage

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"

DATA: Mapping[str, Any] = {
    "text": 'say "hi"\\ <now> 100%\r\n\tünï😀',
    "variable": "${NAME} ${data.text} $${x}",
    "number": 3,
    "float": 80.5,
    "large": 12345678901234567890,
    "yes": True,
    "no": False,
    "null": None,
    "empty": "",
    "object": {"z": [1, "é"], "a": None, "m": {}},
    "list": [{"x": "first"}, "second", [10, 20]],
    "deep": {"er": {"and": {"deeper": "found"}}},
}
OBJECT = {"id": "17", "name": "web-01", "tags": ["production", "edge"]}


def yaml(value: Any) -> str:
    """A value as JSON on one line, which YAML reads as the same value."""
    return json.dumps(value, ensure_ascii=False)


def block(text: str) -> str:
    """A text as the literal block that an author of YAML would write."""
    keep = "+" if text.endswith("\n\n") else "" if text.endswith("\n") else "-"
    return f"|2{keep}\n" + indent(text.removesuffix("\n"), " " * 6)


@dataclass(frozen=True)
class Row:
    """One task with a webhook of its own.

    Attributes:
        message: YAML, as it stands behind `message:`; None: the task has none.
        body: what must arrive.
        content_type: of the webhook; None: removed, so that none is sent.
        type: of the event that fires it; empty: the row's name.
    """

    name: str
    message: str | None
    body: bytes
    content_type: str | None = JSON
    type: str = ""

    @property
    def config(self) -> tuple[str, str, str]:
        """Its webhook, task and rule."""
        webhook = {"url": f"RECEIVER/{self.name}", "headers": {"Content-Type": self.content_type}}
        message = "" if self.message is None else f"    message: {self.message}\n"
        return (
            f"  to-{self.name}: {yaml(webhook)}\n",
            f"  {self.name}:\n    webhook: to-{self.name}\n{message}",
            f"  on-{self.name}: {{type: {self.type or self.name}, event: go, task: {self.name}}}\n",
        )


def text(name: str, content_type: str | None, *, written: str, sent: str | None = None) -> Row:
    """A text written as a block; sent as written, unless told otherwise."""
    return Row(name, block(written), (written if sent is None else sent).encode(), content_type)


def quoted(name: str, *, written: str) -> Row:
    """A text written in double quotes, with escapes; sent as written."""
    return Row(name, yaml(written).replace("\x7f", "\\x7f"), written.encode(), PLAIN)


def configuration(rest: str, rows: Iterable[Row]) -> str:
    """A configuration of `webhooks:`, `tasks:` and `events:`, in this order, with the rows added to each section."""
    sections = dict(
        zip(("webhooks", "tasks", "events"), re.split(r"^\w+:\n", rest, flags=re.MULTILINE)[1:], strict=True)
    )
    for row in rows:
        for section, entry in zip(sections, row.config, strict=True):
            sections[section] += entry
    return "".join(f"{section}:\n{entries}" for section, entries in sections.items())


async def post(stage: Stage, type_: str, **fields: Any) -> dict[str, Any]:
    """Post an event `go` of a type, which must be taken; the receipt."""
    answered, receipt = await stage.daemon.post({"type": type_, "event": "go", **fields})
    assert answered == 202, receipt
    taken: dict[str, Any] = receipt
    return taken


async def bodies(stage: Stage, receipt: Mapping[str, Any]) -> dict[str, bytes]:
    """What arrived for each task of a receipt, once."""
    wanted = {made["id"]: made["task"] for made in receipt["deliveries"]}
    await stage.receiver.until(lambda: wanted.keys() <= {request.id for request in stage.receiver.requests})
    return {wanted[r.id]: r.body for r in stage.receiver.requests if r.id in wanted}


async def arrives(stage: Stage, row: Row) -> Received:
    """Fire a row's task and compare what its receiver got."""
    await post(stage, row.name, object=OBJECT, data=DATA)
    request = await stage.arrived(f"/{row.name}")
    assert request.body == row.body
    return request


def of(rows: Iterable[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in rows])
