"""R6, R11, X6: conditions on what an event holds, and rules that are written on the task itself."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.kit.stage import Stage

CONFIG = """
types:
  tenant: {events: [storage, count, named]}
  alarm: {events: [raised, lowered], objects: false}
  log: {events: [written], objects: false}
  vm: {events: ["on", "off", both, tagged, never, every]}
webhooks:
  storage: {url: RECEIVER/storage}
  rules: {url: RECEIVER/rules}
  inline: {url: RECEIVER/inline}
  ticks: {url: RECEIVER/ticks}
tasks:
  storage: {webhook: storage, message: {tenant: "${NAME}", used: "${data.used_pct}"}}
  beside: {webhook: rules}
  percent: {webhook: rules}
  whole: {webhook: rules}
  severe: {webhook: rules}
  critical: {webhook: rules}
  from the store: {webhook: rules}
  errors in the log: {webhook: rules}
  all vms of production: {webhook: rules}
  numbered: {webhook: rules}
  tagged: {webhook: rules}
  inline:
    webhook: inline
    message: {why: "${EVENT}"}
    triggers:
      - {type: vm, event: "on", object: web-01}
      - {type: vm, event: both}
      - {type: vm, event: tagged, tag: production, where: data.n > 1}
      - {type: vm, event: never, enabled: false}
      - {type: vm, event: both}
  ticking:
    webhook: ticks
    triggers:
      - {type: vm, event: every}
      - {every: 1s}
  never ticking:
    webhook: ticks
    triggers: [{every: 1s, enabled: false}]
events:
  storage is short: {type: tenant, event: storage, object: Acme, where: data.used_pct >= 80, task: storage}
  beside it: {type: tenant, event: storage, task: beside}
  percent: {type: tenant, event: count, where: double(data.used) / double(data.size) > 0.9, task: percent}
  whole: {type: tenant, event: count, where: data.used == 5, task: whole}
  severe: {type: alarm, event: raised, where: 'data.level in ["error", "critical"]', task: severe}
  critical: {type: alarm, event: raised, where: data.level == "critical" && !data.test, task: critical}
  from the store: {type: log, event: written, where: data.source == "vSAN" && data.level >= 4, task: from the store}
  errors in the log:
    {type: log, event: written, where: 'data.text.matches("(?i)\\\\berror\\\\b")', task: errors in the log}
  production: {type: vm, event: "off", where: object.name.startsWith("prod-"), task: all vms of production}
  numbered: {type: vm, event: "off", where: 'object.name.matches("^web-[0-9]+$")', task: numbered}
  tagged: {type: vm, event: "off", where: '"gold" in object.tags || has(object.id) && object.id == "7"', task: tagged}
  both: {type: vm, event: both, task: inline}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("rules")) as stage:
        stage.write(CONFIG)
        await stage.start()
        yield stage


async def taken(stage: Stage, event: dict[str, Any]) -> dict[str, Any]:
    """The receipt of an event; whatever it holds, it is taken."""
    status, receipt = await stage.daemon.post(event)
    assert status == 202, receipt
    found: dict[str, Any] = receipt
    return found


def tasks(receipt: dict[str, Any]) -> list[str]:
    return [made["task"] for made in receipt["deliveries"]]


async def errors(stage: Stage, rule: str) -> float:
    """How many evaluations of a rule have failed, by the metrics."""
    text = (await stage.daemon.get("/metrics")).decode()
    start = f'hookd_rule_errors_total{{rule="{rule}"}} '
    return sum(float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start))


# R6


@pytest.mark.parametrize("used", [80, 80.0, 80.5, 81, 100, 1e300, 2**62])
async def test_r06_at_the_threshold_and_above_it_fires(shared: Stage, used: float) -> None:
    event = {"type": "tenant", "event": "storage", "object": "Acme", "data": {"used_pct": used}}
    receipt = await taken(shared, event)
    assert tasks(receipt) == ["storage", "beside"]
    record, _ = await shared.settled(receipt)
    [request] = [each for each in shared.receiver.at("/storage") if each.id == record["id"]]
    assert json.loads(request.body) == {"tenant": "Acme", "used": used}
    assert record["cause"]["rule"] == "events.storage is short"


@pytest.mark.parametrize("used", [79, 79.999999, 0, -80, -(2**62)])
async def test_r06_below_the_threshold_does_not_fire(shared: Stage, used: float) -> None:
    before = await errors(shared, "events.storage is short")
    data = {"used_pct": used}
    receipt = await taken(shared, {"type": "tenant", "event": "storage", "object": "Acme", "data": data})
    assert tasks(receipt) == ["beside"]
    assert await errors(shared, "events.storage is short") == before


async def test_r06_another_object_at_the_threshold_does_not_fire(shared: Stage) -> None:
    for other in ({"object": "Acme 2"}, {"object": {"id": "17"}}, {}):
        event = {"type": "tenant", "event": "storage", "data": {"used_pct": 99}, **other}
        assert tasks(await taken(shared, event)) == ["beside"], other


@pytest.mark.parametrize(
    "data",
    [{}, {"used": 99}, {"used_pct": "99"}, {"used_pct": None}, {"used_pct": [99]}, {"used_pct": {"n": 99}}],
    ids=json.dumps,
)
async def test_r06_what_cannot_be_compared_does_not_fire_and_is_counted(
    shared: Stage, data: dict[str, Any]
) -> None:
    rule = "events.storage is short"
    before = await errors(shared, rule)
    receipt = await taken(shared, {"type": "tenant", "event": "storage", "object": "Acme", "data": data})
    assert tasks(receipt) == ["beside"], "the rules beside it are judged as ever"
    assert await errors(shared, rule) == before + 1
    told = [
        line for line in shared.log if line["event"] == "rule.error" and line["event_id"] == receipt["id"]
    ]
    assert [(line["rule"], line["level"]) for line in told] == [(rule, "warning")]
    assert told[0]["error"]


async def test_r06_nothing_came_but_what_reached_the_threshold(shared: Stage) -> None:
    receipt = await shared.emit("tenant", "storage", object="Acme", data={"used_pct": 80, "n": 1})
    await shared.settled(receipt)
    [last] = [made["id"] for made in receipt["deliveries"] if made["task"] == "storage"]
    assert shared.receiver.at("/storage")[-1].id == last
    assert all(json.loads(each.body)["used"] >= 80 for each in shared.receiver.at("/storage"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"used": 91, "size": 100}, ["percent"]),
        ({"used": 90, "size": 100}, []),
        ({"used": 90.01, "size": 100}, ["percent"]),
        ({"used": 5, "size": 5}, ["percent", "whole"]),
        ({"used": 5.0, "size": 50}, ["whole"]),
        ({"used": 5.0, "size": 5.5}, ["percent", "whole"]),
    ],
)
async def test_r06_numbers_count_by_their_value(
    shared: Stage, data: dict[str, Any], expected: list[str]
) -> None:
    event = {"type": "tenant", "event": "count", "object": "Acme", "data": data}
    assert tasks(await taken(shared, event)) == expected


@pytest.mark.parametrize(
    ("where", "part"),
    [
        ("data.used_pct >", "it ends where more is needed"),
        ("used_pct > 80", 'unknown name "used_pct"'),
        ("data.used_pct", None),
        ("80", "must be true or false, not int"),
        ("object.name.startswith('x')", 'did you mean "startsWith"?'),
    ],
)
async def test_r06_a_condition_that_makes_no_sense_is_refused(
    stage: Stage, where: str, part: str | None
) -> None:
    found = await stage.findings(f"""webhooks: {{w: {{url: RECEIVER/w}}}}
tasks: {{t: {{webhook: w, triggers: [{{type: a, event: b, where: "{where}"}}]}}}}
events: {{e: {{type: a, event: b, where: "{where}", task: t}}}}
""")
    expected = [] if part is None else [(2, "tasks.t.triggers[0].where"), (3, "events.e.where")]
    assert [(each["line"], each["where"]) for each in found] == expected
    assert all(part is not None and part in each["message"] for each in found), found


# R11


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        ({"event": "on", "object": "web-01"}, "tasks.inline.triggers[0]"),
        ({"event": "tagged", "object": {"name": "x", "tags": ["production"]}, "data": {"n": 2}},
         "tasks.inline.triggers[2]"),
        ({"event": "both"}, "events.both"),
        ({"event": "on", "object": "web-02"}, None),
        ({"event": "tagged", "object": {"name": "x", "tags": ["test"]}, "data": {"n": 2}}, None),
        ({"event": "tagged", "object": {"name": "x", "tags": ["production"]}, "data": {"n": 1}}, None),
        ({"event": "never"}, None),
    ],
    ids=json.dumps,
)  # fmt: skip
async def test_r11_a_rule_on_the_task_is_a_rule(
    shared: Stage, event: dict[str, Any], rule: str | None
) -> None:
    before = len(shared.receiver.at("/inline"))
    receipt = await taken(shared, {"type": "vm", **event})
    assert tasks(receipt) == ([] if rule is None else ["inline"]), "once, however many rules name it"
    last = await taken(shared, {"type": "vm", "event": "on", "object": "web-01"})
    for each in (receipt, last):
        records = await shared.settled(each)
    assert len(shared.receiver.at("/inline")) == before + (rule is not None) + 1
    if rule is not None:
        [made] = receipt["deliveries"]
        records = [await shared.daemon.get(f"/v1/deliveries/{made['id']}")]
        assert json.loads(records[0]["body"]) == {"why": event["event"]}
    else:
        rule = "tasks.inline.triggers[0]"
    assert [record["cause"]["rule"] for record in records] == [rule]


async def test_r11_a_schedule_on_the_task_is_a_schedule(shared: Stage) -> None:
    receipt = await shared.emit("vm", "every")
    [record] = await shared.settled(receipt)
    assert record["cause"] == {
        "kind": "event",
        "event_id": receipt["id"],
        "rule": "tasks.ticking.triggers[0]",
    }
    came = await shared.arrivals("/ticks", len(shared.receiver.at("/ticks")) + 2)
    records = [await shared.daemon.get(f"/v1/deliveries/{each.id}") for each in came]
    ticks = [each for each in records if each["id"] != record["id"]]
    assert {(each["task"], each["cause"]["kind"], each["cause"]["rule"]) for each in ticks} == {
        ("ticking", "schedule", "tasks.ticking.triggers[1]")
    }
    times = [(await shared.daemon.get(f"/v1/events/{each['event_id']}"))["time"] for each in ticks]
    assert len(set(times)) == len(times) >= 2
    listed = json.loads((await shared.hookd("schedules", "--json")).out)
    assert [(each["name"], each["tasks"], each["enabled"]) for each in listed] == [
        ("tasks.ticking.triggers[1]", ["ticking"], True),
        ("tasks.never ticking.triggers[0]", ["never ticking"], False),
    ]


async def test_r11_a_rule_on_the_task_names_no_other_task(stage: Stage) -> None:
    found = await stage.findings("""webhooks: {w: {url: RECEIVER/w}}
tasks:
  t: {webhook: w, triggers: [{type: a, event: b, task: u}, {event: b}, {every: 1h, type: a, event: b}, {}]}
  u: {webhook: w}
""")
    assert {(each["severity"], each["where"].partition("]")[0]) for each in found} == {
        ("error", f"tasks.t.triggers[{number}") for number in range(4)
    }


# X6


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "alarm", "event": "raised", "data": {"level": "critical", "test": False}}, ["severe", "critical"]),
        ({"type": "alarm", "event": "raised", "data": {"level": "critical", "test": True}}, ["severe"]),
        ({"type": "alarm", "event": "raised", "data": {"level": "error", "test": False}}, ["severe"]),
        ({"type": "alarm", "event": "raised", "data": {"level": "warning", "test": False}}, []),
        ({"type": "alarm", "event": "raised", "data": {"level": "Critical", "test": False}}, []),
        ({"type": "alarm", "event": "lowered", "data": {"level": "critical", "test": False}}, []),
        ({"type": "log", "event": "written", "data": {"source": "vSAN", "level": 4, "text": "drive error"}},
         ["from the store", "errors in the log"]),
        ({"type": "log", "event": "written", "data": {"source": "vSAN", "level": 3, "text": "drive ERROR!"}},
         ["errors in the log"]),
        ({"type": "log", "event": "written", "data": {"source": "vsan", "level": 5, "text": "terrors"}}, []),
        ({"type": "vm", "event": "off", "object": "prod-db"}, ["all vms of production"]),
        ({"type": "vm", "event": "off", "object": "nonprod-db"}, []),
        ({"type": "vm", "event": "off", "object": "web-17"}, ["numbered"]),
        ({"type": "vm", "event": "off", "object": "web-17b"}, []),
        ({"type": "vm", "event": "off", "object": {"name": "prod-web", "tags": ["gold"]}},
         ["all vms of production", "tagged"]),
        ({"type": "vm", "event": "off", "object": {"id": "7"}}, ["tagged"]),
    ],
    ids=json.dumps,
)  # fmt: skip
async def test_x6_levels_kinds_and_patterns_of_names(
    shared: Stage, event: dict[str, Any], expected: list[str]
) -> None:
    receipt = await taken(shared, event)
    assert tasks(receipt) == expected
    assert [record["state"] for record in await shared.settled(receipt)] == ["delivered"] * len(expected)
    assert {made["id"] for made in receipt["deliveries"]} <= {
        each.id for each in shared.receiver.at("/rules")
    }
