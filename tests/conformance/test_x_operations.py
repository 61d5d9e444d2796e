"""X1, X2, X4, X5, X9: what such an administrator expects to do, and to plan."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conformance.scenes import Playing, Scene, title
from tests.kit.receiver import Received, response
from tests.kit.stage import Stage
from tests.kit.wall_clock import TimedStage

CONFIG = """
webhooks:
  chat: {url: RECEIVER/chat, auth: {type: bearer, token: t-chat}, headers: {X-Route: chat}}
  notes: {url: RECEIVER/notes, headers: {Content-Type: text/markdown}}
  flaky: {url: RECEIVER/flaky, backoff: [20ms]}
  resting: {url: RECEIVER/resting, enabled: false}
  post: {url: RECEIVER/x9/POST, method: POST}
  put: {url: RECEIVER/x9/PUT, method: PUT}
  patch: {url: RECEIVER/x9/PATCH, method: PATCH}
  get: {url: RECEIVER/x9/GET, method: GET}
  delete: {url: RECEIVER/x9/DELETE, method: DELETE}
tasks:
  report:
    webhook: chat
    message: {name: "${NAME}", id: "${OBJECT_ID}", tags: "${TAGS}", why: "${data.why:-no reason}", n: "${data.n}"}
events:
  vm: {type: vm, event: started, task: report}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    failed = False

    async def answer(request: Received) -> bytes:
        nonlocal failed
        if request.target == "/flaky" and not failed:
            failed = True
            return response(503)
        return response(200)

    async with Stage(tmp_path_factory.mktemp("operations")) as stage:
        stage.receiver.reply = answer
        stage.write(CONFIG)
        await stage.start()
        yield stage


async def send(stage: Stage, *words: str) -> dict[str, Any]:
    """The receipt of `hookd send`, which must succeed."""
    ran = await stage.hookd("send", *words, "--json")
    assert ran.code == 0, ran.err
    receipt: dict[str, Any] = json.loads(ran.out)
    return receipt


async def sent(stage: Stage, receipt: dict[str, Any]) -> Received:
    """The one request of a receipt's one delivery, once it is delivered."""
    [record] = await stage.settled(receipt)
    assert record["state"] == "delivered"
    [request] = [each for each in stage.receiver.requests if each.id == record["id"]]
    return request


# X4


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("chat",), b'{"text": "Webhook"}'),
        (("chat", "--message", '{"to": ${WEBHOOK}, "n": 1}'), b'{"to": "chat", "n": 1}'),
        (("notes", "--message", '* to ${WEBHOOK} <"%\\>\n* $${so}'), b'* to notes <"%\\>\n* ${so}'),
    ],
)  # fmt: skip
async def test_x4_a_test_message_goes_the_way_of_every_delivery(
    shared: Stage, words: tuple[str, ...], body: bytes
) -> None:
    receipt = await send(shared, *words)
    request = await sent(shared, receipt)
    assert (request.method, request.target, request.body) == ("POST", f"/{words[0]}", body)
    expected = ("Bearer t-chat", "chat") if words[0] == "chat" else (None, None)
    assert (request.header("authorization"), request.header("x-route")) == expected
    [made] = receipt["deliveries"]
    assert (made["task"], made["webhook"]) == ("", words[0])
    record = await shared.daemon.get(f"/v1/deliveries/{made['id']}")
    assert record["cause"] == {"kind": "send", "event_id": receipt["id"], "rule": ""}
    shown = (await shared.hookd("show", made["id"])).out
    assert "send" in shown


async def test_x4_it_is_tried_again_like_any_other(shared: Stage) -> None:
    receipt = await send(shared, "flaky")
    [record] = await shared.settled(receipt)
    assert [attempt["status"] for attempt in record["attempts"]] == [503, 200]
    assert [each.id for each in shared.receiver.at("/flaky")] == [record["id"]] * 2


async def test_x4_for_a_person_it_says_what_it_made_and_why_it_waits(shared: Stage) -> None:
    ran = await shared.hookd("send", "resting")
    assert ran.code == 0
    first, *waits = ran.out.splitlines()[1:]
    assert "resting" in first
    assert "enabled" in "".join(waits)
    await sent(shared, await send(shared, "chat"))
    assert shared.receiver.at("/resting") == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("chta",), "chat"),
        (("chat", "--message", "no JSON"), "JSON"),
        (("chat", "--message", '{"a": "${NAM}"}'), "${NAME}"),
    ],
)
async def test_x4_what_cannot_be_sent_is_refused(shared: Stage, words: tuple[str, ...], part: str) -> None:
    before = await listed(shared)
    ran = await shared.hookd("send", *words)
    assert (ran.code, ran.out) == (1, "")
    assert part in ran.err
    assert await listed(shared) == before


async def listed(stage: Stage) -> list[str]:
    """The deliveries there are for `chat`."""
    found = (await stage.daemon.get("/v1/deliveries?webhook=chat&limit=500"))["deliveries"]
    return [each["id"] for each in found]


# X5


async def test_x5_a_task_is_run_with_the_context_of_an_event(shared: Stage) -> None:
    words = ("--object", "web-01", "--object-id", "7", "--tag", "gold", "--tag", "lab")
    receipt = await shared.trigger("report", *words, "--data", '{"why": "by hand", "n": [1, 2.5]}')
    request = await sent(shared, receipt)
    filled = {"name": "web-01", "id": "7", "tags": "gold,lab", "why": "by hand", "n": [1, 2.5]}
    assert list(json.loads(request.body).items()) == list(filled.items())
    event = await shared.daemon.get(f"/v1/events/{receipt['id']}")
    assert (event["kind"], event["type"], event["event"]) == ("trigger", "", "")
    assert event["object"] == {"id": "7", "name": "web-01", "tags": ["gold", "lab"]}


async def test_x5_without_a_context_there_are_defaults(shared: Stage) -> None:
    for receipt in (
        await shared.trigger("report"),
        (await shared.daemon.request("POST", "/v1/tasks/report/trigger"))[1],
    ):
        request = await sent(shared, receipt)
        assert request.body == b'{"name": "report", "id": "", "tags": "", "why": "no reason", "n": null}'
    answered, receipt = await shared.daemon.request(
        "POST", "/v1/tasks/report/trigger", body={"object": "db", "data": {"n": 1}}
    )
    assert answered == 202
    assert json.loads((await sent(shared, receipt)).body)["name"] == "db"


async def test_x5_an_event_is_posted_with_its_context(shared: Stage) -> None:
    receipt = await shared.emit(
        "vm", "started", object="web-02", tags=["lab"], data={"why": "a start", "n": 0}
    )
    filled = {"name": "web-02", "id": "", "tags": "lab", "why": "a start", "n": 0}
    assert json.loads((await sent(shared, receipt)).body) == filled
    event = await shared.daemon.get(f"/v1/events/{receipt['id']}")
    assert (event["kind"], event["data"]) == ("event", {"why": "a start", "n": 0})


async def test_x5_an_unknown_task_or_context_is_refused(shared: Stage) -> None:
    before = await listed(shared)
    ran = await shared.hookd("trigger", "reprot")
    assert (ran.code, "report" in ran.err) == (1, True)
    assert (await shared.hookd("trigger", "report", "--data", "[1]")).code == 2
    for body in ({"objekt": "x"}, {"data": 3}, {"object": {"nam": "x"}}):
        answered, problem = await shared.daemon.request("POST", "/v1/tasks/report/trigger", body=body)
        assert (answered, len(problem["errors"]) >= 1) == (422, True), body
    assert await listed(shared) == before


# X9


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "GET", "DELETE"])
async def test_x9_the_method_is_the_webhooks(shared: Stage, method: str) -> None:
    request = await sent(shared, await send(shared, method.lower(), "--message", '{"m": 1}'))
    assert (request.method, request.target) == (method, f"/x9/{method}")
    expected = (b"", None) if method == "GET" else (b'{"m": 1}', "application/json")
    assert (request.body, request.header("content-type")) == expected


async def test_x9_another_method_is_refused(stage: Stage) -> None:
    found = await stage.findings("""webhooks:
  lower: {url: RECEIVER/a, method: post}
  head: {url: RECEIVER/a, method: HEAD}
  typo: {url: RECEIVER/a, method: PATHC}
""")
    places = [(each["severity"], each["line"], each["where"]) for each in found]
    assert places == [
        ("error", 2, "webhooks.lower.method"),
        ("error", 3, "webhooks.head.method"),
        ("error", 4, "webhooks.typo.method"),
    ]
    for each in found:
        assert all(method in each["message"] for method in ("POST", "PUT", "PATCH", "GET", "DELETE")), each


# X2

NOW = "2026-06-01T10:07:30+02:00"
"""A Monday."""

PLANS: dict[str, tuple[str, str]] = {
    # what is chosen there: how it is written here, and the next four runs, in the schedule's own time
    "every 5 minutes": (
        "every: 5m",
        "06-01 10:10, 06-01 10:15, 06-01 10:20, 06-01 10:25",
    ),
    "every 20 minutes of the hour": (
        'cron: "*/20 * * * *"',
        "06-01 10:20, 06-01 10:40, 06-01 11:00, 06-01 11:20",
    ),
    "every 45 minutes from a start": (
        "every: 45m, from: 2026-06-01T08:00:00",
        "06-01 10:15, 06-01 11:00, 06-01 11:45, 06-01 12:30",
    ),
    "every hour": (
        'cron: "0 * * * *"',
        "06-01 11:00, 06-01 12:00, 06-01 13:00, 06-01 14:00",
    ),
    "every 6 hours": (
        'cron: "15 */6 * * *"',
        "06-01 12:15, 06-01 18:15, 06-02 00:15, 06-02 06:15",
    ),
    "every 36 hours from a start": (
        "every: 36h, from: 2026-06-01",
        "06-02 12:00, 06-04 00:00, 06-05 12:00, 06-07 00:00",
    ),
    "every day": (
        'cron: "30 3 * * *"',
        "06-02 03:30, 06-03 03:30, 06-04 03:30, 06-05 03:30",
    ),
    "every 3 days from a start": (
        "every: 3d, from: 2026-05-31T03:00:00",
        "06-03 03:00, 06-06 03:00, 06-09 03:00, 06-12 03:00",
    ),
    "every week": (
        'cron: "0 3 * * 0"',
        "06-07 03:00, 06-14 03:00, 06-21 03:00, 06-28 03:00",
    ),
    "every 2 weeks from a start": (
        "every: 14d, from: 2026-06-03T09:00:00",
        "06-03 09:00, 06-17 09:00, 07-01 09:00, 07-15 09:00",
    ),
    "on working days": (
        'cron: "0 8 * * 1-5"',
        "06-02 08:00, 06-03 08:00, 06-04 08:00, 06-05 08:00",
    ),
    "on chosen weekdays": (
        'cron: "0 8 * * MON,WED,SAT"',
        "06-03 08:00, 06-06 08:00, 06-08 08:00, 06-10 08:00",
    ),
    "every month": (
        'cron: "0 0 15 * *"',
        "06-15 00:00, 07-15 00:00, 08-15 00:00, 09-15 00:00",
    ),
    "on the last day of the month": (
        'cron: "59 23 L * *"',
        "06-30 23:59, 07-31 23:59, 08-31 23:59, 09-30 23:59",
    ),
    "on the first Monday": (
        'cron: "0 9 * * 1#1"',
        "07-06 09:00, 08-03 09:00, 09-07 09:00, 10-05 09:00",
    ),
    "every 3 months": (
        'cron: "0 6 1 */3 *"',
        "07-01 06:00, 10-01 06:00, 2027-01-01 06:00, 2027-04-01 06:00",
    ),
    "every year": (
        'cron: "0 18 24 12 *"',
        "12-24 18:00, 2027-12-24 18:00, 2028-12-24 18:00, 2029-12-24 18:00",
    ),
    "never again": (
        "at: 2026-12-24T18:00:00",
        "12-24 18:00",
    ),
    "within hours of the day": (
        'cron: "*/30 9-10,16 * * *"',
        "06-01 10:30, 06-01 16:00, 06-01 16:30, 06-02 09:00",
    ),
    "between two dates": (
        'cron: "0 12 * * *", from: 2026-06-10, until: 2026-06-12',
        "06-10 12:00, 06-11 12:00, 06-12 12:00",
    ),
    "until a time": (
        "every: 1h, until: 2026-06-01T12:00:00",
        "06-01 11:00, 06-01 12:00",
    ),
    "from a time": (
        "every: 1h, from: 2026-06-01T12:30:00",
        "06-01 12:30, 06-01 13:30, 06-01 14:30, 06-01 15:30",
    ),
    "when it is over": (
        "every: 1h, until: 2026-05-31",
        "",
    ),
    "when it is not enabled": (
        "every: 1h, enabled: false",
        "",
    ),
    "in another time zone": (
        'cron: "0 9 * * *", timezone: America/New_York',
        "06-01 09:00, 06-02 09:00, 06-03 09:00, 06-04 09:00",
    ),
}

Plans = dict[str, dict[str, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def planned(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """What `hookd schedules --json --next 4` tells of `PLANS`, by name; the clock shows `NOW`."""
    async with TimedStage(tmp_path_factory.mktemp("plans"), starts=NOW) as stage:
        rules = "".join(f"  {name}: {{{how}, task: [t, u]}}\n" for name, (how, _) in PLANS.items())
        stage.write(
            "webhooks: {w: {url: RECEIVER/w}}\ntasks: {t: {webhook: w}, u: {webhook: w}}\nschedules:\n"
            + rules,
            daemon="daemon: {timezone: Europe/Berlin}\n",
        )
        ran = await stage.hookd("schedules", "--json", "--next", "4")
        assert ran.code == 0, ran.err
        return {each["name"]: each for each in json.loads(ran.out)}


@pytest.mark.tools
@pytest.mark.parametrize("name", PLANS)
async def test_x2_what_repeats_is_foretold(planned: Plans, name: str) -> None:
    told, (how, expected) = planned[name], PLANS[name]
    elsewhere = "New_York" in how
    runs = [run if run.startswith("20") else f"2026-{run}" for run in expected.split(", ") if run]
    assert [moment[:16].replace("T", " ") for moment in told["next"]] == runs
    offsets = {moment[19:] for moment in told["next"]}
    assert offsets <= ({"-04:00"} if elsewhere else {"+02:00", "+01:00"})
    assert (told["tasks"], told["kind"]) == (["t", "u"], how.partition(":")[0])
    assert told["timezone"] == ("America/New_York" if elsewhere else "Europe/Berlin")
    assert told["enabled"] == ("enabled" not in how)


@pytest.mark.tools
async def test_x2_winter_and_summer_have_their_offsets(planned: Plans) -> None:
    assert [moment[19:] for moment in planned["every 3 months"]["next"]] == [
        "+02:00",
        "+02:00",
        "+01:00",
        "+02:00",
    ]
    assert [moment[19:] for moment in planned["every year"]["next"]] == ["+01:00"] * 4


# X1

ENABLING = """
webhooks: {events: {url: RECEIVER/events}, ticks: {url: RECEIVER/ticks}}
tasks:
  choice: {webhook: events, enabled: ENABLED}
  always: {webhook: events}
  tick: {webhook: ticks}
  tick by choice: {webhook: ticks, enabled: ENABLED}
events:
  both: {type: vm, event: both, task: [choice, always]}
  by choice: {type: vm, event: chosen, task: always, enabled: ENABLED}
schedules:
  ticks: {every: 1s, task: [tick, tick by choice]}
  by choice: {every: 1s, enabled: ENABLED, task: tick}
"""
ALWAYS = {("tick", "schedules.ticks")}
BY_CHOICE = {("tick by choice", "schedules.ticks"), ("tick", "schedules.by choice")}


async def what_is_not_enabled_does_not_fire_until_it_is(directory: Path) -> None:
    async with Stage(directory) as stage:
        stage.write(ENABLING, ENABLED="false")
        await stage.start()
        assert await firing(stage) == (["always"], [])
        assert await ticking(stage, 2) == ALWAYS
        by_hand = await sent(stage, await stage.trigger("choice"))
        assert by_hand.target == "/events", "a run on demand asks nobody"
        assert await plans(stage) == {"ticks": (True, 1), "by choice": (False, 0)}
        stage.write(ENABLING, ENABLED="true")
        assert (await stage.hookd("reload")).code == 0
        assert await firing(stage) == (["choice", "always"], ["always"])
        assert await ticking(stage, 6) == ALWAYS | BY_CHOICE
        assert await plans(stage) == {"ticks": (True, 1), "by choice": (True, 1)}
        stage.write(ENABLING, ENABLED="false")
        assert (await stage.hookd("reload")).code == 0
        assert await firing(stage) == (["always"], [])
        assert await ticking(stage, 2) == ALWAYS


async def firing(stage: Stage) -> tuple[list[str], list[str]]:
    """The tasks that two events fire, `both` and `chosen`."""
    both, chosen = [(await stage.emit("vm", event))["deliveries"] for event in ("both", "chosen")]
    return [made["task"] for made in both], [made["task"] for made in chosen]


async def ticking(stage: Stage, count: int) -> set[tuple[str, str]]:
    """The tasks and rules of what comes next by schedule, once all that was fired before has come."""
    await stage.daemon.get_when(
        "/v1/webhooks", lambda lanes: not any(lane["pending"] for lane in lanes["webhooks"])
    )
    before = len(stage.receiver.at("/ticks"))
    came = (await stage.arrivals("/ticks", before + count))[before:]
    records = [await stage.daemon.get(f"/v1/deliveries/{each.id}") for each in came]
    assert {record["cause"]["kind"] for record in records} == {"schedule"}
    return {(record["task"], record["cause"]["rule"]) for record in records}


async def plans(stage: Stage) -> dict[str, tuple[bool, int]]:
    """Which schedules are enabled, and how many runs each foretells."""
    found = json.loads((await stage.hookd("schedules", "--json")).out)
    return {each["name"]: (each["enabled"], len(each["next"])) for each in found}


SCENES: Sequence[Scene] = (what_is_not_enabled_does_not_fire_until_it_is,)


pytestmark = pytest.mark.usefixtures("playing")  # the scenes begin with the first test


@pytest.mark.tools
@pytest.mark.parametrize("scene", SCENES, ids=title)
async def test_x1(scene: Scene, playing: Playing) -> None:
    await playing[scene]
