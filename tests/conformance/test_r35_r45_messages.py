r"""R35 and R37 to R41: tasks, and what their messages look like on the wire. Variables have tests of their own.

How hookd serializes, since every byte is compared here: a mapping or list is sent as one line of UTF-8 JSON, keys in
the order written, `, ` between members and `: ` after keys (the style of Python's `json.dumps`), and nothing escaped
that JSON does not require (`"`, `\`, control characters). An object or list out of the event's data is compact:
`{"a":[1,2]}`. A text is sent as it is written, without a byte more or less, variables apart.

A JSON type is `application/json` or any type that ends in `+json`; a text message is a JSON template for those.
"""

import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance.rows import (
    DATA,
    JSON,
    OBJECT,
    PLAIN,
    Row,
    arrives,
    configuration,
    of,
    post,
    quoted,
    text,
    yaml,
)
from tests.kit.receiver import Received, response
from tests.kit.stage import Stage

JOB_ERROR = '{"text": "Sync Job Error"}'
NOTIFICATION = (
    '{"event": "new_notification", "data": {"message_id": "MSG-987654", "recipient": "admins-SQL", '
    '"message_body": "Server ABC is reporting high CPU utilization. Please investigate immediately.", '
    '"priority": "high", "timestamp": "2025-10-10T11:30:00Z"}}'
)
NOTIFICATION_AS_YAML = """
      event: new_notification
      data:
        message_id: MSG-987654
        recipient: admins-SQL
        message_body: Server ABC is reporting high CPU utilization. Please investigate immediately.
        priority: high
        timestamp: 2025-10-10T11:30:00Z"""
INDENTED = json.dumps(json.loads(NOTIFICATION), indent=2) + "\n"

JSON_ROWS = [
    Row("seed-short", JOB_ERROR, JOB_ERROR.encode()),
    Row("seed-long", NOTIFICATION, NOTIFICATION.encode()),
    Row("seed-long-in-block-style", NOTIFICATION_AS_YAML, NOTIFICATION.encode()),
    text("seed-long-as-text", JSON, written=NOTIFICATION),
    text("seed-long-as-indented-text", JSON, written=INDENTED),
    Row(
        "order",
        '{z: 1, a: {y: [{c: 1, b: {}}, []], x: {"10": ten, "9": nine}}, M: 2, m: 3, "": empty}',
        b'{"z": 1, "a": {"y": [{"c": 1, "b": {}}, []], "x": {"10": "ten", "9": "nine"}}, "M": 2, "m": 3, "": "empty"}',
    ),
    Row(
        "kinds",
        '[true, false, null, 0, -1, 1.5, 12345678901234567890, "5", "true", "null", ""]',
        b'[true, false, null, 0, -1, 1.5, 12345678901234567890, "5", "true", "null", ""]',
    ),
    Row("list", "[one, [two, {three: [4]}]]", b'["one", ["two", {"three": [4]}]]'),
    Row("empty-object", "{}", b"{}"),
    Row("empty-list", "[]", b"[]"),
    Row(
        "escapes",
        r'{"k\"\\\n": "q\" b\\ s/ \b\f\n\r\t \u0001 \u001f \u007f <&> é \u2028 😀"}',
        '{"k\\"\\\\\\n": "q\\" b\\\\ s/ \\b\\f\\n\\r\\t \\u0001 \\u001f \x7f <&> é \u2028 😀"}'.encode(),
    ),
    Row("keys-are-not-filled", '{"${NAME}": "${NAME}", "$${X}": 1}', b'{"${NAME}": "web-01", "$${X}": 1}'),
    Row("alias", "{a: &x {k: [1]}, b: *x}", b'{"a": {"k": [1]}, "b": {"k": [1]}}'),
    Row("mapping-to-no-type", "{a: '${data.text}'}", b'{"a": ' + yaml(DATA["text"]).encode() + b"}", None),
    Row("mapping-without-type", "{a: 1}", b'{"a": 1}', None),
]

MARKDOWN = """\
# Sync of ${NAME} failed

* item one
* **item two** with `code` and a [link](https://example.com/?a=1&b=2)
  1. nested, with a trailing double space  \n     > quoted "text" at 100%
- [ ] todo \\* not a bullet

| a | b |
|---|---|
"""
XML = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- 100% "quoted" & not 'escaped' by anybody -->
<event name="${NAME}" note='a "b"'>
\t<text><![CDATA[5 < 6 && "x" \\ y]]></text>
\t<text>&lt;&amp;&#x20AC;</text>
</event>
"""
FORM = "name=${NAME}&text=a+b%20c%26d&percent=%25&empty=&tags[]=x"
C_SOURCE = r"""
#include <stdio.h>
/* ${NAME} */
#define STR(x) #x
int main(void) {
	char c = '\0', *s = "tab:\t nl:\n quote:\" back:\\ hex:\x41 ${data.number}\n";
	printf("%s %5.2f%% %c\\n", s, 1.0, c);   // ${data.missing}  ${data.missing}
	return s[0] == '"' ? 1 << 3 : ~0 & 0xFF;
}
""".lstrip("\n")
FOREIGN = "{0} {name} {{x}} {%y%} %s %(name)s %% $HOME $(id) `id` $1 $ {NAME} #{x} <%= x %> $NAME $$ \\$"
HTML = '<p class="a">1 < 2 &amp; "3"</p>\n<script>alert(`${NAME}`)</script>\n'

TEXT_ROWS = [
    text(
        "markdown",
        "text/markdown; charset=utf-8",
        written=MARKDOWN,
        sent=MARKDOWN.replace("${NAME}", "web-01"),
    ),
    text("xml", "application/xml", written=XML, sent=XML.replace("${NAME}", "web-01")),
    text("html", "text/html", written=HTML, sent=HTML.replace("${NAME}", "web-01")),
    text("form", "application/x-www-form-urlencoded", written=FORM, sent=FORM.replace("${NAME}", "web-01")),
    text(
        "c-source",
        "text/x-c",
        written=C_SOURCE,
        sent=C_SOURCE.replace("${NAME}", "web-01")
        .replace("${data.number}", "3")
        .replace("${data.missing}", ""),
    ),
    text("foreign-placeholders", PLAIN, written=FOREIGN),
    quoted("crlf", written='a,b\r\n1,"x ""y"""\r\n\r\n'),
    quoted("tabs-and-controls", written="\tone\t\ttwo\x0b\x0c\x1b[31m\x08\x00\x7f\n"),
    quoted("lone-carriage-returns", written="a\rb\n\rc\r"),
    text("no-final-newline", PLAIN, written="one\ntwo"),
    text("final-newline", PLAIN, written="one\ntwo\n"),
    text("final-newlines", PLAIN, written="one\n\n\n"),
    quoted("leading-and-trailing-space", written="  \n  x  \n \t "),
    quoted("empty", written=""),
    quoted("unicode", written="ünïcödé 😀 漢字 \u202e\u200d\ufeff é e\u0301"),
    text("backslashes", PLAIN, written=r"\ \\ \\\ \n \u0041 \x41 C:\new\table \$NAME \"q\""),
    text("json-that-is-no-json", PLAIN, written="{\"a\": ${NAME}, b: 'x',}", sent="{\"a\": web-01, b: 'x',}"),
    text("without-content-type", None, written='<raw> "${NAME}" % \\', sent='<raw> "web-01" % \\'),
    text("values-are-raw-in-text", PLAIN, written="[${data.text}]", sent=f"[{DATA['text']}]"),
    text("values-are-not-scanned-again", PLAIN, written="[${data.variable}]", sent=f"[{DATA['variable']}]"),
    text(
        "dollars",
        PLAIN,
        written="$${NAME} $$${NAME} $5 $ $$ ${NAME}$",
        sent="${NAME} $${NAME} $5 $ $$ web-01$",
    ),
    Row("folded", ">-\n      one\n      two\n\n      three ${NAME}", b"one two\nthree web-01", PLAIN),
    Row("unquoted", "Sync of ${NAME} failed", b"Sync of web-01 failed", PLAIN),
]

ESCAPED = yaml(DATA["text"])[1:-1]
TEMPLATE_ROWS = [
    text(
        "template",
        JSON,
        written='{"who" : "${NAME}",\n\t"n":${data.number},"f": ${data.float} ,\n "raw":"\\u00e9\\/" }\n',
        sent='{"who" : "web-01",\n\t"n":3,"f": 80.5 ,\n "raw":"\\u00e9\\/" }\n',
    ),
    text(
        "template-strings-are-escaped",
        "application/vnd.example.v1+json; charset=utf-8",
        written='{"in": "<${data.text}>", "bare": ${data.text}}',
        sent=f'{{"in": "<{ESCAPED}>", "bare": "{ESCAPED}"}}',
    ),
    text(
        "template-bare-kinds",
        JSON,
        written="[${data.yes}, ${data.null}, ${data.none}, ${data.object}, ${data.list.2}, ${NAME}, ${data.none:-7}]",
        sent='[true, null, null, {"z":[1,"é"],"a":null,"m":{}}, [10,20], "web-01", "7"]',
    ),
    text("template-of-one-value", JSON, written="${data.list}", sent='[{"x":"first"},"second",[10,20]]'),
    text("template-of-one-string", JSON, written='"${NAME} $${NAME}"', sent='"web-01 ${NAME}"'),
    text(
        "template-keys",
        JSON,
        written='{"${NAME}": "$${X}", "$${k}": 1}',
        sent='{"${NAME}": "${X}", "$${k}": 1}',
    ),
    text("template-numbers", JSON, written="[1.50, 1e2, -0, 0.1e-7]", sent="[1.50, 1e2, -0, 0.1e-7]"),
]

REST = """
webhooks:
  default: {url: RECEIVER/default}
  default-text: {url: RECEIVER/default-text, headers: {Content-Type: text/plain}}
  again: {url: RECEIVER/again, backoff: [20ms], headers: {Content-Type: text/plain}}
tasks:
  default: {webhook: default}
  default-text: {webhook: default-text}
  again: {webhook: again, message: "${RANDOM} ${TIMESTAMP} ${ID}"}
events:
  default: {type: default, event: go, task: [default, default-text]}
  again: {type: again, event: go, task: again}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("messages")) as stage:

        async def refuse_the_first(request: Received) -> bytes:
            again = request.target == "/again" and len(stage.receiver.at("/again")) == 1
            return response(500 if again else 200)

        stage.write(configuration(REST, (*JSON_ROWS, *TEXT_ROWS, *TEMPLATE_ROWS)))
        stage.receiver.reply = refuse_the_first
        await stage.start()
        yield stage


async def test_r35_a_name_is_free_text_and_a_description_optional(stage: Stage) -> None:
    stage.write("""
webhooks:
  Ops, "main" ünd 100%: {url: RECEIVER/x, description: Where to}
  plain: {url: RECEIVER/y}
tasks:
  "Fehler melden: #1 'now'":
    description: |
      Tells operations that a sync failed.
      Expected: a ticket.
    webhook: Ops, "main" ünd 100%
  t: {webhook: plain}
events:
  Any: {description: When, type: a, event: b, task: "Fehler melden: #1 'now'"}
""")
    await stage.start()
    config = await stage.daemon.get("/v1/config")
    assert {name: task["description"] for name, task in config["tasks"].items()} == {
        "Fehler melden: #1 'now'": "Tells operations that a sync failed.\nExpected: a ticket.\n",
        "t": "",
    }
    assert config["webhooks"]['Ops, "main" ünd 100%']["description"] == "Where to"
    assert config["events"]["Any"]["description"] == "When"
    [made] = (await stage.trigger("Fehler melden: #1 'now'"))["deliveries"]
    assert (made["task"], made["webhook"]) == ("Fehler melden: #1 'now'", 'Ops, "main" ünd 100%')
    assert (await stage.arrived("/x")).body == b'{"text": "Webhook"}'


async def test_r35_a_name_is_required_and_unique(stage: Stage) -> None:
    found = await stage.findings("""
webhooks: {w: {url: RECEIVER/x}}
tasks:
  "": {webhook: w}
  twice: {webhook: w}
  twice: {webhook: w}
  told: {webhook: w, description: [not, text]}
""")
    assert [(each["line"], each["where"], each["message"]) for each in found] == [
        (4, 'tasks.""', "a name has 1 to 64 printable characters and no space at either end"),
        (6, "tasks.twice", "stands here a second time; the first is in line 5"),
        (7, "tasks.told.description", "must be text, not a list"),
    ]


async def test_r37_a_task_names_a_webhook_that_exists(stage: Stage) -> None:
    wrong = """webhooks: {Ops Slack: {url: RECEIVER/x}, zapier: {url: RECEIVER/y}}
tasks:
  a: {webhook: Ops Slak}
  b: {webhook: ZAPIER}
  c: {message: {x: 1}}
  d: {webhook: [zapier]}
"""
    choices = "(webhooks: Ops Slack, zapier)"
    expected = [
        (3, "tasks.a.webhook", f'there is no webhook "Ops Slak"; did you mean "Ops Slack"? {choices}'),
        (4, "tasks.b.webhook", f'there is no webhook "ZAPIER"; did you mean "zapier"? {choices}'),
        (5, "tasks.c", "webhook is missing"),
        (
            6,
            "tasks.d.webhook",
            "must be 1 to 128 printable characters without a space at either end, not a list",
        ),
    ]
    assert [(f["line"], f["where"], f["message"]) for f in await stage.findings(wrong)] == expected
    stage.write(wrong, daemon="")
    ran = await stage.hookd("run")
    assert ran.code == 78
    assert 'there is no webhook "Ops Slak"; did you mean "Ops Slack"?' in ran.err


@of(JSON_ROWS)
async def test_r38_r40_a_mapping_or_list_arrives_in_structure_and_order(shared: Stage, row: Row) -> None:
    request = await arrives(shared, row)
    types = [] if row.content_type is None else [f"Content-Type: {row.content_type}".encode()]
    assert request.lines_of("content-type") == types
    assert request.lines_of("content-length") == [f"Content-Length: {len(row.body)}".encode()]
    assert not request.lines_of("transfer-encoding")


@of(TEXT_ROWS)
async def test_r41_a_text_arrives_byte_for_byte(shared: Stage, row: Row) -> None:
    request = await arrives(shared, row)
    types = [] if row.content_type is None else [f"Content-Type: {row.content_type}".encode()]
    assert request.lines_of("content-type") == types
    assert request.header("content-length") == str(len(row.body))
    assert not request.lines_of("content-encoding")


@of(TEMPLATE_ROWS)
async def test_r40_r41_a_text_of_a_json_type_is_a_json_template(shared: Stage, row: Row) -> None:
    json.loads((await arrives(shared, row)).body)


async def test_r38_every_attempt_sends_the_same_bytes(shared: Stage) -> None:
    receipt = await post(shared, "again", id="of-again")
    [record] = await shared.settled(receipt)
    assert [attempt["status"] for attempt in record["attempts"]] == [500, 200]
    first, second = shared.receiver.at("/again")
    assert re.fullmatch(rb"\d+ \d+ of-again", first.body)
    assert second.body == first.body


async def test_r38_a_message_is_rendered_when_the_event_is_taken_in(stage: Stage) -> None:
    old = "webhooks: {w: {url: RECEIVER/old, enabled: false}}\ntasks: {t: {webhook: w, message: [old, '${NAME}']}}\n"
    stage.write(old)
    await stage.start()
    receipt = await stage.trigger("t", "--object", "web-01")
    stage.write("webhooks: {w: {url: RECEIVER/new}}\ntasks: {t: {webhook: w, message: [new, '${NAME}']}}\n")
    assert (await stage.hookd("reload")).code == 0
    await stage.settled(receipt)
    assert (await stage.arrived("/new")).body == b'["old", "web-01"]'
    assert not stage.receiver.at("/old")


async def test_r39_the_default_message(shared: Stage) -> None:
    await post(shared, "default", object=OBJECT, data=DATA)
    request = await shared.arrived("/default")
    assert (request.method, request.body) == ("POST", b'{"text": "Webhook"}')
    assert request.lines_of("content-type") == [b"Content-Type: application/json"]
    assert (await shared.arrived("/default-text")).body == b'{"text": "Webhook"}'


KNOWN = (
    "DATE, TIME, TIMESTAMP, TIMESTAMP_MS, RANDOM, NAME, ID, "
    "TYPE, EVENT, OBJECT_ID, TAGS, TASK, WEBHOOK and data.PATH"
)
WRONG = r"""webhooks:
  j: {url: RECEIVER/x}
  t: {url: RECEIVER/x, headers: {Content-Type: text/plain}}
tasks:
  near: {webhook: j, message: {a: [1, {b: "${NAM}"}]}}
  far: {webhook: t, message: "${whatever}"}
  open:
    webhook: t
    message: |
      one
      two ${date}
      three ${NAME
  default: {webhook: t, message: "${NAME:-x}"}
  step: {webhook: t, message: "${data..x}"}
  comma:
    webhook: j
    message: |
      {"a": 1,
       "b": ${NAME},}
  glued: {webhook: j, message: '{"a": 1${data.n}}'}
  twice: {webhook: j, message: '{"a": 1, "a": 2}'}
  unclosed: {webhook: j, message: '{"a": "${NAME}'}
  not-json: {webhook: j, message: Sync failed}
  number: {webhook: j, message: 5}
  nan: {webhook: j, message: {a: .nan}}
"""


async def test_r40_r42_what_could_not_be_sent_is_refused_at_its_line(stage: Stage) -> None:
    found = [(each["line"], each["where"], each["message"]) for each in await stage.findings(WRONG)]
    bad_json = "the message is not valid JSON: "
    assert found == [
        (5, "tasks.near.message.a[1].b", "unknown variable ${NAM}; did you mean ${NAME}?"),
        (6, "tasks.far.message", f"unknown variable ${{whatever}}; known are {KNOWN}"),
        (11, "tasks.open.message", "unknown variable ${date}; did you mean ${DATE}?"),
        (12, "tasks.open.message", "the variable ${NAME does not end: } is missing ($${ is a literal ${)"),
        (13, "tasks.default.message", "the variable ${NAME} cannot have a default; only ${data.…} can"),
        (14, "tasks.step.message", "the variable ${data..x} has an empty step in its path"),
        (19, "tasks.comma.message", f"{bad_json}Expecting property name enclosed in double quotes"),
        (20, "tasks.glued.message", f"{bad_json}Expecting ',' delimiter"),
        (21, "tasks.twice.message", 'the message has the key "a" twice in one object'),
        (22, "tasks.unclosed.message", f"{bad_json}a string does not end"),
        (
            23,
            "tasks.not-json.message",
            f'{bad_json}Expecting value; the webhook sends JSON: write {{"text": "Sync failed"}}',
        ),
        (
            24,
            "tasks.number.message",
            'must be a mapping, a list or text, not 5; YAML reads 5 as the number 5, so quote it: "5"',
        ),
        (25, "tasks.nan.message.a", "this is not a finite number"),
    ]
