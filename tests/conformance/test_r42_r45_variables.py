"""R42 to R45: every variable, in a mapping, in a JSON template and in text."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from tests.conformance.rows import DATA, OBJECT, PLAIN, Row, bodies, configuration, post, yaml
from tests.kit.stage import Stage

DAEMON = "daemon: {{listen: [{{unix: h.sock}}], store: h.db, timezone: {zone}}}\n"

# variable, as text, as the JSON value that it is where it stands alone
VARIABLES = [
    ("${NAME}", "web-01", '"web-01"'),
    ("${ID}", "the event for ${ID}", '"the event for ${ID}"'),
    ("${EVENT}", "go", '"go"'),
    ("${OBJECT_ID}", "17", '"17"'),
    ("${TAGS}", "production,edge", '"production,edge"'),
    ("${data.text}", DATA["text"], yaml(DATA["text"])),
    ("${data.variable}", DATA["variable"], yaml(DATA["variable"])),
    ("${data.number}", "3", "3"),
    ("${data.float}", "80.5", "80.5"),
    ("${data.large}", "12345678901234567890", "12345678901234567890"),
    ("${data.yes}", "true", "true"),
    ("${data.no}", "false", "false"),
    ("${data.null}", "", "null"),
    ("${data.empty}", "", '""'),
    ("${data.missing}", "", "null"),
    ("${data.number.x}", "", "null"),
    ("${data.object}", '{"z":[1,"é"],"a":null,"m":{}}', '{"z":[1,"é"],"a":null,"m":{}}'),
    ("${data.object.z}", '[1,"é"]', '[1,"é"]'),
    ("${data.object.a}", "", "null"),
    ("${data.deep.er.and.deeper}", "found", '"found"'),
    ("${data.list.0.x}", "first", '"first"'),
    ("${data.list.1}", "second", '"second"'),
    ("${data.list.2.1}", "20", "20"),
    ("${data.list.3}", "", "null"),
    ("${data.list.-1}", "", "null"),
    ("${data.list.x}", "", "null"),
    ("${data.missing:-a default}", "a default", '"a default"'),
    ("${data.missing:-}", "", '""'),
    ("${data.missing:-7}", "7", '"7"'),
    ("${data.list.9.x:-out of range}", "out of range", '"out of range"'),
    ("${data.missing:-a:-b}", "a:-b", '"a:-b"'),
    ("${data.number:-unused}", "3", "3"),
    ("${data.null:-null is not missing}", "", "null"),
    ("$${NAME}", "${NAME}", '"${NAME}"'),
]


def variable_rows(index: int, variable: str, as_text: str, value: str) -> Iterable[Row]:
    """A variable in a mapping, in a JSON template and in text; alone and inside longer text."""
    name, inside = f"v{index}", yaml(f"<{as_text}>")
    yield Row(
        f"{name}-mapping",
        yaml({"alone": variable, "in": f"<{variable}>", "list": [variable]}),
        f'{{"alone": {value}, "in": {inside}, "list": [{value}]}}'.encode(),
        type=name,
    )
    bare = "" if variable.startswith("$$") else variable
    yield Row(
        f"{name}-template",
        yaml(f'{{"in":"<{variable}>","bare":[{bare}]}}'),
        f'{{"in":{inside},"bare":[{value if bare else ""}]}}'.encode(),
        type=name,
    )
    yield Row(f"{name}-text", yaml(f"<{variable}>"), f"<{as_text}>".encode(), PLAIN, type=name)


VARIABLE_ROWS = [row for index, given in enumerate(VARIABLES) for row in variable_rows(index, *given)]

REST = """
webhooks:
  random: {url: RECEIVER/random, concurrency: 100}
  names: {url: RECEIVER/names, headers: {Content-Type: text/plain}}
  Ops & "Slack": {url: RECEIVER/own, headers: {Content-Type: text/plain}}
  numbers: {url: RECEIVER/numbers}
tasks:
  random: {webhook: random, message: '{"bare": ${RANDOM}, "in": "${RANDOM}"}'}
  random-too: {webhook: random, message: {bare: "${RANDOM}", in: "<${RANDOM}>"}}
  names: {webhook: names, message: "${NAME}|${OBJECT_ID}|${TAGS}"}
  Tell "ops" ünd 100%: {webhook: Ops & "Slack", message: "${TASK}|${WEBHOOK}|${TYPE}|${EVENT}"}
  numbers: {webhook: numbers, message: {ts: "${TIMESTAMP}", in: "<${TIMESTAMP}>"}}
  numbers-bare: {webhook: numbers, message: '{"ts":${TIMESTAMP},"in":"<${TIMESTAMP}>"}'}
  all: {webhook: names, message: "${ID}|${TYPE}|${EVENT}|${OBJECT_ID}|${TAGS}|${TASK}|${WEBHOOK}|${data.n}"}
events:
  random: {type: random, event: go, task: [random, random-too]}
  names: {type: names, event: go, task: names}
  words: {type: 'a "type"', event: 'an ünusual event', task: 'Tell "ops" ünd 100%'}
  numbers: {type: numbers, event: go, task: [numbers, numbers-bare]}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("variables")) as stage:
        stage.write(configuration(REST, VARIABLE_ROWS), daemon=DAEMON.format(zone="America/New_York"))
        await stage.start()
        yield stage


@pytest.mark.parametrize(
    ("index", "given"), [pytest.param(i, given, id=given[0]) for i, given in enumerate(VARIABLES)]
)
async def test_r45_a_variable_in_a_mapping_in_a_json_text_and_in_text(
    shared: Stage, index: int, given: tuple[str, str, str]
) -> None:
    receipt = await post(shared, f"v{index}", id=f"the event for {given[0]}", object=OBJECT, data=DATA)
    rows = {row.name: row.body for row in variable_rows(index, *given)}
    assert await bodies(shared, receipt) == rows


OFFSETS = {
    "EST": -5,
    "EDT": -4,
    "CET": 1,
    "CEST": 2,
    "UTC": 0,
    "IST": 5.5,
    "AEST": 10,
    "AEDT": 11,
    "-03": -3,
    "JST": 9,
}
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
DATE = re.compile(r"([A-Z][a-z]{2}), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) (\S+)")


def epoch(date: str) -> int:
    """The instant of a `${DATE}`, which must have the documented form and the right day of the week."""
    found = DATE.fullmatch(date)
    assert found is not None, date
    weekday, day, month, year, hour, minute, second, zone = found.groups()
    moment = datetime(
        int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second),
        tzinfo=timezone(timedelta(hours=OFFSETS[zone])),
    )  # fmt: skip
    assert DAYS[moment.weekday()] == weekday
    return int(moment.timestamp())


def test_r42_r43_the_page_s_own_examples_are_one_instant() -> None:
    assert epoch("Thu, 16 Oct 2025 11:38:07 EDT") == 1760629087


@pytest.mark.parametrize(
    "zone",
    [
        "America/New_York",
        "Europe/Berlin",
        "UTC",
        "Asia/Kolkata",
        "Australia/Sydney",
        "America/Sao_Paulo",
        None,
    ],
)
async def test_r42_r43_date_and_timestamp_are_one_instant(stage: Stage, zone: str | None) -> None:
    """None: no `daemon.timezone`, and a system whose zone is Tokyo's."""
    stage.env["TZ"] = "Asia/Tokyo"
    stage.env["LC_ALL"] = "de_DE.UTF-8"
    daemon = DAEMON if zone else DAEMON.replace(", timezone: {zone}", "")
    stage.write(
        "webhooks: {j: {url: RECEIVER/j}, t: {url: RECEIVER/t, headers: {Content-Type: text/plain}}}\n"
        "tasks:\n  j: {webhook: j, message: {date: '${DATE}', n: '${TIMESTAMP}'}}\n"
        '  jt: {webhook: j, message: \'{"date": ${DATE}, "n": ${TIMESTAMP}}\'}\n'
        "  t: {webhook: t, message: '${DATE}|${TIMESTAMP}|${DATE}'}\n"
        "events: {e: {type: tick, event: go, task: [j, jt, t]}}\n",
        daemon=daemon.format(zone=zone),
    )
    await stage.start()
    before = int(time.time())
    sent = await bodies(stage, await post(stage, "tick"))
    after = int(time.time())
    date, stamp, again = sent["t"].decode().split("|")
    assert re.fullmatch(r"[1-9]\d{9}", stamp)
    assert before <= int(stamp) <= after
    assert (
        again
        == date
        == datetime.fromtimestamp(int(stamp), ZoneInfo(zone or "Asia/Tokyo")).strftime(
            "%a, %d %b %Y %H:%M:%S %Z"
        )
    )
    assert epoch(date) == int(stamp)
    assert sent["j"] == f'{{"date": "{date}", "n": "{stamp}"}}'.encode()
    assert sent["jt"] == f'{{"date": "{date}", "n": {stamp}}}'.encode()


async def test_r42_r43_they_stay_one_instant_while_the_clock_goes_on(stage: Stage) -> None:
    stage.write(
        "webhooks: {w: {url: RECEIVER/x, concurrency: 100, headers: {Content-Type: text/plain}}}\n"
        "tasks: {t: {webhook: w, message: '${TIMESTAMP}|${DATE}'}}\nevents: {e: {type: tick, event: go, task: t}}\n",
        daemon=DAEMON.format(zone="Asia/Kolkata"),
    )
    await stage.start()
    seen: set[bytes] = set()
    until = time.time() + 10
    while len(seen) < 2 and time.time() < until:  # two seconds of the clock
        seen.update((await bodies(stage, await post(stage, "tick"))).values())
    pairs = [body.decode().split("|") for body in seen]
    assert len({stamp for stamp, _ in pairs}) == len(pairs) == 2
    assert [epoch(date) for _, date in pairs] == [int(stamp) for stamp, _ in pairs]


async def test_r43_timestamp_is_text_in_a_mapping_and_a_number_where_it_stands_bare(shared: Stage) -> None:
    before = int(time.time())
    sent = await bodies(shared, await post(shared, "numbers"))
    stamp = json.loads(sent["numbers"])["ts"]
    assert before <= int(stamp) <= int(time.time())
    assert sent["numbers"] == f'{{"ts": "{stamp}", "in": "<{stamp}>"}}'.encode()
    assert sent["numbers-bare"] == f'{{"ts":{stamp},"in":"<{stamp}>"}}'.encode()


async def test_r44_random_is_an_integer_of_its_own_for_each_delivery(shared: Stage) -> None:
    answered, answer = await shared.daemon.post([{"type": "random", "event": "go"}] * 150)
    assert answered == 202, answer
    arrived = await shared.arrivals("/random", 300)
    drawn: list[int] = []
    for request in arrived:
        found = re.fullmatch(rb'\{"bare": (?:"(\d+)", "in": "<\1>"|(\d+), "in": "\2")\}', request.body)
        assert found is not None, request.body
        drawn.append(int(found[1] or found[2]))
    assert all(0 <= value <= 2147483647 for value in drawn)
    assert len(set(drawn)) >= 298, "two of 300 are equal once in 50,000 runs"
    assert min(drawn) < 2**30 <= max(drawn), "spread over the whole range"


def options(obj: Any) -> Iterable[str]:
    """An object as the command line takes it."""
    given = {"name": obj} if isinstance(obj, str) else obj or {}
    for option, key in (("--object", "name"), ("--object-id", "id")):
        if key in given:
            yield from (option, given[key])
    for tag in given.get("tags", ()):
        yield from ("--tag", tag)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (OBJECT, b"web-01|17|production,edge"),
        ("web-01", b"web-01||"),
        ({"name": "web-01"}, b"web-01||"),
        ({"id": "17"}, b"17|17|"),
        ({"id": "17", "tags": ["b", "a"]}, b"17|17|b,a"),
        (
            {"name": 'ünd "x" ${ID} %s 😀', "tags": ["one tag", "$${NAME}"]},
            'ünd "x" ${ID} %s 😀||one tag,$${NAME}'.encode(),
        ),
        (None, b"names||"),
    ],
)
@pytest.mark.parametrize("how", ["event", "trigger"])
async def test_r45_name_is_the_object_s_or_its_id_or_the_task_s(
    shared: Stage, how: str, obj: Any, expected: bytes
) -> None:
    if how == "event":
        receipt = await post(shared, "names", **({} if obj is None else {"object": obj}))
    else:
        receipt = await shared.trigger("names", *options(obj))
    assert await bodies(shared, receipt) == {"names": expected}


async def test_r45_what_a_trigger_has_no_value_for_is_empty(shared: Stage) -> None:
    receipt = await shared.trigger("all", "--data", '{"n": [1, {"a": "b"}]}')
    assert await bodies(shared, receipt) == {"all": f'{receipt["id"]}|||||all|names|[1,{{"a":"b"}}]'.encode()}


async def test_r45_task_webhook_type_and_event(shared: Stage) -> None:
    answered, receipt = await shared.daemon.post({"type": 'a "type"', "event": "an ünusual event"})
    assert answered == 202, receipt
    sent = await bodies(shared, receipt)
    assert list(sent.values()) == ['Tell "ops" ünd 100%|Ops & "Slack"|a "type"|an ünusual event'.encode()]
