"""`hookd explain`: what is read, what is said, and a line for curl that sends what hookd sends."""

import argparse
import asyncio
import io
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from hookd.cli.commands import explain as command
from hookd.cli.failure import Failure
from hookd.cli.options import Parser
from hookd.cli.output.curl import curl_line
from hookd.cli.output.shell_words import shell_word
from hookd.config.generation import Generation
from hookd.delivery.http import Sender
from hookd.domain.definitions import (
    Config,
    DaemonDef,
    EventDef,
    Method,
    Secret,
    SqliteDef,
    TaskDef,
    Tls,
    WebhookDef,
)
from hookd.domain.events import Event
from hookd.domain.message_templates import BodyFormat
from hookd.dryrun.explain import DELIVERY_ID, SPAN_ID, ExplainedRequest, explain
from hookd.rules.templates import compile_message
from tests.kit.receiver import Received, Receiver
from tests.kit.sending import attempt
from tests.kit.tls import Authority, server_context
from tests.kit.tools import needs

NOW = 1_700_000_000.0
SHELL_VARIABLE = "HOOKD_TEST_SECRET"
SECRET = "s3 'cr\"e$t`!\\"


def request_to(
    url: Secret, message: Any, *headers: tuple[str, Secret], data: Any = None, **fields: Any
) -> tuple[WebhookDef, ExplainedRequest]:
    """The one request that an event with this data (as `data.x`) leads to."""
    webhook = WebhookDef("w", url, headers=headers, **fields)
    json_type = any("json" in value.value for name, value in headers if name == "Content-Type")
    body_format = BodyFormat.JSON if json_type else BodyFormat.UNTYPED
    config = Config(
        path="/c",
        hash="",
        daemon=DaemonDef(listen=(), store=SqliteDef("/s")),
        webhooks={"w": webhook},
        tasks={
            "t": TaskDef(
                "t",
                "w",
                compile_message(message, body_format=body_format),
            )
        },
        events={"r": EventDef("events.r", "vm", "on", ("t",))},
    )
    generation = Generation.of(config, number=1, now=NOW)
    event = Event("e", type="vm", event="on", data={"x": data})
    (found,) = explain(event, generation, now=NOW, random=4).requests
    return webhook, found


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    made = Sender()
    await made.open()
    yield made
    await made.close()


SHELLS = {
    "bash": ("bash",),
    "bash with history": ("bash", "-o", "history", "-o", "histexpand"),
    "dash": ("dash",),
    "zsh": ("zsh", "-f"),
    "busybox": ("busybox", "sh"),
    "fish": ("fish", "--no-config"),
}
needs_shells = needs("bash", "busybox", "curl", "dash", "fish", "zsh")


async def run_in_shell(
    line: str, *command: str, environment: Mapping[str, str] = MappingProxyType({}), cwd: Path | None = None
) -> None:
    hostile = {"http_proxy": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:1"}
    shell = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, **hostile, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
    )
    _, err = await asyncio.wait_for(shell.communicate(line.encode()), 60)
    assert shell.returncode == 0, err


async def both(
    receiver: Receiver,
    sender: Sender,
    webhook: WebhookDef,
    found: ExplainedRequest,
    *,
    shell: tuple[str, ...] = ("bash",),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Send by curl and by hookd, and compare what arrived."""
    line = curl_line(found, environment)
    assert all(part.isprintable() for part in line.split("\n"))
    await run_in_shell(f"{line}\n", *shell, environment=environment)
    await attempt(sender, webhook, delivery_id=DELIVERY_ID, body=found.request.body, now=NOW)
    by_curl, by_hookd = receiver.requests
    assert by_curl.line == by_hookd.line
    assert by_curl.headers == by_hookd.headers
    assert by_curl.body == by_hookd.body == found.request.body
    assert by_curl.headers[1 : 1 + len(found.request.headers)] == tuple(found.request.headers)


needs_curl = needs("curl", "bash")

JSON = ("Content-Type", Secret("application/json"))
TEXT = ("Content-Type", Secret("text/plain; charset=utf-8"))

HOSTILE = {
    "plain": "hello",
    "nothing": "",
    "quotes": 'it\'s "so" `id` $(id) ${HOME} $HOME !! \\ \\n %s %%',
    "lines": "a\nb\r\nc\n",
    "lines and quotes": "a'\\'\n\\x41 \\101 $'",
    "a file's name": "@/etc/hostname",
    "an option": "--help",
    "controls": "\x01\x1b[2J\x7f\x9b\u202e\u2028\ufeff1",
    "NUL": "-n a\0b\\0%d'\n\x001",
    "beyond ASCII": "ü 漢字 🙂 \xa0",
    "digits after a control": "\x017\x1bf",
}


@needs_shells
@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("headers", [(JSON,), (TEXT,), ()], ids=["json", "text", "no type"])
async def test_the_line_for_curl_sends_the_same_body(
    text: str, headers: tuple[tuple[str, Secret], ...], shell: tuple[str, ...], sender: Sender
) -> None:
    async with Receiver() as receiver:
        message = {"x": "${data.x}"} if headers == (JSON,) else "${data.x}"
        found = request_to(Secret(receiver.to()), message, *headers, data=text)
        await both(receiver, sender, *found, shell=shell)


@needs_shells
@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize("size", [1025, 99_999, 100_001, 1_100_000])
async def test_a_long_body_is_sent_without_a_question(
    size: int, shell: tuple[str, ...], sender: Sender
) -> None:
    async with Receiver() as receiver:
        found = request_to(Secret(receiver.to()), "${data.x}", TEXT, data="x" * size)
        await both(receiver, sender, *found, shell=shell)


PIECES = (
    "'", '"', "\\", "`", "$", "!", "\n", "\r\n", "\t", "\0", "\x1b[2J", "\x7f", "\x9b", "\u202e", "ü", "漢", "🙂", " ",
    "$(touch ran)", "`touch ran`", "(touch ran)", "<(touch ran)", ";touch ran;", "|touch ran|", "&touch ran&",
    "\ntouch ran\n", "';touch ran;'", '";touch ran;"', "\\';touch ran;\\'", ";end;touch ran;",
    "$'", "$'\\'", "'\\''", "'\"'\"'", "\\'", "\\\\'", "\\\n", "${IFS}", "$HOME", "!!", "!$", "!-1", "^a^b",
    "~", "*", "?", "[a-z]", "{a,b}", "=ls", "#", "@/etc/hostname", "-", "--",
    "%s", "%n", "%%", "%1$s", "%b", "\\c", "\\0", "\\x41", "\\u0041", "\\101", "\\n",
    "7", "a", "\x017", "\ufeff", "\u2028", "\xa0",
)  # fmt: skip
"""What one shell or another takes for more than text, and what `printf` and curl do."""
SEEDS = range(20)
PER_SEED = 50


def hostile_texts(seed: int) -> list[str]:
    dice = random.Random(seed)
    return ["".join(dice.choices(PIECES, k=dice.randint(1, 12))) for _ in range(PER_SEED)]


@needs_shells
@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize(
    "seed", [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in SEEDS[1:])]
)
async def test_no_shell_runs_what_an_event_holds(seed: int, shell: tuple[str, ...], tmp_path: Path) -> None:
    """1,000 texts over all seeds, in the body and in a header: all arrive byte for byte, and nothing is run."""
    async with Receiver() as receiver:
        requests = []
        for text in hostile_texts(seed):
            header = "X-Text", Secret("".join(filter(_is_for_headers, text)).strip(" \t"))
            _, found = request_to(Secret(receiver.to()), "${data.x}", header, data=text)
            requests.append(found)
        lines = [curl_line(found, {}) for found in requests]
        assert all(part.isprintable() for line in lines for part in line.split("\n"))
        await run_in_shell("\n".join([*lines, ""]), *shell, cwd=tmp_path)
        arrived = [(request.body, _header_of(request)) for request in receiver.requests]
    assert arrived == [(found.request.body, dict(found.request.headers)["X-Text"]) for found in requests]
    assert _names(tmp_path) == []


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def _is_for_headers(char: str) -> bool:
    return char == "\t" or not ("\0" <= char < " " or "\x7f" <= char <= "\x9f")


def _header_of(request: Received) -> str:
    return next(value for name, value in request.headers if name == "X-Text")


@needs_curl
@pytest.mark.parametrize("method", Method)
async def test_every_method_is_the_same(method: Method, sender: Sender) -> None:
    async with Receiver() as receiver:
        found = request_to(Secret(receiver.to()), {"x": 1}, JSON, ("X-A", Secret("1")), method=method)
        await both(receiver, sender, *found)


@needs_curl
@pytest.mark.parametrize(
    "target",
    ["", "/", "?q=1", "/a%20b/%2f/%c3%bc", "/a/../b/./c//d", "/{a,b}/[1-3]", "/a'b?x=$y&z=`;!", "/-k"],
)
async def test_the_url_is_called_byte_for_byte(target: str, sender: Sender) -> None:
    async with Receiver() as receiver:
        await both(receiver, sender, *request_to(Secret(receiver.to(target)), {"x": 1}, JSON))


@needs_curl
async def test_headers_keep_order_case_and_repetition(sender: Sender) -> None:
    headers = (
        ("X-Route", Secret("a")),
        ("x-route", Secret("b; c=\"d\", 'e' $HOME @f")),
        ("X-Empty", Secret("")),
        TEXT,
        ("X-Latin", Secret("é\xa0ü")),
        ("X-Tab", Secret("a\tb")),
        ("Accept", Secret("text/*")),
        ("USER-AGENT", Secret("mine/1")),
        ("Expect", Secret("")),
    )
    async with Receiver() as receiver:
        await both(receiver, sender, *request_to(Secret(receiver.to()), "x", *headers))


@needs_curl
@pytest.mark.parametrize("prefix", ["", "Bearer ", "Key='\""])
async def test_a_secret_from_the_environment_is_the_shells_variable(prefix: str, sender: Sender) -> None:
    async with Receiver() as receiver:
        target = "/services/s3cr3t?{a}=$b'"
        url = Secret(receiver.to(target), f"env {SHELL_VARIABLE}_URL")
        header = ("Authorization", Secret(prefix + SECRET, f"env {SHELL_VARIABLE}"))
        webhook, found = request_to(url, {"x": 1}, JSON, header)
        environment = {SHELL_VARIABLE: SECRET, f"{SHELL_VARIABLE}_URL": url.value}
        await both(receiver, sender, webhook, found, environment=environment)
        line = curl_line(found, environment)
        assert f'"${SHELL_VARIABLE}"' in line
        assert line.endswith(f'"${SHELL_VARIABLE}_URL"')
        assert not any(part in line for part in (SECRET, "s3 ", "s3cr3t"))


@needs_curl
@pytest.mark.parametrize("insecure", [True, False])
async def test_tls_settings_are_the_same(*, insecure: bool, tmp_path: Path, sender: Sender) -> None:
    folder = tmp_path / "a: b\\'c"
    folder.mkdir()
    authority = Authority(folder)
    server, client = authority.issue("server", "127.0.0.1"), authority.issue("client")
    tls = Tls(insecure, None if insecure else str(authority.ca), str(client.cert), str(client.key))
    async with Receiver(tls=server_context(server, clients=authority.ca)) as receiver:
        await both(receiver, sender, *request_to(Secret(receiver.to()), {"x": 1}, JSON, tls=tls))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Secret("t0k3n", "file /run/t0k3n-file"), "-H 'A: ***'"),
        (Secret("t0k3n", "credential c"), "-H 'A: ***'"),
        (Secret("t0k3n", "env not-a-name"), "-H 'A: ***'"),
        (Secret("t0k3n", "env UNSET"), "-H 'A: ***'"),
        (Secret("Basic dTp0MGszbg==", "env PASSWORD"), "-H 'A: ***'"),
        (Secret("Bearer t0k3n", "env TOKEN"), "-H 'A: Bearer '\"$TOKEN\""),
    ],
)
def test_other_secrets_are_masked_in_the_line(value: Secret, told: str) -> None:
    _, found = request_to(Secret("http://h/"), {"x": 1}, ("A", value))
    line = curl_line(found, {"PASSWORD": "g==", "TOKEN": "t0k3n", "not-a-name": "t0k3n"})
    assert f"  {told} \\\n" in line
    assert not any(part in line for part in ("t0k3n", "dTp0"))


def test_a_url_from_a_file_is_masked_in_the_line() -> None:
    _, found = request_to(Secret("https://h:1/s3cr3t", "file /f"), {"x": 1})
    assert curl_line(found, {}).endswith("  'https://h:1/***'")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("plain", "plain"),
        ("a b", "'a b'"),
        ("", "''"),
        ("it's a\\b", r"'it'\''s a'\\'b'"),
        ("$(id)!", r"'$(id)'\!"),
        ("a\n'\\", r'''"$(printf 'a\n\047\134')"'''),
        ("\u202e-", r'''"$(printf '\342\200\256-')"'''),
        ("-\t%", r'''"$(printf '\055\t\045')"'''),
    ],
)
def test_words_are_quoted(text: str, word: str) -> None:
    assert shell_word(text) == word


# The command.

CONFIG = """
daemon: {timezone: UTC}
webhooks:
  zapier:
    url: {env: ZAPIER_URL}
    auth: {type: bearer, token: {env: ZAPIER_TOKEN}}
    signing: {secret: whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u}
  spare: {url: "http://127.0.0.1:9/spare", enabled: false, headers: {Content-Type: text/plain}}
tasks:
  notify-zapier: {webhook: zapier, message: {text: "${NAME} ${ID}"}}
  to-spare: {webhook: spare, message: 'n: 1'}
events:
  prod-vm-on: {type: virtual_machine, event: powered_on, object: web-01, task: notify-zapier}
  disk: {type: disk, event: full, task: to-spare}
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZAPIER_URL", "https://hooks.zapier.example/s3cr3t-path")
    monkeypatch.setenv("ZAPIER_TOKEN", "t0k3n-value")
    path = tmp_path / "hookd.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Explains a text or a JSON value; the exit code and what was printed."""

    def explaining(content: Any, *words: str) -> tuple[int, str]:
        file = tmp_path / "event.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        code = command.run(options(str(file), "-c", str(config), *words))
        return code, capsys.readouterr().out

    return explaining


def options(*words: str) -> argparse.Namespace:
    parser = Parser()
    command.arguments(parser)
    return parser.parse_args(words)


def happened(kind: str = "virtual_machine", event: str = "powered_on", **fields: Any) -> Mapping[str, Any]:
    return {"type": kind, "event": event, **fields}


def test_a_request_is_shown_as_it_would_go_out(run: Run) -> None:
    code, out = run(happened(object="web-01"))
    assert code == 0
    assert out.startswith(
        'event    virtual_machine powered_on, object "web-01"\nmatches  events.prod-vm-on\n'
    )
    for line in (
        "request 1 of 1",
        "  task     notify-zapier",
        "  webhook  zapier",
        "  rule     events.prod-vm-on",
        "  POST https://hooks.zapier.example/…",
        "  Authorization: ***",
        "  webhook-id: dlv_example",
        "  webhook-signature: (made for each attempt)",
        '  | {"text": "web-01 evt_example"}',
        "    -H 'Authorization: Bearer '\"$ZAPIER_TOKEN\" \\",
        '    "$ZAPIER_URL"',
    ):
        assert line in out.splitlines()
    assert "s3cr3t" not in out
    assert "t0k3n" not in out


def test_the_same_for_tools(run: Run) -> None:
    code, out = run(happened(object={"name": "web-01", "tags": ["a"]}, data={"n": 1}), "--json")
    (found,) = json.loads(out)
    assert code == 0
    assert found["event"] == {
        "id": "evt_example",
        "type": "virtual_machine",
        "event": "powered_on",
        "object": {"id": None, "name": "web-01", "tags": ["a"]},
        "time": None,
        "data": {"n": 1},
    }
    (request,) = found["requests"]
    assert found["rules"] == [request["rule"]] == ["events.prod-vm-on"]
    assert (request["method"], request["url"]) == ("POST", "https://hooks.zapier.example/…")
    assert {"name": "Authorization", "value": "***"} in request["headers"]
    assert request["body"] == '{"text": "web-01 evt_example"}'
    assert request["curl"].startswith("curl ")
    assert (request["sent"], request["why"]) == (True, "")
    assert found["near_misses"] == []
    assert "s3cr3t" not in out
    assert "t0k3n" not in out


def test_near_misses_are_told(run: Run) -> None:
    told = 'asks for the object "web-01", the event has "web-02"'
    code, out = run(happened(object="web-02"))
    assert code == 1
    assert f"  events.prod-vm-on: {told}" in out.splitlines()
    code, out = run(happened(object="web-02"), "--json")
    assert code == 1
    assert json.loads(out)[0]["near_misses"] == [{"rule": "events.prod-vm-on", "reasons": [told]}]
    _, out = run(happened("virtual_machin", object="web-01"))
    assert '  events.prod-vm-on: type: the event has "virtual_machin", the rule "virtual_machine"' in out


def test_where_nothing_comes_near_the_types_are_named(run: Run) -> None:
    code, out = run(happened("printer", "jammed"))
    assert code == 1
    assert "matches  none" in out
    assert "  virtual_machine: powered_on\n  disk: full\n" in out


def test_what_is_parked_is_not_sent(run: Run) -> None:
    code, out = run(happened("disk", "full"))
    assert code == 1
    assert (
        '  note     not sent: the webhook "spare" is not enabled; the delivery would wait until it is' in out
    )
    code, out = run(happened("disk", "full"), "--json")
    assert code == 1
    assert json.loads(out)[0]["requests"][0]["sent"] is False


def test_what_runs_once_only_is_sent_for_the_first_event(config: Path, run: Run) -> None:
    config.write_text(CONFIG.replace("message: 'n: 1'", "message: 'n: 1', delete_after_running: true"))
    _, out = run([happened("disk", "full"), happened("disk", "full")])
    first, second = out.split("=== event 2 of 2\n")
    why = "the task runs once only, and event 1 of this input has fired it already"
    assert why not in first
    assert f"  note     not sent: {why}; no delivery would be made" in second.splitlines()
    assert "nothing would be sent: what the rules fire runs once only" in second
    _, out = run([happened("disk", "full"), happened("disk", "full")], "--json")
    assert [one["requests"][0]["why"] == why for one in json.loads(out)] == [False, True]


@pytest.mark.parametrize(
    ("ends", "shown"),
    [("", ["  | a"]), ("\\n", ["  | a", "  | "]), ("\\nrequest 2", ["  | a", "  | request 2"])],
)
def test_the_body_is_shown_to_its_end(ends: str, shown: list[str], config: Path, run: Run) -> None:
    config.write_text(CONFIG.replace("message: 'n: 1'", f'message: "a{ends}"'))
    _, out = run(happened("disk", "full"))
    assert [line for line in out.splitlines() if line.startswith("  |")] == shown


@pytest.mark.parametrize("form", ["array", "lines"])
def test_several_events_are_told_one_after_the_other(form: str, run: Run) -> None:
    events = [happened("disk", "full"), happened(object="web-01")]
    code, out = run(events if form == "array" else "\n\n".join(map(json.dumps, events)))
    assert code == 0
    headings = [line for line in out.splitlines() if line.startswith("===")]
    assert headings == ["=== event 1 of 2", "=== event 2 of 2"]
    assert out.index("disk full") < out.index("=== event 2 of 2") < out.index("notify-zapier")


CLOUDEVENT = {"specversion": "1.0", "type": "disk.full", "source": "/s", "id": "1"}


def test_a_cloudevent_is_an_event(run: Run) -> None:
    event = CLOUDEVENT | {"type": "virtual_machine.powered_on", "subject": "web-01"}
    code, out = run(event)
    assert (code, '  | {"text": "web-01 /s 1"}' in out) == (0, True)
    assert run([CLOUDEVENT, event])[0] == 0
    assert run("\n".join(map(json.dumps, [CLOUDEVENT, event])))[0] == 0


def test_the_trace_of_a_cloudevent_is_shown_and_sent(run: Run) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    event = CLOUDEVENT | {"type": "virtual_machine.powered_on", "subject": "web-01"}
    _, out = run(event | {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "tracestate": "a=1"})
    for header in (f"traceparent: 00-{trace_id}-{SPAN_ID}-01", "tracestate: a=1"):
        assert f"\n  {header}\n" in out
        assert f"\n    -H '{header}' \\\n" in out


def test_an_event_over_several_lines_is_one(run: Run) -> None:
    assert run(json.dumps(happened(object="web-01"), indent=2))[0] == 0


def test_standard_input(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(happened(object="web-01")).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert command.run(options("-", "-c", str(config))) == 0
    assert "notify-zapier" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the daemon would answer 400"),
        ("{", "the daemon would answer 400: The body is not strict JSON"),
        ('{"type": "a", "type": "b"}', 'the key "type" stands twice'),
        ("[]", "there is no event in the batch"),
        ("3", "an event must be an object, not a number"),
        ({"type": "a", "evnt": "b"}, 'unknown field "evnt"; did you mean "event"?'),
        ([happened(), {"type": "a"}], "/1/event: is required"),
        (CLOUDEVENT | {"type": "hookd.dead"}, "hookd's own"),
        ([CLOUDEVENT, CLOUDEVENT | {"id": None}], "/1/id: is required"),
        ([CLOUDEVENT, happened()], "/0/specversion: this is a CloudEvent"),
        (happened("hookd.webhok"), 'unknown type "hookd.webhok"; did you mean "hookd.webhook"?'),
        (happened("hookd.webhook"), "unknown event of type hookd.webhook"),
        ('{"type": "a", "event": "b"}\n{"type": 3', "at line 2"),
        ('{"type": "a", "event": "b"}\n{"type": 3, "event": "b"}', "/1/type: must be a string"),
    ],
)
def test_what_the_daemon_refuses_is_refused(content: Any, told: str, run: Run) -> None:
    with pytest.raises(Failure) as refused:
        run(content)
    assert told in str(refused.value)
    assert refused.value.code == 1


def test_every_fault_is_told_once(run: Run) -> None:
    with pytest.raises(Failure) as refused:
        run({"type": 1, "event": 2})
    first, *faults = refused.value.lines
    assert "(and 1 more)" in first
    assert faults == ["/type: must be a string, not a number", "/event: must be a string, not a number"]
    with pytest.raises(Failure) as refused:
        run({"type": 1, "event": "a"})
    assert len(refused.value.lines) == 1


def test_what_cannot_be_read_is_named(config: Path, tmp_path: Path) -> None:
    for name in ("nothing-here", "."):
        with pytest.raises(Failure, match=r"nothing-here: No such file|Is a directory"):
            command.run(options(str(tmp_path / name), "-c", str(config)))


def test_more_than_the_daemon_takes_is_refused(config: Path, run: Run) -> None:
    config.write_text(CONFIG.replace("{timezone: UTC}", "{limits: {event_size: 1KiB}}"))
    with pytest.raises(Failure, match=r"larger than 1024 bytes \(daemon.limits.event_size\)"):
        run(happened(data={"x": "y" * 1000}))
    with pytest.raises(Failure, match="larger than 1024 bytes"):
        command.run(options("/dev/zero", "-c", str(config)))


def test_an_invalid_config_is_told_as_check_tells_it(
    config: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG.replace("task: to-spare", "task: to-spar"))
    code, out = run(happened())
    assert code == 1
    assert "hookd.yaml:" in out
    assert "events.disk.task: " in out
    code, out = run(happened(), "--json")
    assert (code, out) == (1, "")


def test_nothing_that_is_shown_drives_a_terminal(run: Run) -> None:
    _, out = run(json.dumps(happened(object="web-01", id="e\u00e9-1", data={"a\u001b[2J": "\u202e"})))
    assert all(line.isprintable() for line in out.splitlines())
