"""R15 to R17: a webhook's name, its URL, and how a receiver recognises hookd."""

from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import pytest
import pytest_asyncio

from tests.kit.receiver import Received, Receiver, response
from tests.kit.stage import Stage

NAMES = {
    "spaces": "Ops Slack (night shift)",
    "unicode": "Zürich · Störung №7 🚨 日本",
    "reserved": "a/b?c=d&e#f%20g+h",
    "like yaml": "on: [x]",
    "longest": "w" * 128,
}
TARGETS = {
    "space": "/r16/a%20b",
    "slash": "/r16/a%2Fb",
    "lower case escape": "/r16/a%2fb",
    "needless escape": "/r16/%41%7E",
    "query": "/r16/q?a=b&c=%7E",
    "plus": "/r16/q?a=1+2&b=%2B",
    "query order": "/r16/q?z=1&a=2&z=3&empty=&bare",
    "dots": "/r16/a/../b/./c",
    "double slash": "/r16//double//",
    "marks": "/r16/;v=1/:@!$'()*,~",
    "no path": "",
    "no path but a query": "?r16=1",
}
ON_THE_WIRE = {**TARGETS, "no path": "/", "no path but a query": "/?r16=1"}


def config() -> str:
    named = "".join(
        f'  "{name}": {{url: RECEIVER/r15/{key.replace(" ", "-")}}}\n' for key, name in NAMES.items()
    )
    called = "".join(f'  "to {key}": {{url: "RECEIVER{target}"}}\n' for key, target in TARGETS.items())
    told = "".join(
        f'  "tell {key}": {{webhook: "{name}", message: {{name: "${{WEBHOOK}}"}}}}\n'
        for key, name in NAMES.items()
    )
    sent = "".join(f'  "send {key}": {{webhook: "to {key}"}}\n' for key in TARGETS)
    named_rules = "".join(f'  "{key}": {{type: r15, event: "{key}", task: "tell {key}"}}\n' for key in NAMES)
    called_rules = "".join(
        f'  "{key} it": {{type: r16, event: "{key}", task: "send {key}"}}\n' for key in TARGETS
    )
    return (
        f"webhooks:\n{named}{called}  office: {{url: RECEIVER/r15/office}}\n"
        f"  agent: {{url: RECEIVER/r17, backoff: [50ms]}}\n"
        f"  put: {{url: RECEIVER/r17/put, method: PUT, headers: {{Content-Type: null}}}}\n"
        f"tasks:\n{told}{sent}  agent: {{webhook: agent}}\n  put: {{webhook: put}}\n"
        f'  "Büro / ü?": {{webhook: office}}\n'
        f"events:\n{named_rules}{called_rules}  agent: {{type: r17, event: x, task: [agent, put]}}\n"
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("webhook")) as stage:
        stage.write(config())
        await stage.start()
        yield stage


@pytest.mark.parametrize("key", NAMES)
async def test_r15_a_name_is_free_text(shared: Stage, key: str) -> None:
    name = NAMES[key]
    receipt = await shared.emit("r15", key)
    assert [made["webhook"] for made in receipt["deliveries"]] == [name]
    request = await shared.arrived(f"/r15/{key.replace(' ', '-')}")
    assert request.body == f'{{"name": "{name}"}}'.encode()
    [record] = await shared.settled(receipt)
    assert (record["state"], record["webhook"]) == ("delivered", name)


@pytest.mark.parametrize("key", NAMES)
async def test_r15_a_name_is_the_key_in_listings(shared: Stage, key: str) -> None:
    name = NAMES[key]
    [record] = await shared.settled(await shared.emit("r15", key))
    found = (await shared.daemon.get(f"/v1/deliveries?{urlencode({'webhook': name})}"))["deliveries"]
    assert {delivery["webhook"] for delivery in found} == {name}
    assert record["id"] in {delivery["id"] for delivery in found}
    listed = await shared.hookd("deliveries", "--webhook", name)
    assert listed.code == 0
    assert record["id"] in listed.out
    assert name in {lane["name"] for lane in (await shared.daemon.get("/v1/webhooks"))["webhooks"]}


async def test_r15_a_name_stands_encoded_in_a_path(shared: Stage) -> None:
    name = "Büro / ü?"
    answered, receipt = await shared.daemon.request("POST", f"/v1/tasks/{quote(name, safe='')}/trigger")
    assert (answered, [made["task"] for made in receipt["deliveries"]]) == (202, [name])
    by_command = await shared.trigger(name)
    assert [made["task"] for made in by_command["deliveries"]] == [name]
    for one in (receipt, by_command):
        assert [record["state"] for record in await shared.settled(one)] == ["delivered"]


@pytest.mark.parametrize(
    "name", ["", " leading", "trailing ", "w" * 129, "line\\nbreak", "tab\\there", "\\0"],
    ids=["empty", "leading", "trailing", "129", "line break", "tab", "nul"],
)  # fmt: skip
async def test_r15_a_name_that_is_none_is_refused(stage: Stage, name: str) -> None:
    [found] = await stage.findings(f'webhooks: {{"{name}": {{url: RECEIVER/x}}}}\n')
    assert (found["severity"], found["line"]) == ("error", 1)
    assert found["where"].startswith("webhooks")


async def test_r15_a_name_is_unique_in_a_file(stage: Stage) -> None:
    found = await stage.findings(
        "webhooks:\n  Ops Slack: {url: RECEIVER/a}\n  other: {url: RECEIVER/b}\n  Ops Slack: {url: RECEIVER/c}\n"
    )
    [duplicate] = [one for one in found if one["severity"] == "error"]
    assert (duplicate["line"], "Ops Slack" in duplicate["message"] + duplicate["where"]) == (4, True)
    assert "2" in duplicate["message"], "it names the other place"


async def test_r15_a_name_is_unique_across_files(stage: Stage) -> None:
    stage.write("webhooks:\n  Ops Slack: {url: RECEIVER/a}\n", file="conf/a.yaml", daemon="")
    stage.write("# second\n\nwebhooks:\n  Ops Slack: {url: RECEIVER/b}\n", file="conf/b.yaml", daemon="")
    ran = await stage.hookd("check", "conf")
    assert ran.code == 1
    [line] = ran.out.splitlines()
    assert line.startswith("conf/b.yaml:4:3: ")
    assert "conf/a.yaml:2:3" in line
    assert "Ops Slack" in line


async def test_r15_one_name_may_stand_in_different_sections(stage: Stage) -> None:
    found = await stage.findings(
        "webhooks: {same: {url: RECEIVER/a}}\ntasks: {same: {webhook: same}}\n"
        "events: {same: {type: a, event: b, task: same}}\n"
    )
    assert found == []


@pytest.mark.parametrize("key", TARGETS)
async def test_r16_the_url_is_called_byte_for_byte(shared: Stage, key: str) -> None:
    receipt = await shared.emit("r16", key)
    request = await shared.arrived(ON_THE_WIRE[key])
    assert request.head.split(b"\r\n")[0] == f"POST {ON_THE_WIRE[key]} HTTP/1.1".encode()
    assert request.lines_of("host") == [f"Host: 127.0.0.1:{shared.receiver.port}".encode()]
    assert [record["id"] for record in await shared.settled(receipt)] == [request.id]


BAD_URLS = {
    "''": "empty",
    "/hook": "http://",
    "hooks.example/x": "http://",
    "ftp://hooks.example/x": "http://",
    "ws://hooks.example/x": "http://",
    "file:///etc/passwd": "http://",
    "'http://'": "host",
    "http:///x": "host",
    "'http://:80/x'": "host",
    "http://user:pa55word@hooks.example/x": "auth",
    "'http://hooks.example/x#frag'": "fragment",
    "'http://hooks.example/a b'": "%20",
    "http://hooks.example/ü": "percent-encoding",
    "http://hooks.example:0/x": "port",
    "http://hooks.example:65536/x": "port",
    "http://hooks.example:https/x": "port",
    "http://-hooks.example/x": "host",
    "'http://[::1/x'": "host",
    "'http://[fe80::zz]/x'": "host",
    "'http://hooks.example\\x'": "backslash",
    '"http://hooks.example/x\\n"': "line break",
    "17": "must be text",
    "[http://hooks.example/x]": "must be text",
    "null": "must be text",
}


async def test_r16_a_url_that_cannot_be_called_is_refused_at_load(stage: Stage) -> None:
    rows = "".join(f"  w{n}: {{url: {url}}}\n" for n, url in enumerate(BAD_URLS))
    found = await stage.findings(f"webhooks:\n{rows}  good: {{url: https://hooks.example/x}}\n  none: {{}}\n")
    messages = {one["where"]: one["message"] for one in found if one["severity"] == "error"}
    assert messages.keys() == {*(f"webhooks.w{n}.url" for n in range(len(BAD_URLS))), "webhooks.none"}
    for number, (url, word) in enumerate(BAD_URLS.items()):
        assert word in messages[f"webhooks.w{number}.url"], url
    assert "url" in messages["webhooks.none"]
    assert not any("pa55word" in message for message in messages.values())


async def test_r16_http_and_https_are_accepted(stage: Stage) -> None:
    urls = (
        "http://h", "https://hooks.example/x?y=z", "http://127.0.0.1:1/x", "'http://[::1]:8080/x'",
        "HTTPS://Hooks.Example/X", "http://localhost./x", "http://under_score/x", "https://zürich.example/x",
    )  # fmt: skip
    rows = "".join(f"  w{n}: {{url: {url}}}\n" for n, url in enumerate(urls))
    assert await stage.findings(f"webhooks:\n{rows}") == []


async def test_r17_hookd_names_itself_alike_on_every_attempt(shared: Stage) -> None:
    version = (await shared.hookd("version")).out.split()[-1]

    async def fail_first(request: Received) -> bytes:
        return response(502 if len(shared.receiver.at("/r17")) < 3 and request.target == "/r17" else 200)

    shared.receiver.reply = fail_first
    await shared.settled(await shared.emit("r17", "x"))
    requests = [*shared.receiver.at("/r17"), *shared.receiver.at("/r17/put")]
    assert [r.lines_of("user-agent") for r in requests] == [[f"user-agent: hookd/{version}".encode()]] * 4


async def test_r17_requests_come_from_hookd_itself_and_no_proxy_of_the_environment(stage: Stage) -> None:
    async with Receiver() as proxy:
        names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        stage.env |= dict.fromkeys(names, proxy.url) | {
            "NO_PROXY": "",
            "no_proxy": "",
            "HOME": str(stage.directory),
        }
        (stage.directory / ".netrc").write_text("machine 127.0.0.1 login stray password stray\n")
        (stage.directory / ".netrc").chmod(0o600)
        stage.write(
            "webhooks: {w: {url: RECEIVER/r17/direct}}\ntasks: {t: {webhook: w}}\n"
            "events: {e: {type: r17, event: x, task: t}}\n"
        )
        await stage.start()
        await stage.settled(await stage.emit("r17", "x"))
        request = await stage.arrived("/r17/direct")
        assert request.head.startswith(b"POST /r17/direct HTTP/1.1\r\n")
        assert request.lines_of("authorization") == request.lines_of("proxy-authorization") == []
        assert proxy.connections == 0
