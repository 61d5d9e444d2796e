"""R25 to R29: the headers of a request, as bytes on the socket: which, in what order, in which spelling."""

from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.kit.receiver import Received
from tests.kit.stage import Stage

JSON = b"Content-Type: application/json"

Rows = dict[str, tuple[str, list[bytes]]]
"""By name: what stands in the webhook, and the header lines that must go out beside hookd's own."""

DEFAULT: Rows = {
    "default": ("description: x", [JSON]),
    "other headers": ("headers: {X-A: a}", [JSON, b"X-A: a"]),
    "no headers": ("headers: {}", [JSON]),
    "empty block": ('headers: "\\n\\n"', [JSON]),
}
REMOVED: Rows = {
    "removed": ("headers: {Content-Type: null}", []),
    "removed, small": ("headers: {content-type: ~}", []),
    "removed, others stay": ("headers: {X-A: a, Content-Type: null, X-B: b}", [b"X-A: a", b"X-B: b"]),
    "removed in a block": ('headers: "Content-Type:\\n"', []),
    "removed in a block, small": ('headers: "X-A: a\\ncontent-type:  \\nX-B: b"', [b"X-A: a", b"X-B: b"]),
}
EDITED: Rows = {
    "edited": (
        "headers: {Content-Type: text/plain; charset=utf-8}",
        [b"Content-Type: text/plain; charset=utf-8"],
    ),
    "edited, small": ("headers: {content-type: text/markdown}", [b"content-type: text/markdown"]),
    "edited, odd": (
        "headers: {CONTENT-TYPE: application/problem+json}",
        [b"CONTENT-TYPE: application/problem+json"],
    ),
    "edited, between": (
        "headers: {X-A: a, content-Type: text/csv, X-B: b}",
        [b"X-A: a", b"content-Type: text/csv", b"X-B: b"],
    ),
    "edited in a block": (
        'headers: "X-A: a\\ncontent-type:text/x-c\\nX-B: b"',
        [b"X-A: a", b"content-type: text/x-c", b"X-B: b"],
    ),
}
FURTHER: Rows = {
    "several": (
        "headers: {X-Route: eu/1;q=0.5, X-Rate-Limit: '100', Priority: 'u=1, i', X-Empty: '', X-Quoted: '\"a\" \\b'}",
        [
            JSON,
            b"X-Route: eu/1;q=0.5",
            b"X-Rate-Limit: 100",
            b"Priority: u=1, i",
            b"X-Empty: ",
            b'X-Quoted: "a" \\b',
        ],
    ),
    "not filled": (
        "headers: {X-Literal: '$NAME $$x %20', X-Env: {env: R27_LITERAL}}",
        [JSON, b"X-Literal: $NAME $$x %20", b"X-Env: ${NAME} $${x} %20"],
    ),
    "utf-8": ("headers: {X-Ort: Zürich ¿ñ}", [JSON, "X-Ort: Zürich ¿ñ".encode()]),
    "utf-8 in a block": ('headers: "X-Ort: Zürich ¿ñ"', [JSON, "X-Ort: Zürich ¿ñ".encode()]),
    "repeated": (
        "headers: {X-A: first, X-Tag: [one, two, one], X-B: last}",
        [JSON, b"X-A: first", b"X-Tag: one", b"X-Tag: two", b"X-Tag: one", b"X-B: last"],
    ),
    "repeated in a block": (
        'headers: "X-Tag: one\\nX-A: between\\nX-Tag: two\\nx-tag: three"',
        [JSON, b"X-Tag: one", b"X-A: between", b"X-Tag: two", b"x-tag: three"],
    ),
    "secret": (
        "headers: {X-Key: {env: R27_KEY}, X-A: [{env: R27_KEY}, b]}",
        [JSON, b"X-Key: k3y", b"X-A: k3y", b"X-A: b"],
    ),
    "with authorization": (
        "auth: {type: bearer, token: t}\n    headers: {Z: z, A: a}",
        [JSON, b"Z: z", b"A: a", b"Authorization: Bearer t"],
    ),
    "own authorization": (
        "headers: {X-A: a, authorization: Custom c}",
        [JSON, b"X-A: a", b"authorization: Custom c"],
    ),
}
ORDERED: Rows = {
    "ordered": (
        "headers: {Z: '1', a: '2', M-m: '3', A-a: '4', z-Z: '5', Accept: '*/*', '0': '6', Cookie: c=d, Date: today}",
        [
            JSON,
            b"Z: 1",
            b"a: 2",
            b"M-m: 3",
            b"A-a: 4",
            b"z-Z: 5",
            b"Accept: */*",
            b"0: 6",
            b"Cookie: c=d",
            b"Date: today",
        ],
    ),
    "the other way round": (
        "headers: {Date: today, '0': '6', z-Z: '5', A-a: '4', M-m: '3', a: '2', Z: '1'}",
        [JSON, b"Date: today", b"0: 6", b"z-Z: 5", b"A-a: 4", b"M-m: 3", b"a: 2", b"Z: 1"],
    ),
}
SENT = DEFAULT | REMOVED | EDITED | FURTHER | ORDERED

AGENTS = {
    "agent": ("headers: {User-Agent: acme/1.0 (hooks)}", b"User-Agent: acme/1.0 (hooks)"),
    "agent, small": ("headers: {X-A: a, user-agent: acme/1.0}", b"user-agent: acme/1.0"),
    "agent in a block": ('headers: "USER-AGENT: acme/1.0"', b"USER-AGENT: acme/1.0"),
}

SAME = {
    "mapping": """{
      X-Zebra: ['"1"', again], x-apple: two words, Content-Type: application/vnd.acme+json; v=2,
      X-Colons: '"a:b: c"', X-Ort: Zürich,
    }""",
    "block": """|
      X-Zebra: "1"
      X-Zebra: again
      x-apple: two words
      Content-Type: application/vnd.acme+json; v=2
      X-Colons: "a:b: c"
      X-Ort: Zürich""",
    "loose block": """|

      X-Zebra:"1"

      X-Zebra:   again\x20\x20
      x-apple:\ttwo words
      Content-Type:application/vnd.acme+json; v=2
      X-Colons:\x20"a:b: c"
      X-Ort: Zürich

""",
    "one line block": (
        '"X-Zebra: \\"1\\"\\r\\nX-Zebra: again\\r\\nx-apple: two words\\r\\n'
        'Content-Type: application/vnd.acme+json; v=2\\r\\nX-Colons: \\"a:b: c\\"\\r\\nX-Ort: Zürich\\r\\n"'
    ),
}
"""One set of headers in four spellings."""
SAME_LINES = [
    b'X-Zebra: "1"', b"X-Zebra: again", b"x-apple: two words", b"Content-Type: application/vnd.acme+json; v=2",
    b'X-Colons: "a:b: c"', "X-Ort: Zürich".encode(),
]  # fmt: skip
OWN = {"host", "user-agent", "webhook-id", "webhook-timestamp", "content-length"}


def message(webhook: str) -> str:
    """A mapping, or for a Content-Type that is neither JSON nor a form the same bytes as text."""
    return "'{\"h\": 1}'" if "text/" in webhook else "{h: 1}"


def config() -> str:
    webhooks = {key: rest for table in (SENT, AGENTS) for key, (rest, _) in table.items()}
    webhooks |= {key: f"headers: {text}" for key, text in SAME.items()}
    return "".join(
        (
            "webhooks:\n",
            *(
                f'  "{key}":\n    url: "RECEIVER/{quote(key)}"\n    {rest}\n'
                for key, rest in webhooks.items()
            ),
            "tasks:\n",
            *(
                f'  "{key}": {{webhook: "{key}", message: {message(rest)}}}\n'
                for key, rest in webhooks.items()
            ),
            "events:\n",
            *(f'  "{key}": {{type: headers, event: "{key}", task: "{key}"}}\n' for key in webhooks),
        )
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("headers")) as stage:
        stage.env["R27_KEY"] = "k3y"
        stage.env["R27_LITERAL"] = "${NAME} $${x} %20"
        stage.write(config())
        await stage.start()
        yield stage


async def sent(stage: Stage, key: str) -> Received:
    _, receipt = await stage.daemon.post({"type": "headers", "event": key})
    [record] = await stage.settled(receipt)
    assert record["state"] == "delivered"
    return await stage.arrived(f"/{quote(key)}")


def others(request: Received) -> list[bytes]:
    """The header lines beside hookd's own, each of which must stand once."""
    names = [name.lower() for name in request.names]
    assert sorted(name for name in names if name in OWN) == sorted(OWN)
    return [line for line, name in zip(request.lines, names, strict=True) if name not in OWN]


async def shows_its_lines(stage: Stage, key: str) -> None:
    request = await sent(stage, key)
    assert others(request) == SENT[key][1]
    assert request.body == b'{"h": 1}'


@pytest.mark.parametrize("key", DEFAULT)
async def test_r25_content_type_is_json_by_default(shared: Stage, key: str) -> None:
    await shows_its_lines(shared, key)


@pytest.mark.parametrize("key", REMOVED)
async def test_r26_removed_sends_no_content_type(shared: Stage, key: str) -> None:
    await shows_its_lines(shared, key)


@pytest.mark.parametrize("key", EDITED)
async def test_r26_edited_stands_once(shared: Stage, key: str) -> None:
    await shows_its_lines(shared, key)


async def test_r26_content_type_cannot_be_doubled(stage: Stage) -> None:
    found = await stage.findings(
        "webhooks:\n"
        "  list: {url: RECEIVER/x, headers: {Content-Type: [a/b, c/d]}}\n"
        "  cases: {url: RECEIVER/x, headers: {Content-Type: a/b, content-type: c/d}}\n"
        '  block: {url: RECEIVER/x, headers: "Content-Type: a/b\\ncontent-type: c/d"}\n'
        "  key: {url: RECEIVER/x, auth: {type: apikey, key: k, header: content-type}}\n"
    )
    assert [one["line"] for one in found if one["severity"] == "error"] == [2, 3, 4, 5]
    assert all("Content-Type" in one["message"] for one in found)


async def test_r26_only_content_type_can_be_removed(stage: Stage) -> None:
    found = await stage.findings(
        "webhooks:\n  mapping: {url: RECEIVER/x, headers: {X-A: null}}\n"
        '  block: {url: RECEIVER/x, headers: "User-Agent:"}\n'
    )
    assert [(one["line"], one["severity"]) for one in found] == [(2, "error"), (3, "error")]
    assert all("only Content-Type can be removed" in one["message"] for one in found)


@pytest.mark.parametrize("key", FURTHER)
async def test_r27_further_headers_arrive_unchanged(shared: Stage, key: str) -> None:
    await shows_its_lines(shared, key)


@pytest.mark.parametrize("key", AGENTS)
async def test_r27_a_user_agent_of_ones_own_replaces_the_built_in(shared: Stage, key: str) -> None:
    request = await sent(shared, key)
    assert request.lines_of("user-agent") == [AGENTS[key][1]]


RESERVED = (
    "Content-Length", "Host", "Transfer-Encoding", "Connection", "webhook-id", "webhook-timestamp", "webhook-signature",
)  # fmt: skip


@pytest.mark.parametrize("spelled", [str, str.lower, str.upper], ids=["as it is", "lower", "upper"])
async def test_r27_the_names_hookd_needs_itself_are_refused(
    stage: Stage, spelled: Callable[[str], str]
) -> None:
    names = [spelled(name) for name in RESERVED]
    pairs = "".join(f"  {name}: {{url: RECEIVER/x, headers: {{X-A: a, {name}: '1'}}}}\n" for name in names)
    blocks = "".join(f'  b-{name}: {{url: RECEIVER/x, headers: "X-A: a\\n{name}: 1"}}\n' for name in names)
    keys = "".join(
        f"  k-{name}: {{url: RECEIVER/x, auth: {{type: apikey, key: k, header: {name}}}}}\n" for name in names
    )
    found = await stage.findings(f"webhooks:\n{pairs}{blocks}{keys}")
    assert [one["line"] for one in found] == list(range(2, 2 + 3 * len(RESERVED)))
    for one, name in zip(found, names * 3, strict=True):
        assert (one["severity"], one["message"]) == (
            "error",
            f"{name} is set by hookd itself and cannot be replaced",
        )


UNSENDABLE = {
    "line feed": '{X-A: "a\\nX-Evil: 1"}',
    "carriage return": '{X-A: "a\\rX-Evil: 1"}',
    "both": '{X-A: "a\\r\\n\\r\\nGET / HTTP/1.1"}',
    "nul": '{X-A: "a\\0b"}',
    "escape": '{X-A: "a\\eb"}',
    "delete": '{X-A: "a\\x7fb"}',
    "next line": '{X-A: "a\\Nb"}',
    "in a list": '{X-A: [a, "b\\r\\nX-Evil: 1"]}',
    "from the environment": "{X-A: {env: R27_EVIL}}",
    "from a file": "{X-A: {file: evil.txt}}",
    "block, carriage return": '"X-A: a\\rX-Evil: 1"',
    "block, nul": '"X-A: a\\0b"',
    "block, no colon": '"X-A: a\\n folded line"',
    "space in the name": "{X A: a}",
    "colon in the name": "{'X:A': a}",
    "line break in the name": '{"X-A\\r\\nX-Evil": a}',
    "empty name": "{'': a}",
    "name outside ASCII": "{X-Ü: a}",
    "block, space before the colon": '"X-A : a"',
    "block, no name": '": a"',
}


async def test_r27_what_would_break_a_request_is_refused_at_load(stage: Stage) -> None:
    stage.env["R27_EVIL"] = "s3cret\nX-Evil: 1"
    (stage.directory / "checked").mkdir()
    (stage.directory / "checked" / "evil.txt").write_bytes(b"s3cret\r\nX-Evil: 1\n")
    webhooks = "".join(
        f'  "{key}": {{url: RECEIVER/x, headers: {text}}}\n' for key, text in UNSENDABLE.items()
    )
    found = await stage.findings(f"webhooks:\n{webhooks}")
    refused = {one["line"] for one in found if one["severity"] == "error"}
    assert [key for line, key in enumerate(UNSENDABLE, start=2) if line not in refused] == []
    assert not any("s3cret" in one["message"] for one in found)


@pytest.mark.parametrize("key", ORDERED)
async def test_r28_order_and_case_are_kept(shared: Stage, key: str) -> None:
    await shows_its_lines(shared, key)


@pytest.mark.parametrize("key", SAME)
async def test_r29_pairs_and_text_give_the_same_bytes(shared: Stage, key: str) -> None:
    request = await sent(shared, key)
    assert others(request) == SAME_LINES
    [user_agent] = request.lines_of("user-agent")
    [delivery] = request.lines_of("webhook-id")
    [timestamp] = request.lines_of("webhook-timestamp")
    assert request.head == b"\r\n".join(
        (
            f"POST /{quote(key)} HTTP/1.1".encode(),
            f"Host: 127.0.0.1:{shared.receiver.port}".encode(),
            user_agent, *SAME_LINES, delivery, timestamp, b"Content-Length: 8", b"",
        )
    )  # fmt: skip
