"""R46 to R52: events. Which of them fire which tasks, and what is refused: in the configuration and when posted."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.kit.stage import Stage

HOOK = "webhooks: {w: {url: RECEIVER/x, headers: {Content-Type: text/plain}}}\n"

CATALOGUE = """
types:
  virtual_machine: {events: [powered_on, powered_off], description: Machines}
  user: {events: [login, logout]}
  alarm: {events: [raised, lowered], objects: false}
"""

CATALOGUED = (
    HOOK
    + CATALOGUE
    + """
tasks: {t: {webhook: w, message: "${ID}"}}
events:
  machine: {type: virtual_machine, event: powered_on, task: t}
  person: {type: user, event: login, object: admin, task: t}
  alarm: {type: alarm, event: raised, task: t}
"""
)

# Each task is named for the rules that name it; `a` is named by three, `pair` by a rule with two tasks.
RULES = (
    HOOK
    + """
tasks:
  any: {webhook: w, message: "${TASK} ${ID}"}
  web-01: {webhook: w, message: "${TASK} ${ID}"}
  id-17: {webhook: w, message: "${TASK} ${ID}"}
  production: {webhook: w, message: "${TASK} ${ID}"}
  edge: {webhook: w, message: "${TASK} ${ID}"}
  a: {webhook: w, message: "${TASK} ${ID}"}
  pair-1: {webhook: w, message: "${TASK} ${ID}"}
  pair-2: {webhook: w, message: "${TASK} ${ID}"}
  resting: {webhook: w, message: "${TASK} ${ID}", enabled: false}
  spaced: {webhook: w, message: "${TASK} ${ID}"}
events:
  any: {type: vm, event: started, task: any}
  by name: {type: vm, event: started, object: web-01, task: web-01}
  by id: {type: vm, event: started, object: "17", task: id-17}
  by tag: {type: vm, event: started, tag: production, task: production}
  by another tag: {type: vm, event: started, tag: edge, task: edge}
  not in use: {type: vm, event: started, task: pair-1, enabled: false}
  of a resting task: {type: vm, event: started, task: resting}
  a by name: {type: vm, event: stopped, object: web-01, task: a}
  a by tag: {type: vm, event: stopped, tag: production, task: a}
  a by any: {type: vm, event: stopped, task: [a, pair-1]}
  two tasks: {type: vm, event: paused, task: [pair-2, pair-1]}
  one task twice over: {type: vm, event: paused, object: web-01, task: pair-1}
  a name with a space: {type: "VM Guest", event: "powered on", object: "Web 01 (ünd)", task: spaced}
"""
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def catalogued(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("catalogue")) as stage:
        stage.write(CATALOGUED)
        await stage.start()
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ruled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("rules")) as stage:
        stage.write(RULES)
        await stage.start()
        yield stage


async def fired(stage: Stage, event: dict[str, Any]) -> list[str]:
    """The tasks that an event fired, as the receiver got them, sorted; and it got no more."""
    answered, receipt = await stage.daemon.post(event)
    assert answered == 202, receipt
    await stage.settled(receipt)
    bodies = [request.body.decode() for request in stage.receiver.requests]
    tasks = sorted(
        body.removesuffix(f" {receipt['id']}") for body in bodies if body.endswith(f" {receipt['id']}")
    )
    assert tasks == sorted(made["task"] for made in receipt["deliveries"])
    return tasks


async def refusal(stage: Stage, event: Any) -> dict[str, str]:
    """The faults of a refused event by pointer; it is not kept and fires nothing."""
    kept, sent = await stage.daemon.get("/v1/events"), len(stage.receiver.requests)
    answered, problem = await stage.daemon.post(event)
    assert (answered, problem["status"]) == (422, 422), problem
    assert await stage.daemon.get("/v1/events") == kept
    assert len(stage.receiver.requests) == sent
    return {fault["pointer"]: fault["message"] for fault in problem["errors"]}


async def findings(stage: Stage, config: str) -> list[tuple[int, str, str]]:
    return [(found["line"], found["where"], found["message"]) for found in await stage.findings(config)]


TASK = "webhooks: {w: {url: RECEIVER/x}}\ntasks: {t: {webhook: w}, note: {webhook: w}}\n"


async def test_r46_an_event_and_a_rule_carry_a_type(ruled: Stage) -> None:
    assert await refusal(ruled, {"event": "started"}) == {"/type": "is required"}
    assert await refusal(ruled, {"type": "vm"}) == {"/event": "is required"}
    assert await findings(ruled, TASK + "events:\n  e: {event: x, task: t}\n  f: {type: x, task: t}\n") == [
        (4, "events.e", "type is missing"),
        (5, "events.f", "event is missing"),
    ]
    assert await fired(ruled, {"type": "vm", "event": "started"}) == ["any"]
    assert await fired(ruled, {"type": "nas", "event": "started"}) == []
    assert await fired(ruled, {"type": "vm", "event": "moved"}) == []


async def test_r47_a_rule_outside_the_catalogue_is_told_what_is_valid(stage: Stage) -> None:
    rules = """
events:
  a: {type: virtual_machine, event: power_on, task: t}
  b: {type: user, event: raised, task: t}
  c: {type: virtual_machin, event: powered_on, task: t}
  d: {type: tenant, event: online, task: t}
  e: {type: User, event: login, task: t}
"""
    types = "(types: alarm, user, virtual_machine)"
    assert await findings(stage, TASK + CATALOGUE.strip() + rules) == [
        (
            8,
            "events.a.event",
            (
                'the type "virtual_machine" has no event "power_on"; did you mean "powered_on"? '
                "(events of virtual_machine: powered_on, powered_off)"
            ),
        ),
        (9, "events.b.event", 'the type "user" has no event "raised" (events of user: login, logout)'),
        (10, "events.c.type", f'there is no type "virtual_machin"; did you mean "virtual_machine"? {types}'),
        (11, "events.d.type", f'there is no type "tenant" {types}'),
        (12, "events.e.type", f'there is no type "User"; did you mean "user"? {types}'),
    ]


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (
            {"type": "virtual_machine", "event": "power_on"},
            {
                "/event": 'unknown event of type virtual_machine "power_on"; did you mean "powered_on"? '
                "valid: powered_off, powered_on"
            },
        ),
        (
            {"type": "user", "event": "raised"},
            {"/event": 'unknown event of type user "raised"; valid: login, logout'},
        ),
        (
            {"type": "tenant", "event": "online"},
            {"/type": 'unknown type "tenant"; valid: alarm, user, virtual_machine'},
        ),
        (
            {"type": "Alarm", "event": "raised"},
            {"/type": 'unknown type "Alarm"; did you mean "alarm"? valid: alarm, user, virtual_machine'},
        ),
    ],
)
async def test_r47_a_posted_event_outside_the_catalogue_is_refused(
    catalogued: Stage, event: dict[str, Any], fault: dict[str, str]
) -> None:
    assert await refusal(catalogued, event) == fault
    batch = [{"type": "user", "event": "login", "object": "admin"}, event]
    assert await refusal(catalogued, batch) == {f"/1{pointer}": message for pointer, message in fault.items()}


async def test_r47_the_command_line_names_the_choices(catalogued: Stage) -> None:
    ran = await catalogued.hookd("emit", "user", "logon")
    assert (ran.code, ran.out) == (1, "")
    assert 'unknown event of type user "logon"; did you mean "login"? valid: login, logout' in ran.err


async def test_r47_an_event_of_the_catalogue_fires(catalogued: Stage) -> None:
    receipt = await catalogued.emit(
        "virtual_machine", "powered_on", object="web-01", tags=["x"], id="catalogued"
    )
    await catalogued.settled(receipt)
    assert [r.body for r in catalogued.receiver.requests].count(b"catalogued") == 1
    assert (await catalogued.emit("virtual_machine", "powered_off"))["deliveries"] == []


async def test_r48_a_generic_type_takes_no_object_and_no_tag_in_a_rule(stage: Stage) -> None:
    rules = """
events:
  a: {type: alarm, event: raised, object: web-01, task: t}
  b: {type: alarm, event: raised, tag: production, task: t}
  c: {type: alarm, event: raised, task: t}
  d: {type: user, event: login, tag: production, task: t}
"""
    generic = 'the type "alarm" is generic: its events have no object and no tag'
    assert await findings(stage, TASK + CATALOGUE.strip() + rules) == [
        (8, "events.a.object", generic),
        (9, "events.b.tag", generic),
    ]


@pytest.mark.parametrize("obj", ["web-01", {"id": "17"}, {"name": "web-01", "tags": ["production"]}])
async def test_r48_a_generic_event_takes_no_object_and_no_tags(catalogued: Stage, obj: Any) -> None:
    generic = {"/object": "the type alarm is generic: it has neither object nor tags"}
    assert await refusal(catalogued, {"type": "alarm", "event": "raised", "object": obj}) == generic


async def test_r48_a_generic_event_fires(catalogued: Stage) -> None:
    receipt = await catalogued.emit("alarm", "raised", data={"level": "critical"}, id="generic")
    await catalogued.settled(receipt)
    assert [request.body for request in catalogued.receiver.requests].count(b"generic") == 1


@pytest.mark.parametrize(
    ("obj", "tasks"),
    [
        ("web-01", ["any", "web-01"]),
        ({"name": "web-01"}, ["any", "web-01"]),
        ({"id": "web-01"}, ["any", "web-01"]),
        ({"id": "17"}, ["any", "id-17"]),
        ("17", ["any", "id-17"]),
        ({"id": "17", "name": "web-01"}, ["any", "id-17", "web-01"]),
        ({"id": "17", "name": "web-02"}, ["any", "id-17"]),
        ({"id": "18", "name": "web-01"}, ["any", "web-01"]),
        ("web-02", ["any"]),
        ("web-011", ["any"]),
        ("web-0", ["any"]),
        ("WEB-01", ["any"]),
        ("web-01 ", ["any"]),
        ("production", ["any"]),
        (None, ["any"]),
    ],
)
async def test_r49_one_object_by_name_or_id_or_any_object(ruled: Stage, obj: Any, tasks: list[str]) -> None:
    given = {} if obj is None else {"object": obj}
    assert await fired(ruled, {"type": "vm", "event": "started", **given}) == tasks


async def test_r49_a_particular_user(catalogued: Stage) -> None:
    for person, answer in (("admin", ["t"]), ("guest", [])):
        receipt = await catalogued.emit("user", "login", object=person)
        assert [made["task"] for made in receipt["deliveries"]] == answer


async def test_r50_object_and_tag_exclude_each_other(stage: Stage) -> None:
    rules = """events:
  a: {type: vm, event: x, object: web-01, tag: production, task: t}
  b: {type: vm, event: x, tag: production, object: web-01, task: t}
  c: {type: vm, event: x, object: web-01, task: t}
  d: {type: vm, event: x, tag: production, task: t}
"""
    exclude = "object and tag exclude each other; give one of them, or neither"
    assert await findings(stage, TASK + rules) == [(4, "events.a.tag", exclude), (5, "events.b.tag", exclude)]


@pytest.mark.parametrize(
    ("obj", "tasks"),
    [
        ({"name": "db-1", "tags": ["production"]}, ["any", "production"]),
        ({"id": "4711", "tags": ["production"]}, ["any", "production"]),
        ({"name": "db-1", "tags": ["x", "edge", "production"]}, ["any", "edge", "production"]),
        ({"name": "db-1", "tags": []}, ["any"]),
        ({"name": "db-1", "tags": ["Production"]}, ["any"]),
        ({"name": "db-1", "tags": ["production "]}, ["any"]),
        ({"name": "db-1", "tags": ["pre-production", "production-2"]}, ["any"]),
        ({"name": "production"}, ["any"]),
        ({"name": "web-01", "tags": ["production"]}, ["any", "production", "web-01"]),
        ({"name": "web-01", "tags": ["web-01", "17"]}, ["any", "web-01"]),
    ],
)
async def test_r51_any_object_that_has_the_tag(ruled: Stage, obj: Any, tasks: list[str]) -> None:
    assert await fired(ruled, {"type": "vm", "event": "started", "object": obj}) == tasks


async def test_r51_the_tag_counts_as_it_is_at_the_time_of_the_event(ruled: Stage) -> None:
    """One object, tagged, untagged and tagged again: nothing of an earlier event is remembered."""
    for tags, tasks in (
        (["production"], ["any", "production"]),
        ([], ["any"]),
        (["edge"], ["any", "edge"]),
        (["production", "edge"], ["any", "edge", "production"]),
        (None, ["any"]),
    ):
        obj = {"id": "99", "name": "vm-99"} | ({} if tags is None else {"tags": tags})
        assert await fired(ruled, {"type": "vm", "event": "started", "object": obj}) == tasks


async def test_r52_several_tasks_and_each_once_however_many_rules_name_it(ruled: Stage) -> None:
    tagged = {"id": "17", "name": "web-01", "tags": ["production", "edge"]}
    assert await fired(ruled, {"type": "vm", "event": "stopped", "object": tagged}) == ["a", "pair-1"]
    assert await fired(ruled, {"type": "vm", "event": "stopped"}) == ["a", "pair-1"]
    assert await fired(ruled, {"type": "vm", "event": "paused", "object": "web-01"}) == ["pair-1", "pair-2"]
    assert await fired(ruled, {"type": "vm", "event": "paused"}) == ["pair-1", "pair-2"]


async def test_r52_what_fired_a_task_is_told(ruled: Stage) -> None:
    _, receipt = await ruled.daemon.post({"type": "vm", "event": "stopped", "object": "web-01"})
    records = await ruled.settled(receipt)
    assert [(record["task"], record["cause"]) for record in records] == [
        ("a", {"kind": "event", "event_id": receipt["id"], "rule": "events.a by name"}),
        ("pair-1", {"kind": "event", "event_id": receipt["id"], "rule": "events.a by any"}),
    ]


async def test_r52_a_task_that_is_not_enabled_is_fired_by_a_trigger_alone(ruled: Stage) -> None:
    assert await fired(ruled, {"type": "vm", "event": "started"}) == ["any"]
    receipt = await ruled.trigger("resting")
    await ruled.settled(receipt)
    assert f"resting {receipt['id']}".encode() in [request.body for request in ruled.receiver.requests]


async def test_r46_r49_names_are_free_text(ruled: Stage) -> None:
    event = {"type": "VM Guest", "event": "powered on", "object": "Web 01 (ünd)"}
    assert await fired(ruled, event) == ["spaced"]
    for key, value in event.items():
        assert await fired(ruled, {**event, key: value.swapcase()}) == [], "upper and lower case differ"


async def test_r52_a_rule_names_tasks_that_exist(stage: Stage) -> None:
    rules = """events:
  a: {type: vm, event: x, task: notte}
  b: {type: vm, event: x, task: [t, NOTE]}
  c: {type: vm, event: x, task: zzz}
  d: {type: vm, event: x}
  e: {type: vm, event: x, task: []}
  f: {type: vm, event: x, task: [t, t]}
  g: {type: vm, event: x, task: w}
"""
    tasks = "(tasks: note, t)"
    assert await findings(stage, TASK + rules) == [
        (4, "events.a.task", f'there is no task "notte"; did you mean "note"? {tasks}'),
        (5, "events.b.task[1]", f'there is no task "NOTE"; did you mean "note"? {tasks}'),
        (6, "events.c.task", f'there is no task "zzz" {tasks}'),
        (7, "events.d", "task is missing"),
        (8, "events.e.task", "must be the name of a task, or a list of names, not an empty list"),
        (9, "events.f.task[1]", '"t" stands in the list twice'),
        (10, "events.g.task", f'there is no task "w" {tasks}'),
    ]


async def test_r52_a_dangling_reference_is_never_put_in_force(stage: Stage) -> None:
    rule = "events: {e: {type: vm, event: x, task: TASK}}\n"
    stage.write(TASK + rule.replace("TASK", "note"))
    await stage.start()
    stage.write(TASK + rule.replace("TASK", "notte"))
    ran = await stage.hookd("reload")
    assert ran.code == 1
    assert (
        'events.e.task: there is no task "notte"; did you mean "note"? (tasks: note, t)' in ran.out + ran.err
    )
    assert [made["task"] for made in (await stage.emit("vm", "x"))["deliveries"]] == ["note"]


async def test_r52_nothing_is_sent_beyond_the_deliveries_made(ruled: Stage) -> None:
    """For all that this module has posted so far."""
    assert await fired(ruled, {"type": "vm", "event": "paused"}) == ["pair-1", "pair-2"]
    made = (await ruled.daemon.get("/v1/deliveries?limit=500"))["deliveries"]
    assert sorted(request.id for request in ruled.receiver.requests) == sorted(each["id"] for each in made)
