"""R40, R41, R45, as a law: whatever an event holds, its messages have the structure that their author wrote.

Random events go through the running daemon in batches; each fires the same message written three ways (a mapping, a
JSON template, a text), and what the receiver got is compared with what follows from the event alone.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.kit.stage import Stage

DAEMON = "daemon: {listen: [{unix: h.sock}], store: h.db, limits: {event_size: 64MiB}}\n"

CONFIG = r"""
webhooks:
  json: {url: RECEIVER/json, concurrency: 100}
  text: {url: RECEIVER/text, concurrency: 100, headers: {Content-Type: text/plain}}
tasks:
  mapping:
    webhook: json
    message:
      bare: ${data.v}
      inside: <${data.v}>
      deep: [{"k\"": "${data.v}", "${data.v}": "a\"b\\${data.v}\n${data.w}"}, "${data.w}"]
      default: "${data.x:-\"d\"}"
      step: ${data.v.0}
      name: ${NAME}
      tags: "[${TAGS}]"
      last: 1
  template:
    webhook: json
    message: |
      {"bare": ${data.v}, "inside": "<${data.v}>",
       "deep": [{"k\"": ${data.v}, "${data.v}": "a\"b\\${data.v}\n${data.w}"}, ${data.w}],
       "default": ${data.x:-"d"}, "step": ${data.v.0},
       "name": "${NAME}", "tags": "[${TAGS}]", "last": 1}
  text:
    webhook: text
    message: |-
      bare=${data.v}
      both="${data.v}${data.w}" default=${data.x:-"d"} step=${data.v.0}
      name=${NAME} tags=[${TAGS}]
events:
  e: {type: law, event: tried, task: [mapping, template, text]}
"""

Json: TypeAlias = Any

NASTY = [
    '"', "\\", '\\"', "\n", "\r\n", "\t", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "\ufeff", "'", "`", "</script>",
    "${NAME}", "${data.v}", "${data.w:-x}", "$${", "${", "}", '","last":2,"x":"', '"}', "\\u0022", "\\ud800", "%s",
    "\U0001f600",
]  # fmt: skip
PIECES = st.lists(st.sampled_from(NASTY) | st.text(max_size=5), max_size=8).map("".join)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PIECES
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PIECES, inner, max_size=4),
    max_leaves=12,
)
WORDS = PIECES.map(lambda text: "".join(char for char in text if char.isprintable()) or "${NAME}")


DATA = st.fixed_dictionaries({}, optional={"v": VALUES, "w": VALUES, "z": VALUES})
OBJECTS = st.fixed_dictionaries(
    {"name": WORDS.map(lambda word: word[:256])},
    optional={"tags": st.lists(WORDS.map(lambda word: word[:128]), max_size=3, unique=True)},
)


EVENTS = st.fixed_dictionaries(
    {"type": st.just("law"), "event": st.just("tried")}, optional={"object": OBJECTS, "data": DATA}
)


@st.composite
def repeated(draw: st.DrawFn) -> str:
    """A piece to make a long text of, once in ten times."""
    return draw(PIECES) if draw(st.integers(0, 9)) == 9 else ""


def event(value: Json) -> dict[str, Json]:
    """An event with this value in two places."""
    return {"type": "law", "event": "tried", "data": {"v": value, "w": value}}


def as_text(value: Json) -> str:
    """A value inside longer text (spec 4)."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def first(value: Json) -> Json:
    """What `.0` leads to."""
    if isinstance(value, dict):
        return value.get("0")
    return value[0] if isinstance(value, list) and value else None


def expected(posted: Mapping[str, Json], task: str) -> Json:
    """What a task's message says of a posted event: an object, or the text of the task `text`."""
    data, obj = posted.get("data", {}), posted.get("object", {})
    v, w, step = data.get("v"), data.get("w"), first(data.get("v"))
    name, tags = obj.get("name", task), ",".join(obj.get("tags", ()))
    if task == "text":
        both = f'both="{as_text(v)}{as_text(w)}" default="d" step={as_text(step)}'
        return f"bare={as_text(v)}\n{both}\nname={name} tags=[{tags}]"
    return {
        "bare": v,
        "inside": f"<{as_text(v)}>",
        "deep": [{'k"': v, "${data.v}": f'a"b\\{as_text(v)}\n{as_text(w)}'}, w],
        "default": '"d"',
        "step": step,
        "name": name,
        "tags": f"[{tags}]",
        "last": 1,
    }


def strict(body: bytes) -> Json:
    """JSON by the letter: UTF-8, no key twice, no NaN."""

    def pairs(found: list[tuple[str, Json]]) -> dict[str, Json]:
        assert len(dict(found)) == len(found), "a key stands twice"
        return dict(found)

    def constant(word: str) -> Json:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(body.decode(), object_pairs_hook=pairs, parse_constant=constant)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lawful(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("law")) as stage:
        stage.write(CONFIG, daemon=DAEMON)
        await stage.start()
        yield stage


@pytest.mark.exhaustive
@settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(batch=st.lists(EVENTS, min_size=1, max_size=8), long=repeated(), escaped=st.booleans())
@example(batch=[event(piece) for piece in NASTY], long="".join(NASTY), escaped=True)
@example(batch=[event([piece, {piece: piece}]) for piece in NASTY], long="x", escaped=False)
async def test_no_value_breaks_or_injects_anything(
    lawful: Stage, batch: list[Json], long: str, escaped: bool
) -> None:
    """Post a batch and compare.

    `long`: if not empty, one more event holds 100 KB of it. `escaped`: what is not ASCII is posted as escapes.
    """
    if long:
        batch = [*batch, event(long * (100_000 // len(json.dumps(long))))]
    raw = json.dumps(batch, ensure_ascii=escaped).encode()
    answered, answer = await lawful.daemon.request("POST", "/v1/events", body=raw)
    assert answered == 202, answer
    made = {
        delivery["id"]: (posted, delivery["task"])
        for posted, receipt in zip(batch, answer["events"], strict=True)
        for delivery in receipt["deliveries"]
    }
    assert len(made) == 3 * len(batch)
    await lawful.receiver.until(lambda: len(lawful.receiver.requests) >= len(made))
    arrived = {request.id: request.body for request in lawful.receiver.requests}
    lawful.receiver.requests.clear()
    assert arrived.keys() == made.keys()
    for delivery, (posted, task) in made.items():
        if task == "text":
            assert arrived[delivery].decode() == expected(posted, task)
        else:  # compared as text, which tells 1 from 1.0 and True, and one order of keys from another
            assert json.dumps(strict(arrived[delivery])) == json.dumps(expected(posted, task))
