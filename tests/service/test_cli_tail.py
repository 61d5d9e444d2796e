"""`hookd tail`: how facts are shown, and what is said where the daemon cannot be followed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookd.cli.main import main
from hookd.cli.output.tail_lines import key_of, line_of, of_history
from hookd.cli.output.terminal import columns_of
from tests.kit.fake_daemon import Canned, FakeDaemon, problem, serving
from tests.service.test_cli_listing import delivery

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with serving(tmp_path / "d.sock") as stub:
        monkeypatch.setenv("HOOKD_SOCKET", stub.socket)
        yield stub


def fact(**facts: Any) -> dict[str, Any]:
    head = {"timestamp": "2026-01-02T03:04:05.678Z", "level": "info", "event": "it.happened"}
    return {**head, "cursor": "0123456789ab-7", **facts}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "2026-01-02T03:04:05Z  it.happened"),
        (
            {"webhook": "a b", "n": 3, "x": None},
            '2026-01-02T03:04:05Z  it.happened         webhook="a b" n=3',
        ),
        ({"level": "error", "s": ""}, '2026-01-02T03:04:05Z  it.happened         error: s=""'),
        ({"faults": ["a: b", "c"]}, '2026-01-02T03:04:05Z  it.happened         faults="a: b; c"'),
        ({"o": 'x\x1b[2J\n"'}, r'2026-01-02T03:04:05Z  it.happened         o="x\u001b[2J\n\""'),
        ({"o": "a\u202eb"}, r'2026-01-02T03:04:05Z  it.happened         o="a\u202eb"'),
        ({"event": "x\x1b"}, r"2026-01-02T03:04:05Z  x\x1b"),
    ],
)
def test_a_fact_is_a_line(facts: dict[str, Any], line: str) -> None:
    assert line_of(fact(**facts)) == line


DIED = {
    "event": "attempt.failed", "level": "warning", "delivery_id": "dlv_0198f2c76f0e7c1b9d550a8e5b7f3c21",
    "webhook": "ops-slack", "task": "sync-failed", "attempt": 3, "status": 503, "duration_s": 0.0123,
    "trace_id": "0af7651916cd43dd8448eb211c80319c", "state": "pending", "reason": "status",
    "error": "HTTP 503 Service Unavailable",
}  # fmt: skip


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            140,
            'delivery_id=0198f2c76f0e7c1b9d55 webhook=ops-slack status=503 error="HTTP 503 Service Unavailable"',
        ),
        (101, 'webhook=ops-slack status=503 error="HTTP 503 Service Unavailable"'),
        (80, 'webhook=ops-slack status=503 error="HTTP 50…'),
        (50, "webhook=ops-s…"),
    ],
)
def test_a_narrow_terminal_goes_without_the_least_important(width: int, line: str) -> None:
    assert line_of(fact(**DIED), width) == f"03:04:05Z  attempt.failed  warning: {line}"


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_a_fact_is_one_line_at_any_width(width: int) -> None:
    made = fact(event="delivery.made", delivery_id=DIED["delivery_id"], task="漢" * 30, event_id="e" * 200)
    for each in (fact(**DIED), made, fact(faults=["a" * 90] * 9)):
        assert columns_of(line_of(each, width)) <= width


def test_history_tells_that_it_was_made_and_how_it_ended() -> None:
    made, ended = of_history(delivery(state="dead", attempt=3, last_status=500, detail="enough"))
    about = {"webhook": "ops", "task": "page", "event_id": "e1", "history": True}
    assert made == {
        "timestamp": "2026-01-02T03:04:05.123456Z",
        "level": "info",
        "event": "delivery.made",
        "delivery_id": made["delivery_id"],
        **about,
    }
    assert ended == {
        "timestamp": "2026-01-02T03:04:06.5Z",
        "level": "error",
        "event": "delivery.dead",
        "delivery_id": made["delivery_id"],
        **about,
        "attempt": 3,
        "status": 500,
        "detail": "enough",
    }
    assert [each["event"] for each in of_history(delivery(state="pending"))] == ["delivery.made"]


def test_the_same_fact_is_known_by_history_and_live() -> None:
    made, ended = of_history(delivery(attempt=2))
    live = {"delivery_id": made["delivery_id"], "attempt": 2}
    assert key_of(fact(event="delivery.made", delivery_id=made["delivery_id"])) == key_of(made)
    assert key_of(fact(event="delivery.delivered", **live)) == key_of(ended)
    assert key_of(fact(event="delivery.delivered", **{**live, "attempt": 3})) != key_of(ended)
    assert key_of(fact(event="attempt.failed", **live)) is None


def test_a_daemon_that_was_never_there_is_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tail", "--socket", str(tmp_path / "none.sock")]) == 3
    assert "hookd is not reachable at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("canned", "told"),
    [
        (problem(503, "32 are following already", headers={"Retry-After": "5"}), "32 are following already"),
        (problem(404, "there is nothing at this path"), "there is nothing at this path"),
        (Canned(200, {}), "answered 200, and not as hookd does: is that the right address?"),
    ],
)
def test_a_refusal_at_the_start_ends_it(
    canned: Canned, told: str, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["GET /v1/tail"] = canned
    assert main(["tail"]) == 1
    assert told in capsys.readouterr().err


def test_an_unknown_name_is_refused_with_the_near_ones(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["GET /v1/config"] = Canned(200, {"webhooks": {"ops-slack": {}}, "tasks": {}})
    daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [], "cursor": None})
    assert main(["tail", "--webhook", "ops-slak"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "hookd: there is no webhook 'ops-slak', in the config or in the history",
        "did you mean: ops-slack",
    ]


def test_what_was_missed_is_said_and_a_refusal_after_a_break_ends_it(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        fact(event="tail.began", started_at="2026-01-02T03:04:00Z"),
        fact(event="tail.missed", count=7),
        fact(),
        fact(event="tail.alive", cursor="0123456789ab-9"),
    ]
    once = Canned(200, "".join(json.dumps(line) + "\n" for line in lines).encode() + b'{"half', NDJSON)
    answers = iter([once, problem(401, "no token")])
    daemon.answers["GET /v1/tail"] = lambda _asked: next(answers)
    assert main(["tail", "--state", "dead"]) == 1
    said = capsys.readouterr()
    assert said.out == line_of(fact()) + "\n"
    assert [line.partition("Z ")[2] or line for line in said.err.splitlines()] == [
        "7 facts were missed: they came faster than they were read",
        "the connection broke; waiting for it to come back",
        "hookd: no token",
        "--token-env NAME says which environment variable holds the token",
    ]
    assert [asked.query for asked in daemon.asked] == [
        {"state": "dead"},
        {"state": "dead", "after": "0123456789ab-9"},
    ]


def test_what_the_history_told_is_not_told_again(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    made = delivery(created_at="2026-01-02T03:04:05Z")
    live = {"delivery_id": made["id"], "webhook": "ops", "task": "page"}
    lines = [
        fact(event="tail.began", started_at="2026-01-02T03:04:00Z", timestamp="2026-01-02T03:04:07Z"),
        fact(event="delivery.made", **live),
        fact(event="delivery.delivered", **live, attempt=1),
        fact(event="delivery.delivered", **live, attempt=2),
    ]
    stream = Canned(200, "".join(json.dumps(line) + "\n" for line in lines).encode(), NDJSON)
    answers = iter([stream, problem(401, "no token")])
    daemon.answers["GET /v1/tail"] = lambda _asked: next(answers)
    daemon.answers["GET /v1/deliveries"] = Canned(200, {"deliveries": [made], "cursor": None})
    assert main(["tail", "--json", "--since", "2026-01-02T03:00:00Z"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["event"], each.get("history", False), each.get("attempt")) for each in told] == [
        ("delivery.made", True, None),
        ("delivery.delivered", True, 1),
        ("delivery.delivered", False, 2),
    ]
    (asked,) = (each.query for each in daemon.asked if each.path == "/v1/deliveries")
    assert (asked["since"], asked["until"]) == ("2026-01-02T03:00:00Z", "2026-01-02T03:04:07Z")
